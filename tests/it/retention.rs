//! What is old is deleted, in small steps; what is needed is kept, whatever its age.

use std::time::Duration;

use chrono::{TimeZone, Utc};
use rollcall::domain::retention::{Kept, Retention};
use rollcall::simulator::tenant::User;
use rollcall::simulator::{Settings, Simulator};
use rollcall::store::retention::{self, Place};
use rollcall::sync::Failure;
use rollcall::sync::daemon::numberer::number_all;
use rollcall::sync::daemon::retention::purge_all;
use sqlx::{Connection, Executor, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::binary::Installation;
use crate::daemon::{Daemon, eventually};
use crate::world::{World, guarded_environment, licensed, migrated_database, open_environment};

const ENV: &str = "production";
const DAY: Duration = Duration::from_hours(24);

/// The change log for a week, everything else for two days.
pub fn ages() -> Retention {
    let age = |what| (what, if what == Kept::Changes { 7 * DAY } else { 2 * DAY });
    Retention {
        every: Duration::from_hours(1),
        ages: Kept::ALL.map(age).into(),
    }
}

/// Rows of the history, which say whether they are kept three days after the start, on 5 March 2026.
const HISTORY: &str = "
    insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation) values
        ('annex', '2026-02-20', 'goes', gen_random_uuid(), 'edit'),
        ('moon', '2026-02-25', 'goes', gen_random_uuid(), 'edit'),
        ('annex', '2026-02-27', 'stays: young', gen_random_uuid(), 'edit');
    insert into rollcall.sync_run (id, trigger, started_at, ended_at, outcome) overriding system value values
        (101, 'goes', '2026-02-20', '2026-02-20', 'complete'),
        (102, 'stays: open', '2026-02-20', null, null),
        (103, 'stays: undecided', '2026-02-20', '2026-02-20', 'held'),
        (104, 'goes: decided', '2026-02-20', '2026-02-20', 'held'),
        (105, 'stays: has a removal', '2026-02-20', '2026-02-20', 'held'),
        (106, 'stays: has planned changes', '2026-02-20', '2026-02-20', 'complete'),
        (107, 'goes', '2026-02-21', '2026-02-21', 'failed'),
        (108, 'stays: latest', '2026-02-21', '2026-02-21', 'failed');
    insert into rollcall.held_set (environment, run_id, why, held_at, expires_at, decision) values
        ('annex', 103, 'stays: undecided', '2026-02-20', '2026-02-23', null),
        ('annex', 104, 'goes: decided', '2026-02-20', '2026-02-23', 'approved');
    insert into rollcall.removal values
        ('annex', gen_random_uuid(), gen_random_uuid(), 'unlicensed', 105, 'rejected', '2026-02-20');
    insert into rollcall.planned_change (run_id, environment, who, systemuserid, operation, role, held, fields)
    values (106, 'annex', gen_random_uuid(), gen_random_uuid(), 'create', '', false, '{}');
    insert into rollcall.finding (code, environment, detail, opened_at, closed_at) values
        ('upn_conflict', 'annex', 'goes', '2026-02-20', '2026-02-21'),
        ('upn_conflict', 'annex', 'stays: open', '2026-02-20', null),
        ('upn_conflict', 'annex', 'stays: closed lately', '2026-02-20', '2026-03-04');
    insert into rollcall.sync_request (environments, is_full, dry_run, requested_at, run_id) values
        ('{goes}', false, false, '2026-02-20', 101),
        ('{goes: nobody has taken it}', false, false, '2026-02-20', null),
        ('{stays: young}', false, false, '2026-03-04', null)";

const LEFT: &str = "
    select concat_ws(' ', what, label) from (
        select 'change', actor from rollcall.system_user_change where environment in ('annex', 'moon')
        union all select 'run', trigger from rollcall.sync_run
        union all select 'set', why from rollcall.held_set
        union all select 'finding', detail from rollcall.finding where environment = 'annex'
        union all select 'request', environments[1] from rollcall.sync_request) as all_of_it (what, label)
    order by 1";

#[tokio::test]
async fn history_goes_when_it_is_old_and_what_is_needed_stays() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world.execute(HISTORY).await;
    number_all(&world.engine.store).await.unwrap();
    // Nobody has numbered this one.
    world
        .execute(
            "insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
             values ('annex', '2026-02-20', 'stays: not in the feed', gen_random_uuid(), 'edit')",
        )
        .await;
    world.advance(3 * DAY);
    purge_all(&world.engine.base(), &ages()).await.unwrap();
    let expected = "
        change stays: not in the feed
        change stays: young
        finding stays: closed lately
        finding stays: open
        request stays: young
        run stays: has a removal
        run stays: has planned changes
        run stays: latest
        run stays: open
        run stays: undecided
        set stays: undecided";
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(world.strings(LEFT).await, expected);

    // In the feed it goes as well. The last success stays, and the latest run, although they are old by then.
    number_all(&world.engine.store).await.unwrap();
    world.advance(30 * DAY);
    world.execute("delete from rollcall.planned_change").await;
    let forever = Retention {
        ages: [(Kept::Runs, 2 * DAY), (Kept::Changes, 7 * DAY)].into(),
        ..ages()
    };
    purge_all(&world.engine.base(), &forever).await.unwrap();
    let left = world.strings(LEFT).await;
    assert!(!left.iter().any(|label| label.starts_with("change")), "{left:?}");
    assert!(
        left.contains(&"finding stays: closed lately".to_owned()),
        "kept for ever: {left:?}"
    );
    assert!(world.engine.records().readiness().await.unwrap().1.is_some());
    world.end().await;
}

