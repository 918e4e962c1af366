//! The real daemon, with people at its API, while the primary is killed and the replica promoted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use rollcall::clock::Clock;
use rollcall::simulator::tenant::{LARGE_GROUP, TokenDeath};
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::pair::Pair;
use crate::binary::Installation;
use crate::daemon::{Daemon, TOKEN, an_operators_token, eventually};
use crate::ending::ask;
use crate::guard::without_marketing;
use crate::world::migrated_database;

const USERS: u64 = 120;

/// More than the guard lets through, so that they wait for a person.
const BLOCKED: usize = 30;
const MAX_DISABLES: usize = 10;

/// Somebody edits a row this often.
const EDIT_EVERY: Duration = Duration::from_millis(20);
/// How long the address leads to a server that only reads.
const READ_ONLY_FOR: Duration = Duration::from_secs(1);
/// A cycle waits this long for its page: long enough to be lost in the middle of it.
const SLOW_PAGE: Duration = Duration::from_secs(1);

/// How many cycles have left nothing undone.
const ENDED: &str = "select count(*) from rollcall.sync_run where outcome in ('complete', 'held')";

struct Stage {
    pair: Pair,
    simulator: Arc<Simulator>,
    installation: Installation,
    daemon: Daemon,
    people: Vec<Uuid>,
    /// The run that holds removals.
    held: i64,
}

fn environments() -> String {
    format!(
        "[[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
         [[environment]]\nname = \"sandbox\"\nkind = \"production\"\n"
    )
}

fn configuration() -> String {
    format!(
        "[guard]\nmax_disables = {MAX_DISABLES}\nmax_disable_percent = 100.0\n\n{}\n{}",
        an_operators_token(),
        environments()
    )
}

/// Calls the API. Nothing where it does not answer.
pub async fn call(
    http: &reqwest::Client,
    daemon: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let request = http
        .request(method, format!("{daemon}/api/v1/{path}"))
        .bearer_auth(TOKEN);
    let request = request
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let body = serde_json::from_str(&answer.text().await.ok()?).unwrap_or(Value::Null);
    Some((status, body))
}

/// What somebody who edits rows all the time has seen.
#[derive(Debug, Default)]
struct Edits {
    /// The values whose edit was answered with 200.
    acknowledged: Vec<String>,
    /// The longest time between two such answers.
    outage: Duration,
    /// The longest wait for any answer.
    slowest: Duration,
    /// Other answers, counted.
    refused: BTreeMap<u16, u64>,
}

/// One edit after another, of one row after another, until told to stop.
fn edit(address: String, people: Vec<Uuid>, stop: Arc<AtomicBool>) -> JoinHandle<Edits> {
    tokio::spawn(async move {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut edits = Edits::default();
        let mut answered = Instant::now();
        for number in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let person = people[number % people.len()];
            let value = format!("company {number}");
            let path = format!("environments/sandbox/users/{person}");
            let asked = Instant::now();
            let answer = call(&http, &address, Method::PATCH, &path, &json!({"company": value})).await;
            edits.slowest = edits.slowest.max(asked.elapsed());
            match answer {
                Some((200, _)) => {
                    edits.outage = edits.outage.max(answered.elapsed());
                    answered = Instant::now();
                    edits.acknowledged.push(value);
                }
                other => *edits.refused.entry(other.map_or(0, |(status, _)| status)).or_default() += 1,
            }
            Clock::system().sleep(EDIT_EVERY).await;
        }
        edits
    })
}

impl Stage {
    async fn new(synchronous: bool) -> Option<Self> {
        let pair = Pair::start().await?;
        rustls::crypto::ring::default_provider().install_default().ok();
        if synchronous {
            pair.become_synchronous().await;
        }
        let simulator = Simulator::start(Settings {
            users: USERS,
            page_size: 20,
            listing_page_size: 20,
            ..Settings::default()
        })
        .unwrap();
        simulator.tenant().furnish();
        without_marketing(simulator.tenant());
        let installation = Installation::new(&simulator, pair.front.url(), &configuration());
        let daemon = Daemon::start(&installation);
        daemon.becomes_ready().await;
        let mut stage = Self {
            pair,
            simulator: Arc::new(simulator),
            installation,
            daemon,
            people: Vec::new(),
            held: 0,
        };
        stage.people = stage.rows().await;
        for person in &stage.people[..BLOCKED] {
            let tenant = stage.simulator.tenant();
            assert!(tenant.update_user(*person, |user| user.account_enabled = Some(false)));
        }
        let held = "select coalesce(max(run_id), 0) from rollcall.held_set where decision is null
                    group by environment having environment = 'sandbox'";
        let database = stage.pair.primary_url();
        let found = async || {
            let mut db = PgConnection::connect(&database).await.unwrap();
            let run: Option<i64> = sqlx::query_scalar(held).fetch_optional(&mut db).await.unwrap();
            stage.held = run.unwrap_or_default();
            stage.held > 0
        };
        assert!(eventually(found).await, "{}", stage.daemon.log());
        Some(stage)
    }

