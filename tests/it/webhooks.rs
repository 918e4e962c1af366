//! Webhooks: whatever a receiver does, it is told of every change at least once, in the order of each row, and always
//! with the same id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use rollcall::domain::webhook::Webhook;
use rollcall::store::webhooks;
use rollcall::sync::daemon::numberer::number_all;
use rollcall::sync::daemon::retention::purge_all;
use rollcall::sync::daemon::webhooks::{deliver, start};
use rollcall::webhook::Sender;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::binary::Installation;
use crate::daemon::{Daemon, eventually, free_address};
use crate::least_privilege::person;
use crate::on_demand::{ENV, one_user, word};
use crate::retention::ages;
use crate::world::{World, licensed, migrated_database};

const SECRET: &[u8] = b"twenty-four bytes or more";
const DAY: Duration = Duration::from_hours(24);

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    Status(u16),
    Redirects,
    Silent,
    /// Takes everything but what is about one row.
    Dislikes(Uuid),
}

/// A receiver, and the messages that it has got with good signatures; those that it took are marked.
#[derive(Clone)]
struct Receiver {
    url: String,
    mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Vec<(bool, String, Value)>>>,
}

impl Receiver {
    async fn new() -> Self {
        Self::at(free_address()).await
    }

    async fn at(address: std::net::SocketAddr) -> Self {
        let receiver = Self {
            url: format!("http://{address}/hook?token=hidden"),
            mood: Arc::new(Mutex::new(Mood::Good)),
            got: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let router = Router::new().fallback(any(Self::answer)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    async fn answer(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body].concat();
        let signature = header("webhook-signature");
        let signature = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &signed, &signature).unwrap();
        assert_eq!(header("content-type"), "application/cloudevents+json");
        let event: Value = serde_json::from_slice(&body).unwrap();
        let mood = *receiver.mood.lock().unwrap();
        let takes = match mood {
            Mood::Good => true,
            Mood::Dislikes(row) => event["data"]["systemuserid"] != json!(row),
            _ => false,
        };
        receiver.got.lock().unwrap().push((takes, id, event));
        match mood {
            _ if takes => StatusCode::NO_CONTENT.into_response(),
            Mood::Redirects => (StatusCode::TEMPORARY_REDIRECT, [("location", receiver.url.clone())]).into_response(),
            Mood::Silent => std::future::pending().await,
            Mood::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            _ => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn webhook(&self) -> Webhook {
        Webhook {
            name: "crm".to_owned(),
            url: self.url.parse().unwrap(),
            secrets: vec![SECRET.to_vec()],
            secret_file: "secret".into(),
            environments: Vec::new(),
            operations: Vec::new(),
            from_beginning: false,
            include_values: false,
            source: "urn:rollcall:test".to_owned(),
        }
    }

    /// The data of what was taken, each id once, in the order of the first delivery; one id never means two events.
    fn taken(&self) -> Vec<Value> {
        let mut events: BTreeMap<String, Value> = BTreeMap::new();
        let mut taken = Vec::new();
        for (takes, id, event) in self.got.lock().unwrap().iter() {
            assert_eq!(event["id"], json!(id));
            let known = events.entry(id.clone()).or_insert_with(|| event.clone());
            assert_eq!(known, event);
            if *takes && !taken.contains(&event["data"]) {
                taken.push(event["data"].clone());
            }
        }
        taken
    }

    fn attempts(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

/// A sender that is patient for a moment only.
fn sender() -> Sender {
    Sender::within(Duration::from_millis(300)).unwrap()
}

/// What the leader does each second.
async fn tell(world: &World, webhook: &Webhook) {
    number_all(&world.engine.store).await.unwrap();
    deliver(&world.engine.base(), &sender(), webhook).await.unwrap();
}

/// The lines of the change log after a number, as the data of events.
async fn lines(world: &World, after: i64) -> Vec<Value> {
    let lines = world
        .strings(
            "select jsonb_build_object('id', id, 'environment', environment, 'systemuserid', systemuserid,
                 'operation', operation, 'reason', reason)::text from rollcall.system_user_change order by id",
        )
        .await;
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["id"].as_i64() > Some(after)).collect()
}

/// The same members of some data.
fn brief(taken: &[Value]) -> Vec<Value> {
    let members = ["id", "environment", "systemuserid", "operation", "reason"];
    let brief = |one: &Value| {
        members
            .map(|member| (member.to_owned(), one[member].clone()))
            .into_iter()
            .collect()
    };
    taken.iter().map(brief).collect()
}

fn of_row(events: &[Value], row: &Value) -> Vec<Value> {
    events
        .iter()
        .filter(|event| event["systemuserid"] == *row)
        .cloned()
        .collect()
}

/// Every line after a number is taken, those of a row in their order.
async fn assert_complete(world: &World, receiver: &Receiver, after: i64) {
    let (lines, taken) = (lines(world, after).await, brief(&receiver.taken()));
    assert_eq!(lines.len(), taken.len(), "{lines:?} {taken:?}");
    let rows: BTreeSet<String> = lines.iter().map(|line| line["systemuserid"].to_string()).collect();
    for row in rows {
        let row = serde_json::from_str(&row).unwrap();
        assert_eq!(of_row(&lines, &row), of_row(&taken, &row));
    }
}

async fn last_line(world: &World) -> i64 {
    world.number("select max(id) from rollcall.system_user_change").await
}

#[tokio::test]
async fn a_webhook_gets_what_it_wants_as_signed_cloud_events_without_values_unless_it_wants_them() {
    let (world, ada) = one_user().await;
    let receiver = Receiver::new().await;
    let base = world.engine.base();
    number_all(&world.engine.store).await.unwrap();
    let now = receiver.webhook();
    let hook = |name: &str| Webhook {
        name: name.to_owned(),
        ..now.clone()
    };
    let hooks = [
        now.clone(),
        Webhook {
            from_beginning: true,
            operations: vec!["create".to_owned()],
            ..hook("beginning")
        },
        Webhook {
            include_values: true,
            operations: vec!["disable".to_owned()],
            ..hook("values")
        },
        Webhook {
            environments: vec!["elsewhere".to_owned()],
            from_beginning: true,
            ..hook("elsewhere")
        },
    ];
    start(&base, &hooks).await.unwrap();
    assert_eq!(word(&world, "disable", ada).await, "disabled");
    let row = world.row(ENV, ada).await.unwrap();
    let got = async |webhook: &Webhook| {
        receiver.got.lock().unwrap().clear();
        tell(&world, webhook).await;
        receiver.got.lock().unwrap().clone()
    };

    let got_now = got(&hooks[0]).await;
    let [(_, id, event)] = got_now.as_slice() else {
        panic!("{got_now:?}")
    };
    assert_eq!(
        event,
        &json!({
            "specversion": "1.0", "id": id, "source": "urn:rollcall:test", "type": "rollcall.user.disable",
            "subject": format!("{ENV}/{}", row.systemuserid), "time": event["time"],
            "datacontenttype": "application/json",
            "data": {
                "id": last_line(&world).await, "at": event["time"], "run_id": null, "environment": ENV,
                "systemuserid": row.systemuserid, "operation": "disable", "reason": "disabled_by_hand",
                "columns": ["disabled_by", "disabledreason", "isdisabled"],
            },
        })
    );
    let from_beginning = got(&hooks[1]).await;
    assert!(
        from_beginning.len() > 1
            && from_beginning
                .iter()
                .all(|(_, _, event)| event["data"]["operation"] == "create")
    );
    let values = got(&hooks[2]).await;
    assert_eq!(values.len(), 1);
    assert_eq!(values[0].1, *id, "a line has the same id for every receiver");
    assert_eq!(values[0].2["data"]["actor"], "helpdesk");
    assert_eq!(values[0].2["data"]["fields"]["isdisabled"], json!([false, true]));
    assert!(got(&hooks[3]).await.is_empty());
    assert!(got(&hooks[0]).await.is_empty(), "once is enough");
    world.end().await;
}

#[tokio::test]
async fn a_receiver_that_fails_in_any_way_misses_nothing() {
    for mood in [Mood::Status(500), Mood::Status(401), Mood::Redirects, Mood::Silent] {
        let (world, ada) = one_user().await;
        let bob = licensed(world.tenant(), "Bob", "Person");
        let receiver = Receiver::new().await;
        let webhook = receiver.webhook();
        number_all(&world.engine.store).await.unwrap();
        start(&world.engine.base(), std::slice::from_ref(&webhook))
            .await
            .unwrap();
        let before = last_line(&world).await;

        receiver.is(mood);
        world.sync_completely().await;
        for way in ["disable", "access", "disable"] {
            word(&world, way, ada).await;
            word(&world, way, bob).await;
        }
        tell(&world, &webhook).await;
        assert_eq!(
            (receiver.attempts(), receiver.taken().len()),
            (1, 0),
            "{mood:?}: left alone after a failure"
        );
        tell(&world, &webhook).await;
        assert_eq!(receiver.attempts(), 1, "{mood:?}: no attempt before its time");
        for _ in 0..4 {
            world.advance(Duration::from_mins(5));
            tell(&world, &webhook).await;
        }
        assert!(
            (2..12).contains(&receiver.attempts()),
            "{mood:?}: {}",
            receiver.attempts()
        );
        let known = webhooks::list(&mut world.engine.store.read().await.unwrap())
            .await
            .unwrap();
        assert!(
            known[0].failures > 3 && known[0].failure.is_some() && known[0].backlog > 0,
            "{known:?}"
        );
        assert!(!known[0].failure.as_deref().unwrap().contains("hidden"), "{known:?}");

        receiver.is(Mood::Good);
        world.advance(Duration::from_mins(5));
        tell(&world, &webhook).await;
        assert_complete(&world, &receiver, before).await;
        let known = webhooks::list(&mut world.engine.store.read().await.unwrap())
            .await
            .unwrap();
        assert_eq!((known[0].backlog, known[0].waiting, known[0].failures), (0, 0, 0));
        world.end().await;
    }
}

#[tokio::test]
async fn a_line_that_fails_holds_up_its_row_alone_and_is_given_up_after_a_day_until_it_is_replayed() {
    let (world, ada) = one_user().await;
    let bob = licensed(world.tenant(), "Bob", "Person");
    world.sync_completely().await;
    let row_of = async |id| world.row(ENV, id).await.unwrap().systemuserid;
    let (row_ada, row_bob) = (row_of(ada).await, row_of(bob).await);
    let receiver = Receiver::new().await;
    let webhook = receiver.webhook();
    number_all(&world.engine.store).await.unwrap();
    start(&world.engine.base(), std::slice::from_ref(&webhook))
        .await
        .unwrap();
    let before = last_line(&world).await;

    receiver.is(Mood::Dislikes(row_ada));
    for way in ["disable", "access"] {
        word(&world, way, ada).await;
        word(&world, way, bob).await;
    }
    // Two days, an attempt every half hour.
    for _ in 0..96 {
        world.advance(Duration::from_mins(30));
        tell(&world, &webhook).await;
    }
    let taken = brief(&receiver.taken());
    assert_eq!(of_row(&taken, &json!(row_bob)).len(), 2, "{taken:?}");
    assert_eq!(taken.len(), 2);
    let findings = "select concat_ws(' ', code, subject, detail) from rollcall.finding where closed_at is null";
    let [finding] = &world.strings(findings).await[..] else {
        panic!()
    };
    assert!(finding.starts_with("webhook_undelivered crm 2 changes"), "{finding}");
    assert!(finding.contains("rollcall webhook replay"), "{finding}");

    // Cycles leave the finding, and retention the lines.
    world.sync_completely().await;
    assert_eq!(world.strings(findings).await.len(), 1);
    world.advance(30 * DAY);
    word(&world, "disable", bob).await;
    tell(&world, &webhook).await;
    purge_all(&world.engine.base(), &ages()).await.unwrap();
    let kept = "select systemuserid::text from rollcall.system_user_change where at < '2026-03-20' order by id";
    assert_eq!(world.strings(kept).await, [row_ada.to_string(), row_ada.to_string()]);

    receiver.is(Mood::Good);
    let again = rollcall::sync::webhooks::Webhooks::new(world.engine.base());
    assert_eq!(again.replay("crm").await.unwrap(), 2);
    tell(&world, &webhook).await;
    let taken = brief(&receiver.taken());
    let operations = |row: Uuid| -> Vec<Value> {
        of_row(&taken, &json!(row))
            .iter()
            .map(|one| one["operation"].clone())
            .collect()
    };
    assert_eq!(operations(row_ada), ["disable", "enable"]);
    assert_eq!(operations(row_bob), ["disable", "enable", "disable"]);
    assert!(taken.iter().all(|one| one["id"].as_i64() > Some(before)));
    assert!(world.strings(findings).await.is_empty());

    // Whoever is no longer configured holds nothing up.
    start(&world.engine.base(), &[]).await.unwrap();
    assert_eq!(world.number("select count(*) from rollcall.webhook").await, 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_over_a_restart_and_a_failover() {
    let simulator = rollcall::simulator::Simulator::start(rollcall::simulator::Settings::default()).unwrap();
    let database = migrated_database().await;
    let address = free_address();
    let rest = format!(
        "[[environment]]\nname = \"{ENV}\"\nkind = \"production\"\n\n[[webhook]]\nname = \"crm\"\n\
         url = \"http://{address}/hook?token=hidden\"\nsecret_file = \"hook\"\nfrom = \"beginning\"\n"
    );
    let installation = Installation::new(&simulator, &database.url, &rest);
    let secret = format!("whsec_{}\n", STANDARD.encode(SECRET));
    std::fs::write(installation.folder.join("hook"), secret).unwrap();
    let people = |name: &str| {
        for number in 0..5 {
            person(&simulator, &format!("{name}{number}"));
        }
    };
    let changes = async || -> i64 {
        let mut db = PgConnection::connect(&database.url).await.unwrap();
        let count = sqlx::query_scalar("select count(*) from rollcall.system_user_change");
        count.fetch_one(&mut db).await.unwrap()
    };

    people("Early");
    let first = Daemon::start(&installation);
    first.becomes_ready().await;
    let failed = async || {
        let said = installation.run("webhook list --output json").await;
        said.json()["items"][0]["failures"].as_i64() > Some(0)
    };
    assert!(eventually(failed).await, "{}", first.log());
    let shown = installation.run("webhook list").await.stdout;
    assert!(
        shown.contains("crm") && shown.contains("no answer") && !shown.contains("hidden"),
        "{shown}"
    );
    first.kill().await;

    let receiver = Receiver::at(address).await;
    let second = Daemon::start(&installation);
    let is_complete = async || {
        let changes = changes().await;
        i64::try_from(receiver.taken().len()) == Ok(changes)
    };
    assert!(eventually(is_complete).await, "{}", second.log());
    let third = Daemon::start(&installation);
    people("Late");
    second.kill().await;
    let has_late = async || changes().await >= 12;
    assert!(eventually(has_late).await, "{}", third.log());
    assert!(eventually(is_complete).await, "{}", third.log());
    let metrics = third.get("/metrics").await.unwrap().1;
    assert!(
        metrics.contains("rollcall_webhook_deliveries_total{webhook=\"crm\",result=\"delivered\"}"),
        "{metrics}"
    );
    let said = installation.run("webhook replay").await;
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), "crm has given up no change.\n")
    );
    third.stop().await;
    database.drop_database().await.unwrap();
}
