//! `[[extra_field]]`: properties of the directory in further columns (rules.md, section 7): texts, dates and booleans in
//! both scopes, under each policy, and what a column refuses.

use rollcall::domain::environment::Environment;
use rollcall::domain::extra_field::{ExtraField, ExtraProperty};
use rollcall::domain::field::Policy;
use rollcall::domain::scope::Scope;
use rollcall::simulator::{Effect, Fault, Spoilt, When};
use rollcall::sync::cycle::Request;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::constraints::{run_sql, unwritten};
use crate::on_demand::{ENV, ask, edit, said};
use crate::world::{World, guarded_environment, licensed, open_environment};

const GROUP: Uuid = Uuid::from_u128(0xe1);

/// What customers have added: a column of each kind.
const COLUMNS: &str = "alter table rollcall.system_user add column department varchar(20), add column known_since date,
    add column known_at timestamptz, add column is_synced boolean, add column called text";

fn field(column: &str, property: &str, policy: Policy) -> ExtraField {
    ExtraField {
        column: column.to_owned(),
        property: ExtraProperty::find(property).unwrap(),
        policy,
    }
}

fn every_kind() -> Vec<ExtraField> {
    vec![
        field("department", "department", Policy::Always),
        field("known_since", "createdDateTime", Policy::Always),
        field("known_at", "createdDateTime", Policy::Always),
        field("is_synced", "onPremisesSyncEnabled", Policy::Always),
        field("called", "displayName", Policy::Always),
        field("employeeid", "employeeId", Policy::Always),
    ]
}

fn mapping(fields: Vec<ExtraField>, environment: Environment) -> Environment {
    Environment {
        extra_fields: fields,
        ..environment
    }
}

/// Ada, in a department, behind a mapping.
async fn one_user(fields: Vec<ExtraField>) -> (World, Uuid) {
    let world = World::new(vec![mapping(fields, open_environment(ENV))]).await;
    run_sql(&world, COLUMNS.to_owned()).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    moves(&world, ada, Some("Engines"));
    world.sync_completely().await;
    (world, ada)
}

fn moves(world: &World, user: Uuid, department: Option<&str>) {
    let department = department.map(str::to_owned);
    world.tenant().update_user(user, |user| user.department = department);
}

/// A column of a row, as PostgreSQL writes it.
async fn value(world: &World, user: Uuid, column: &str) -> Option<String> {
    let query = format!(
        "select {column}::text from rollcall.system_user
         where environment = '{ENV}' and azureactivedirectoryobjectid = '{user}'"
    );
    let mut db = world.sql().await;
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&mut db)
        .await
        .unwrap()
}

async fn department(world: &World, user: Uuid) -> Option<String> {
    value(world, user, "department").await
}

/// What stands of the mapped columns.
async fn shown(world: &World, user: Uuid) -> Option<String> {
    value(
        world,
        user,
        "concat_ws(' | ', department, known_since, known_at at time zone 'utc', is_synced, called, employeeid)",
    )
    .await
}