    fn address(&self) -> String {
        format!("http://{}", self.daemon.address)
    }

    /// Enabled users of the sandbox.
    async fn rows(&self) -> Vec<Uuid> {
        let mut db = PgConnection::connect(&self.pair.primary_url()).await.unwrap();
        sqlx::query_scalar(
            "select azureactivedirectoryobjectid from rollcall.system_user where environment = 'sandbox'
             and not isdisabled and azureactivedirectoryobjectid is not null order by 1",
        )
        .fetch_all(&mut db)
        .await
        .unwrap()
    }

    /// Somebody approves the held set of one environment, until it is answered.
    async fn approve(&self, environment: &str) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let path = format!("runs/{}/approve?environment={environment}", self.held);
        let mut answer = Value::Null;
        let approved = async || {
            let given = call(&http, &self.address(), Method::POST, &path, &Value::Null).await;
            answer = given.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
            given.is_some_and(|(status, _)| status == 200)
        };
        assert!(eventually(approved).await, "{answer}: {}", self.daemon.log());
        answer
    }

    /// Things change in the directory: titles, a group, an account, somebody new.
    fn change_directory(&self, title: &str) {
        let tenant = self.simulator.tenant();
        let rest = &self.people[BLOCKED..];
        for person in &rest[..10] {
            tenant.update_user(*person, |user| user.job_title = Some(title.to_owned()));
        }
        let newcomer = crate::world::licensed(tenant, "New", title);
        tenant.add_member(LARGE_GROUP, newcomer);
    }

    /// Waits for a whole cycle that began after this call.
    async fn cycle(&self, database: &str) {
        let wanted = ask(database, ENDED).await + 2;
        let ended = eventually(async || ask(database, ENDED).await >= wanted).await;
        assert!(ended, "{}", self.daemon.log());
    }

    /// Every row is as a first sync into an empty database would make it; whoever would get none is disabled.
    async fn is_what_the_directory_says(&self) {
        let database = migrated_database().await;
        let fresh = Installation::new(&self.simulator, &database.url, &environments());
        let said = fresh.run("sync").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let wanted = enabled_rows(&database.url).await;
        let found = enabled_rows(&self.pair.replica_url()).await;
        let lost: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).take(3).collect();
        let wrong: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).take(3).collect();
        assert!(lost.is_empty() && wrong.is_empty(), "lost {lost:#?}, wrong {wrong:#?}");
        println!("{} rows are what the directory says", found.len());
        database.drop_database().await.unwrap();
    }
}

/// What the directory determines of everybody who may sign in.
async fn enabled_rows(database: &str) -> Vec<String> {
    let mut db = PgConnection::connect(database).await.unwrap();
    sqlx::query_scalar(
        "select concat_ws('|', environment, azureactivedirectoryobjectid, domainname, firstname, lastname, jobtitle,
                          mobilephone, address1_city, accessmode, islicensed, azurestate)
         from rollcall.system_user where not isdisabled and azureactivedirectoryobjectid is not null order by 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap()
}

/// Which of some values the change log of a database has.
async fn kept(database: &str, values: &[String]) -> usize {
    let mut db = PgConnection::connect(database).await.unwrap();
    let kept: Vec<String> = sqlx::query_scalar(
        "select distinct fields -> 'company' ->> 1 from rollcall.system_user_change
         where fields -> 'company' ->> 1 = any($1)",
    )
    .bind(values)
    .fetch_all(&mut db)
    .await
    .unwrap();
    kept.len()
}

