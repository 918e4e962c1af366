//! One bad thing stays one bad thing (rules.md, section 2): a value that cannot be decoded costs that value, an entry
//! whose id cannot be read costs that entry, a role that is assigned to nobody costs nobody else.

use std::time::Duration;

use rollcall::domain::environment::{Environment, GroupNesting, Kind};
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, POWER_PLATFORM_ADMINISTRATOR, TokenDeath, User};
use rollcall::simulator::{Effect, Spoilt, When};
use rollcall::sync::cycle::Request;
use uuid::Uuid;

use super::{
    ENVIRONMENT, GATE, POWER_APPS, SALES, USERS, asked, assert_all_enabled, beginnings, disabled, forever,
    forget_requests, gate, has_row, heal, once, paged, row, staff, sync_incompletely, unlicense,
};
use crate::on_demand::word;
use crate::world::{World, guarded_environment, licensed, open_environment};

const USER: &str = "/users/{id}";

/// No value of any property: half a surrogate pair, other types, more than a number can hold.
pub const UNDECODABLE: [&str; 6] = [
    r#""Ada \ud83d""#,
    "42",
    r#"{"a":[{}]}"#,
    "1e999",
    r#"["\udc00"]"#,
    "[[[[7]]]]",
];

fn spoilt(id: Uuid, property: &'static str, text: &str) -> Spoilt {
    Spoilt {
        id,
        property,
        text: text.to_owned(),
    }
}

/// Spoils properties wherever users are read, in the feed and by name.
fn spoil(world: &World, spoilt: &[Spoilt]) {
    for endpoint in [USERS, USER] {
        forever(world, When::path(endpoint), Effect::spoil(spoilt));
    }
}

fn finding(user: Uuid) -> String {
    format!("value_undecodable production {user}")
}

/// What comes of a sign-in, as a word.
async fn access(world: &World, user: Uuid) -> String {
    word(world, "access", user).await
}

#[tokio::test]
async fn page_1_a_value_that_cannot_be_decoded_costs_that_value_and_is_asked_for_until_it_can_be() {
    for bad in UNDECODABLE {
        let world = paged(10).await;
        let users = staff(&world, 3);
        world.sync_completely().await;
        world.tenant().update_user(users[1], |user| {
            user.account_enabled = Some(false);
            user.given_name = Some("Ada".to_owned());
            user.job_title = Some("Chef".to_owned());
        });
        spoil(&world, &[spoilt(users[1], "givenName", bad)]);
        world.sync_completely().await;
        let ada = row(&world, users[1]).await;
        assert_eq!(
            ada.disabledreason.as_deref(),
            Some("directory_account_disabled"),
            "{bad}"
        );
        assert_eq!(
            (ada.jobtitle.as_deref(), ada.firstname.as_deref()),
            (Some("Chef"), Some("User")),
            "{bad}"
        );
        assert_all_enabled(&world, &[users[0], users[2]]).await;
        assert_eq!(world.findings().await, [finding(users[1])], "{bad}");
        for _ in 0..2 {
            forget_requests(&world);
            world.sync_completely().await;
            assert_eq!(asked(&world, "/$batch").len(), 1, "{bad}: asked for by name");
            assert_eq!(world.findings().await, [finding(users[1])], "{bad}");
        }
        // A full round is no reason to take her for gone, nor to forget what she was called.
        world.tenant().expire_tokens(TokenDeath::Gone);
        world.sync_completely().await;
        let ada = row(&world, users[1]).await;
        assert_eq!((ada.azurestate, ada.firstname.as_deref()), (0, Some("User")), "{bad}");
        heal(&world);
        world.sync_completely().await;
        assert_eq!(row(&world, users[1]).await.firstname.as_deref(), Some("Ada"), "{bad}");
        assert_eq!(world.findings().await, Vec::<String>::new(), "{bad}");
        world.assert_settled().await;
        forget_requests(&world);
        world.sync_completely().await;
        assert_eq!(asked(&world, "/$batch").len(), 0, "{bad}: nobody is asked for any more");
        let told = world
            .strings("select detail || coalesce(subject, '') from rollcall.finding")
            .await
            .join(" ");
        assert!(told.contains("givenName") && !told.contains("Ada"), "{told}");
        world.end().await;
    }
}

