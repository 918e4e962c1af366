//! Section 7 of the rules through the database: who owns a column, what is logged, and that a changed
//! configuration judges from the mirror.

use rollcall::domain::environment::Environment;
use rollcall::domain::field::{Field, Policy};
use rollcall::domain::licence::{Catalogue, Category};
use rollcall::domain::system_user::SystemUser;
use rollcall::simulator::tenant::{Profile, User};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::world::{World, guarded_environment, licensed, open_environment};

const ENV: &str = "production";

async fn one_user() -> (World, Uuid) {
    let world = World::new(vec![open_environment(ENV)]).await;
    without_marketing(world.tenant());
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    (world, ada)
}

/// Another program writes a row.
async fn edit(world: &World, user: Uuid, set: &str) {
    let statement = format!(
        "update rollcall.system_user set {set} where environment = '{ENV}' and azureactivedirectoryobjectid = '{user}'"
    );
    let mut db = world.sql().await;
    let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

async fn row(world: &World, user: Uuid) -> SystemUser {
    world.row(ENV, user).await.unwrap()
}

/// The change log: `actor operation reason fields`, oldest first.
async fn log(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', case when actor = session_user then 'program' else actor end, operation, reason,
                    case when operation <> 'create' then fields::text end)
             from rollcall.system_user_change c
             where exists (select from rollcall.system_user s
                           where s.systemuserid = c.systemuserid and s.azureactivedirectoryobjectid is not null)
             order by id",
        )
        .await
}

fn policy(environment: &mut Environment, field: Field, policy: Policy) {
    environment.policies.set(field, policy).unwrap();
}

/// How often each endpoint was asked since the last look.
fn asked(world: &World, endpoint: &str) -> Vec<String> {
    world
        .simulator
        .requests()
        .into_iter()
        .filter(|seen| seen.endpoint == endpoint)
        .map(|seen| seen.path)
        .collect()
}

#[tokio::test]
async fn plain_sql_takes_a_column_under_until_edited() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "internalemailaddress = 'countess@mail.example'").await;
    world
        .tenant()
        .update_user(ada, |user| user.mail = Some("other@contoso.example".to_owned()));
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert_eq!(found.internalemailaddress.as_deref(), Some("countess@mail.example"));
    assert_eq!(found.customer_owned, ["internalemailaddress"]);
    world.assert_settled().await;
    edit(&world, ada, "customer_owned = '{}'").await;
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert_eq!(
        found.internalemailaddress.as_deref(),
        Some("other@contoso.example"),
        "handed back"
    );
    world.end().await;
}

#[tokio::test]
async fn the_same_value_by_plain_sql_takes_a_column_too() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "internalemailaddress = internalemailaddress").await;
    assert_eq!(row(&world, ada).await.customer_owned, ["internalemailaddress"]);
    world
        .tenant()
        .update_user(ada, |user| user.mail = Some("other@contoso.example".to_owned()));
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert_eq!(
        found.internalemailaddress.as_deref(),
        Some("ada.lovelace@contoso.example")
    );
    world.end().await;
}

#[tokio::test]
async fn a_column_under_another_policy_is_not_taken() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "jobtitle = 'Analyst'").await;
    assert!(row(&world, ada).await.customer_owned.is_empty());
    world.end().await;
}