/// The whole story. Answers how many of the acknowledged edits were kept, and of how many.
async fn fail_over(stage: Stage, synchronous: bool, dead_links: bool) -> (usize, usize) {
    let clock = Clock::system();
    let stop = Arc::new(AtomicBool::new(false));
    let editor = edit(stage.address(), stage.people[BLOCKED..].to_vec(), Arc::clone(&stop));
    if synchronous {
        // Answered, and the primary is gone a moment later.
        stage.approve("sandbox").await;
    } else {
        // The replica misses whole cycles.
        stage.pair.catch_up().await;
        stage.pair.cut_off_replica();
        stage.change_directory("Lost");
        stage.cycle(&stage.pair.primary_url()).await;
    }
    let page = When::path("/users/delta");
    stage
        .simulator
        .faults()
        .push(Fault::once(page, Effect::Delay(SLOW_PAGE)));
    assert!(eventually(async || stage.simulator.faults().pending() == 0).await);
    stage.change_directory("In flight");

    let lost = Instant::now();
    stage.pair.lose_primary().await;
    stage.change_directory("While away");
    clock.sleep(READ_ONLY_FOR).await;
    if dead_links {
        stage.simulator.tenant().expire_tokens(TokenDeath::SyncStateNotFound);
    }
    stage.pair.promote().await;
    let promoted = Instant::now();
    let database = stage.pair.replica_url();
    let ended = ask(&database, ENDED).await;
    assert!(
        eventually(async || ask(&database, ENDED).await > ended).await,
        "{}",
        stage.daemon.log()
    );
    let cycled = promoted.elapsed();
    stage.cycle(&database).await;
    stop.store(true, Ordering::SeqCst);
    let edits = editor.await.unwrap();
    println!(
        "replication {}: edits stood still for {} ms ({} ms of them without a primary), the longest wait for an answer \
         {} ms; the first whole cycle {} ms after the promotion; answers beside 200: {:?}",
        if synchronous { "synchronous" } else { "asynchronous" },
        edits.outage.as_millis(),
        promoted.duration_since(lost).as_millis(),
        edits.slowest.as_millis(),
        cycled.as_millis(),
        edits.refused,
    );
    let strange: Vec<_> = edits.refused.keys().filter(|status| **status != 503).collect();
    assert!(
        strange.is_empty(),
        "answers other than 503: {strange:?}: {}",
        stage.daemon.log()
    );

    // Whatever was not approved is approved now; then nothing that the directory says is missing.
    let approved = "select count(*) from rollcall.held_set where environment = 'sandbox' and decision = 'approved'";
    if synchronous {
        assert_eq!(
            ask(&database, approved).await,
            1,
            "an approval that was answered is there"
        );
    } else {
        stage.approve("sandbox").await;
    }
    stage.approve("production").await;
    stage.cycle(&database).await;
    stage.is_what_the_directory_says().await;
    let twice = "select count(*) from (select from rollcall.system_user_change where operation = 'create'
         group by environment, systemuserid having count(*) > 1) as twice";
    assert_eq!(ask(&database, twice).await, 0);
    let kept = kept(&database, &edits.acknowledged).await;
    println!("{kept} of {} acknowledged edits are there", edits.acknowledged.len());

    // The old primary comes back as it was. Nobody is led to it, and nobody minds.
    let Stage {
        pair,
        daemon,
        installation,
        ..
    } = stage;
    let returned = pair.bring_back_primary().await;
    let before = ask(&returned.old_url(), ENDED).await;
    let wanted = ask(&database, ENDED).await + 2;
    assert!(eventually(async || ask(&database, ENDED).await >= wanted).await);
    assert_eq!(ask(&returned.old_url(), ENDED).await, before);
    daemon.stop().await;
    drop(installation);
    returned.end().await;
    (kept, edits.acknowledged.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_asynchronous_replication_nothing_that_the_directory_says_is_lost() {
    let Some(stage) = Stage::new(false).await else { return };
    fail_over(stage, false, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_die_while_the_primary_is_lost_cost_a_full_round_and_nothing_else() {
    let Some(stage) = Stage::new(false).await else { return };
    fail_over(stage, false, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_synchronous_replication_every_edit_and_approval_that_was_answered_is_there() {
    let Some(stage) = Stage::new(true).await else { return };
    let (kept, acknowledged) = fail_over(stage, true, false).await;
    assert!(acknowledged > 20);
    assert_eq!(kept, acknowledged);
}
