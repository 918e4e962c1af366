//! Requests made of good ones by spoiling them, and of nothing good at all: never a 500, never a panic, every refusal a
//! problem document, no token in an answer, and the daemon answers as before.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use rollcall::simulator::tenant::DOMAIN;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{OPERATOR, Stage, sent};
use crate::world::licensed;

/// How many requests of each kind.
const CASES: usize = 400;

/// Awkward texts for a place in an address, as they travel.
const SEGMENTS: [&str; 26] = [
    "%00",
    "a%00b",
    "%FF%FE",
    "%C3%28",
    "%ED%A0%80",
    "%2500",
    "..%2f..%2fsync",
    "%27%20or%201=1--",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "*",
    "%20",
    "+",
    "%",
    "%zz",
    "(objectId='x')",
    "-1",
    "0",
    "9223372036854775808",
    "1e9",
    "null",
    "true",
    "00000000-0000-0000-0000-000000000000",
    "%5B%5D",
    "%7B%7D",
    "x%0d%0ay",
];

/// Awkward values for a member of a body.
fn awkward() -> impl Strategy<Value = Value> {
    select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5e300),
        json!(""),
        json!(" \t"),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("\u{202e}\u{fffe}💩"),
        json!("' or 1=1 --"),
        json!("x".repeat(5_000)),
        json!(format!("{}@{DOMAIN}", "ä".repeat(300))),
        json!("* * * * *"),
        json!("99 99 31 2 *"),
        json!("9999-12-31T23:59:59Z"),
        json!([]),
        json!({}),
        json!([null]),
        json!([[[[[[]]]]]]),
        json!({"a": {"a": {"a": null}}}),
    ])
}

/// What is done to a request.
#[derive(Clone, Debug)]
struct Spoiling {
    request: Index,
    /// Each place in the address, by its turn.
    segments: Vec<(Index, &'static str)>,
    query: Option<(&'static str, &'static str)>,
    members: Vec<(Index, Value)>,
    unknown: Option<(String, Value)>,
    text: Option<(Index, String)>,
}

fn spoiling() -> impl Strategy<Value = Spoiling> {
    let names = select(vec![
        "limit",
        "cursor",
        "state",
        "mode",
        "type",
        "reason",
        "text",
        "user",
        "trigger",
        "environment",
        "role",
        "client",
        "",
        "%00",
    ]);
    (
        any::<Index>(),
        prop::collection::vec((any::<Index>(), select(SEGMENTS.to_vec())), 0..3),
        prop::option::of((names, select(SEGMENTS.to_vec()))),
        prop::collection::vec((any::<Index>(), awkward()), 0..3),
        prop::option::weighted(0.2, ("\\PC{0,8}", awkward())),
        prop::option::weighted(0.2, (any::<Index>(), "[\\[\\]{}\",:0-9a-z\\\\é\u{0}]{0,4}")),
    )
        .prop_map(|(request, segments, query, members, unknown, text)| Spoiling {
            request,
            segments,
            query,
            members,
            unknown,
            text,
        })
}

/// Good requests: what a caller of the API sends.
fn good(user: &str) -> Vec<(Method, String, Value)> {
    let env = "environments/production";
    let row = format!("{env}/users/{user}");
    let none = Value::Null;
    let import = json!({
        "company": "C", "users": [user], "private": true, "critical": false, "max_retries": 1, "description": "d",
        "batch_group": "g", "monitoring_category": "m", "schedule": "0 3 * * *", "background": true,
    });
    vec![
        (Method::GET, "environments".into(), none.clone()),
        (Method::GET, env.into(), none.clone()),
        (Method::GET, format!("{env}/users"), none.clone()),
        (Method::GET, row.clone(), none.clone()),
        (
            Method::PATCH,
            row.clone(),
            json!({"jobtitle": "Countess", "accessmode": 0, "company": "C"}),
        ),
        (Method::POST, format!("{env}/users"), json!({"user": user})),
        (
            Method::POST,
            format!("{env}/users:batch"),
            json!({"users": [user, "x"]}),
        ),
        (
            Method::POST,
            format!("{env}/access"),
            json!({"user": user, "client": "api"}),
        ),
        (Method::POST, format!("{row}/refresh"), none.clone()),
        (Method::POST, format!("{row}/enable"), none.clone()),
        (Method::POST, format!("{row}/release"), none.clone()),
        (Method::POST, format!("{row}/hold"), json!({"reason": "leave"})),
        (Method::POST, format!("{row}/map"), json!({"user": user, "merge": true})),
        (
            Method::POST,
            format!("{env}/stubs"),
            json!({"user": "stub@x", "company": "C"}),
        ),
        (Method::GET, format!("{row}/own"), none.clone()),
        (
            Method::POST,
            format!("{row}/own"),
            json!({"fields": ["accessmode"], "by": "sync"}),
        ),
        (Method::GET, format!("{row}/roles"), none.clone()),
        (Method::POST, format!("{row}/roles"), json!({"role": "Sales"})),
        (Method::DELETE, format!("{row}/roles"), json!({"role": "Sales"})),
        (Method::GET, format!("{env}/explain"), none.clone()),
        (Method::GET, format!("{env}/candidates"), none.clone()),
        (Method::GET, format!("{env}/imports"), none.clone()),
        (Method::POST, format!("{env}/imports"), import),
        (Method::GET, "imports/1".into(), none.clone()),
        (Method::POST, "imports/1/cancel".into(), none.clone()),
        (Method::GET, "imports/1/items".into(), none.clone()),
        (Method::GET, "runs".into(), none.clone()),
        (Method::GET, "runs/1".into(), none.clone()),
        (
            Method::POST,
            "runs/1/approve".into(),
            json!({"environment": "production"}),
        ),
        (Method::POST, "runs/1/reject".into(), none.clone()),
        (Method::GET, "findings".into(), none),
    ]
}

/// A request, spoilt: its method, its target, its body.
fn spoilt(user: &str, spoiling: &Spoiling) -> (Method, String, String) {
    let requests = good(user);
    let (method, path, mut body) = requests[spoiling.request.index(requests.len())].clone();
    let mut parts: Vec<&str> = path.split('/').collect();
    for (at, text) in &spoiling.segments {
        let at = at.index(parts.len());
        parts[at] = text;
    }
    let mut target = parts.join("/");
    if let Some((name, value)) = spoiling.query {
        target = format!("{target}?{name}={value}");
    }
    for (at, value) in &spoiling.members {
        match body.as_object_mut() {
            Some(members) if !members.is_empty() => {
                let name = members.keys().nth(at.index(members.len())).unwrap().clone();
                members.insert(name, value.clone());
            }
            _ => body = value.clone(),
        }
    }
    if let (Some((name, value)), Some(members)) = (&spoiling.unknown, body.as_object_mut()) {
        members.insert(name.clone(), value.clone());
    }
    let mut text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    if let Some((at, inserted)) = &spoiling.text {
        let at = (0..=at.index(text.len() + 1))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.insert_str(at.unwrap_or(0), inserted);
    }
    (method, target, text)
}

fn cases<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>) -> impl Iterator<Item = T> {
    let mut runner = TestRunner::deterministic();
    (0..CASES).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[tokio::test]
async fn no_request_however_spoilt_makes_the_daemon_stumble() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for spoiling in cases(&spoiling()) {
        let (method, target, body) = spoilt(&ada.to_string(), &spoiling);
        let request = stage.request(method.clone(), &target, Some(OPERATOR));
        let request = if body.is_empty() {
            request
        } else {
            super::with_json(request, body.clone())
        };
        let answer = sent(request).await;
        *statuses.entry(answer.status).or_default() += 1;
        assert!(answer.status < 500, "{method} {target} {body:.300}: {answer:?}");
        if answer.status >= 400 {
            answer.problem();
        }
    }
    println!("{statuses:?}");
    for status in [200, 404, 422] {
        assert!(statuses.get(&status).is_some_and(|count| *count > 10), "{statuses:?}");
    }
    let _: Value = stage.get("environments").await.good();
    stage.end().await;
}

