//! A primary, a replica that follows it, and the one address at which the daemon meets whichever of them is in charge.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall::simulator::cluster::{Cluster, Options};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::daemon::eventually;
use crate::proxy::{Proxy, Weather};

/// The database that both servers have.
pub const DATABASE: &str = "rollcall";

/// Neither need survive more than the loss of a process.
fn options() -> Options {
    Options {
        fresh: false,
        max_connections: 40,
        shared_buffers_mib: 32,
        ..Options::throwaway()
    }
}

/// Removed however the test ends; the servers in it end with the process that started them.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Servers that a failed test has left are still going.
        for _ in 0..100 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Two servers behind one address.
pub struct Pair {
    primary: Cluster,
    replica: Cluster,
    /// Where clients connect, as to a virtual address.
    pub front: Proxy,
    /// Between primary and replica.
    wire: Proxy,
    directory: Directory,
}

impl Pair {
    /// None where this machine's PostgreSQL cannot make replicas.
    pub async fn start() -> Option<Self> {
        if !Cluster::can_replicate().await.unwrap() {
            println!("skipped: there is no pg_basebackup beside this machine's PostgreSQL server");
            return None;
        }
        let directory = Directory(std::env::temp_dir().join(format!("rollcall-pair-{}", Uuid::new_v4().simple())));
        let primary = Cluster::start(&directory.0.join("primary"), &options()).await.unwrap();
        primary.create_database(DATABASE).await.unwrap();
        let wire = Proxy::before(&primary.url(DATABASE)).await;
        let replica = directory.0.join("replica");
        let replica = primary.start_replica(&replica, &options(), wire.port()).await.unwrap();
        let front = Proxy::before(&primary.url(DATABASE)).await;
        let pair = Self {
            primary,
            replica,
            front,
            wire,
            directory,
        };
        // The servers' own settings favour speed; the database's come first.
        pair.execute(&format!("alter database {DATABASE} set synchronous_commit = on"))
            .await;
        pair.catch_up().await;
        Some(pair)
    }

    /// From here on, a commit is answered when the replica has it, too.
    pub async fn become_synchronous(&self) {
        self.execute("alter system set synchronous_standby_names = '*'").await;
        self.execute("select pg_reload_conf()").await;
        let synchronous = "select exists (select from pg_stat_replication where sync_state = 'sync')";
        assert!(eventually(async || self.holds(synchronous).await).await);
    }

    /// Waits until the replica has applied what the primary has committed by now.
    pub async fn catch_up(&self) {
        let mut db = PgConnection::connect(&self.primary.url(DATABASE)).await.unwrap();
        let written: String = sqlx::query_scalar("select pg_current_wal_insert_lsn()::text")
            .fetch_one(&mut db)
            .await
            .unwrap();
        let applied = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        let mut db = PgConnection::connect(&self.replica.url(DATABASE)).await.unwrap();
        let caught_up = async || {
            let applied = sqlx::query_scalar(AssertSqlSafe(applied.as_str()));
            applied.fetch_one(&mut db).await.unwrap()
        };
        assert!(eventually(caught_up).await, "the replica does not follow");
    }

    /// The replica is left behind from here on.
    pub fn cut_off_replica(&self) {
        self.wire.weather(Weather::Hanging);
    }

    /// Kills the primary. Clients meet the replica from here on, which still only reads.
    pub async fn lose_primary(&self) {
        let file = self.primary.directory().join("rollcall-data/postmaster.pid");
        let pid = std::fs::read_to_string(file).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let killed = tokio::process::Command::new("kill")
            .args(["-KILL", &pid])
            .status()
            .await;
        assert!(killed.unwrap().success());
        // First the cut: what hangs between the two would arrive.
        self.wire.cut();
        self.wire.weather(Weather::Refusing);
        self.front.lead_to(&self.replica.url(DATABASE));
    }

    /// The replica is in charge.
    pub async fn promote(&self) {
        let mut db = PgConnection::connect(&self.replica.url(DATABASE)).await.unwrap();
        // Nobody follows it: nobody has to be waited for.
        let free = "alter system set synchronous_standby_names = ''";
        let promoted: bool = sqlx::query_scalar("select pg_promote()")
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert!(promoted);
        sqlx::raw_sql(free).execute(&mut db).await.unwrap();
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut db).await.unwrap();
    }

    /// The database of the server that was promoted.
    pub fn replica_url(&self) -> String {
        self.replica.url(DATABASE)
    }

    pub fn primary_url(&self) -> String {
        self.primary.url(DATABASE)
    }

    /// What the replica answers.
    pub async fn replica_holds(&self, query: &'static str) -> bool {
        let mut db = PgConnection::connect(&self.replica_url()).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    /// Ends the replica; the primary goes on alone.
    pub async fn stop_replica(self) -> Alone {
        self.replica.stop().await.unwrap();
        Alone {
            primary: self.primary,
            _directory: self.directory,
        }
    }

    async fn execute(&self, statement: &str) {
        let mut db = PgConnection::connect(&self.primary.url(DATABASE)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    }

    async fn holds(&self, query: &'static str) -> bool {
        let mut db = PgConnection::connect(&self.primary.url(DATABASE)).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
    }

    /// The lost primary comes back on its own, as it was: nobody is led to it.
    pub async fn bring_back_primary(self) -> Returned {
        let path = self.directory.0.join("primary");
        self.primary.stop().await.unwrap();
        let primary = Cluster::start(Path::new(&path), &options()).await.unwrap();
        Returned {
            primary,
            replica: self.replica,
            _front: self.front,
            _directory: self.directory,
        }
    }
}

/// The primary without its replica.
pub struct Alone {
    primary: Cluster,
    _directory: Directory,
}

impl Alone {
    pub async fn end(self) {
        self.primary.stop().await.unwrap();
    }
}

/// Both servers run, and each thinks that it is in charge.
pub struct Returned {
    primary: Cluster,
    replica: Cluster,
    _front: Proxy,
    _directory: Directory,
}

impl Returned {
    /// The database of the server that was in charge once.
    pub fn old_url(&self) -> String {
        self.primary.url(DATABASE)
    }

    pub async fn end(self) {
        self.primary.stop().await.unwrap();
        self.replica.stop().await.unwrap();
    }
}
