//! Kinds of environment, ways into the group, and what counts on demand only (sections 2 to 5).

use rollcall::domain::environment::{Environment, GroupNesting, Kind};
use rollcall::simulator::tenant::{DYNAMICS_365_ADMINISTRATOR, Profile, Sku, User};
use uuid::Uuid;

use super::{ENV, ask_by, one_user, person, row, stage, stage_of, state, word};
use crate::world::{World, guarded_environment, licensed, open_environment};

const GROUP: Uuid = Uuid::from_u128(0x6060);
const INNER: Uuid = Uuid::from_u128(0x6061);

fn of_kind(kind: Kind) -> Environment {
    Environment::new(ENV, kind)
}

/// A stage behind a group that nests another.
async fn behind_group(nesting: GroupNesting) -> World {
    let world = stage_of(Environment {
        group_nesting: nesting,
        ..guarded_environment(ENV, GROUP)
    })
    .await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    world.tenant().create_group_with_id(INNER, "Sales of last year");
    world.tenant().add_member(GROUP, INNER);
    world
}

#[tokio::test]
async fn trial_and_teams_environments_fill_on_demand_only() {
    for kind in [Kind::Trial, Kind::Teams] {
        let world = stage_of(of_kind(kind)).await;
        let ada = licensed(world.tenant(), "Ada", "Lovelace");
        world.sync_completely().await;
        assert_eq!(state(&world, ada).await, "none", "{kind:?}");
        assert_eq!(word(&world, "access", ada).await, "created");
        world.assert_settled().await;
        // From then on the cycle keeps it, disables and enables it.
        crate::guard::block(&world, &[ada]);
        world.sync_completely().await;
        assert_eq!(state(&world, ada).await, "directory_account_disabled by sync");
        crate::guard::allow(&world, &[ada]);
        world.sync_completely().await;
        assert_eq!(state(&world, ada).await, "enabled");
        world.end().await;
    }
}

#[tokio::test]
async fn in_teams_the_great_administrators_read_and_write() {
    let world = stage_of(of_kind(Kind::Teams)).await;
    let greta = person(&world, "Greta", "Global", "admin");
    let dana = person(&world, "Dana", "Dynamics", "none");
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, dana, "/");
    for user in [greta, dana] {
        assert_eq!(word(&world, "access", user).await, "created");
    }
    let modes = [row(&world, greta).await, row(&world, dana).await].map(|row| (row.accessmode, row.setupuser));
    assert_eq!(modes, [(0, false), (1, true)]);
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_developer_environment_is_its_creator_s() {
    let creator = Uuid::from_u128(0xdede);
    let world = stage_of(Environment {
        creator: Some(creator),
        ..of_kind(Kind::Developer)
    })
    .await;
    world.tenant().add_user(User {
        id: creator,
        ..User::named("Dev", "Eloper")
    });
    world.tenant().give_profile(creator, Profile::E5PowerApps);
    let guest = licensed(world.tenant(), "Guest", "User");
    for way in ["access", "api", "admin_add", "import"] {
        assert_eq!(word(&world, way, guest).await, "developer_environment", "{way}");
    }
    assert_eq!(word(&world, "refresh", guest).await, "unchanged");
    assert_eq!(state(&world, guest).await, "none");
    assert_eq!(word(&world, "access", creator).await, "created");
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_guest_who_has_a_row_in_a_developer_environment_keeps_it_and_is_refused() {
    let (mut world, ada) = one_user().await;
    world.configure(|settings| {
        let environment = &mut settings.environments[0].0;
        environment.kind = Kind::Developer;
        environment.creator = Some(Uuid::from_u128(0xdede));
    });
    assert_eq!(word(&world, "access", ada).await, "developer_environment");
    assert_eq!(state(&world, ada).await, "enabled");
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("developer_foreign_user {ENV} {ada}")]);
    world.end().await;
}

