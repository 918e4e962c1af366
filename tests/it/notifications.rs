//! Change notifications: a hint that begins a run earlier, and nothing else, whatever is sent to the listener.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rollcall::domain::notifications::Notifications;
use rollcall::http;
use rollcall::simulator::Simulator;
use rollcall::sync::daemon::hinted::Hinted;
use rollcall::sync::daemon::subscription::keep;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::{Daemon, eventually, free_address};
use crate::least_privilege::person;
use crate::on_demand::{ENV, one_user};
use crate::world::{World, migrated_database};

const DAY: Duration = Duration::from_hours(24);

fn configured(address: SocketAddr) -> Notifications {
    Notifications {
        public_url: format!("http://{address}/hint").parse().unwrap(),
        listen: address,
    }
}

async fn listen(world: &World, address: SocketAddr) -> AbortOnDropHandle<()> {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let router = http::notifications::router("/hint", world.engine.hints());
    AbortOnDropHandle::new(tokio::spawn(async move {
        http::serve(listener, router, CancellationToken::new()).await.unwrap();
    }))
}

async fn post(address: SocketAddr, target: &str, body: Vec<u8>) -> StatusCode {
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let post = client.post(format!("http://{address}{target}")).body(body);
    post.send().await.unwrap().status()
}

async fn hints(world: &World) -> i64 {
    world.number("select count(*) from rollcall.notification_hint").await
}

#[tokio::test]
async fn a_subscription_is_created_by_a_handshake_renewed_at_half_time_created_anew_and_removed() {
    let (world, _) = one_user().await;
    let (base, graph) = (world.engine.base(), &world.engine.graph);
    let wanted = configured(free_address());
    let ends = || -> Vec<_> {
        let all = world.simulator.subscriptions();
        all.into_iter()
            .map(|(_, end)| (end - world.clock.now()).num_days())
            .collect()
    };
    assert!(keep(&base, graph, Some(&wanted)).await.is_err(), "nobody listens yet");
    let _listening = listen(&world, wanted.listen).await;
    keep(&base, graph, Some(&wanted)).await.unwrap();
    assert_eq!(ends(), [28]);
    let settled = "select resource from rollcall.subscription where length(secret_hash) = 32 and pending_until is null";
    assert_eq!(world.strings(settled).await, ["users"]);

    for (days, left) in [(13, 15), (2, 28), (13, 15), (2, 28)] {
        world.advance(days * DAY);
        keep(&base, graph, Some(&wanted)).await.unwrap();
        assert_eq!(ends(), [left], "after {days} days");
    }
    // The directory has lost it: noticed at the next renewal.
    world.simulator.lose_subscriptions();
    world.advance(15 * DAY);
    keep(&base, graph, Some(&wanted)).await.unwrap();
    assert_eq!(ends(), [28]);
    // Nobody has looked for too long: it has ended.
    world.advance(40 * DAY);
    assert!(ends().is_empty());
    keep(&base, graph, Some(&wanted)).await.unwrap();
    assert_eq!(ends(), [28]);

    // A stranger may ask for a handshake at any time.
    let asked = post(wanted.listen, "/hint?validationToken=stranger", Vec::new()).await;
    assert_eq!(asked, StatusCode::NOT_FOUND);

    let elsewhere = configured(free_address());
    let _also_listening = listen(&world, elsewhere.listen).await;
    keep(&base, graph, Some(&elsewhere)).await.unwrap();
    let urls: Vec<String> = world
        .simulator
        .subscriptions()
        .into_iter()
        .map(|(url, _)| url)
        .collect();
    assert_eq!(urls, [elsewhere.public_url.to_string()]);
    keep(&base, graph, None).await.unwrap();
    assert!(world.simulator.subscriptions().is_empty());
    assert_eq!(world.number("select count(*) from rollcall.subscription").await, 0);
    world.end().await;
}

