//! The change feed: whoever reads it sees every committed line of the change log once, those of a row in order, however
//! writers interleave and whoever gives the positions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rollcall::domain::change_feed::{FeedCursor, FeedFilter, FeedLine};
use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::test_database;
use rollcall::simulator::{Settings, Simulator};
use rollcall::store::{Store, feed};
use rollcall::sync::daemon::numberer::number_all;
use rollcall::sync::records::Records;
use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::{Daemon, TOKEN, an_operators_token, eventually};
use crate::least_privilege::person;
use crate::world::{World, migrated_database, open_environment};

const ENVIRONMENTS: [&str; 2] = ["annex", "production"];

/// Reads the feed as a program does.
#[derive(Default)]
struct Reader {
    after: Option<FeedCursor>,
    read: Vec<FeedLine>,
}

impl Reader {
    async fn poll(&mut self, records: &Records, limit: i64) {
        let filter = FeedFilter::default();
        let page = records.feed(self.after, &filter, limit, Duration::ZERO).await.unwrap();
        self.after = Some(page.next);
        self.read.extend(page.items);
    }

    /// Everything that is committed was read, once, in the order of each row.
    async fn assert_complete(mut self, world: &World) {
        number_all(&world.engine.store).await.unwrap();
        let records = world.engine.records();
        let mut before = usize::MAX;
        while before != self.read.len() {
            before = self.read.len();
            self.poll(&records, 1000).await;
        }
        let ids: Vec<String> = self.read.iter().map(|line| line.id.to_string()).collect();
        let read: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(read.len(), ids.len(), "a line was read twice: {ids:?}");
        let committed = world.strings("select id::text from rollcall.system_user_change").await;
        assert_eq!(read, committed.into_iter().collect());
        let mut last: BTreeMap<Uuid, i64> = BTreeMap::new();
        for line in &self.read {
            let earlier = last.insert(line.systemuserid, line.id);
            assert!(earlier < Some(line.id), "{line:?} after {earlier:?}");
        }
    }
}

/// Another program that has a transaction open, with the rows that it has locked.
struct Writer {
    db: PgConnection,
    rows: Vec<usize>,
}

impl Writer {
    async fn write(&mut self, row: usize, place: &str) {
        let write = format!(
            "update rollcall.system_user set company = coalesce(company, '') || 'x'
             where environment = '{place}' and systemuserid = '{}'",
            Uuid::from_u128(row as u128)
        );
        let written = self.db.execute(AssertSqlSafe(write)).await.unwrap();
        assert_eq!(written.rows_affected(), 1);
        self.rows.push(row);
    }

    async fn end(&mut self, how: &'static str) {
        self.db.execute(how).await.unwrap();
        self.rows.clear();
    }
}

/// Rows 1 to 8, alternately in two environments.
const ROWS: usize = 8;

fn place_of(row: usize) -> &'static str {
    ENVIRONMENTS[row % 2]
}

async fn stage() -> World {
    let world = World::new(ENVIRONMENTS.map(open_environment).to_vec()).await;
    let mut db = world.sql().await;
    for row in 1..=ROWS {
        let id = Uuid::from_u128(row as u128);
        let add = format!(
            "insert into rollcall.system_user (environment, systemuserid) values ('{}', '{id}')",
            place_of(row)
        );
        db.execute(AssertSqlSafe(add)).await.unwrap();
    }
    world
}

#[tokio::test]
async fn a_reader_that_polls_sees_every_committed_line_once_and_those_of_a_row_in_order() {
    let world = stage().await;
    let store = &world.engine.store;
    let successor = Store::connect(world.database_url(), &Schema::default(), 2)
        .await
        .unwrap();
    let records = world.engine.records();
    let mut random = StdRng::seed_from_u64(11);
    let mut writers = Vec::new();
    for _ in 0..5 {
        let db = world.sql().await;
        writers.push(Writer { db, rows: Vec::new() });
    }
    let mut reader = Reader::default();
    for _ in 0..400 {
        let one = random.random_range(0..writers.len());
        match random.random_range(0..10) {
            // A writer adds to its transaction, which may be the first of all to begin and the last to end.
            0..4 => {
                let row = random.random_range(1..=ROWS);
                let is_free = writers
                    .iter()
                    .enumerate()
                    .all(|(other, writer)| other == one || !writer.rows.contains(&row));
                if is_free {
                    if writers[one].rows.is_empty() {
                        writers[one].db.execute("begin").await.unwrap();
                    }
                    writers[one].write(row, place_of(row)).await;
                }
            }
            4 => writers[one].end("commit").await,
            5 => writers[one].end("rollback").await,
            // Some numbering, by either process; some is cut off, and some done by both at once.
            6 => {
                let mut tx = store.begin().await.unwrap();
                feed::number(&mut tx, random.random_range(1..5)).await.unwrap();
                if random.random_bool(0.5) {
                    tx.commit().await.unwrap();
                }
            }
            7 => {
                let (first, second) = tokio::join!(number_all(store), number_all(&successor));
                first.and(second).unwrap();
            }
            _ => reader.poll(&records, random.random_range(1..6)).await,
        }
    }
    for writer in &mut writers {
        writer.end("commit").await;
    }
    assert!(reader.read.len() > 50, "{}", reader.read.len());
    reader.assert_complete(&world).await;
    successor.close().await;
    world.end().await;
}

