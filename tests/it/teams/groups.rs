//! Section 13: teams that follow a group, as the directory changes it.

use rollcall::domain::team::{MembershipType, TeamType};
use rollcall::simulator::tenant::{Profile, TokenDeath, User};
use rollcall::sync::RunOutcome;
use rollcall::sync::desk::NewTeam;
use uuid::Uuid;

use super::members::{Play, team};
use super::outcome;
use crate::on_demand::{ENV, state};

/// Adds a team of a new group with these members. Returns the group.
async fn follow(play: &Play, name: &str, membership: MembershipType, members: &[&str]) -> Uuid {
    let group = play.world.tenant().create_group(name);
    let ids = members.iter().map(|member| play.id(member));
    play.world.tenant().add_members(group, ids);
    let new = NewTeam {
        group: Some((group, membership)),
        ..team(name, TeamType::SecurityGroup)
    };
    assert_eq!(outcome(play.world.engine.desk().add_team(ENV, new, "ada").await), "ok");
    group
}

/// The findings that a run leaves, without the ids of people.
async fn findings(play: &Play) -> Vec<String> {
    play.world
        .strings("select concat_ws(' ', code, environment) from rollcall.finding where closed_at is null order by 1")
        .await
}

#[tokio::test]
async fn losing_a_group_team_ends_roles_and_disables_nobody() {
    let play = Play::new(&["Ada", "Bob"]).await;
    let tenant = play.world.tenant();
    let group = follow(&play, "Agents", MembershipType::MembersAndGuests, &["Ada"]).await;
    let outsider = tenant.add_user(User::named("Olga", "Outside"));
    tenant.give_profile(outsider, Profile::Unlicensed);
    tenant.add_member(group, outsider);
    play.play(&[("give Agents > Basic User", "ok")]).await;
    play.world.sync_completely().await;
    assert_eq!(play.members("Agents").await, ["ada"]);
    assert_eq!(play.roles("Ada").await, ["Basic User Agents"]);
    assert!(
        play.world.row(ENV, outsider).await.is_none(),
        "a team alone gives no row"
    );
    assert_eq!(findings(&play).await, [""; 0]);

    tenant.remove_member(group, play.id("Ada"));
    tenant.add_member(group, play.id("Bob"));
    play.world.sync_completely().await;
    assert_eq!(play.members("Agents").await, ["bob"]);
    assert_eq!(play.roles("Ada").await, [""; 0]);
    assert_eq!(state(&play.world, play.id("Ada")).await, "enabled");
    assert_eq!(findings(&play).await, ["no_security_role production"]);
    assert_eq!(play.step("grant Ada > Salesperson").await, "updated");
    play.world.sync_completely().await;
    assert_eq!(findings(&play).await, [""; 0]);
    play.world.assert_settled().await;
    play.world.end().await;
}

#[tokio::test]
async fn a_group_that_is_in_doubt_or_gone_leaves_its_team_as_it_was() {
    let play = Play::new(&["Ada", "Bob"]).await;
    let tenant = play.world.tenant();
    let group = follow(&play, "Agents", MembershipType::Members, &["Ada", "Bob"]).await;
    play.play(&[("give Agents > Basic User", "ok")]).await;
    play.world.sync_completely().await;

    // Emptied at once, and the link is dead: only a listing of nobody tells of it.
    for name in ["Ada", "Bob"] {
        tenant.remove_member(group, play.id(name));
    }
    tenant.expire_tokens(TokenDeath::Gone);
    for _ in 0..3 {
        play.world.sync().await;
        assert_eq!(play.members("Agents").await, ["ada", "bob"]);
        assert_eq!(play.roles("Ada").await, ["Basic User Agents"]);
    }
    // A listing that has somebody is beyond doubt.
    tenant.add_member(group, play.id("Bob"));
    tenant.expire_tokens(TokenDeath::Gone);
    play.world.sync_completely().await;
    assert_eq!(play.members("Agents").await, ["bob"]);
    assert_eq!(findings(&play).await, ["no_security_role production"]);

    // Named one by one, they leave.
    tenant.remove_member(group, play.id("Bob"));
    play.world.sync_completely().await;
    assert_eq!(play.members("Agents").await, [""; 0]);

    tenant.add_member(group, play.id("Ada"));
    play.world.sync_completely().await;
    tenant.delete_group(group);
    let report = play.world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Incomplete);
    assert!(
        report.problems[0]
            .ends_with("delete the team that follows it, or restore the group; its teams keep their members"),
        "{:?}",
        report.problems
    );
    assert_eq!(play.members("Agents").await, ["ada"]);
    assert_eq!(
        findings(&play).await,
        ["directory_unavailable", "no_security_role production"]
    );
    play.play(&[("drop Agents", "ok")]).await;
    play.world.sync_completely().await;
    play.world.end().await;
}

#[tokio::test]
async fn the_directory_ends_the_last_administrator_of_a_group_team_with_a_critical_finding() {
    let play = Play::new(&["Ada", "Bob"]).await;
    let tenant = play.world.tenant();
    let group = follow(&play, "Admins", MembershipType::Owners, &[]).await;
    tenant.add_owner(group, play.id("Ada"));
    play.play(&[("give Admins > System Administrator", "ok")]).await;
    play.world.sync_completely().await;
    assert_eq!(play.roles("Ada").await, ["System Administrator Admins"]);
    play.play(&[
        ("disable Ada", "last_system_administrator"),
        ("take Admins > System Administrator", "last_system_administrator"),
        ("drop Admins", "last_system_administrator"),
    ])
    .await;
    tenant.remove_owner(group, play.id("Ada"));
    for _ in 0..2 {
        play.world.sync_completely().await;
        assert_eq!(play.roles("Ada").await, [""; 0]);
        assert_eq!(
            findings(&play).await,
            ["last_system_administrator production", "no_security_role production"]
        );
    }
    assert_eq!(play.step("grant Bob > System Administrator").await, "updated");
    play.world.sync_completely().await;
    assert_eq!(findings(&play).await, ["no_security_role production"]);
    play.world.end().await;
}

#[tokio::test]
async fn a_cycle_asks_once_for_each_group_of_a_team_and_once_more_where_owners_count() {
    let play = Play::new(&["Ada"]).await;
    for name in ["One", "Two", "Three"] {
        follow(&play, name, MembershipType::Members, &["Ada"]).await;
    }
    play.world.sync_completely().await;
    let requests = async || {
        drop(play.world.simulator.take_requests());
        play.world.sync_completely().await;
        let sent = play.world.simulator.take_requests();
        let about = |what: &str| sent.iter().filter(|seen| seen.endpoint.contains(what)).count();
        (about("groups/delta"), about("$batch"), sent.len())
    };
    let without = requests().await;
    assert_eq!((without.0, without.1), (3, 0), "{without:?}");
    follow(&play, "Four", MembershipType::Owners, &["Ada"]).await;
    play.world.sync_completely().await;
    let with = requests().await;
    assert_eq!((with.0, with.2), (4, without.2 + 2), "{with:?}");
    play.world.end().await;
}