#[tokio::test]
async fn page_1_who_is_new_is_created_without_the_value_that_cannot_be_decoded() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    let properties = ["businessPhones", "jobTitle", "mail"];
    spoil(&world, &properties.map(|property| spoilt(users[0], property, "42")));
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    let told = "select subject from rollcall.finding where code = 'value_undecodable' order by subject";
    assert_eq!(world.strings(told).await, properties);
    heal(&world);
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_decoded_is_left_alone_and_its_other_values_follow() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    world.sync_completely().await;
    let new = licensed(world.tenant(), "New", "Comer");
    world.tenant().update_user(users[0], |user| {
        user.job_title = Some("Chef".to_owned());
        user.plans = Vec::new().into();
    });
    let both = [
        spoilt(users[0], "accountEnabled", "\"no\""),
        spoilt(new, "accountEnabled", "0"),
    ];
    spoil(&world, &both);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].skipped.get("directory_unavailable"), Some(&1));
    assert_eq!(
        disabled(&world, users[0]).await,
        None,
        "no disable while the account is unknown"
    );
    assert_eq!(row(&world, users[0]).await.jobtitle.as_deref(), Some("Chef"));
    assert!(!has_row(&world, new).await);
    for user in [users[0], new] {
        assert_eq!(access(&world, user).await, "directory_unavailable");
        assert!(world.findings().await.contains(&finding(user)));
    }
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("unlicensed"));
    assert!(has_row(&world, new).await);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn of_plans_that_cannot_be_decoded_the_last_known_ones_decide() {
    let entry = format!(r#"[{{"servicePlanId":"{POWER_APPS}","capabilityStatus":7}}]"#);
    for bad in [
        "7",
        r#"[{"servicePlanId":7,"capabilityStatus":"Enabled"}]"#,
        "[null]",
        &entry,
    ] {
        let world = paged(10).await;
        let users = staff(&world, 2);
        world.sync_completely().await;
        let new = licensed(world.tenant(), "New", "Comer");
        unlicense(&world, users[0]);
        let both = [
            spoilt(users[0], "assignedPlans", bad),
            spoilt(new, "assignedPlans", bad),
        ];
        spoil(&world, &both);
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        assert!(
            !has_row(&world, new).await,
            "{bad}: nothing is known of a new user's plans"
        );
        assert_eq!(access(&world, new).await, "directory_unavailable", "{bad}");
        assert_eq!(access(&world, users[0]).await, "unchanged", "{bad}");
        heal(&world);
        world.sync_completely().await;
        assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("unlicensed"), "{bad}");
        assert!(has_row(&world, new).await && world.findings().await.is_empty(), "{bad}");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_plan_beside_one_that_cannot_be_decoded_lets_in() {
    let world = paged(10).await;
    let new = world.tenant().add_user(User::named("New", "Comer"));
    let plans = format!(r#"[{{"servicePlanId":"{SALES}","capabilityStatus":"Enabled"}},{{"servicePlanId":42}}]"#);
    forever(
        &world,
        When::path(USERS),
        Effect::spoil([spoilt(new, "assignedPlans", &plans)]),
    );
    world.sync_completely().await;
    assert_all_enabled(&world, &[new]).await;
    world.end().await;
}

#[tokio::test]
async fn a_look_up_on_demand_bears_a_value_that_cannot_be_decoded() {
    let world = paged(10).await;
    let users = staff(&world, 1);
    world.sync_completely().await;
    world
        .tenant()
        .update_user(users[0], |user| user.city = Some("Ulm".to_owned()));
    forever(
        &world,
        When::path(USER),
        Effect::spoil([spoilt(users[0], "surname", r#""\ud83d""#)]),
    );
    assert_eq!(access(&world, users[0]).await, "updated");
    let found = row(&world, users[0]).await;
    assert_eq!(
        (found.address1_city.as_deref(), found.lastname.as_deref()),
        (Some("Ulm"), Some("Number1"))
    );
    world.sync_completely().await;
    assert_eq!(world.findings().await, [finding(users[0])]);
    world.end().await;
}

#[tokio::test]
async fn an_entry_without_a_readable_id_makes_absence_no_evidence_and_nothing_else() {
    for bad in ["42", r#""\ud83d""#, "null", "{}"] {
        let world = paged(2).await;
        let users = staff(&world, 6);
        world.sync_completely().await;
        world.tenant().soft_delete(users[4]);
        world.tenant().purge(users[5]);
        world
            .tenant()
            .update_user(users[0], |user| user.account_enabled = Some(false));
        world.tenant().expire_tokens(TokenDeath::Gone);
        let both = [spoilt(users[1], "id", bad), spoilt(users[2], "id", bad)];
        forever(&world, When::path(USERS), Effect::spoil(both));
        let report = world.sync_completely().await;
        heal(&world);
        assert_eq!(report.environments[0].held, 0, "{bad}");
        assert_all_enabled(&world, &users[1..4]).await;
        assert_eq!(
            disabled(&world, users[0]).await.as_deref(),
            Some("directory_account_disabled"),
            "{bad}"
        );
        assert_eq!(
            disabled(&world, users[4]).await.as_deref(),
            Some("directory_soft_deleted"),
            "{bad}"
        );
        // Whoever was missing is asked for by name.
        assert_eq!(
            disabled(&world, users[5]).await.as_deref(),
            Some("directory_deleted"),
            "{bad}"
        );
        forget_requests(&world);
        world.sync_completely().await;
        assert_eq!(
            beginnings(&asked(&world, USERS)),
            0,
            "{bad}: no round is begun anew for it"
        );
        assert_all_enabled(&world, &users[1..4]).await;
        assert!(world.findings().await.is_empty(), "{bad}");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_member_without_a_readable_id_takes_nobody_out_of_the_group() {
    let (world, users) = gate(5).await;
    world.tenant().remove_member(GATE, users[4]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    let members = When::path("/groups/{id}/members");
    once(&world, members, Effect::spoil([spoilt(users[1], "id", "[]")]));
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, users[4]).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_eq!(disabled(&world, users[1]).await, None);
    assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_membership_that_a_look_up_cannot_read_is_neither_kept_from_others_nor_over() {
    let (world, users) = gate(2).await;
    let other = world.tenant().create_group("Other");
    let new = licensed(world.tenant(), "New", "Comer");
    for user in [users[0], users[1], new] {
        world.tenant().add_member(other, user);
    }
    world.tenant().remove_member(GATE, users[1]);
    world.tenant().add_member(GATE, new);
    forever(
        &world,
        When::path("/users/{id}/memberOf"),
        Effect::spoil([spoilt(other, "id", "[]")]),
    );
    assert_eq!(word(&world, "refresh", users[0]).await, "unchanged");
    assert_eq!(access(&world, new).await, "created", "what can be read counts");
    assert_eq!(
        word(&world, "refresh", users[1]).await,
        "unchanged",
        "the other one may be the gate"
    );
    assert_eq!(disabled(&world, users[1]).await, None);
    heal(&world);
    assert_eq!(word(&world, "refresh", users[1]).await, "disabled");
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    forget_requests(&world);
    world.sync_completely().await;
    assert_eq!(asked(&world, "/$batch").len(), 0, "nobody is asked for any more");
    world.end().await;
}

#[tokio::test]
async fn role_1_a_role_assigned_to_a_group_that_is_gone_holds_nobody_up() {
    let world = paged(10).await;
    let users = staff(&world, 2);
    let group = world.tenant().create_role_group("Administrators");
    let admin = world.tenant().add_user(User::named("Ada", "Admin"));
    world.tenant().add_member(group, admin);
    world.tenant().assign_role(POWER_PLATFORM_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    assert_all_enabled(&world, &[users[0], users[1], admin]).await;

    world.tenant().orphan_group(group);
    unlicense(&world, users[0]);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("unlicensed"));
    assert_all_enabled_of(&world, &[users[1], admin]).await;
    assert_eq!(world.findings().await, ["orphaned_role_assignment"]);

    // Who holds the role only through it keeps it until it was missing twice, 15 minutes apart.
    world.advance(Duration::from_mins(14));
    world.sync_completely().await;
    assert_eq!(disabled(&world, admin).await, None);
    world.advance(Duration::from_mins(1));
    world.sync_completely().await;
    assert_eq!(disabled(&world, admin).await.as_deref(), Some("unlicensed"));
    assert_eq!(world.findings().await, ["orphaned_role_assignment"]);
    world.assert_settled().await;
    world.tenant().unassign_role(POWER_PLATFORM_ADMINISTRATOR, group);
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

async fn assert_all_enabled_of(world: &World, users: &[Uuid]) {
    for user in users {
        assert_eq!(disabled(world, *user).await, None, "{user}");
    }
}

#[tokio::test]
async fn several_administrators_through_a_group_that_is_gone_are_no_doubt_when_their_time_is_over() {
    let world = paged(10).await;
    let group = world.tenant().create_role_group("Administrators");
    let admins: Vec<Uuid> = ["Ada", "Bea", "Cleo"]
        .map(|name| world.tenant().add_user(User::named(name, "Admin")))
        .to_vec();
    world.tenant().add_members(group, admins.iter().copied());
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    world.tenant().orphan_group(group);
    world.sync_completely().await;
    assert_all_enabled_of(&world, &admins).await;
    world.advance(Duration::from_mins(15));
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 3);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_assignment_that_cannot_be_read_takes_no_role_away_and_gives_the_others() {
    let world = paged(10).await;
    let admins: Vec<Uuid> = ["Ada", "Bea"]
        .map(|name| world.tenant().add_user(User::named(name, "Admin")))
        .to_vec();
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, admins[0], "/");
    world.sync_completely().await;
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, admins[1], "/");
    let ada = admins[0].to_string();
    let spoil = Effect::rewrite(move |page| {
        for assignment in page["value"].as_array_mut().into_iter().flatten() {
            if assignment["principalId"] == ada.as_str() {
                assignment["principalId"] = 7.into();
                assignment["principal"] = serde_json::Value::Null;
            }
        }
    });
    forever(&world, When::path("/roleManagement/directory/roleAssignments"), spoil);
    world.sync_completely().await;
    assert_all_enabled_of(&world, &admins).await;
    heal(&world);
    world.tenant().unassign_role(GLOBAL_ADMINISTRATOR, admins[0]);
    world.sync_completely().await;
    assert_eq!(disabled(&world, admins[0]).await.as_deref(), Some("unlicensed"));
    world.end().await;
}

#[tokio::test]
async fn skus_that_cannot_be_read_hold_only_whom_a_marketing_licence_could_let_in() {
    let (world, users) = gate(4).await;
    world.tenant().remove_member(GATE, users[0]);
    unlicense(&world, users[1]);
    world
        .tenant()
        .update_user(users[2], |user| user.account_enabled = Some(false));
    forever(
        &world,
        When::path("/subscribedSkus"),
        Effect::error(403, "Authorization_RequestDenied"),
    );
    sync_incompletely(&world).await;
    assert_eq!(
        disabled(&world, users[0]).await.as_deref(),
        Some("not_in_security_group")
    );
    assert_eq!(disabled(&world, users[1]).await, None);
    assert_eq!(
        disabled(&world, users[2]).await.as_deref(),
        Some("directory_account_disabled")
    );
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[1]).await.as_deref(), Some("unlicensed"));
    world.assert_settled().await;
    world.end().await;
}

/// Two environments behind one group, of which the second counts a group within it.
async fn nested() -> (World, Vec<Uuid>, Uuid) {
    let counting = Environment {
        group_nesting: GroupNesting::Full,
        ..guarded_environment("counting", GATE)
    };
    let world = super::paged_with(vec![guarded_environment(ENVIRONMENT, GATE), counting], 200).await;
    let users = staff(&world, 5);
    let inner = world.tenant().create_group("Inner");
    world.tenant().create_group_with_id(GATE, "Gate");
    world
        .tenant()
        .add_members(GATE, users[..3].iter().copied().chain([inner]));
    world.tenant().add_members(inner, users[3..].iter().copied());
    world.sync_completely().await;
    (world, users, inner)
}

async fn disabled_in(world: &World, environment: &str, user: Uuid) -> Option<String> {
    world.row(environment, user).await.unwrap().disabledreason
}

#[tokio::test]
async fn doubt_about_a_nested_group_holds_nothing_where_nested_groups_do_not_count() {
    let (world, users, inner) = nested().await;
    world.tenant().remove_member(GATE, users[0]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    forever(&world, When::path(format!("/groups/{inner}/members")), super::nobody());
    sync_incompletely(&world).await;
    let reason = Some("not_in_security_group".to_owned());
    assert_eq!(disabled_in(&world, ENVIRONMENT, users[0]).await, reason);
    for user in &users {
        assert_eq!(disabled_in(&world, "counting", *user).await, None, "held");
    }
    world.end().await;
}

#[tokio::test]
async fn a_nested_group_that_is_gone_costs_its_members_nothing_and_holds_nobody_else() {
    let (world, users, inner) = nested().await;
    // Its parent has not heard of it.
    let gone = Effect::error(404, "Request_ResourceNotFound");
    forever(&world, When::path(inner.to_string()), gone);
    world.tenant().expire_tokens(TokenDeath::Gone);
    world.tenant().remove_member(GATE, users[0]);
    sync_incompletely(&world).await;
    let reason = Some("not_in_security_group".to_owned());
    assert_eq!(disabled_in(&world, "counting", users[0]).await, reason);
    for user in &users[1..] {
        assert_eq!(disabled_in(&world, "counting", *user).await, None);
    }
    world.end().await;
}

#[tokio::test]
async fn a_refresh_takes_no_role_away_that_is_held_through_a_group_that_is_gone() {
    let world = paged(10).await;
    let group = world.tenant().create_role_group("Administrators");
    let admins: Vec<Uuid> = ["Ada", "Bea"]
        .map(|name| world.tenant().add_user(User::named(name, "Admin")))
        .to_vec();
    world.tenant().add_members(group, admins.iter().copied());
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, group, "/");
    world.sync_completely().await;
    // Who leaves the group loses the role at once.
    world.tenant().remove_member(group, admins[1]);
    assert_eq!(word(&world, "refresh", admins[1]).await, "disabled");
    world.tenant().orphan_group(group);
    assert_eq!(
        word(&world, "refresh", admins[0]).await,
        "unchanged",
        "before any cycle has seen it"
    );
    world.sync_completely().await;
    assert_eq!(word(&world, "refresh", admins[0]).await, "unchanged");
    world.advance(Duration::from_mins(15));
    world.sync_completely().await;
    assert_eq!(disabled(&world, admins[0]).await.as_deref(), Some("unlicensed"));
    world.end().await;
}

#[tokio::test]
async fn placeholders_that_one_environment_does_not_take_hold_up_nobody() {
    let lab = Environment::new("lab", Kind::Sandbox);
    let world = super::paged_with(vec![lab, open_environment(ENVIRONMENT)], 10).await;
    let users = staff(&world, 2);
    world
        .execute(
            "create function public.refuse() returns trigger language plpgsql as
                 $$ begin raise exception 'no % here', new.domainname; end $$;
             create trigger refuse before insert on rollcall.system_user for each row
                 when (new.environment = 'lab' and new.azureactivedirectoryobjectid is null)
                 execute function public.refuse()",
        )
        .await;
    for _ in 0..2 {
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        assert_eq!(world.rows("lab").await.len(), 2, "its users are no placeholders");
        assert_eq!(world.findings().await, ["row_not_written lab"]);
    }
    let placeholders = "select count(*) from rollcall.system_user
         where environment = 'lab' and azureactivedirectoryobjectid is null";
    assert_eq!(world.number(placeholders).await, 0);
    world.execute("drop trigger refuse on rollcall.system_user").await;
    // Tried again after everybody was.
    let full = Request {
        full: true,
        ..Request::default()
    };
    world.run(full).await.unwrap();
    world.sync_completely().await;
    assert_eq!(world.number(placeholders).await, 2);
    assert!(world.findings().await.is_empty());
    world.end().await;
}