/// Sends bytes; the status of the answer, and the answer, if there is one.
async fn send_bytes(stage: &Stage, bytes: &[u8]) -> (Option<u16>, String) {
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status, answer)
}

#[tokio::test]
async fn no_bytes_however_odd_get_in_or_make_the_daemon_stumble() {
    let stage = Stage::new().await;
    let name = select(vec![
        "authorization",
        "Authorization",
        "content-type",
        "content-length",
        "transfer-encoding",
        "host",
        "x-request-id",
        "x-forwarded-for",
        "expect",
        "connection",
        "upgrade",
        "accept-encoding",
        "cookie",
        "",
    ]);
    let value = prop_oneof![
        select(vec![
            "Bearer",
            "Bearer ",
            "Bearer  operator",
            "bearer operator\u{b}",
            "Basic b3BlcmF0b3I6",
            "Bearer op\u{e9}rator",
            "Bearer eyJhbGciOiJub25lIn0.e30.",
            "Bearer a.b.c",
            "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
            "Bearer ..",
            "chunked",
            "gzip, chunked",
            "-1",
            "99999999999999999999",
            "0",
            "100-continue",
            "h2c",
            "application/json; charset=utf-16",
        ])
        .prop_map(str::to_owned),
        "[ -~é\u{1}]{0,60}",
    ];
    let line = select(vec![
        "GET /api/v1/environments HTTP/1.1",
        "POST /api/v1/sync HTTP/1.1",
        "GET /api/v1/runs HTTP/1.0",
        "GET / HTTP/9.9",
        "GET http://evil.example/api/v1/runs HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT x:1 HTTP/1.1",
        "PRI * HTTP/2.0",
        "",
        "GET /api/v1/%",
        "DELETE /api/v1/../../metrics HTTP/1.1",
    ]);
    let request = (line, prop::collection::vec((name, value), 0..4), "[ -~\u{0}\r\n]{0,40}");
    for (line, headers, body) in cases(&request) {
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let headers = headers.concat();
        let bytes = format!("{line}\r\nhost: x\r\n{headers}\r\n{body}");
        let (status, answer) = send_bytes(&stage, bytes.as_bytes()).await;
        // Only what `hyper` refuses before it is a request has no problem document.
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{bytes:?}: {answer}"
        );
        assert!(!answer.contains("production"), "nobody was let in: {bytes:?}: {answer}");
    }
    let (status, _) = send_bytes(&stage, &[0xff; 4096]).await;
    assert!(status.is_none_or(|status| status == 400));
    let _: Value = stage.get("environments").await.good();
    stage.end().await;
}
