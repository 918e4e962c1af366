//! `database.read_url`: lists come from a replica, and from the database itself where the replica cannot be used.

use reqwest::Method;
use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::simulator::{Settings, Simulator};
use rollcall::store::{Store, Unusable};
use serde_json::Value;
use uuid::Uuid;

use super::daemon::call;
use super::pair::Pair;
use crate::binary::Installation;
use crate::daemon::{Daemon, an_operators_token, eventually};

const TENANT: Uuid = Uuid::from_u128(0x7e);

async fn is_replica(store: &Store) -> bool {
    let mut db = store.read_aged().await.unwrap();
    let is_replica = sqlx::query_scalar("select pg_is_in_recovery()");
    is_replica.fetch_one(&mut db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_be_used_is_said_to_be_so_and_the_database_answers() {
    let Some(pair) = Pair::start().await else { return };
    let primary = Store::connect(&pair.primary_url(), &Schema::default(), 2)
        .await
        .unwrap();
    assert!(primary.replica_lag().await.unwrap().is_none(), "there is none");
    let store = primary.clone().with_replica(&pair.replica_url(), TENANT).unwrap();
    let unmigrated = store.replica_lag().await.unwrap_err();
    assert!(matches!(unmigrated, Unusable::Store(_)), "{unmigrated}");
    primary.migrate().await.unwrap();
    primary.claim(TENANT, Clock::system().now()).await.unwrap();
    pair.catch_up().await;

    let store = primary.clone().with_replica(&pair.replica_url(), TENANT).unwrap();
    store.replica_lag().await.unwrap().expect("it follows");
    assert!(is_replica(&store).await);
    // What is no replica is never behind.
    let store = primary.clone().with_replica(&pair.primary_url(), TENANT).unwrap();
    assert!(store.replica_lag().await.unwrap().unwrap().is_zero());

    let store = primary.clone().with_replica(&pair.replica_url(), Uuid::nil()).unwrap();
    let other = store.replica_lag().await.unwrap_err().to_string();
    assert!(other.contains(&TENANT.to_string()), "{other}");
    assert!(!is_replica(&store).await);
    let replica = pair.replica_url();
    let nowhere = "postgres://nobody@127.0.0.1:1/rollcall";
    let store = primary.clone().with_replica(nowhere, TENANT).unwrap();
    assert!(matches!(
        store.replica_lag().await,
        Err(Unusable::Silent | Unusable::Store(_))
    ));
    assert!(!is_replica(&store).await);

    let store = primary.clone().with_replica(&replica, TENANT).unwrap();
    let server = pair.stop_replica().await;
    assert!(!is_replica(&store).await);
    store.close().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_the_daemon_come_from_the_replica_while_there_is_one() {
    let Some(pair) = Pair::start().await else { return };
    rustls::crypto::ring::default_provider().install_default().ok();
    let simulator = Simulator::start(Settings {
        users: 20,
        ..Settings::default()
    })
    .unwrap();
    let environment = "[[environment]]\nname = \"sandbox\"\nkind = \"production\"\n";
    let rest = format!("{}\n{environment}", an_operators_token());
    let installation = Installation::new(&simulator, &pair.primary_url(), &rest);
    let url = format!("url = \"{}\"", pair.primary_url());
    installation.amend(&url, &format!("{url}\nread_url = \"{}\"", pair.replica_url()));
    let daemon = Daemon::start(&installation);
    daemon.becomes_ready().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let list = async || {
        let path = "environments/sandbox/users?limit=1";
        let answer = call(
            &http,
            &format!("http://{}", daemon.address),
            Method::GET,
            path,
            &Value::Null,
        )
        .await;
        let (status, body) = answer.unwrap();
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["items"].as_array().unwrap().len(), 1, "{body}");
    };
    let answered = "select exists (select from pg_stat_activity
                    where application_name = 'rollcall' and query ~ 'systemuserid')";
    let from_replica = eventually(async || {
        list().await;
        pair.replica_holds(answered).await
    });
    assert!(from_replica.await, "{}", daemon.log());
    let checked = installation.run("check").await.stdout;
    assert!(checked.contains("can be used for lists, "), "{checked}");

    let server = pair.stop_replica().await;
    list().await;
    let log = daemon.log();
    assert!(log.contains("database.read_url cannot be used"), "{log}");
    let checked = installation.run("check").await;
    assert!(
        checked
            .stdout
            .contains("lists are read from database.url, since 127.0.0.1:"),
        "{checked:?}"
    );
    assert_eq!(checked.code, Some(0), "{checked:?}");
    daemon.stop().await;
    server.end().await;
}