#[tokio::test]
async fn the_mirror_forgets_who_is_gone_without_a_row_and_memberships_that_are_over() {
    let mut world = World::new(vec![]).await;
    let group = world.tenant().create_group("Sales");
    world.configure(|settings| {
        settings.environments = vec![(guarded_environment(ENV, group), String::new())];
    });
    let [ada, bob, eve] = ["Ada", "Bob", "Eve"].map(|name| licensed(world.tenant(), name, "Person"));
    let [dora, fay] = ["Dora", "Fay"].map(|name| world.tenant().add_user(User::named(name, "Stranger")));
    world.tenant().add_members(group, [ada, bob, eve, fay]);
    world.tenant().add_owner(group, bob);
    world.sync_completely().await;

    let gone = |user| {
        world.tenant().soft_delete(user);
        world.tenant().purge(user);
    };
    gone(dora);
    gone(eve);
    world.tenant().remove_member(group, ada);
    let full = rollcall::sync::cycle::Request {
        full: true,
        ..Default::default()
    };
    world.run(full.clone()).await.unwrap();
    let base = world.engine.base();
    purge_all(&base, &ages()).await.unwrap();
    let users = "select concat_ws(' ', given_name, state) from rollcall.directory_user order by 1";
    let members = "select concat_ws(' ', u.given_name, m.is_member) from rollcall.directory_group_member m
                   left join rollcall.directory_user u on u.id = m.object_id order by 1";
    assert_eq!(
        world.strings(users).await,
        ["Ada 0", "Bob 0", "Dora 2", "Eve 2", "Fay 0"]
    );

    // Three days later others have gone, just now.
    world.advance(3 * DAY);
    gone(fay);
    world.tenant().remove_member(group, bob);
    world.run(full).await.unwrap();
    purge_all(&base, &ages()).await.unwrap();
    assert_eq!(
        world.strings(users).await,
        ["Ada 0", "Bob 0", "Eve 2", "Fay 2"],
        "Dora is forgotten; Eve has a row, and Fay has only just gone"
    );
    let left = world.strings(members).await;
    assert!(!left.iter().any(|member| member.starts_with("Ada")), "{left:?}");
    assert!(left.contains(&"Bob f".to_owned()), "{left:?}");
    world.assert_settled().await;

    world.advance(3 * DAY);
    purge_all(&base, &ages()).await.unwrap();
    assert_eq!(world.strings(users).await, ["Ada 0", "Bob 0", "Eve 2"]);
    let left = world.strings(members).await;
    assert!(left.contains(&"Bob f".to_owned()), "an owner stays: {left:?}");
    assert_eq!(world.number("select count(*) from rollcall.moment_mark").await, 2);
    world.end().await;
}

#[tokio::test]
async fn a_round_takes_small_steps_and_one_that_was_cut_off_is_made_up_for() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    number_all(&world.engine.store).await.unwrap();
    world
        .execute(
            "insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
             select 'annex', '2026-01-01', 'ada', gen_random_uuid(), 'edit' from generate_series(1, 3500);
             insert into rollcall.sync_request (environments, is_full, dry_run, requested_at)
             select '{}', false, false, '2026-01-01' from generate_series(1, 2500)",
        )
        .await;
    number_all(&world.engine.store).await.unwrap();
    let store = &world.engine.store;
    let mut base = world.engine.base();
    base.cancel = CancellationToken::new();
    base.cancel.cancel();
    assert!(matches!(purge_all(&base, &ages()).await, Err(Failure::Cancelled)));

    let before = Utc.with_ymd_and_hms(2026, 2, 1, 0, 0, 0).unwrap();
    let mut db = store.read().await.unwrap();
    let part = retention::purge(&mut db, Kept::Requests, before, Place::default(), 1000)
        .await
        .unwrap();
    drop(db);
    assert!(part.deleted == 1000 && part.next.is_some(), "{part:?}");

    let sent = store.statements();
    purge_all(&world.engine.base(), &ages()).await.unwrap();
    let sent = store.statements() - sent;
    let old = "select (select count(*) from rollcall.system_user_change where environment = 'annex')
                    + (select count(*) from rollcall.sync_request)";
    assert_eq!(world.number(old).await, 0);
    // Each statement follows one that tests the connection. At most 1,000 rows go by one statement, so five are needed
    // for the change log and two for the requests, and few for everything else.
    assert!((14..=36).contains(&sent), "{sent}");
    let sent_before = store.statements();
    purge_all(&world.engine.base(), &ages()).await.unwrap();
    assert!(
        store.statements() - sent_before <= 24,
        "nothing is old: {}",
        store.statements() - sent_before
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_deletes_what_is_old_and_counts_it() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(Settings::default()).unwrap();
    let database = migrated_database().await;
    let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
    let installation = Installation::new(&simulator, &database.url, environments);
    let daemon = Daemon::start_with(&installation, |command| {
        command.env("ROLLCALL__RETENTION__EVERY", "1s");
    });
    daemon.becomes_ready().await;
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    db.execute(
        "insert into rollcall.finding (code, detail, opened_at, closed_at) values ('upn_conflict', 'old', '2020-01-01', '2020-01-01')",
    )
    .await
    .unwrap();
    let counted = async || {
        let metric = daemon
            .metric("rollcall_retention_deleted_total{table=\"findings\"}")
            .await;
        metric.as_deref() == Some("1")
    };
    assert!(eventually(counted).await, "{}", daemon.log());
    let log = daemon.stop().await;
    assert!(log.contains("old records are deleted"), "{log}");
    database.drop_database().await.unwrap();
}