#[tokio::test]
async fn without_a_database_everything_is_refused() {
    let world = stage_of(Environment {
        has_database: false,
        ..open_environment(ENV)
    })
    .await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let mut ways = super::WAYS.to_vec();
    ways.extend(["disable", "enable", "hold", "release", "delete"]);
    for way in ways {
        assert_eq!(word(&world, way, ada).await, "no_database", "{way}");
    }
    assert_eq!(word(&world, "stub", "a@contoso.example").await, "no_database");
    let mapped = world
        .engine
        .desk()
        .map(super::ask("a@contoso.example"), &ada.to_string())
        .await;
    assert_eq!(super::said(&mapped), "no_database");
    let app = world.engine.desk().application(super::ask("x"), ada).await;
    assert_eq!(super::said(&app), "no_database");
    assert!(world.simulator.requests().is_empty(), "nobody has to be asked");
    world.end().await;
}

#[tokio::test]
async fn an_owner_who_is_no_member_comes_in_on_demand_and_stays() {
    let world = behind_group(GroupNesting::Ignore).await;
    let owner = licensed(world.tenant(), "Olga", "Owner");
    let admin = person(&world, "Dana", "Dynamics", "none");
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, admin, "/");
    let poor = person(&world, "Paul", "Poor", "none");
    for user in [owner, admin, poor] {
        world.tenant().add_owner(GROUP, user);
    }
    world.sync_completely().await;
    assert_eq!(state(&world, owner).await, "none");
    assert_eq!(word(&world, "access", owner).await, "created");
    assert_eq!(word(&world, "access", admin).await, "created");
    assert_eq!(word(&world, "access", poor).await, "unlicensed");
    assert_eq!(row(&world, owner).await.accessmode, 0);
    assert_eq!(
        row(&world, admin).await.accessmode,
        1,
        "the mode stays the administrator's"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn nested_membership_counts_as_the_environment_says() {
    for (nesting, before, access, after) in [
        (GroupNesting::Ignore, "none", "not_in_security_group", "none"),
        (GroupNesting::OnDemand, "none", "created", "enabled"),
        (GroupNesting::Full, "enabled", "unchanged", "enabled"),
    ] {
        let world = behind_group(nesting).await;
        let ada = licensed(world.tenant(), "Ada", "Lovelace");
        world.tenant().add_member(INNER, ada);
        world.sync_completely().await;
        assert_eq!(state(&world, ada).await, before, "{nesting:?}");
        assert_eq!(word(&world, "access", ada).await, access, "{nesting:?}");
        assert_eq!(state(&world, ada).await, after, "{nesting:?}");
        world.assert_settled().await;
        // Who joins a nested group after the last cycle is asked for at the moment.
        let bob = licensed(world.tenant(), "Bob", "Builder");
        world.tenant().add_member(INNER, bob);
        let expected = if access == "not_in_security_group" {
            access
        } else {
            "created"
        };
        assert_eq!(word(&world, "access", bob).await, expected, "{nesting:?}");
        world.sync_completely().await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn global_administrators_need_no_group_and_dynamics_administrators_do() {
    let world = behind_group(GroupNesting::Ignore).await;
    let greta = person(&world, "Greta", "Global", "admin");
    let dana = person(&world, "Dana", "Dynamics", "none");
    world.tenant().assign_role(DYNAMICS_365_ADMINISTRATOR, dana, "/");
    world.sync_completely().await;
    // One more, whom no cycle has seen yet.
    let late = person(&world, "Gina", "Global", "admin");
    assert_eq!(word(&world, "access", greta).await, "unchanged");
    assert_eq!(word(&world, "access", late).await, "created");
    assert_eq!(word(&world, "access", dana).await, "not_in_security_group");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_leaves_the_group_is_refused_at_once_and_the_row_is_disabled() {
    let world = behind_group(GroupNesting::Ignore).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let bob = licensed(world.tenant(), "Bob", "Builder");
    world.tenant().add_members(GROUP, [ada, bob]);
    world.sync_completely().await;
    world.tenant().remove_member(GROUP, ada);
    world.tenant().remove_member(GROUP, bob);
    assert_eq!(word(&world, "access", ada).await, "not_in_security_group");
    assert_eq!(state(&world, ada).await, "not_in_security_group by sync");
    assert_eq!(word(&world, "refresh", bob).await, "disabled");
    // Back in, but without a licence: the reason follows.
    world.tenant().add_member(GROUP, ada);
    super::entitle(&world, ada, "none");
    assert_eq!(word(&world, "access", ada).await, "unlicensed");
    assert_eq!(state(&world, ada).await, "unlicensed by sync");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_membership_from_elsewhere_is_asked_for_at_the_moment_of_the_request() {
    let world = behind_group(GroupNesting::Ignore).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(word(&world, "admin_add", ada).await, "not_in_security_group");
    world.tenant().add_member(GROUP, ada);
    assert_eq!(word(&world, "admin_add", ada).await, "created");
    world.tenant().remove_member(GROUP, ada);
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_agent_comes_in_on_demand_like_others() {
    let world = stage().await;
    let agent = world.tenant().add_user(User {
        is_agent: true,
        ..User::named("Aide", "Agent")
    });
    world.tenant().give_profile(agent, Profile::E5PowerApps);
    world.sync_completely().await;
    assert_eq!(state(&world, agent).await, "none");
    assert_eq!(word(&world, "access", agent).await, "created");
    world.assert_settled().await;
    world.end().await;
}

/// What lets everybody in on demand, and how it is switched on.
#[tokio::test]
async fn app_passes_marketing_and_pay_as_you_go_let_everybody_in_on_demand() {
    for what in ["app passes", "pay-as-you-go", "a Marketing licence"] {
        let mut environment = open_environment(ENV);
        match what {
            "app passes" => environment.app_pass_capacity = 10,
            "pay-as-you-go" => environment.pay_as_you_go = true,
            _ => {}
        }
        let mut world = stage_of(environment).await;
        if what == "a Marketing licence" {
            let plan = "393a0c96-9ba1-4af0-8975-fa2f853a25ac";
            world.tenant().set_skus(vec![Sku {
                id: Uuid::from_u128(0x5c0).to_string(),
                part_number: "DYN365_BUSINESS_MARKETING".to_owned(),
                capability_status: "Enabled".to_owned(),
                units: 1,
                plans: vec![(plan.to_owned(), "DYN365_BUSINESS_Marketing".to_owned(), false)],
            }]);
        }
        let poor = person(&world, "Paul", "Poor", "none");
        let report = world.sync_completely().await;
        assert_eq!(
            report.environments[0].skipped.get("on_demand_only"),
            Some(&1),
            "{what}: {report:?}"
        );
        let answer = ask_by(&world, "access", poor).await.unwrap();
        assert_eq!(answer.outcome.as_str(), "created", "{what}");
        let row = answer.user.unwrap();
        assert_eq!((row.accessmode, row.islicensed), (0, false));
        world.assert_settled().await;
        // When it is gone, so is the entitlement; app passes have a grace.
        match what {
            "app passes" => world.configure(|settings| settings.environments[0].0.app_pass_capacity = 0),
            "pay-as-you-go" => world.configure(|settings| settings.environments[0].0.pay_as_you_go = false),
            _ => world.configure(|settings| settings.tenant_marketing = Some(false)),
        }
        let expected = if what == "app passes" { "updated" } else { "unlicensed" };
        let said = word(&world, "access", poor).await;
        assert!(
            said == expected || (what == "app passes" && said == "unchanged"),
            "{what}: {said}"
        );
        if what == "app passes" {
            world.advance(std::time::Duration::from_hours(8 * 24));
            assert_eq!(word(&world, "access", poor).await, "app_pass_exhausted");
            assert_eq!(state(&world, poor).await, "app_pass_exhausted by sync");
        }
        world.sync_completely().await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_free_plan_of_microsoft_365_counts_on_demand_only() {
    let world = stage().await;
    let free = person(&world, "Fay", "Free", "on_demand_only");
    let passes = world.tenant().add_user(User::named("Pat", "Pass"));
    world.tenant().give_profile(passes, Profile::Lapsed);
    world.sync_completely().await;
    for user in [free, passes] {
        assert_eq!(state(&world, user).await, "none");
        assert_eq!(word(&world, "access", user).await, "created");
    }
    world.assert_settled().await;
    // A row that exists is judged widely: the paid plan goes, the free one stays.
    super::entitle(&world, free, "full");
    world.sync_completely().await;
    super::entitle(&world, free, "on_demand_only");
    world.sync_completely().await;
    assert_eq!(state(&world, free).await, "enabled");
    world.end().await;
}
