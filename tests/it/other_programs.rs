//! Other programs at the tables (rules.md, section 7): what they may not decide is taken back, nobody passes for the
//! sync, no counter of theirs is believed, and readers who poll miss nothing.

use std::time::Duration;

use rollcall::domain::environment::Environment;
use rollcall::sync::RunOutcome;
use rollcall::sync::cycle::Request;
use rollcall::sync::daemon::numberer::number_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::guard::{block, crowd, limits};
use crate::on_demand::{ENV, ask, refusal};
use crate::world::{World, licensed, open_environment};

async fn execute(db: &mut PgConnection, statement: &str) -> Result<(), String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(db).await;
    done.map(|_| ()).map_err(|error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.unwrap_or_default().into_owned()
    })
}

/// A role of this test, which the server forgets at its end.
struct Role {
    name: String,
    db: PgConnection,
}

impl Role {
    async fn with(world: &World, grants: &[&str]) -> Self {
        let name = format!("program_{}", Uuid::new_v4().simple());
        let mut db = world.sql().await;
        execute(&mut db, &format!("create role {name}")).await.unwrap();
        for grant in grants {
            execute(&mut db, &format!("grant {grant} to {name}")).await.unwrap();
        }
        execute(&mut db, &format!("set role {name}")).await.unwrap();
        Self { name, db }
    }

    async fn end(mut self) {
        let name = &self.name;
        let forget = format!("reset role; drop owned by {name} cascade; drop role {name}");
        execute(&mut self.db, &forget).await.unwrap();
    }
}

