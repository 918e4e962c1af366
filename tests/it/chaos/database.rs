//! The database server, and what goes wrong with it and on the way to it.

use std::path::PathBuf;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::{Cluster, Options, TestDatabase};
use rollcall::simulator::tenant::User;
use rollcall::store::Store;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use super::graph::runs_end;
use super::stage::{Member, Stage};
use super::{Deck, pause};
use crate::proxy::{Side, Weather};
use crate::world::migrated_database;

/// Raises what a full disk raises, and counts how often; a sequence does not roll back.
const FULL_DISK: &str = "
create schema if not exists chaos;
create sequence if not exists chaos.full;
grant usage on schema chaos to public;
grant usage on sequence chaos.full to public;
create or replace function chaos.full() returns trigger language plpgsql as $$
begin
    perform nextval('chaos.full');
    raise exception 'could not extend file: No space left on device' using errcode = '53100';
end $$";

/// The tables whose next write finds the disk full. On the published ones a trigger that raises is the customer's.
const FILLING: [&str; 4] = ["pending", "finding", "checkpoint", "directory_user"];

/// A database on a server, and the role that the daemons have there: no superuser, so that limits are limits.
pub struct Server {
    role: String,
    password: String,
    place: tokio::sync::Mutex<Place>,
}

enum Place {
    Shared(TestDatabase),
    /// None while it is away.
    Own(PathBuf, Option<Box<Cluster>>),
}

const DATABASE: &str = "chaos";

fn options(fresh: bool) -> Options {
    Options {
        fresh,
        max_connections: 100,
        // What was committed must survive a server that is killed.
        ..Options::durable()
    }
}

impl Server {
    pub async fn new(own: bool) -> Self {
        let place = if own {
            let folder = std::env::temp_dir().join(format!("rollcall-chaos-{}", Uuid::new_v4().simple()));
            let cluster = Cluster::start(&folder, &options(true)).await.unwrap();
            let url = cluster.create_database(DATABASE).await.unwrap();
            let store = Store::connect(&url, &Schema::default(), 1).await.unwrap();
            store.migrate().await.unwrap();
            store.close().await;
            Place::Own(folder, Some(Box::new(cluster)))
        } else {
            Place::Shared(migrated_database().await)
        };
        let server = Self {
            role: format!("chaos_{}", &Uuid::new_v4().simple().to_string()[..12]),
            password: Uuid::new_v4().simple().to_string(),
            place: tokio::sync::Mutex::new(place),
        };
        let (role, password) = (&server.role, &server.password);
        server
            .execute(&format!(
                "create role {role} login password '{password}';
                 grant usage on schema rollcall to {role};
                 grant select, insert, update, delete on all tables in schema rollcall to {role};
                 grant usage on all sequences in schema rollcall to {role};
                 grant execute on all functions in schema rollcall to {role};
                 {FULL_DISK}"
            ))
            .await;
        server
    }

    /// The superuser's URL; none while the server is away.
    async fn url(&self) -> Option<String> {
        match &*self.place.lock().await {
            Place::Shared(database) => Some(database.url.clone()),
            Place::Own(_, cluster) => cluster.as_ref().map(|cluster| cluster.url(DATABASE)),
        }
    }

    pub async fn url_of_the_daemons(&self) -> String {
        let mut url = Url::parse(&self.url().await.unwrap()).unwrap();
        url.set_username(&self.role).unwrap();
        url.set_password(Some(&self.password)).unwrap();
        url.into()
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    /// A connection, as soon as one can be had.
    pub async fn sql(&self) -> PgConnection {
        for _ in 0..600 {
            if let Some(url) = self.url().await
                && let Ok(db) = PgConnection::connect(&url).await
            {
                return db;
            }
            pause(50).await;
        }
        panic!("the server does not come back");
    }

    async fn execute(&self, statements: &str) {
        let mut db = self.sql().await;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut db).await.unwrap();
    }