#[tokio::test]
async fn an_always_column_is_overwritten_and_the_lost_value_stays_in_the_log() {
    let (world, ada) = one_user().await;
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    edit(&world, ada, "jobtitle = 'Analyst'").await;
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.jobtitle.as_deref(), Some("Countess"));
    assert_eq!(
        log(&world).await,
        [
            "sync create",
            r#"sync update {"jobtitle": [null, "Countess"]}"#,
            r#"program edit {"jobtitle": ["Countess", "Analyst"]}"#,
            r#"sync update {"jobtitle": ["Analyst", "Countess"]}"#,
        ]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_row_disabled_by_plain_sql_is_left_alone() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "isdisabled = true").await;
    let who = world.strings("select session_user::text").await;
    let check = async |what: &str| {
        world.sync_completely().await;
        let found = row(&world, ada).await;
        assert!(found.isdisabled, "{what}");
        assert_eq!(found.disabled_by, who.first().cloned(), "{what}");
        assert_eq!(found.disabledreason.as_deref(), Some("disabled_by_hand"), "{what}");
        found
    };
    check("disabled").await;
    world.tenant().give_profile(ada, Profile::Unlicensed);
    assert!(
        !check("unlicensed").await.islicensed,
        "kept up to date on disabled rows"
    );
    world.tenant().give_profile(ada, Profile::E5PowerApps);
    assert!(check("licensed again").await.islicensed);
    edit(&world, ada, "isdisabled = false").await;
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert!(!found.isdisabled && found.disabled_by.is_none() && found.disabledreason.is_none());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_row_enabled_by_plain_sql_is_judged_in_the_next_cycle() {
    let (world, ada) = one_user().await;
    world.tenant().give_profile(ada, Profile::Unlicensed);
    world.sync_completely().await;
    edit(&world, ada, "isdisabled = false").await;
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 1);
    assert_eq!(row(&world, ada).await.disabledreason.as_deref(), Some("unlicensed"));
    world.end().await;
}

#[tokio::test]
async fn a_hold_by_plain_sql_disables_at_once_and_lasts() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "onhold = true, holdreason = 'lawsuit'").await;
    let found = row(&world, ada).await;
    assert!(found.isdisabled);
    assert_eq!(found.disabledreason.as_deref(), Some("on_hold"));
    edit(&world, ada, "isdisabled = false").await;
    world.sync_completely().await;
    assert!(row(&world, ada).await.isdisabled, "nothing enables a row on hold");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_access_mode_by_plain_sql_is_the_customer_s() {
    let (world, ada) = one_user().await;
    edit(&world, ada, "accessmode = 1").await;
    assert_eq!(row(&world, ada).await.accessmode_origin, "customer");
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert_eq!((found.accessmode, found.jobtitle.as_deref()), (1, Some("Countess")));
    edit(&world, ada, "accessmode_origin = 'sync'").await;
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.accessmode, 0, "handed back");
    world.end().await;
}