/// The latest lines: operation, reason, columns.
async fn lines(world: &World, count: usize) -> Vec<String> {
    let mut all = world
        .strings(
            "select concat_ws(' ', operation, reason, case when operation <> 'create' then fields::text end)
             from rollcall.system_user_change order by id",
        )
        .await;
    all.split_off(all.len() - count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_1_a_stub_is_disabled_again_at_once_with_a_line_in_the_change_log() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let state = "select concat_ws(' ', isstub, isdisabled, disabledreason, azureactivedirectoryobjectid, applicationid)
                 from rollcall.system_user where domainname = 'old@contoso.example'";
    world
        .execute(
            "insert into rollcall.system_user (environment, systemuserid, domainname, isstub, isdisabled)
             values ('production', gen_random_uuid(), 'old@contoso.example', true, false)",
        )
        .await;
    assert_eq!(world.strings(state).await, ["t t stub_user"]);
    assert_eq!(lines(&world, 1).await, ["create stub_user"]);

    let mut db = world.sql().await;
    for set in [
        "isdisabled = false".to_owned(),
        "isdisabled = false, disabledreason = null, disabled_by = null".to_owned(),
        "isdisabled = false, isstub = false".to_owned(),
        format!(
            "isdisabled = false, isstub = false, azureactivedirectoryobjectid = '{}'",
            Uuid::from_u128(7)
        ),
        format!("isdisabled = false, applicationid = '{}'", Uuid::from_u128(7)),
        "isdisabled = false, onhold = false".to_owned(),
    ] {
        let statement = format!("update rollcall.system_user set {set} where domainname = 'old@contoso.example'");
        execute(&mut db, &statement).await.unwrap();
        assert_eq!(world.strings(state).await, ["t t stub_user"], "{set}");
        let line = lines(&world, 1).await.remove(0);
        assert!(
            line.starts_with("disable stub_user") && line.contains(r#""isdisabled": [false, true]"#),
            "{set}: {line}"
        );
    }
    world.sync_completely().await;
    assert_eq!(world.strings(state).await, ["t t stub_user"]);
    // A stub is made a user by hand alone, which still works.
    let new = world
        .tenant()
        .add_user(rollcall::simulator::tenant::User::named("Old", "Hand"));
    world
        .engine
        .desk()
        .map(ask("old@contoso.example"), &new.to_string())
        .await
        .unwrap();
    assert!(!world.row(ENV, new).await.unwrap().isstub);
    assert!(!world.row(ENV, ada).await.unwrap().isdisabled);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_a_row_is_stays_whatever_another_program_writes() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let rows = "select concat_ws(' ', environment, systemuserid, azureactivedirectoryobjectid, applicationid, isstub,
                           deletedstate, isdisabled, disabled_by, accessmode)
                from rollcall.system_user order by systemuserid";
    let before = world.strings(rows).await;
    let mut db = world.sql().await;
    for (row, set) in [
        (
            "domainname like 'ada%'",
            "azureactivedirectoryobjectid = gen_random_uuid()",
        ),
        ("domainname like 'ada%'", "azureactivedirectoryobjectid = null"),
        ("domainname like 'ada%'", "applicationid = gen_random_uuid()"),
        ("domainname like 'ada%'", "isstub = true"),
        ("domainname like 'ada%'", "environment = 'elsewhere'"),
        ("domainname like 'ada%'", "systemuserid = gen_random_uuid()"),
        (
            "domainname like 'crmoln@%'",
            "azureactivedirectoryobjectid = gen_random_uuid()",
        ),
        ("domainname like 'crmoln@%'", "domainname = 'mallory@contoso.example'"),
        ("domainname like 'crmoln@%'", "accessmode = 0"),
    ] {
        let statement = format!("update rollcall.system_user set {set} where {row}");
        execute(&mut db, &statement).await.unwrap();
        assert_eq!(world.strings(rows).await, before, "{set}");
        let column = set.split(' ').next().unwrap();
        assert!(
            lines(&world, 1).await[0].contains(column),
            "{set}: what was tried is on record"
        );
    }
    // A deleted row does not come back, and nobody disables in the sync's name: it would enable the row again.
    let statement = "update rollcall.system_user set deletedstate = 1 where domainname like 'ada%';
         update rollcall.system_user set deletedstate = 0 where domainname like 'ada%';
         update rollcall.system_user set isdisabled = true, disabled_by = 'sync' where domainname like 'ada%';
         update rollcall.system_user set disabled_by = 'sync' where domainname like 'ada%'";
    execute(&mut db, statement).await.unwrap();
    let found = "select concat_ws(' ', deletedstate, disabled_by = session_user, disabledreason)
                 from rollcall.system_user where domainname like 'ada%'";
    assert_eq!(world.strings(found).await, ["1 t disabled_by_hand"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_2_nobody_calls_a_function_of_ours_merely_by_being_able_to_connect() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let public =
        "select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner)))
                  where pronamespace = 'rollcall'::regnamespace and grantee = 0";
    assert_eq!(world.strings(public).await, [""; 0]);
    let triggers = "select proname::text from pg_proc
                    where pronamespace = 'rollcall'::regnamespace and prorettype = 'trigger'::regtype";
    let counted = "select concat_ws(' ', (select count(*) from rollcall.system_user_change), (select count(*) from rollcall.enabled_delta),
                              (select max(non_interactive_taken) from rollcall.environment_quota))";
    let before = world.strings(counted).await;
    let usage = "usage on schema rollcall";
    let mut reader = Role::with(&world, &[usage, "select on all tables in schema rollcall"]).await;
    let own = "create temporary table mine (like rollcall.system_user)";
    execute(&mut reader.db, own).await.unwrap();
    for function in world.strings(triggers).await {
        let hang =
            format!("create trigger t before insert on mine for each row execute function rollcall.{function}()");
        assert_eq!(
            execute(&mut reader.db, &hang).await,
            Err("42501".to_owned()),
            "{function}"
        );
    }
    // Nor does it work for somebody who was given it by mistake.
    let mut owner = world.sql().await;
    for function in [
        "take_ownership",
        "take_access_mode",
        "note_foreign_write",
        "keep_non_interactive_cap",
    ] {
        let forge = format!(
            "create table public.mine (like rollcall.system_user);
             create trigger t before insert on public.mine for each row execute function rollcall.{function}('x');
             insert into public.mine (environment, systemuserid, azureactivedirectoryobjectid, accessmode)
             values ('production', gen_random_uuid(), gen_random_uuid(), 4)"
        );
        assert_eq!(execute(&mut owner, &forge).await, Err("42501".to_owned()), "{function}");
    }
    assert_eq!(world.strings(counted).await, before);
    reader.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_marks_its_writes_as_the_sync_s_is_seen_all_the_same() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let grants = ["usage on schema rollcall", "all on all tables in schema rollcall"];
    let mut program = Role::with(&world, &grants).await;
    let lie = "set rollcall.writer = 'rollcall';
               update rollcall.system_user set jobtitle = 'Countess', internalemailaddress = 'ada@mail.example', accessmode = 2
               where domainname like 'ada%'";
    execute(&mut program.db, lie).await.unwrap();
    let row = "select concat_ws(' ', customer_owned, accessmode_origin, modifiedby = session_user)
               from rollcall.system_user where domainname like 'ada%'";
    assert_eq!(world.strings(row).await, ["{internalemailaddress} customer t"]);
    assert!(lines(&world, 1).await[0].starts_with("edit {"));
    assert_eq!(world.number("select count(*) from rollcall.pending").await, 1);
    let call = execute(&mut program.db, "select rollcall.write_as_sync()").await;
    assert_eq!(call, Err("42501".to_owned()));
    program.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_counts_rows_and_believes_no_counter() {
    let (world, users) = crowd(40, limits(u32::MAX, 10.0)).await;
    let grants = ["usage on schema rollcall", "all on all tables in schema rollcall"];
    let mut program = Role::with(&world, &grants).await;
    let forge = "update rollcall.environment set enabled_rows = 1040, bound_rows = 1040;
                 insert into rollcall.enabled_delta values ('production', 1000, 1000)";
    execute(&mut program.db, forge).await.unwrap();
    block(&world, &users[..5]);
    for dry_run in [true, false] {
        let request = Request {
            dry_run,
            ..Request::default()
        };
        assert_eq!(
            world.run(request).await.unwrap().outcome,
            RunOutcome::Held,
            "5 of 40 are more than 10 %"
        );
    }
    // Those who come in the same run do not count as having been there when it began.
    for number in 0..40 {
        licensed(world.tenant(), "Late", &number.to_string());
    }
    block(&world, &users[5..10]);
    assert_eq!(world.sync().await.outcome, RunOutcome::Held);
    program.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_counts_rows_and_believes_no_counter() {
    let environment = Environment {
        non_interactive_cap: 2,
        ..open_environment(ENV)
    };
    let world = World::new(vec![environment]).await;
    let users: Vec<Uuid> = (0..4)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    let mode = json!({"accessmode": 4});
    let edit = async |user: Uuid| {
        world
            .engine
            .desk()
            .edit(ask(&user.to_string()), mode.as_object().unwrap())
            .await
    };
    for user in &users[..2] {
        edit(*user).await.unwrap();
    }
    for counter in ["0", "2", "900"] {
        let mut db = world.sql().await;
        let forge = format!("update rollcall.environment_quota set non_interactive_taken = {counter}");
        execute(&mut db, &forge).await.unwrap();
        let by_sql = "update rollcall.system_user set accessmode = 4 where domainname like 'robot.2%'";
        assert_eq!(execute(&mut db, by_sql).await, Err("23514".to_owned()), "{counter}");
        assert_eq!(
            refusal(edit(users[3]).await).code.as_str(),
            "non_interactive_cap",
            "{counter}"
        );
    }
    // And too high a count keeps nobody out.
    world.engine.desk().disable(ask(&users[0].to_string())).await.unwrap();
    world
        .execute("update rollcall.environment_quota set non_interactive_taken = 900")
        .await;
    edit(users[3]).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_deleted_and_updated_under_a_publication_for_all_tables() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let without = "select relname::text from pg_class c
                   where relnamespace = 'rollcall'::regnamespace and relkind = 'r' and relreplident <> 'f'
                     and not exists (select from pg_index where indrelid = c.oid and indisprimary)";
    assert_eq!(world.strings(without).await, [""; 0]);
    world.execute("create publication everything for all tables").await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world.assert_settled().await;
    for table in world
        .strings("select relname::text from pg_class where relnamespace = 'rollcall'::regnamespace and relkind = 'r'")
        .await
    {
        let mut db = world.sql().await;
        let delete = format!("begin; set local rollcall.writer = 'rollcall'; delete from rollcall.{table}; rollback");
        let deleted = execute(&mut db, &delete).await;
        // A unit with teams is kept by a foreign key.
        let is_allowed = deleted.is_ok() || (table == "business_unit" && deleted == Err("23503".to_owned()));
        assert!(is_allowed, "{table}: {deleted:?}");
    }
    world.end().await;
}

/// In another order than by `id`, the lines of one row whose times run backwards.
const BACKWARDS: &str = "select count(*) from (
        select at, lag(at) over (partition by environment, systemuserid order by id) as before
        from rollcall.system_user_change) as line where at < before";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_1_the_times_of_a_row_never_run_backwards_whoever_writes_by_whichever_clock() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    };
    let world = World::new(vec![environment]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    for round in 0..3 {
        // The server's clock is far ahead of the program's.
        world
            .execute("update rollcall.system_user set company = company || 'X' where false")
            .await;
        world
            .execute(
                "update rollcall.system_user set company = coalesce(company, '') || 'X' where domainname like 'ada%'",
            )
            .await;
        let edited = world.row(ENV, ada).await.unwrap().modifiedon;
        assert!(edited > world.clock.now(), "round {round}");
        world.engine.desk().grant(ask(&user), "Basic User").await.unwrap();
        world
            .tenant()
            .update_user(ada, |user| user.job_title = Some(format!("Countess {round}")));
        world.sync_completely().await;
        assert!(world.row(ENV, ada).await.unwrap().modifiedon >= edited, "round {round}");
        world.engine.desk().revoke(ask(&user), "Basic User").await.unwrap();
        let values = json!({"mobilephone": round.to_string()});
        world
            .engine
            .desk()
            .edit(ask(&user), values.as_object().unwrap())
            .await
            .unwrap();
        world.advance(Duration::from_mins(15));
    }
    assert_eq!(world.number(BACKWARDS).await, 0);
    world.end().await;
}

/// As the README shows it.
const POLL: &str = "select f.position, c.environment, c.systemuserid, c.operation, c.reason, c.fields
from rollcall.change_feed f join rollcall.system_user_change c on c.environment = f.environment and c.id = f.id
where f.position > $1 order by f.position limit 1000";

/// A reader who polls: where it is, and the lines that it has read.
#[derive(Default)]
struct Reader {
    position: i64,
    read: Vec<i64>,
}

impl Reader {
    /// After the leader has given positions.
    async fn poll(&mut self, world: &World, db: &mut PgConnection) {
        number_all(&world.engine.store).await.unwrap();
        let select = POLL.replace("select f.position, ", "select f.position, c.id, ");
        let rows: Vec<(i64, i64)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(self.position)
            .fetch_all(db)
            .await
            .unwrap();
        for (position, id) in rows {
            self.read.push(id);
            self.position = position;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_1_a_reader_with_the_documented_cursor_misses_nothing_and_reads_nothing_twice() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(POLL), "the README shows this query");
    let world = World::new(vec![open_environment(ENV)]).await;
    for given in ["Ada", "Bea", "Cleo"] {
        licensed(world.tenant(), given, "Lovelace");
    }
    let mut reader = Reader::default();
    let mut eye = world.sql().await;
    world.sync_completely().await;
    let (mut early, mut late) = (world.sql().await, world.sql().await);
    let edit = |name: &str| format!("update rollcall.system_user set company = 'X' where domainname like '{name}%'");
    for _ in 0..3 {
        // The first to write is the last to commit, and others come and go in between.
        execute(&mut early, &format!("begin; {}", edit("ada"))).await.unwrap();
        execute(&mut late, &format!("begin; {}", edit("bea"))).await.unwrap();
        reader.poll(&world, &mut eye).await;
        execute(&mut late, "commit").await.unwrap();
        reader.poll(&world, &mut eye).await;
        world
            .execute("update rollcall.system_user set company = 'X' where domainname like 'cleo%'")
            .await;
        reader.poll(&world, &mut eye).await;
        execute(&mut early, "commit").await.unwrap();
        reader.poll(&world, &mut eye).await;
        world.execute("update rollcall.system_user set company = null").await;
    }
    let mut all: Vec<i64> = sqlx::query_scalar("select id from rollcall.system_user_change order by id")
        .fetch_all(&mut eye)
        .await
        .unwrap();
    reader.poll(&world, &mut eye).await;
    reader.read.sort_unstable();
    all.sort_unstable();
    assert_eq!(reader.read, all);
    world.end().await;
}