async fn rounds(world: &World) -> i64 {
    world
        .number("select round from rollcall.checkpoint where source = 'users'")
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_dates_and_booleans_follow_the_directory_in_both_scopes() {
    for scope in [Scope::Tenant, Scope::Groups] {
        let environment = match scope {
            Scope::Tenant => open_environment(ENV),
            Scope::Groups => guarded_environment(ENV, GROUP),
        };
        let mut world = World::new(vec![mapping(every_kind(), environment)]).await;
        world.configure(|settings| settings.scope = scope);
        run_sql(&world, COLUMNS.to_owned()).await;
        world.tenant().create_group_with_id(GROUP, "All of production");
        let ada = licensed(world.tenant(), "Ada", "Lovelace");
        world.tenant().add_member(GROUP, ada);
        world.tenant().update_user(ada, |user| {
            user.department = Some("Engines".to_owned());
            user.created = "2024-02-29T23:30:00Z".parse().ok();
            user.on_premises_sync_enabled = Some(true);
            user.employee_id = Some("0042".to_owned());
        });
        world.sync_completely().await;
        let all = "Engines | 2024-02-29 | 2024-02-29 23:30:00 | t | Ada Lovelace | 0042";
        assert_eq!(shown(&world, ada).await.as_deref(), Some(all), "{scope}");
        assert_eq!(world.row(ENV, ada).await.unwrap().employeeid.as_deref(), Some("0042"));
        world.assert_settled().await;

        // A blank text is none, and what the directory clears is cleared.
        world.tenant().update_user(ada, |user| {
            user.department = Some("  ".to_owned());
            user.created = None;
            user.on_premises_sync_enabled = Some(false);
            user.employee_id = None;
        });
        world.sync_completely().await;
        assert_eq!(shown(&world, ada).await.as_deref(), Some("f | Ada Lovelace"), "{scope}");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_decides_over_an_edit_by_sql_and_by_the_desk() {
    // The value after the directory has changed, unless it was edited; after an edit; owner after the edit.
    let cases = [
        (Policy::Always, "Looms", "Mills", "sync"),
        (Policy::UntilEdited, "Looms", "Mine", "customer"),
        (Policy::OnCreate, "Engines", "Mine", "nobody"),
    ];
    for (policy, followed, kept, owner) in cases {
        for by_sql in [true, false] {
            let case = format!("{} {by_sql}", policy.as_str());
            let (world, ada) = one_user(vec![field("department", "department", policy)]).await;
            moves(&world, ada, Some("Looms"));
            world.sync_completely().await;
            assert_eq!(department(&world, ada).await.as_deref(), Some(followed), "{case}");
            if by_sql {
                run_sql(
                    &world,
                    "update rollcall.system_user set department = 'Mine' where isstub = false".to_owned(),
                )
                .await;
            } else {
                assert_eq!(said(&edit(&world, ada, json!({"department": "Mine"})).await), "updated");
            }
            moves(&world, ada, Some("Mills"));
            world.sync_completely().await;
            assert_eq!(department(&world, ada).await.as_deref(), Some(kept), "{case}");
            world.assert_settled().await;
            let user = ada.to_string();
            let desk = world.engine.desk();
            let owned = desk.ownership(ask(&user)).await.unwrap();
            let owned = owned.iter().find(|owned| owned.field == "department").unwrap();
            assert_eq!((owned.owner, owned.policy), (owner, policy.as_str()), "{case}");
            assert_eq!(owned.directory.as_deref(), Some("Mills"), "{case}");
            // What is given back follows again.
            let given_back = desk.own(ask(&user), &["department".to_owned()], false).await;
            assert_eq!(given_back.is_ok(), policy == Policy::UntilEdited, "{case}");
            world.sync_completely().await;
            let now = if policy == Policy::UntilEdited { "Mills" } else { kept };
            assert_eq!(department(&world, ada).await.as_deref(), Some(now), "{case}");
            world.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_selection_begins_a_round_and_another_policy_does_not() {
    let (mut world, ada) = one_user(Vec::new()).await;
    run_sql(&world, "update rollcall.system_user set department = null".to_owned()).await;
    let first = rounds(&world).await;
    let configure = |world: &mut World, fields: Vec<ExtraField>| {
        world.configure(|settings| settings.environments[0].0.extra_fields = fields);
    };
    configure(&mut world, vec![field("department", "department", Policy::UntilEdited)]);
    world.sync_completely().await;
    let second = rounds(&world).await;
    assert!(second > first, "nothing was known of the property");
    assert_eq!(department(&world, ada).await.as_deref(), Some("Engines"));
    world.assert_settled().await;

    // The mirror has the value: everybody is evaluated from it.
    configure(
        &mut world,
        vec![
            field("department", "department", Policy::Always),
            field("nickname", "department", Policy::Always),
        ],
    );
    world.sync_completely().await;
    assert_eq!(rounds(&world).await, second);
    assert_eq!(value(&world, ada, "nickname").await.as_deref(), Some("Engines"));

    // Without a mapping the column keeps what it holds, and the mirror forgets the property.
    configure(&mut world, Vec::new());
    moves(&world, ada, Some("Looms"));
    world.sync_completely().await;
    assert!(rounds(&world).await > second);
    assert_eq!(department(&world, ada).await.as_deref(), Some("Engines"));
    assert_eq!(
        world
            .number("select count(*) from rollcall.directory_user where extra is not null")
            .await,
        0
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_the_column_refuses_is_the_finding_of_that_row_alone() {
    let cases = [
        ("select", "A department with a long name", "column department"),
        (
            "alter table rollcall.system_user add constraint no_spies check (department <> 'Spies')",
            "Spies",
            "constraint no_spies of system_user (SQLSTATE 23514)",
        ),
        (
            "alter table rollcall.system_user alter department type integer using 0",
            "Spies",
            "column department",
        ),
    ];
    for (rule, bad, told) in cases {
        let (world, ada) = one_user(vec![field("department", "department", Policy::Always)]).await;
        let bob = licensed(world.tenant(), "Bob", "Babbage");
        run_sql(&world, rule.to_owned()).await;
        moves(&world, ada, Some(bad));
        moves(&world, bob, Some("1"));
        world.sync_completely().await;
        assert_eq!(department(&world, bob).await.as_deref(), Some("1"), "{told}");
        assert_ne!(department(&world, ada).await.as_deref(), Some(bad));
        let found = unwritten(&world).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&ada.to_string()) && found[0].contains(told),
            "{found:?}"
        );
        world.assert_settled().await;
        assert_eq!(unwritten(&world).await, found, "one finding, once");

        moves(&world, ada, Some("2"));
        world.sync_completely().await;
        assert_eq!(department(&world, ada).await.as_deref(), Some("2"), "{told}");
        assert_eq!(unwritten(&world).await, [""; 0]);
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_decoded_costs_that_value_alone() {
    let (world, ada) = one_user(every_kind()).await;
    for property in ["department", "createdDateTime", "onPremisesSyncEnabled"] {
        let spoilt = Spoilt {
            id: ada,
            property,
            text: "{}".to_owned(),
        };
        let faults = world.simulator.faults();
        for when in [When::users(), When::endpoint("/users/{id}")] {
            faults.push(Fault::forever(when, Effect::spoil(vec![spoilt.clone()])).called("spoilt"));
        }
        let before = shown(&world, ada).await;
        world.tenant().update_user(ada, |user| {
            user.job_title = Some(property.to_owned());
            user.department = Some(format!("with {}", &property[..5]));
            user.created = "2025-01-01T00:00:00Z".parse().ok();
            user.on_premises_sync_enabled = Some(property != "onPremisesSyncEnabled");
        });
        world.sync_completely().await;
        assert_eq!(world.row(ENV, ada).await.unwrap().jobtitle.as_deref(), Some(property));
        let kept = format!("value_undecodable {ENV} {ada}");
        assert!(world.findings().await.contains(&kept), "{property}");
        assert_ne!(shown(&world, ada).await, before, "{property}: the others follow");
        faults.withdraw("spoilt");
        world.sync_completely().await;
        assert!(!world.findings().await.contains(&kept), "{property}");
        assert_eq!(
            department(&world, ada).await,
            Some(format!("with {}", &property[..5])),
            "it is asked for again"
        );
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_an_access_and_the_history_treat_a_mapped_column_like_any_other() {
    let (world, ada) = one_user(vec![field("department", "department", Policy::Always)]).await;
    moves(&world, ada, Some("Looms"));
    let dry = Request {
        dry_run: true,
        ..Request::default()
    };
    let report = world.run(dry).await.unwrap();
    assert_eq!(report.environments[0].updated, 1);
    assert_eq!(department(&world, ada).await.as_deref(), Some("Engines"));
    let user = ada.to_string();
    let answer = world.engine.desk().refresh(ask(&user)).await;
    assert_eq!(said(&answer), "updated");
    assert_eq!(department(&world, ada).await.as_deref(), Some("Looms"));
    let lines = "select fields ->> 'department' from rollcall.system_user_change
                 where fields ? 'department' order by id";
    assert_eq!(
        world.strings(lines).await,
        [r#"[null, "Engines"]"#, r#"["Engines", "Looms"]"#]
    );
    // A column that somebody drops while the daemon runs costs nobody anything.
    run_sql(
        &world,
        "alter table rollcall.system_user drop column department".to_owned(),
    )
    .await;
    moves(&world, ada, Some("Mills"));
    let bob = licensed(world.tenant(), "Bob", "Babbage");
    moves(&world, bob, Some("Mills"));
    world.sync_completely().await;
    assert!(world.row(ENV, bob).await.is_some());
    world.assert_settled().await;
    world.end().await;
}