    /// A number, asked for again if the server goes away meanwhile.
    pub async fn number(&self, query: &str) -> i64 {
        for _ in 0..100 {
            let mut db = self.sql().await;
            if let Ok(number) = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut db).await {
                return number;
            }
            pause(50).await;
        }
        panic!("the server does not answer {query}");
    }

    /// Ends all the daemons' backends. How many there were.
    async fn terminate(&self) -> i64 {
        let end = "count(*) filter (where pg_terminate_backend(pid))";
        let role = &self.role;
        self.number(&format!("select {end} from pg_stat_activity where usename = '{role}'"))
            .await
    }

    async fn backends(&self, like: &str) -> i64 {
        let role = &self.role;
        self.number(&format!(
            "select count(*) from pg_stat_activity where usename = '{role}' and {like}"
        ))
        .await
    }

    async fn times_full(&self) -> i64 {
        self.number("select case when is_called then last_value else 0 end from chaos.full")
            .await
    }

    /// Takes back whatever may have been set.
    pub async fn mend(&self) {
        let role = &self.role;
        self.execute(&format!(
            "alter role {role} connection limit -1; alter role {role} reset all"
        ))
        .await;
        for table in FILLING {
            self.execute(&format!("drop trigger if exists full_disk on rollcall.{table}"))
                .await;
        }
    }

    /// Ends the server in a way and starts it again, on another port.
    async fn restart(&self, way: Restart) -> String {
        let mut place = self.place.lock().await;
        let Place::Own(folder, cluster) = &mut *place else {
            panic!("only a server of our own is restarted");
        };
        let signal = match way {
            Restart::Orderly => None,
            Restart::Immediate => Some("-QUIT"),
            Restart::Killed => Some("-KILL"),
        };
        if let Some(signal) = signal {
            let pid_file = std::fs::read_to_string(folder.join("rollcall-data/postmaster.pid")).unwrap();
            let pid = pid_file.lines().next().unwrap().to_owned();
            let status = tokio::process::Command::new("kill").args([signal, &pid]).status().await;
            assert!(status.unwrap().success());
        }
        cluster.take().unwrap().stop().await.unwrap();
        pause(500).await;
        let started = Cluster::start(folder, &options(false)).await.unwrap();
        let url = started.url(DATABASE);
        *cluster = Some(Box::new(started));
        url
    }

    pub async fn end(self) {
        match self.place.into_inner() {
            Place::Shared(database) => {
                let mut url = Url::parse(&database.url).unwrap();
                database.drop_database().await.unwrap();
                url.set_path("postgres");
                let mut db = PgConnection::connect(url.as_str()).await.unwrap();
                let statement = AssertSqlSafe(format!("drop role {}", self.role));
                sqlx::query(statement).execute(&mut db).await.unwrap();
            }
            Place::Own(folder, cluster) => {
                cluster.unwrap().stop().await.unwrap();
                std::fs::remove_dir_all(folder).unwrap();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Restart {
    Orderly,
    Immediate,
    Killed,
}

#[derive(Clone, Copy, Debug)]
enum Outage {
    Refusing,
    Hanging,
    Cut,
    CommitLost,
    CommitUnanswered,
    Terminated,
    OutOfConnections,
    ReadOnly,
    TableLocked,
    DiskFull,
    CustomersRule(Rule),
    Restarted(Restart),
}

/// A rule of the customer's own on the rows.
#[derive(Clone, Copy, Debug)]
enum Rule {
    UniqueIndex,
    Check,
    Trigger,
}

const ANYWHERE: [Outage; 13] = [
    Outage::CustomersRule(Rule::UniqueIndex),
    Outage::CustomersRule(Rule::Check),
    Outage::CustomersRule(Rule::Trigger),
    Outage::Refusing,
    Outage::Hanging,
    Outage::Cut,
    Outage::CommitLost,
    Outage::CommitUnanswered,
    Outage::Terminated,
    Outage::OutOfConnections,
    Outage::ReadOnly,
    Outage::TableLocked,
    Outage::DiskFull,
];

const ON_A_SERVER_OF_OUR_OWN: [Outage; 3] = [
    Outage::Restarted(Restart::Orderly),
    Outage::Restarted(Restart::Immediate),
    Outage::Restarted(Restart::Killed),
];

/// Breaks something now and then until it is over.
pub async fn break_things(stage: &Stage, mut dice: StdRng) {
    let mut outages = ANYWHERE.to_vec();
    if stage.numbers.own_server {
        outages.extend(ON_A_SERVER_OF_OUR_OWN);
    }
    let mut deck = Deck::new(&outages);
    // The least that a short run has, too.
    let rules = [Rule::UniqueIndex, Rule::Check, Rule::Trigger];
    let mut first = Some(Outage::CustomersRule(*rules.choose(&mut dice).unwrap()));
    while !stage.is_over() {
        pause(dice.random_range(1_500..5_000)).await;
        let _calm = stage.calm.read().await;
        if !stage.is_over() {
            let next = first.take().unwrap_or_else(|| deck.draw(&mut dice));
            befall(stage, next, &mut dice).await;
        }
    }
}

async fn befall(stage: &Stage, outage: Outage, dice: &mut StdRng) {
    let server = &stage.server;
    let lasting = dice.random_range(800..3_000);
    let both = dice.random_ratio(1, 3);
    let struck: Vec<&Member> = if both {
        stage.pair.iter().collect()
    } else {
        vec![&stage.pair[stage.leader().await]]
    };
    match outage {
        Outage::Refusing => weather(stage, &struck, Weather::Refusing, lasting, "database refuses").await,
        Outage::Hanging => weather(stage, &struck, Weather::Hanging, lasting, "database hangs").await,
        Outage::Cut => weather(stage, &struck, Weather::Clear, 0, "connections cut").await,
        Outage::CommitLost => break_a_commit(stage, &struck, Side::Before, "commit lost", dice).await,
        Outage::CommitUnanswered => break_a_commit(stage, &struck, Side::After, "commit unanswered", dice).await,
        Outage::Terminated => {
            if server.terminate().await > 0 {
                stage.hit("backends terminated");
            }
        }
        Outage::OutOfConnections => {
            let role = &server.role;
            server.execute(&format!("alter role {role} connection limit 0")).await;
            let ended = server.terminate().await;
            pause(lasting).await;
            // They want to come back every second.
            if ended > 0 && server.backends("true").await == 0 {
                stage.hit("out of connections");
            }
            server.execute(&format!("alter role {role} connection limit -1")).await;
        }
        Outage::ReadOnly => {
            let role = &server.role;
            let complaints = || {
                stage
                    .pair
                    .iter()
                    .map(|member| member.log().matches("25006").count())
                    .sum::<usize>()
            };
            let before = complaints();
            server
                .execute(&format!("alter role {role} set default_transaction_read_only = on"))
                .await;
            server.terminate().await;
            pause(1_000 + lasting).await;
            server
                .execute(&format!("alter role {role} reset default_transaction_read_only"))
                .await;
            server.terminate().await;
            if complaints() > before {
                stage.hit("database read-only");
            }
        }
        Outage::TableLocked => lock_a_table(stage, lasting, dice).await,
        Outage::DiskFull => fill_the_disk(stage, lasting, dice).await,
        Outage::CustomersRule(rule) => refuse_rows(stage, rule, dice).await,
        Outage::Restarted(way) => {
            let url = server.restart(way).await;
            for member in &stage.pair {
                member.proxy.lead_to(&url);
            }
            stage.hit(match way {
                Restart::Orderly => "server restarted",
                Restart::Immediate => "server stopped at once",
                Restart::Killed => "server killed",
            });
        }
    }
}

/// Bad weather for a while, at these members; open connections are cut unless it hangs.
async fn weather(stage: &Stage, struck: &[&Member], weather: Weather, lasting: u64, name: &'static str) {
    let disturbed = || struck.iter().map(|member| member.proxy.disturbed()).sum::<u64>();
    let before = disturbed();
    for member in struck {
        member.proxy.weather(weather);
        if weather != Weather::Hanging {
            member.proxy.cut();
        }
    }
    pause(lasting).await;
    for member in struck {
        member.proxy.weather(Weather::Clear);
    }
    pause(10).await;
    if disturbed() > before {
        stage.hit(name);
    }
}

async fn break_a_commit(stage: &Stage, struck: &[&Member], side: Side, name: &'static str, dice: &mut StdRng) {
    for member in struck {
        member.proxy.break_at(Some((dice.random_range(1..12), side)));
    }
    for _ in 0..40 {
        pause(50).await;
        if struck.iter().all(|member| member.proxy.broke()) {
            break;
        }
    }
    for member in struck {
        if member.proxy.broke() {
            stage.hit(name);
        }
        member.proxy.break_at(None);
    }
}

async fn lock_a_table(stage: &Stage, lasting: u64, dice: &mut StdRng) {
    let table = *["system_user", "checkpoint", "sync_run", "lease", "pending"]
        .choose(dice)
        .unwrap();
    let mut db = stage.sql().await;
    let statement = format!("set lock_timeout = '2s'; begin; lock table rollcall.{table} in access exclusive mode");
    if sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.is_err() {
        return;
    }
    let waiting = async || stage.server.backends("wait_event_type = 'Lock'").await > 0;
    let mut hit = false;
    for _ in 0..lasting / 100 {
        hit |= waiting().await;
        pause(100).await;
    }
    db.close().await.unwrap();
    if hit {
        stage.hit("table locked");
    }
}

const REFUSED: &str = "from rollcall.finding where code = 'row_not_written' and closed_at is null";

/// A rule of the customer's comes, some users break it, and it goes again.
async fn refuse_rows(stage: &Stage, rule: Rule, dice: &mut StdRng) {
    let title = format!("Forbidden {}", dice.random::<u32>());
    let (make, drop) = match rule {
        Rule::UniqueIndex => (
            "create unique index customers_own on rollcall.system_user (environment, internalemailaddress)".to_owned(),
            "drop index rollcall.customers_own",
        ),
        Rule::Check => (
            format!("alter table rollcall.system_user add constraint customers_own check (jobtitle <> '{title}')"),
            "alter table rollcall.system_user drop constraint customers_own",
        ),
        Rule::Trigger => (
            format!(
                "create function public.customers_own() returns trigger language plpgsql as $$ begin
                     if new.jobtitle = '{title}' then
                         raise exception 'no % at %', new.internalemailaddress, clock_timestamp()
                             using errcode = '08006', detail = new.fullname;
                     end if;
                     return new;
                 end $$;
                 create trigger customers_own before insert or update on rollcall.system_user
                     for each row execute function public.customers_own()"
            ),
            "drop function public.customers_own() cascade",
        ),
    };
    if !alter(stage, &make).await {
        return;
    }
    let users: Vec<Uuid> = (0..6).filter_map(|_| stage.tenant().random_user(dice)).collect();
    let shared = stage.tenant().user(users[0]).and_then(|user| user.mail);
    change_users(stage, &users, |user| match rule {
        Rule::UniqueIndex => user.mail.clone_from(&shared),
        Rule::Check | Rule::Trigger => user.job_title = Some(title.clone()),
    });
    runs_end(stage, 1).await;
    if stage.number(&format!("select count(*) {REFUSED}")).await > 0 {
        stage.hit("rows refused");
    }
    while !alter(stage, drop).await {}
    runs_end(stage, 1).await;
    change_the_refused(stage).await;
}

/// Whoever is refused is tried again when something about them changes. How many they were.
pub async fn change_the_refused(stage: &Stage) -> usize {
    let query = AssertSqlSafe(format!("select distinct azureactivedirectoryobjectid {REFUSED}"));
    let refused: Vec<Uuid> = sqlx::query_scalar(query)
        .fetch_all(&mut stage.sql().await)
        .await
        .unwrap();
    change_users(stage, &refused, |user| {
        user.mobile_phone = Some(format!("+44 {}", Uuid::new_v4().as_u128()));
    });
    refused.len()
}

fn change_users(stage: &Stage, users: &[Uuid], change: impl Fn(&mut User)) {
    let mut people = stage.people.lock().unwrap();
    let before = Clock::system().now();
    for user in users {
        stage.tenant().update_user(*user, &change);
    }
    people.look(stage.tenant(), before, Clock::system().now());
}

/// Carries statements out, unless somebody who was stopped keeps the table or its rows do not fit.
async fn alter(stage: &Stage, statements: &str) -> bool {
    let mut db = stage.sql().await;
    let statements = AssertSqlSafe(format!("set lock_timeout = '2s'; {statements}"));
    sqlx::raw_sql(statements).execute(&mut db).await.is_ok()
}

async fn fill_the_disk(stage: &Stage, lasting: u64, dice: &mut StdRng) {
    let server = &stage.server;
    let table = FILLING.choose(dice).unwrap();
    let before = server.times_full().await;
    server
        .execute(&format!(
            "create trigger full_disk before insert or update on rollcall.{table}
             for each statement execute function chaos.full()"
        ))
        .await;
    pause(1_000 + lasting).await;
    server
        .execute(&format!("drop trigger full_disk on rollcall.{table}"))
        .await;
    if server.times_full().await > before {
        stage.hit("disk full");
    }
}
