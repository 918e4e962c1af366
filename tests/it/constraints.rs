//! Constraints, indexes and triggers of the customer's own on the published tables: what they refuse costs the rows
//! concerned one attempt per change and one when everybody is judged, and nobody else anything. One cause has one
//! code, in cycles and on demand, and none of the customer's words is kept.

mod outages;
mod siblings;
mod states;
mod together;

use std::time::Duration;

use rollcall::rules::Trigger;
use rollcall::simulator::tenant::Tenant;
use rollcall::sync::cycle::Request;
use rollcall::sync::imports::{ImportRequest, Viewer};
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::on_demand::{ENV, ask_by, edit, refusal, said, word};
use crate::world::{World, licensed, open_environment};

/// Counts how often a row that will be refused is tried: a sequence does not roll back. Its name sorts before others.
const COUNT: &str = "
    create sequence public.attempts;
    create function public.count_attempt() returns trigger language plpgsql as $$
    begin perform nextval('public.attempts'); return new; end $$;";

pub async fn attempts(world: &World) -> i64 {
    world
        .number("select case when is_called then last_value else 0 end from public.attempts")
        .await
}

pub async fn run_sql(world: &World, statement: String) {
    let mut db = world.sql().await;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
}

/// A new full round, then everybody is judged.
pub async fn sync_fully(world: &World) {
    let request = Request {
        full: true,
        ..Request::default()
    };
    world.run(request).await.unwrap();
}

/// What is open about rows that are not written, with the findings' numbers.
pub async fn unwritten(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', id, azureactivedirectoryobjectid, detail) from rollcall.finding
             where closed_at is null and code = 'row_not_written' order by id",
        )
        .await
}

fn titled(tenant: &Tenant, given: &str, title: Option<&str>) -> Uuid {
    let id = licensed(tenant, given, "Person");
    give_title(tenant, id, title);
    id
}

fn give_title(tenant: &Tenant, id: Uuid, title: Option<&str>) {
    tenant.update_user(id, |user| user.job_title = title.map(str::to_owned));
}

/// A rule of the customer's under which one job title cannot be written.
struct Kind {
    name: &'static str,
    make: String,
    drop: &'static str,
    title: Option<&'static str>,
    /// What is told of it.
    told: &'static str,
}

const BAD: &str = "Forbidden";

fn kind(name: &'static str, make: impl Into<String>, drop: &'static str, told: &'static str) -> Kind {
    Kind {
        name,
        make: make.into(),
        drop,
        title: Some(BAD),
        told,
    }
}

const DROP_TRIGGER: &str = "drop function public.refuse() cascade";

/// A trigger with a body for the rows with the bad title.
fn trigger(body: &str, how: &str) -> String {
    format!(
        "create or replace function public.refuse() returns trigger language plpgsql {how} as $$
         begin
             if new.jobtitle = '{BAD}' and new.environment = '{ENV}' then {body} end if;
             return new;
         end $$;
         create or replace trigger refuse before insert or update on rollcall.system_user for each row
             execute function public.refuse();"
    )
}

/// Says as much as can be said, and each time something else.
fn raising(code: &str) -> String {
    trigger(
        &format!(
            "raise exception 'no % at %: %', new.internalemailaddress, clock_timestamp(), repeat('x', 100000)
             using errcode = '{code}', detail = new.internalemailaddress, hint = new.fullname,
                 constraint = new.internalemailaddress, table = new.fullname, column = clock_timestamp()::text;"
        ),
        "",
    )
}

