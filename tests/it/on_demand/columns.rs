//! Columns that customers have added: edited through the program, never touched by a sync, kept by migrations.

use rollcall::store::Store;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{edit, one_user, row, said, word};
use crate::world::{World, migrated_database};

const ADDED: &str = "
    alter table rollcall.system_user
        add cost_centre text,
        add floor integer,
        add salary numeric(12, 2),
        add is_key_user boolean not null default false,
        add hired_on date,
        add seen_at timestamptz,
        add badge uuid,
        add tags text[],
        add settings jsonb,
        add \"Favourite Colour\" varchar(5),
        add grade integer check (grade between 1 and 9),
        add floor_doubled integer generated always as (floor * 2) stored";

async fn with_columns() -> (World, Uuid) {
    let (world, ada) = one_user().await;
    world.execute(ADDED).await;
    (world, ada)
}

/// The custom columns of the one user, as text.
async fn shown(world: &World) -> String {
    let found = world
        .strings(
            "select concat_ws('|', cost_centre, floor, salary, is_key_user, hired_on, seen_at at time zone 'utc', badge,
                    tags, settings, \"Favourite Colour\", grade, floor_doubled)
             from rollcall.system_user where firstname = 'Ada'",
        )
        .await;
    found.concat()
}

#[tokio::test]
async fn columns_of_every_type_are_edited_by_text_and_by_value() {
    let (world, ada) = with_columns().await;
    let badge = "0bad9e00-0000-4000-8000-000000000000";
    let expected = "007|3|1.10|t|2024-02-29|2026-03-01 08:00:00|0bad9e00-0000-4000-8000-000000000000|{a,\"b c\"}|\
                    {\"theme\": \"dark\"}|green|5|6";
    let by_value = json!({
        "cost_centre": "007", "floor": 3, "salary": 1.10, "is_key_user": true, "hired_on": "2024-02-29",
        "seen_at": "2026-03-01T08:00:00Z", "badge": badge, "tags": ["a", "b c"], "settings": {"theme": "dark"},
        "Favourite Colour": "green", "grade": 5,
    });
    let by_text = json!({
        "cost_centre": "007", "floor": "3", "salary": "1.10", "is_key_user": "true", "hired_on": "2024-02-29",
        "seen_at": "2026-03-01T08:00:00Z", "badge": badge, "tags": "{a,b c}", "settings": {"theme": "dark"},
        "Favourite Colour": "green", "grade": "5",
    });
    let nothing = json!({
        "cost_centre": null, "floor": null, "salary": null, "is_key_user": false, "hired_on": null, "seen_at": null,
        "badge": null, "tags": null, "settings": null, "Favourite Colour": null, "grade": null,
    });
    for values in [by_value, by_text] {
        assert_eq!(said(&edit(&world, ada, values.clone()).await), "updated");
        assert_eq!(shown(&world).await, expected, "{values}");
        assert_eq!(said(&edit(&world, ada, values).await), "unchanged");
        assert_eq!(said(&edit(&world, ada, nothing.clone()).await), "updated");
        assert_eq!(shown(&world).await, "f");
    }
    world.end().await;
}

#[tokio::test]
async fn an_edit_of_custom_columns_is_logged_and_takes_nothing_else() {
    let (world, ada) = with_columns().await;
    assert_eq!(
        said(&edit(&world, ada, json!({"floor": 3, "cost_centre": "A"})).await),
        "updated"
    );
    let lines = world
        .strings(
            "select concat_ws(' ', actor, operation, fields) from rollcall.system_user_change
             where operation = 'edit' order by id",
        )
        .await;
    assert_eq!(
        lines,
        [r#"helpdesk edit {"floor": [null, 3], "cost_centre": [null, "A"]}"#]
    );
    let edited = row(&world, ada).await;
    assert_eq!(edited.modifiedby, "helpdesk");
    assert!(edited.customer_owned.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_edit_is_carried_out_completely_or_not_at_all() {
    let (world, ada) = with_columns().await;
    let before = world.dump().await;
    for (values, column) in [
        (json!({"company": "Contoso", "floor": "third"}), "floor"),
        (json!({"company": "Contoso", "grade": 10}), "grade"),
        (
            json!({"jobtitle": "x", "Favourite Colour": "crimson"}),
            "Favourite Colour",
        ),
        (json!({"cost_centre": "A", "hired_on": "2023-02-29"}), "hired_on"),
        (json!({"cost_centre": "A", "is_key_user": null}), "is_key_user"),
        (json!({"accessmode": 2, "tags": 7}), "tags"),
        (json!({"company": "Contoso", "floor_doubled": 4}), "floor_doubled"),
        (
            json!({"company": "Contoso", "floor; drop table x": 4}),
            "floor; drop table x",
        ),
    ] {
        let edited = edit(&world, ada, values.clone()).await;
        assert_eq!(said(&edited), format!("bad input: {column}"), "{values}");
    }
    assert_eq!(before, world.dump().await);
    assert_eq!(
        world
            .number("select count(*) from rollcall.system_user_change where operation = 'edit'")
            .await,
        0
    );
    world.end().await;
}

#[tokio::test]
async fn no_sync_touches_a_custom_column() {
    let (world, ada) = with_columns().await;
    edit(&world, ada, json!({"cost_centre": "A", "salary": "1.10"}))
        .await
        .unwrap();
    let before = shown(&world).await;
    world.tenant().update_user(ada, |user| {
        user.job_title = Some("Countess".to_owned());
        user.department = Some("Engines".to_owned());
    });
    assert_eq!(word(&world, "refresh", ada).await, "updated");
    crate::guard::block(&world, &[ada]);
    world.sync_completely().await;
    crate::guard::allow(&world, &[ada]);
    assert_eq!(word(&world, "access", ada).await, "enabled");
    let full = rollcall::sync::cycle::Request {
        full: true,
        ..rollcall::sync::cycle::Request::default()
    };
    world.run(full).await.unwrap();
    assert_eq!(before, shown(&world).await);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn migrations_keep_custom_columns_and_rows() {
    let database = migrated_database().await;
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut migrator = sqlx::migrate::Migrator::new(folder).await.unwrap();
    let latest = migrator.iter().count();
    assert!(latest > 1);
    migrator.migrations = migrator.iter().take(1).cloned().collect::<Vec<_>>().into();
    db.execute("drop schema rollcall cascade; create schema rollcall; set search_path = rollcall")
        .await
        .unwrap();
    migrator.run(&mut db).await.unwrap();
    db.execute(ADDED).await.unwrap();
    db.execute(
        "insert into rollcall.system_user (environment, systemuserid, accessmode, firstname, cost_centre, floor)
         select 'production', gen_random_uuid(), 4, 'Ada', 'A' || number, number from generate_series(1, 9) as number",
    )
    .await
    .unwrap();
    let rows =
        "select count(*) from rollcall.system_user where cost_centre = 'A' || floor and floor_doubled = 2 * floor";
    let store = Store::connect(&database.url, 1).await.unwrap();
    assert_eq!(store.missing_migrations().await.unwrap(), latest - 1);
    store.migrate().await.unwrap();
    assert_eq!(store.missing_migrations().await.unwrap(), 0);
    let kept: i64 = sqlx::query_scalar(rows).fetch_one(&mut db).await.unwrap();
    assert_eq!(kept, 9);
    // Nine were there before anybody counted: they stay, and are counted.
    let taken: i32 = sqlx::query_scalar("select non_interactive_taken from rollcall.environment_quota")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(taken, 9);
    db.close().await.unwrap();
    store.close().await;
    database.drop_database().await.unwrap();
}