#[tokio::test]
async fn customers_columns_are_never_touched() {
    let (world, ada) = one_user().await;
    world
        .execute("alter table rollcall.system_user add column badge text default 'none', add column floor integer")
        .await;
    edit(&world, ada, "badge = 'A 12', floor = 3").await;
    assert!(
        log(&world)
            .await
            .last()
            .unwrap()
            .contains(r#""badge": ["none", "A 12"]"#),
        "edits of them are logged like others"
    );
    world.assert_settled().await;
    world
        .tenant()
        .update_user(ada, |user| user.city = Some("London".to_owned()));
    licensed(world.tenant(), "Grace", "Hopper");
    world.sync_completely().await;
    world.tenant().soft_delete(ada);
    world.sync_completely().await;
    let badges = world
        .strings(
            "select concat_ws(' ', badge, floor) from rollcall.system_user
             where azureactivedirectoryobjectid is not null order by badge",
        )
        .await;
    assert_eq!(badges, ["A 12 3", "none"]);
    world.end().await;
}

#[tokio::test]
async fn modifiedon_moves_only_when_a_value_does() {
    let (world, ada) = one_user().await;
    let created = row(&world, ada).await;
    assert_eq!(
        (created.createdon, created.modifiedon),
        (world.clock.now(), world.clock.now())
    );
    world.advance(std::time::Duration::from_mins(15));
    world.tenant().replay_user(ada);
    world
        .tenant()
        .update_user(ada, |user| user.department = Some("Engines".to_owned()));
    world.assert_settled().await;
    assert_eq!(row(&world, ada).await, created);
    world
        .tenant()
        .update_user(ada, |user| user.city = Some("London".to_owned()));
    world.sync_completely().await;
    let found = row(&world, ada).await;
    assert_eq!(found.modifiedon, world.clock.now());
    assert_eq!(
        (found.createdon, found.modifiedby.as_str()),
        (created.createdon, "sync")
    );
    edit(&world, ada, "company = 'Analytical Engines'").await;
    let edited = row(&world, ada).await;
    assert_ne!(edited.modifiedon, found.modifiedon);
    assert_eq!(
        world.strings("select session_user::text").await,
        std::slice::from_ref(&edited.modifiedby)
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn policies_differ_by_environment() {
    let mut sandbox = open_environment("sandbox");
    policy(&mut sandbox, Field::FullName, Policy::Always);
    policy(&mut sandbox, Field::JobTitle, Policy::Never);
    policy(&mut sandbox, Field::City, Policy::UntilEdited);
    policy(&mut sandbox, Field::InternalEmailAddress, Policy::OnCreate);
    let world = World::new(vec![open_environment(ENV), sandbox]).await;
    let ada = licensed(world.tenant(), "Ada", "Byron");
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    world
        .execute(
            "update rollcall.system_user set address1_city = 'Ockham' where azureactivedirectoryobjectid is not null",
        )
        .await;
    world.tenant().update_user(ada, |user| {
        user.surname = Some("Lovelace".to_owned());
        user.city = Some("London".to_owned());
        user.mail = Some("countess@contoso.example".to_owned());
    });
    world.sync_completely().await;
    let columns = |row: SystemUser| {
        [row.fullname, row.jobtitle, row.address1_city, row.internalemailaddress].map(Option::unwrap_or_default)
    };
    assert_eq!(
        columns(row(&world, ada).await),
        ["Ada Byron", "Countess", "London", "countess@contoso.example"]
    );
    let found = world.row("sandbox", ada).await.unwrap();
    assert_eq!(
        columns(found),
        ["Ada Lovelace", "", "Ockham", "ada.byron@contoso.example"]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_changed_policy_judges_everybody_from_the_mirror() {
    let (mut world, ada) = one_user().await;
    world
        .tenant()
        .update_user(ada, |user| user.surname = Some("King".to_owned()));
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.fullname.as_deref(), Some("Ada Lovelace"));
    world.configure(|settings| policy(&mut settings.environments[0].0, Field::FullName, Policy::Always));
    let _ = world.simulator.take_requests();
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.fullname.as_deref(), Some("Ada King"));
    assert_eq!(asked(&world, "/users/delta").len(), 1, "the idle page alone");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_changed_catalogue_judges_everybody_from_the_mirror() {
    let plan = Uuid::from_u128(0x5a1e);
    let mut world = World::new(vec![open_environment(ENV)]).await;
    without_marketing(world.tenant());
    let ada = world
        .tenant()
        .add_user(User::named("Ada", "Lovelace").with_plans(&[plan]));
    world.sync_completely().await;
    assert_eq!(world.row(ENV, ada).await, None, "nobody knows the plan");
    let _ = world.simulator.take_requests();
    world.configure(|settings| settings.catalogue = Catalogue::builtin().with_overrides(&[(plan, Category::Full)]));
    world.sync_completely().await;
    assert!(row(&world, ada).await.islicensed);
    world.configure(|settings| settings.catalogue = Catalogue::builtin());
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.disabledreason.as_deref(), Some("unlicensed"));
    world.configure(|settings| settings.tenant_marketing = Some(true));
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.disabledreason.as_deref(), Some("on_demand_only"));
    assert_eq!(asked(&world, "/users/delta").len(), 3, "an idle page each");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_changed_security_group_judges_everybody_from_the_mirror() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant().clone();
    let (old, new) = (tenant.create_group("old"), tenant.create_group("new"));
    let ada = licensed(&tenant, "Ada", "Lovelace");
    let grace = licensed(&tenant, "Grace", "Hopper");
    tenant.add_member(old, ada);
    tenant.add_member(new, grace);
    world.configure(|settings| settings.environments[0].0.security_group = Some(old));
    world.sync_completely().await;
    assert!(world.row(ENV, grace).await.is_none() && !row(&world, ada).await.isdisabled);
    let _ = world.simulator.take_requests();
    world.configure(|settings| settings.environments[0].0.security_group = Some(new));
    world.sync_completely().await;
    assert_eq!(
        row(&world, ada).await.disabledreason.as_deref(),
        Some("not_in_security_group")
    );
    assert!(!row(&world, grace).await.isdisabled);
    assert_eq!(asked(&world, "/users/delta").len(), 1);
    assert_eq!(
        asked(&world, "/groups/{id}/members"),
        [format!("/v1.0/groups/{new}/members")]
    );
    world.configure(|settings| settings.environments[0].0.security_group = None);
    world.sync_completely().await;
    assert!(!row(&world, ada).await.isdisabled && !row(&world, grace).await.isdisabled);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_returns_while_nobody_reads_the_group_is_a_member_when_it_counts_again() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant().clone();
    let group = tenant.create_group("gate");
    let ada = licensed(&tenant, "Ada", "Lovelace");
    tenant.add_member(group, ada);
    world.sync_completely().await;
    // The group is listed while she is deleted, is given up, and counts again after her return.
    tenant.soft_delete(ada);
    world.configure(|settings| settings.environments[0].0.security_group = Some(group));
    world.sync_completely().await;
    world.configure(|settings| settings.environments[0].0.security_group = None);
    world.sync_completely().await;
    tenant.restore(ada);
    world.sync_completely().await;
    assert!(!row(&world, ada).await.isdisabled);
    world.configure(|settings| settings.environments[0].0.security_group = Some(group));
    world.sync_completely().await;
    assert!(!row(&world, ada).await.isdisabled, "she is a member");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn environments_have_groups_of_their_own_and_a_new_one_reads_its_own_only() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant().clone();
    let groups = ["red", "green", "blue"].map(|name| tenant.create_group(name));
    let ada = licensed(&tenant, "Ada", "Lovelace");
    let grace = licensed(&tenant, "Grace", "Hopper");
    let mary = licensed(&tenant, "Mary", "Somerville");
    for (group, members) in groups.into_iter().zip([&[ada, mary][..], &[grace, mary], &[mary]]) {
        tenant.add_members(group, members.iter().copied());
    }
    let of = |settings: &mut rollcall::sync::Settings, count: usize| {
        settings.environments = ["red", "green", "blue"]
            .into_iter()
            .zip(groups)
            .take(count)
            .map(|(name, group)| (guarded_environment(name, group), String::new()))
            .collect();
    };
    world.configure(|settings| of(settings, 2));
    world.sync_completely().await;
    let members = async |name: &str| {
        world
            .rows(name)
            .await
            .into_keys()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(members("red").await, [ada, mary].into());
    assert_eq!(members("green").await, [grace, mary].into());
    world.assert_settled().await;

    let _ = world.simulator.take_requests();
    world.configure(|settings| of(settings, 3));
    world.sync_completely().await;
    let members = async |name: &str| {
        world
            .rows(name)
            .await
            .into_keys()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(members("blue").await, [mary].into());
    assert_eq!(asked(&world, "/users/delta").len(), 1, "the idle page alone");
    let blue = groups[2];
    assert_eq!(
        asked(&world, "/groups/{id}/members"),
        [format!("/v1.0/groups/{blue}/members")]
    );
    world.assert_settled().await;

    tenant.remove_member(groups[0], mary);
    world.sync_completely().await;
    for (name, disabled) in [("red", true), ("green", false), ("blue", false)] {
        assert_eq!(world.row(name, mary).await.unwrap().isdisabled, disabled, "{name}");
    }
    world.end().await;
}