#[tokio::test]
async fn lines_from_before_the_feed_come_first_and_in_their_order() {
    let database = test_database("feed").await.unwrap();
    let store = Store::connect(&database.url, &Schema::default(), 2).await.unwrap();
    let migrations = sqlx::migrate!("./migrations");
    let is_earlier = |one: &&sqlx::migrate::Migration| one.version < 24;
    let earlier = migrations.iter().filter(is_earlier).cloned().collect();
    store.apply(&Migrator::with_migrations(earlier)).await.unwrap();
    let mut db = PgConnection::connect(&database.url).await.unwrap();
    // Every third line was rolled back or deleted.
    let write = "insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
                 select (array['annex', 'production', 'moon'])[1 + n % 2], now(), 'ada', gen_random_uuid(), 'edit'
                 from generate_series(1, 30) n";
    db.execute(write).await.unwrap();
    db.execute("delete from rollcall.system_user_change where id % 3 = 0")
        .await
        .unwrap();
    store.migrate().await.unwrap();
    db.execute(write).await.unwrap();

    assert_eq!(feed::backlog(&mut store.read().await.unwrap()).await.unwrap(), 60);
    for _ in 0..5 {
        let mut tx = store.begin().await.unwrap();
        feed::number(&mut tx, 7).await.unwrap();
        tx.commit().await.unwrap();
    }
    number_all(&store).await.unwrap();
    let query = "select array(select id from rollcall.change_feed order by position),
                        array(select id from rollcall.system_user_change order by id),
                        array(select position from rollcall.change_feed order by position)";
    let (fed, logged, positions): (Vec<i64>, Vec<i64>, Vec<i64>) =
        sqlx::query_as(query).fetch_one(&mut db).await.unwrap();
    assert_eq!(fed, logged);
    assert_eq!(positions, (1..=50).collect::<Vec<i64>>());
    store.close().await;
    database.drop_database().await.unwrap();
}

/// `GET changes` of a daemon.
async fn get_changes(daemon: &Daemon, query: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let address = format!("http://{}/api/v1/changes?{query}", daemon.address);
    let answer = client.get(address).bearer_auth(TOKEN).send().await.ok()?;
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_kill_of_the_leader_a_program_reads_each_change_once() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(Settings::default()).unwrap();
    for name in ["Ada", "Bob", "Eve"] {
        person(&simulator, name);
    }
    let database = migrated_database().await;
    let environments = format!(
        "{}\n[[environment]]\nname = \"production\"\nkind = \"production\"\n",
        an_operators_token()
    );
    let installation = Installation::new(&simulator, &database.url, &environments);
    let leader = Daemon::start(&installation);
    leader.becomes_ready().await;
    let other = Daemon::start(&installation);
    other.becomes_ready().await;
    assert_eq!(leader.metric("rollcall_leader").await.as_deref(), Some("1"));

    let mut db = PgConnection::connect(&database.url).await.unwrap();
    let (mut read, mut after) = (Vec::new(), String::new());
    let mut leader = Some(leader);
    for turn in 0..12 {
        let write = format!(
            "update rollcall.system_user set company = 'turn {turn}' where azureactivedirectoryobjectid is not null"
        );
        db.execute(AssertSqlSafe(write)).await.unwrap();
        if turn == 5
            && let Some(leader) = leader.take()
        {
            leader.kill().await;
        }
        let page = get_changes(&other, &format!("{after}limit=5")).await.unwrap();
        read.extend(page["items"].as_array().unwrap().clone());
        after = format!("after={}&", page["next"].as_str().unwrap());
    }
    let logged: Vec<i64> = sqlx::query_scalar("select id from rollcall.system_user_change order by id")
        .fetch_all(&mut db)
        .await
        .unwrap();
    let has_read_all = async || {
        let Some(page) = get_changes(&other, &format!("{after}wait=1")).await else {
            return false;
        };
        read.extend(page["items"].as_array().unwrap().clone());
        after = format!("after={}&", page["next"].as_str().unwrap());
        read.len() >= logged.len()
    };
    assert!(eventually(has_read_all).await, "{}", other.log());
    let mut ids: Vec<i64> = read.iter().map(|line| line["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, logged);
    assert!(eventually(async || other.metric("rollcall_change_feed_backlog").await.as_deref() == Some("0")).await);
    other.stop().await;
    database.drop_database().await.unwrap();
}
