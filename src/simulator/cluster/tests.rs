//! These start real servers; a machine without PostgreSQL fails them, saying what to install.

use std::path::PathBuf;

use super::*;

/// A directory of the test's own that the server's account can reach.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(PathBuf::from(format!(
            "/var/tmp/rollcall-test-{}",
            Uuid::new_v4().simple()
        )))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn durable() -> Options {
    Options {
        shared_buffers_mib: 16,
        max_connections: 10,
        ..Options::durable()
    }
}

async fn one(url: &str, statement: &'static str) -> Result<i32, sqlx::Error> {
    // No pool: it would go on trying to reach a server that has stopped.
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(statement).fetch_one(&mut connection).await
}

#[tokio::test]
async fn data_survives_a_stop_and_a_start() {
    let scratch = Scratch::new();
    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    let url = cluster.create_database("kept").await.unwrap();
    execute(&url, "CREATE TABLE t AS SELECT 7 AS n".to_owned())
        .await
        .unwrap();
    cluster.stop().await.unwrap();
    assert!(one(&url, "SELECT n FROM t").await.is_err());

    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    let url = cluster.create_database("kept").await.unwrap();
    assert_eq!(one(&url, "SELECT n FROM t").await.unwrap(), 7);
    cluster.stop().await.unwrap();

    let cluster = Cluster::start(
        &scratch.0,
        &Options {
            fresh: true,
            ..durable()
        },
    )
    .await
    .unwrap();
    assert!(one(&cluster.url("kept"), "SELECT 1").await.is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_run_in_the_same_directory_is_refused_and_leaves_the_first_alone() {
    let scratch = Scratch::new();
    let first = Cluster::start(&scratch.0, &durable()).await.unwrap();
    let error = Cluster::start(&scratch.0, &durable()).await.unwrap_err();
    assert!(matches!(error, ClusterError::InUse { .. }), "{error}");
    assert_eq!(one(&first.url("postgres"), "SELECT 1").await.unwrap(), 1);
    first.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_stops_the_server_and_the_next_start_waits_for_it() {
    let scratch = Scratch::new();
    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    let url = cluster.url("postgres");
    drop(cluster);
    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    assert_ne!(cluster.url("postgres"), url);
    assert!(one(&url, "SELECT 1").await.is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_an_interrupted_run_left_is_repaired() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.0.join(UNFINISHED).join("base")).unwrap();
    std::fs::create_dir_all(scratch.0.join(DATA).join("base")).unwrap();
    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    cluster.stop().await.unwrap();
    // A crashed server's file, naming a process that lives and is not a server: this one.
    let left = format!("{}\n{}\n", std::process::id(), scratch.0.join(DATA).display());
    std::fs::write(scratch.0.join(DATA).join("postmaster.pid"), left).unwrap();
    let cluster = Cluster::start(&scratch.0, &durable()).await.unwrap();
    assert_eq!(one(&cluster.url("postgres"), "SELECT 1").await.unwrap(), 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused_with_both_versions() {
    let scratch = Scratch::new();
    Cluster::start(&scratch.0, &durable())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    std::fs::write(scratch.0.join(DATA).join("PG_VERSION"), "14\n").unwrap();
    let error = Cluster::start(&scratch.0, &durable()).await.unwrap_err();
    assert!(
        matches!(&error, ClusterError::OtherVersion { found, .. } if found == "14"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_will_not_start_says_why() {
    let options = Options {
        shared_buffers_mib: 0,
        ..durable()
    };
    let error = Cluster::start_temporary(&options).await.unwrap_err().to_string();
    assert!(error.contains("shared_buffers"), "{error}");
}

#[tokio::test]
async fn a_temporary_cluster_leaves_nothing_behind() {
    let cluster = Cluster::start_temporary(&Options::throwaway()).await.unwrap();
    let directory = cluster.directory().to_owned();
    assert!(directory.join(DATA).exists());
    cluster.stop().await.unwrap();
    assert!(!directory.exists());

    let cluster = Cluster::start_temporary(&Options::throwaway()).await.unwrap();
    let directory = cluster.directory().to_owned();
    drop(cluster);
    for _ in 0..polls(STOPPED_WITHIN) {
        if !directory.exists() {
            return;
        }
        Clock::system().sleep(POLL).await;
    }
    panic!("{} is still there", directory.display());
}

#[tokio::test]
async fn the_server_admits_nobody_without_the_password() {
    let cluster = Cluster::start_temporary(&Options::throwaway()).await.unwrap();
    let url = cluster.url("postgres").replace(&cluster.password, "guess");
    let error = one(&url, "SELECT 1").await.unwrap_err();
    assert_eq!(
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref(),
        Some("28P01"),
        "{error}"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn each_test_gets_a_copy_of_the_template() {
    let prepare = async |url: String| execute(&url, "CREATE TABLE t AS SELECT 1 AS n".to_owned()).await;
    let one_database = test_database_from(prepare, "first").await.unwrap();
    let other = test_database_from(prepare, "second").await.unwrap();
    execute(&one_database.url, "UPDATE t SET n = 2".to_owned())
        .await
        .unwrap();
    assert_eq!(one(&other.url, "SELECT n FROM t").await.unwrap(), 1);
    let url = other.url.clone();
    other.drop_database().await.unwrap();
    assert!(one(&url, "SELECT 1").await.is_err());
    one_database.drop_database().await.unwrap();
    let empty = test_database("A hint with 'quotes', spaces and more letters than a name can have")
        .await
        .unwrap();
    assert_eq!(one(&empty.url, "SELECT 1").await.unwrap(), 1);
    empty.drop_database().await.unwrap();
}
