//! Section 13: teams, who is in them, and the roles that users have through them.

use std::collections::BTreeSet;

use rollcall::domain::team::{MembershipType, TeamType};
use rollcall::simulator::tenant::{GroupKind, Profile};
use rollcall::sync::desk::{Ask, NewTeam, TeamEdit};
use serde_json::json;
use uuid::Uuid;

use super::{outcome, stage};
use crate::on_demand::{ENV, ask, edit, said, state, word};
use crate::world::{World, licensed};

/// The people of a play, by their first names.
pub struct Play {
    pub world: World,
    people: Vec<(&'static str, Uuid)>,
}

impl Play {
    pub async fn new(names: &[&'static str]) -> Self {
        let world = stage().await;
        let people = names
            .iter()
            .map(|name| (*name, licensed(world.tenant(), name, "Person")));
        let people = people.collect();
        world.sync_completely().await;
        Self { world, people }
    }

    pub fn id(&self, name: &str) -> Uuid {
        self.people.iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub fn user(&self, name: &str) -> String {
        let known = self.people.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| name.to_owned(), |(_, id)| id.to_string())
    }

    /// One step: `team NAME [TYPE]`, `unit NAME`, `rename TEAM > NAME`, `drop TEAM`, `join TEAM USER`, `leave TEAM USER`,
    /// `give TEAM > ROLE`, `take TEAM > ROLE`, `grant USER > ROLE`, `revoke USER > ROLE`, `move USER UNIT`, `disable USER`.
    pub async fn step(&self, command: &str) -> String {
        let desk = self.world.engine.desk();
        let (verb, rest) = command.split_once(' ').unwrap();
        let (first, second) = rest
            .split_once(" > ")
            .or_else(|| rest.split_once(' '))
            .unwrap_or((rest, ""));
        let user = self.user(second);
        match verb {
            "team" => {
                let teamtype = TeamType::parse(second).unwrap_or(TeamType::Owner);
                outcome(desk.add_team(ENV, team(first, teamtype), "ada").await)
            }
            "unit" => outcome(desk.add_unit(ENV, first, None, "ada").await),
            "rename" => {
                let edit = TeamEdit {
                    name: Some(second),
                    ..TeamEdit::default()
                };
                outcome(desk.edit_team(ENV, first, edit, "ada").await)
            }
            "drop" => outcome(desk.delete_team(ENV, first).await),
            "join" => said(&desk.add_member(ask(&user), first).await),
            "leave" => said(&desk.remove_member(ask(&user), first).await),
            "give" => outcome(desk.grant_to_team(ENV, first, second, "ada").await),
            "take" => outcome(desk.revoke_from_team(ENV, first, second, "ada").await),
            "grant" => said(&desk.grant(ask(&self.user(first)), second).await),
            "revoke" => said(&desk.revoke(ask(&self.user(first)), second).await),
            "move" => said(&edit(&self.world, self.user(first), json!({"businessunitid": second})).await),
            "disable" => word(&self.world, "disable", self.user(first)).await,
            other => panic!("{other}"),
        }
    }

    pub async fn play(&self, steps: &[(&str, &str)]) {
        for (command, expected) in steps {
            assert_eq!(self.step(command).await, *expected, "{command}");
        }
    }

    /// Who is in a team, by first name.
    pub async fn members(&self, team: &str) -> Vec<String> {
        let members = self.world.engine.records().members(ENV, team, None, 100).await.unwrap();
        let mut names: Vec<String> = members
            .into_iter()
            .map(|member| {
                member
                    .domainname
                    .unwrap_or_default()
                    .split('.')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// `role through` of a user, sorted.
    pub async fn roles(&self, name: &str) -> Vec<String> {
        let (desk, user) = (self.world.engine.desk(), self.user(name));
        let holders = desk.role_holders(ENV, Some(&user), None, None, 100).await;
        let holders = holders.unwrap().into_iter();
        let mut roles: Vec<String> = holders
            .map(|held| format!("{} {}", held.role, held.team.unwrap_or(held.provenance)))
            .collect();
        roles.sort();
        roles
    }
}

pub fn team(name: &str, teamtype: TeamType) -> NewTeam<'_> {
    NewTeam {
        name,
        teamtype,
        unit: None,
        administrator: None,
        group: None,
    }
}

#[tokio::test]
async fn owner_and_access_teams_are_kept_by_hand_and_a_default_team_follows_its_unit() {
    let play = Play::new(&["Ada", "Bob"]).await;
    let stub = Ask {
        user: "stub@contoso.example",
        ..ask("")
    };
    play.world.engine.desk().stub(stub, None).await.unwrap();
    play.play(&[
        ("team Callers", "ok"),
        ("team callers access", "name_taken"),
        ("team Readers access", "ok"),
        ("team production", "name_taken"),
        ("unit Readers", "name_taken"),
        ("unit Sales", "ok"),
        ("team Group security_group", "bad input: azureactivedirectoryobjectid"),
        ("join Callers Ada", "updated"),
        ("join CALLERS Ada", "unchanged"),
        ("join Readers Ada", "updated"),
        ("join Callers nobody@contoso.example", "user_not_found"),
        ("join Callers stub@contoso.example", "stub_user"),
        ("join Callers crmoln@microsoft.com", "reserved_user"),
        ("join Nowhere Ada", "find the team `Nowhere` in production"),
        ("leave Callers Bob", "not_a_member"),
        ("join Sales Ada", "team_is_default"),
        ("leave production Ada", "team_is_default"),
        ("drop Sales", "team_is_default"),
        ("rename Sales > Service", "team_is_default"),
        ("rename Callers > Sales", "name_taken"),
        ("rename Callers > Agents", "ok"),
        ("move Bob Sales", "updated"),
    ])
    .await;
    assert_eq!(play.members("Agents").await, ["ada"]);
    assert_eq!(play.members("Sales").await, ["bob"]);
    assert_eq!(
        play.members("production").await,
        ["ada"],
        "neither stubs nor placeholders"
    );
    play.play(&[("leave Agents Ada", "updated"), ("drop Readers", "ok")])
        .await;
    assert!(play.members("Agents").await.is_empty());
    let log = "select concat_ws(' ', actor, operation, fields ->> 'team') from rollcall.system_user_change
               where fields ? 'team' order by id";
    assert_eq!(
        play.world.strings(log).await,
        [
            r#"helpdesk edit [null, "Callers"]"#,
            r#"helpdesk edit [null, "Readers"]"#,
            r#"helpdesk edit ["Agents", null]"#
        ]
    );
    // A deleted row is in no team.
    play.world.tenant().purge(play.id("Bob"));
    play.world.sync_completely().await;
    assert_eq!(word(&play.world, "delete", play.id("Bob")).await, "updated");
    assert!(play.members("Sales").await.is_empty());
    play.world.assert_settled().await;
    play.world.end().await;
}

#[tokio::test]
async fn users_have_the_roles_of_their_teams_and_keep_their_own() {
    let play = Play::new(&["Ada", "Bob"]).await;
    play.play(&[
        ("unit Sales", "ok"),
        ("team Callers", "ok"),
        ("team Readers access", "ok"),
        ("give Readers > Basic User", "team_takes_no_roles"),
        ("give Callers > Emperor", "role_not_found"),
        ("take Callers > Emperor", "role_not_found"),
        ("give Callers > Basic User", "ok"),
        ("give Sales > Salesperson", "ok"),
        ("join Callers Ada", "updated"),
        ("grant Ada > Basic User", "updated"),
        ("move Ada Sales", "updated"),
    ])
    .await;
    assert_eq!(
        play.roles("Ada").await,
        ["Basic User Callers", "Basic User manual", "Salesperson Sales"]
    );
    let effective = "select concat_ws(' ', role, coalesce(t.name, 'directly')) from rollcall.effective_role e
                     left join rollcall.team t on t.environment = e.environment and t.teamid = e.through
                     order by 1";
    assert_eq!(
        play.world.strings(effective).await,
        ["Basic User Callers", "Basic User directly", "Salesperson Sales"]
    );
    let explained = async |name: &str| {
        let user = play.user(name);
        let trigger = rollcall::rules::Trigger::Background;
        let explanation = play.world.engine.desk().explain(ENV, &user, trigger).await.unwrap();
        let check = explanation.security_role();
        (check.status, check.detail)
    };
    let (status, detail) = explained("Ada").await;
    assert_eq!(
        (status, detail.as_str()),
        (
            "pass",
            "Basic User (manual), Basic User (team Callers), Salesperson (team Sales)"
        )
    );
    assert_eq!(explained("Bob").await.0, "fail");
    let without = rollcall::domain::system_user::Filter {
        without_role: true,
        limit: 100,
        ..Default::default()
    };
    let found = play.world.engine.records().users(ENV, &without).await.unwrap();
    let found: Vec<Option<Uuid>> = found.into_iter().map(|row| row.azureactivedirectoryobjectid).collect();
    assert_eq!(found, [Some(play.id("Bob"))]);
    // What a team gives, only the team takes.
    play.play(&[
        ("revoke Ada > Salesperson", "unchanged"),
        ("revoke Ada > Basic User", "updated"),
        ("take Sales > Salesperson", "ok"),
        ("drop Callers", "ok"),
    ])
    .await;
    assert!(play.roles("Ada").await.is_empty());
    assert_eq!(state(&play.world, play.id("Ada")).await, "enabled");
    play.world.assert_settled().await;
    play.world.end().await;
}

#[tokio::test]
async fn the_last_system_administrator_stays_one_whichever_way_the_role_comes() {
    const ADMINISTRATOR: &str = "System Administrator";
    // What makes Ada an administrator, and what would end it.
    for (made, ended) in [
        (
            vec!["team Admins", "give Admins > ADMIN", "join Admins Ada"],
            vec!["leave Admins Ada", "take Admins > ADMIN", "drop Admins", "disable Ada"],
        ),
        (
            vec!["unit Bosses", "give Bosses > ADMIN", "move Ada Bosses"],
            vec!["move Ada production", "take Bosses > ADMIN", "disable Ada"],
        ),
    ] {
        let play = Play::new(&["Ada", "Bob"]).await;
        for step in made {
            let said = play.step(&step.replace("ADMIN", ADMINISTRATOR)).await;
            assert!(["ok", "updated"].contains(&&*said), "{step}: {said}");
        }
        for step in &ended {
            let step = step.replace("ADMIN", ADMINISTRATOR);
            assert_eq!(play.step(&step).await, "last_system_administrator", "{step}");
        }
        // A second one, directly, sets the first free; then the second is the last.
        let grant = format!("grant Bob > {ADMINISTRATOR}");
        assert_eq!(play.step(&grant).await, "updated");
        let step = ended[0].replace("ADMIN", ADMINISTRATOR);
        assert_eq!(play.step(&step).await, "updated", "{step}");
        let revoke = format!("revoke Bob > {ADMINISTRATOR}");
        assert_eq!(play.step(&revoke).await, "last_system_administrator");
        play.world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_attempts_at_once_leave_one_system_administrator_whichever_way_they_go() {
    const ADMINISTRATOR: &str = "System Administrator";
    let play = Play::new(&["Ada", "Bob", "Cleo"]).await;
    for step in [
        "team Admins",
        "give Admins > ADMIN",
        "join Admins Ada",
        "grant Bob > ADMIN",
        "unit Bosses",
        "give Bosses > ADMIN",
        "move Cleo Bosses",
    ] {
        let said = play.step(&step.replace("ADMIN", ADMINISTRATOR)).await;
        assert!(["ok", "updated"].contains(&&*said), "{step}: {said}");
    }
    let ways = [
        "leave Admins Ada",
        "take Admins > ADMIN",
        "disable Ada",
        "revoke Bob > ADMIN",
        "disable Bob",
        "move Cleo production",
        "take Bosses > ADMIN",
        "disable Cleo",
    ]
    .map(|way| way.replace("ADMIN", ADMINISTRATOR));
    let attempts = ways.iter().cycle().take(100).map(|way| play.step(way));
    let words: BTreeSet<String> = futures_util::future::join_all(attempts).await.into_iter().collect();
    assert!(words.contains("last_system_administrator"), "{words:?}");
    let known = [
        "ok",
        "updated",
        "unchanged",
        "disabled",
        "not_a_member",
        "last_system_administrator",
    ];
    let others: Vec<&String> = words.iter().filter(|word| !known.contains(&word.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(
        play.world
            .number(
                "select count(distinct s.systemuserid) from rollcall.effective_role e
                 join rollcall.system_user s on s.environment = e.environment and s.systemuserid = e.systemuserid
                 where e.role = 'System Administrator' and not s.isdisabled"
            )
            .await,
        1
    );
    play.world.end().await;
}

#[tokio::test]
async fn the_cycle_holds_back_the_removal_of_the_last_administrator_through_a_team() {
    let play = Play::new(&["Ada", "Bob"]).await;
    for step in ["team Admins", "give Admins > System Administrator", "join Admins Ada"] {
        play.step(step).await;
    }
    play.world.tenant().give_profile(play.id("Ada"), Profile::Unlicensed);
    play.world.sync().await;
    assert_eq!(state(&play.world, play.id("Ada")).await, "enabled");
    let findings = play.world.findings().await;
    assert!(
        findings.iter().any(|line| line.contains("last_system_administrator")),
        "{findings:?}"
    );
    assert_eq!(play.step("grant Bob > System Administrator").await, "updated");
    play.world.sync().await;
    play.world.sync().await;
    assert_eq!(state(&play.world, play.id("Ada")).await, "unlicensed by sync");
    play.world.end().await;
}

#[tokio::test]
async fn group_teams_follow_a_group_and_nobody_edits_their_members() {
    use MembershipType::{Guests, Members, MembersAndGuests, Owners};
    let play = Play::new(&["Ada", "Bob", "Eve"]).await;
    let tenant = play.world.tenant();
    let [group, list] = ["Agents", "News"].map(|name| tenant.create_group(name));
    tenant.set_group_kind(list, GroupKind::Distribution);
    let desk = play.world.engine.desk();
    let new = |name, group, membership| NewTeam {
        group: Some((group, membership)),
        ..team(name, TeamType::SecurityGroup)
    };
    for (name, group, membership, expected) in [
        ("All", group, MembersAndGuests, "ok"),
        ("Again", group, MembersAndGuests, "group_taken"),
        ("Members", group, Members, "ok"),
        ("Owners", group, Owners, "ok"),
        ("Guests", group, Guests, "ok"),
        ("News", list, Members, "group_not_usable"),
        ("Nobody", Uuid::from_u128(7), Members, "group_not_usable"),
    ] {
        assert_eq!(
            outcome(desk.add_team(ENV, new(name, group, membership), "ada").await),
            expected,
            "{name}"
        );
    }
    play.play(&[
        ("join All Ada", "team_follows_group"),
        ("leave All Ada", "team_follows_group"),
        ("give Owners > Basic User", "ok"),
    ])
    .await;
    // Ada, of no type, is a member, Bob a guest and a member, Eve a guest and an owner.
    for (name, user_type) in [("Ada", None), ("Bob", Some("Guest")), ("Eve", Some("Guest"))] {
        tenant.update_user(play.id(name), |user| user.user_type = user_type.map(str::to_owned));
    }
    tenant.add_members(group, [play.id("Ada"), play.id("Bob")]);
    tenant.add_owner(group, play.id("Eve"));
    play.world.sync_completely().await;
    for (team, expected) in [
        ("All", &["ada", "bob"][..]),
        ("Members", &["ada"]),
        ("Owners", &["eve"]),
        ("Guests", &["bob"]),
    ] {
        assert_eq!(play.members(team).await, expected, "{team}");
    }
    assert_eq!(play.roles("Eve").await, ["Basic User Owners"]);
    play.world.end().await;
}