fn kinds() -> Vec<Kind> {
    vec![
        kind(
            "unique index",
            "insert into rollcall.system_user (environment, systemuserid, jobtitle)
             values ('elsewhere', gen_random_uuid(), 'Forbidden');
             create unique index one_of_a_kind on rollcall.system_user (jobtitle) where jobtitle = 'Forbidden'",
            "drop index rollcall.one_of_a_kind",
            "constraint one_of_a_kind of system_user (SQLSTATE 23505)",
        ),
        kind(
            "check",
            "alter table rollcall.system_user add constraint \"no mail@x\"
                 check (jobtitle <> 'Forbidden' or environment <> 'production')",
            "alter table rollcall.system_user drop constraint \"no mail@x\"",
            "constraint no mail?x of system_user (SQLSTATE 23514)",
        ),
        kind(
            "foreign key",
            "create table public.title (name text primary key);
             insert into public.title values ('Fine'), ('Better');
             alter table rollcall.system_user add constraint known_title foreign key (jobtitle) references public.title",
            "alter table rollcall.system_user drop constraint known_title",
            "constraint known_title of system_user (SQLSTATE 23503)",
        ),
        kind(
            "foreign key that waits for the commit",
            "create table public.title (name text primary key);
             insert into public.title values ('Fine'), ('Better');
             alter table rollcall.system_user add constraint known_title foreign key (jobtitle) references public.title
                 deferrable initially deferred",
            "alter table rollcall.system_user drop constraint known_title",
            "constraint known_title of system_user (SQLSTATE 23503)",
        ),
        Kind {
            title: None,
            ..kind(
                "not null",
                "alter table rollcall.system_user alter jobtitle set not null",
                "alter table rollcall.system_user alter jobtitle drop not null",
                "column jobtitle of system_user (SQLSTATE 23502)",
            )
        },
        kind("trigger that raises", raising("P0001"), DROP_TRIGGER, "function public.refuse (SQLSTATE P0001)"),
        kind(
            "trigger that waits for the commit",
            "create function public.refuse() returns trigger language plpgsql as $$
             begin
                 if new.jobtitle = 'Forbidden' then raise exception 'no %', new.fullname using errcode = '08006'; end if;
                 return null;
             end $$;
             create constraint trigger refuse after insert or update on rollcall.system_user deferrable initially deferred
                 for each row execute function public.refuse()",
            DROP_TRIGGER,
            "function public.refuse (SQLSTATE 08006)",
        ),
        kind("trigger that leaves the row out", trigger("return null;", ""), DROP_TRIGGER, "a trigger leaves it out"),
        kind(
            "trigger that takes too long",
            trigger("perform pg_cancel_backend(pg_backend_pid()); perform pg_sleep(9);", ""),
            DROP_TRIGGER,
            "function public.refuse (SQLSTATE 57014)",
        ),
        kind(
            "trigger that cannot write elsewhere",
            format!(
                "create table public.audit (name text primary key); insert into public.audit values ('x'); {}",
                trigger("insert into public.audit values ('x');", "")
            ),
            DROP_TRIGGER,
            "constraint audit_pkey of audit (SQLSTATE 23505)",
        ),
        kind(
            "trigger that is broken",
            trigger("perform count(*) from public.no_such_table;", ""),
            DROP_TRIGGER,
            "function public.refuse (SQLSTATE 42P01)",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_refuses_a_row_is_tried_once_per_change_and_has_one_code_everywhere() {
    for kind in kinds() {
        println!("{}", kind.name);
        refused_everywhere(&kind).await;
    }
}

async fn refused_everywhere(kind: &Kind) {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    world.execute("update rollcall.system_user set jobtitle = 'Fine'").await;
    let is_bad = kind.title.map_or("is null".to_owned(), |title| format!("= '{title}'"));
    run_sql(
        &world,
        format!(
            "{COUNT} create trigger a0_count before insert or update on rollcall.system_user for each row
                 when (new.jobtitle {is_bad} and new.azureactivedirectoryobjectid is not null)
                 execute function public.count_attempt();
             {}",
            kind.make
        ),
    )
    .await;
    let [ada, cleo] = ["Ada", "Cleo"].map(|given| titled(world.tenant(), given, Some("Fine")));
    let bob = titled(world.tenant(), "Bob", kind.title);

    // The first cycle that sees them: together, and then row by row.
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 2, "{}", kind.name);
    assert_eq!(report.environments[0].skipped["row_not_written"], 1);
    assert_eq!(world.findings().await, [format!("row_not_written production {bob}")]);
    let first = unwritten(&world).await;
    assert!(
        first[0].ends_with(&format!("The database does not take the row: {}", kind.told)),
        "{first:?}"
    );
    let tried = attempts(&world).await;
    assert!((1..=2).contains(&tried), "{}: {tried}", kind.name);
    world.assert_settled().await;
    assert_eq!(
        attempts(&world).await,
        tried,
        "{}: an idle cycle tries nothing",
        kind.name
    );

    on_demand(&world, kind, bob).await;

    // When everybody is judged.
    let tried = attempts(&world).await;
    world.advance(Duration::from_hours(24));
    world.sync_completely().await;
    let again = attempts(&world).await - tried;
    assert!((1..=2).contains(&again), "{}: {again}", kind.name);
    assert_eq!(
        unwritten(&world).await,
        first,
        "{}: the finding stays the same",
        kind.name
    );

    // A change of theirs, and of somebody who has a row.
    give_title(world.tenant(), ada, kind.title);
    world
        .tenant()
        .update_user(bob, |user| user.mobile_phone = Some("+44 1".to_owned()));
    world
        .tenant()
        .update_user(cleo, |user| user.mobile_phone = Some("+44 2".to_owned()));
    let tried = attempts(&world).await;
    world.sync_completely().await;
    let again = attempts(&world).await - tried;
    assert!((2..=4).contains(&again), "{}: {again}", kind.name);
    assert_eq!(unwritten(&world).await.len(), 2);
    assert_eq!(world.row(ENV, ada).await.unwrap().jobtitle.as_deref(), Some("Fine"));
    let phone = world.row(ENV, cleo).await.unwrap().mobilephone;
    assert_eq!(phone.as_deref(), Some("+44 2"), "{}", kind.name);
    let tried = attempts(&world).await;
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried);
    for way in ["refresh", "access", "api"] {
        assert_eq!(word(&world, way, ada).await, "row_not_written", "{}: {way}", kind.name);
    }
    let edited = edit(&world, ada, json!({ "jobtitle": kind.title })).await;
    assert_eq!(said(&edited), "row_not_written", "{}", kind.name);

    // The rule is gone; and somebody else comes out of it by a change.
    world.sync_completely().await;
    run_sql(&world, kind.drop.to_owned()).await;
    give_title(world.tenant(), ada, Some("Better"));
    world.sync_completely().await;
    assert_eq!(world.row(ENV, ada).await.unwrap().jobtitle.as_deref(), Some("Better"));
    assert_eq!(world.findings().await, [format!("row_not_written production {bob}")]);
    sync_fully(&world).await;
    assert!(world.row(ENV, bob).await.is_some());
    assert!(world.findings().await.is_empty(), "{}", kind.name);
    assert_eq!(world.number("select count(*) from rollcall.refusal").await, 0);
    world.assert_settled().await;
    world.end().await;
}

/// However somebody is asked for: one attempt, one code, and nobody else is kept from theirs.
async fn on_demand(world: &World, kind: &Kind, bob: Uuid) {
    for way in ["access", "access by a program", "api", "admin_add", "import"] {
        let tried = attempts(world).await;
        let refused = refusal(ask_by(world, way, bob).await);
        assert_eq!(refused.code.as_str(), "row_not_written", "{}: {way}", kind.name);
        assert!(refused.detail.ends_with(kind.told), "{}", refused.detail);
        assert_eq!(attempts(world).await, tried + 1, "{}: {way}", kind.name);
    }
    let names = ["Dora", "Eve"].map(|given| {
        let id = titled(
            world.tenant(),
            &format!("{given}{}", world.tenant().population()),
            Some("Fine"),
        );
        id.to_string()
    });
    let users = [names[0].clone(), bob.to_string(), bob.to_string(), names[1].clone()];
    let results = world
        .engine
        .desk()
        .add_many(ENV, &users, "helpdesk", Trigger::Api, None)
        .await
        .unwrap();
    let words: Vec<String> = results
        .into_iter()
        .map(|result| said(&result.map_err(Into::into)))
        .collect();
    assert_eq!(
        words,
        ["created", "row_not_written", "row_not_written", "created"],
        "{}",
        kind.name
    );
    let new = titled(
        world.tenant(),
        &format!("Fay{}", world.tenant().population()),
        Some("Fine"),
    );
    let request = ImportRequest {
        users: vec![bob.to_string(), new.to_string()],
        ..ImportRequest::new(ENV, "USMF")
    };
    let job = world
        .engine
        .imports()
        .submit_import(&request, "helpdesk")
        .await
        .unwrap();
    assert_eq!(
        world.engine.imports().run_next_import("worker").await.unwrap(),
        Some(job.id)
    );
    let viewer = Viewer {
        name: "root",
        is_operator: true,
    };
    let items = world
        .engine
        .imports()
        .import_items(viewer, job.id, None, None, 9)
        .await
        .unwrap();
    let words: Vec<&str> = items
        .iter()
        .map(|item| item.code.as_deref().unwrap_or(item.state.as_str()))
        .collect();
    assert_eq!(words, ["row_not_written", "created"], "{}", kind.name);
    assert!(items[0].detail.as_ref().unwrap().ends_with(kind.told));
    world.sync_completely().await;
}
