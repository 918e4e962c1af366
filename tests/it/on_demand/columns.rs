//! Columns that customers have added: edited through the program, never touched by a sync, kept by migrations.

use rollcall::domain::schema::Schema;
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

/// Columns whose types, constraints and triggers refuse in every way there is.
const ODD: &str = "
    create type rollcall.mood as enum ('sad', 'happy');
    create domain rollcall.even as integer check (value % 2 = 0);
    create type rollcall.pair as (a integer, b date);
    create table rollcall.cost_centre (id integer primary key);
    alter table rollcall.system_user
        add number integer, add small smallint, add ratio double precision, add price numeric(4, 2), add cost money,
        add day date, add moment timestamptz, add span interval, add hour time, add badge uuid,
        add mood rollcall.mood, add even rollcall.even, add pair rollcall.pair, add flag boolean,
        add code varchar(3), add letter char(1), add bits bit(3), add raw bytea, add address inet, add lan cidr,
        add card macaddr, add spot point, add years int4range, add numbers integer[], add table_name regclass,
        add type_name regtype, add words tsvector, add search tsquery, add path jsonpath, add note xml,
        add tree pg_node_tree, add wanted text not null default 'x', add positive integer check (positive > 0),
        add doubled integer generated always as (number * 2) stored,
        add serial_number integer generated always as identity, add centre integer references rollcall.cost_centre,
        add later integer references rollcall.cost_centre deferrable initially deferred,
        add short text check (length(short) < 3), add long text, add raised text;
    create index on rollcall.system_user (long);
    create function rollcall.raise_it() returns trigger language plpgsql as $$
    begin
        if new.raised is not null then raise exception 'no %', repeat(new.raised, 200) using errcode = new.raised; end if;
        return new;
    end $$;
    create trigger raise_it before update on rollcall.system_user for each row execute function rollcall.raise_it()";

#[tokio::test]
async fn no_value_that_a_column_refuses_is_more_than_bad_input() {
    let (world, ada) = one_user().await;
    world.execute(ODD).await;
    let noise: String = (0..20_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_string())
        .collect();
    let before = world.dump().await;
    for (column, values) in [
        (
            "number",
            vec![
                json!("x"),
                json!(1.5),
                json!(3_000_000_000_u64),
                json!([]),
                json!({}),
                json!(true),
            ],
        ),
        ("small", vec![json!(40_000), json!("")]),
        ("ratio", vec![json!("x"), json!("1e999")]),
        ("price", vec![json!(123.0), json!("12,3")]),
        ("cost", vec![json!("x")]),
        ("day", vec![json!("2023-02-29"), json!("soon"), json!(7)]),
        ("moment", vec![json!("25:00"), json!({"at": 1})]),
        ("span", vec![json!("long")]),
        ("hour", vec![json!("25:00")]),
        ("badge", vec![json!("7"), json!(7)]),
        ("mood", vec![json!("angry"), json!(null_char()), json!(1)]),
        ("even", vec![json!(3), json!("three")]),
        ("pair", vec![json!({"a": "x"}), json!("(1,2,3)")]),
        ("flag", vec![json!("perhaps"), json!([true])]),
        ("code", vec![json!("four"), json!({"a": 1})]),
        ("letter", vec![json!("ab")]),
        ("bits", vec![json!("1"), json!("102")]),
        ("raw", vec![json!("\\x0")]),
        ("address", vec![json!("300.1.1.1")]),
        ("lan", vec![json!("10.0.0.1/8")]),
        ("card", vec![json!("x")]),
        ("spot", vec![json!("1")]),
        ("years", vec![json!("[3,1]")]),
        ("numbers", vec![json!(7), json!("{1"), json!(["x"]), json!([[1], 2])]),
        ("table_name", vec![json!("nowhere")]),
        ("type_name", vec![json!("nothing")]),
        ("words", vec![json!("'"), json!(noise.replace('7', " ").repeat(20))]),
        ("search", vec![json!("a &")]),
        ("path", vec![json!("$.(")]),
        ("note", vec![json!("<a>")]),
        ("tree", vec![json!("x")]),
        ("wanted", vec![json!(null)]),
        ("positive", vec![json!(0)]),
        ("doubled", vec![json!(4)]),
        ("serial_number", vec![json!(4)]),
        ("centre", vec![json!(4)]),
        ("later", vec![json!(4)]),
        ("short", vec![json!("long")]),
        ("long", vec![json!(noise)]),
        (
            "raised",
            vec![
                json!("P0001"),
                json!("P0004"),
                json!("22012"),
                json!("45000"),
                json!("XX000"),
                json!("42501"),
            ],
        ),
    ] {
        for value in values {
            let edited = edit(&world, ada, json!({"company": "Contoso", column: value})).await;
            let shown = value.to_string().chars().take(40).collect::<String>();
            // What a function raises may be about anything.
            let expected = match column {
                "raised" => "row_not_written".to_owned(),
                _ => format!("bad input: {column}"),
            };
            assert_eq!(said(&edited), expected, "{column}: {shown}");
            assert!(edited.unwrap_err().to_string().len() < 1000, "{column}: {shown}");
        }
    }
    assert_eq!(before, world.dump().await);
    world.end().await;
}

fn null_char() -> String {
    "a\0b".to_owned()
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
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
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