#[tokio::test]
async fn only_the_subscription_s_secret_leaves_a_hint_and_every_post_is_answered_alike() {
    let (world, ada) = one_user().await;
    let wanted = configured(free_address());
    let _listening = listen(&world, wanted.listen).await;
    keep(&world.engine.base(), &world.engine.graph, Some(&wanted))
        .await
        .unwrap();
    let notification = |state: serde_json::Value| {
        let one = json!({"subscriptionId": Uuid::nil(), "changeType": "updated", "resource": "Users/x", "clientState": state});
        json!({ "value": [one] }).to_string().into_bytes()
    };
    let forged = [
        notification(json!("guessed")),
        notification(json!(null)),
        b"no JSON".to_vec(),
        b"{}".to_vec(),
        b"{\"value\": []}".to_vec(),
        b"{\"value\": [7]}".to_vec(),
        Vec::new(),
    ];
    for body in forged {
        let result = world.engine.hints().take(&body).await.unwrap();
        assert_ne!(result.as_str(), "accepted");
        assert_eq!(post(wanted.listen, "/hint", body).await, StatusCode::ACCEPTED);
    }
    let too_large = vec![b' '; 1024 * 1024];
    assert_eq!(
        post(wanted.listen, "/hint", too_large).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(hints(&world).await, 0);

    // A real one, twice: one hint.
    for _ in 0..2 {
        assert_eq!(world.simulator.notify(ada).await, [202]);
    }
    assert!(eventually(async || hints(&world).await == 1).await);
    // A notice about the subscription's life makes its renewal due, and no run.
    world.execute("delete from rollcall.notification_hint").await;
    assert_eq!(world.simulator.ask_to_reauthorize().await, [202]);
    let is_due = "select count(*) from rollcall.subscription where renew_at <= '2026-03-02 08:00:00+00'";
    assert!(eventually(async || world.number(is_due).await == 1).await);
    assert_eq!(hints(&world).await, 0);
    world.end().await;
}

#[tokio::test]
async fn a_burst_begins_one_run_after_three_seconds_and_a_flood_one_each_half_minute() {
    let (world, _) = one_user().await;
    let base = world.engine.base();
    let mut hinted = Hinted::default();
    let mut runs = Vec::new();
    assert!(!hinted.is_due(&base).await.unwrap(), "nobody has hinted");
    for second in 0..100 {
        // Two hints a second for a minute, then none.
        if second < 60 {
            for _ in 0..2 {
                rollcall::store::notifications::leave_hint(&mut base.store.read().await.unwrap(), world.clock.now())
                    .await
                    .unwrap();
            }
        }
        if hinted.is_due(&base).await.unwrap() {
            hinted.take(&base).await.unwrap();
            runs.push(second);
        }
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(runs, [3, 33, 63], "the last hints are followed too");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_told_of_a_change_follows_at_once_and_ends_where_it_would_without() {
    let simulator = Simulator::start(rollcall::simulator::Settings::default()).unwrap();
    let database = migrated_database().await;
    let address = free_address();
    let rest = format!(
        "[[environment]]\nname = \"{ENV}\"\nkind = \"production\"\n\n[notifications]\n\
         public_url = \"http://{address}/hint\"\nlisten = \"{address}\"\n"
    );
    let installation = Installation::new(&simulator, &database.url, &rest);
    let ada = person(&simulator, "Ada");
    let daemon = Daemon::start_with(&installation, |command| {
        command.env("ROLLCALL__SYNC__INTERVAL", "1h");
    });
    daemon.becomes_ready().await;
    let is_subscribed = async || simulator.subscriptions().len() == 1;
    assert!(eventually(is_subscribed).await, "{}", daemon.log());
    let eve = person(&simulator, "Eve");
    assert_eq!(simulator.notify(eve).await, [202]);
    let has_row = async |user: Uuid| {
        let said = installation.run(&format!("user show {user} --environment {ENV}")).await;
        said.code == Some(0)
    };
    assert!(eventually(async || has_row(eve).await).await, "{}", daemon.log());
    assert!(has_row(ada).await);
    let runs = installation.run("runs list --output json").await.json();
    let triggers: Vec<&str> = runs["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["trigger"].as_str().unwrap())
        .collect();
    assert_eq!(triggers, ["notification", "interval"]);
    let metrics = daemon.get("/metrics").await.unwrap().1;
    for shown in [
        "rollcall_notifications_total{result=\"accepted\"} 1",
        "rollcall_notifications_total{result=\"handshake\"} 2",
        "rollcall_subscription_expires_timestamp_seconds ",
    ] {
        assert!(metrics.contains(shown), "{shown}: {metrics}");
    }
    // A run that asks finds nothing that the notification had not led to.
    let again = installation.run("sync --output json").await.json();
    let counts = &again["environments"][0];
    assert_eq!(
        [&counts["created"], &counts["updated"], &counts["disabled"]],
        [&json!(0), &json!(0), &json!(0)]
    );
    daemon.stop().await;
    assert_eq!(simulator.subscriptions().len(), 1, "a stop is no farewell");
    database.drop_database().await.unwrap();
}
