//! What goes wrong on purpose really goes wrong.

use std::time::Duration;

use super::super::{Canned, Carrying, Effect, Fault, RetryAfter, Settings, When};
use super::Client;

async fn client() -> Client {
    Client::of(Settings {
        users: 30,
        page_size: 10,
        ..Settings::default()
    })
    .await
}

const URL: &str = "/users/delta?$select=displayName,assignedPlans";

#[tokio::test]
async fn a_connection_that_is_cut_breaks_the_body_and_the_next_request_works() {
    let client = client().await;
    let faults = client.simulator.faults();
    for effect in [Effect::Cut(500), Effect::Cut(0), Effect::Hangup] {
        faults.push(Fault::once(When::path("/users/delta"), effect));
        assert!(client.try_get(URL, &[("accept-encoding", "identity")]).await.is_err());
    }
    assert_eq!(client.get(URL).await.status, 200);
}

#[tokio::test]
async fn a_hangup_sends_nothing_and_a_cut_sends_something() {
    let client = client().await;
    client
        .simulator
        .faults()
        .push(Fault::once(When::path("/users/delta"), Effect::Hangup));
    let url = format!("{}/v1.0{URL}", client.simulator.root());
    let request = || client.http.get(&url).bearer_auth(&client.token).send();
    assert!(request().await.is_err(), "no head");
    client
        .simulator
        .faults()
        .push(Fault::once(When::path("/users/delta"), Effect::Cut(100)));
    let response = request().await.unwrap();
    assert!(response.bytes().await.is_err(), "a head and no whole body");
}

#[tokio::test]
async fn retry_after_comes_as_a_number_a_fraction_a_date_or_not_at_all() {
    let client = client().await;
    let cases = [
        (Some(RetryAfter::Seconds(10)), Some("10")),
        (Some(RetryAfter::Fraction(2.128)), Some("2.128")),
        (Some(RetryAfter::Date(Duration::from_secs(30))), Some("GMT")),
        (None, None),
    ];
    for (retry_after, expected) in cases {
        client
            .simulator
            .faults()
            .push(Fault::once(When::path("/users/delta"), Effect::throttled(retry_after)));
        let answer = client.get(URL).await;
        assert_eq!(answer.status, 429);
        let header = answer.headers.get("retry-after").map(|value| value.to_str().unwrap());
        match (header, expected) {
            (Some(header), Some(expected)) => assert!(header.ends_with(expected), "{header}"),
            (header, expected) => assert_eq!(header, expected),
        }
    }
}

#[tokio::test]
async fn pages_lose_their_links_or_their_value_or_point_astray() {
    let client = client().await;
    let faults = client.simulator.faults();
    let once = |effect| {
        faults.push(Fault::once(
            When::path("/users/delta").carrying(Carrying::Nothing),
            effect,
        ));
    };
    once(Effect::NoLink);
    let page = client.get(URL).await.body;
    assert!(page.get("@odata.nextLink").is_none() && page.get("@odata.deltaLink").is_none());
    once(Effect::NoValue);
    assert!(client.get(URL).await.body.get("value").is_none());
    once(Effect::NextLinkToItself);
    let link = client.get(URL).await.body["@odata.nextLink"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(link, format!("{}/v1.0{URL}", client.simulator.root()));
    once(Effect::ForeignNextLink("http://127.0.0.1:9".into()));
    let link = client.get(URL).await.body["@odata.nextLink"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(link.starts_with("http://127.0.0.1:9/v1.0/"));
    once(Effect::empty_object());
    assert_eq!(client.get(URL).await.body, serde_json::json!({}));
    once(Effect::Truncate);
    let broken = client.get(URL).await;
    assert_eq!((broken.status, broken.body), (200, serde_json::Value::Null));
    once(Effect::EmptyPage);
    let empty = client.get(URL).await.body;
    assert!(empty["value"].as_array().unwrap().is_empty());
    let (users, _, _) = client.round(empty["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(users.len(), 30);
}

#[tokio::test]
async fn errors_may_be_html_or_empty_or_have_no_code() {
    let client = client().await;
    let faults = client.simulator.faults();
    faults.push(Fault::once(When::any(), Effect::html(502)));
    faults.push(Fault::once(When::any(), Effect::empty_body(503)));
    faults.push(Fault::once(When::any(), Effect::error(500, "")));
    faults.push(Fault::once(When::any(), Effect::gone(true)));
    let headers = vec![("x-odd".to_owned(), "yes".to_owned())];
    faults.push(Fault::once(
        When::any(),
        Effect::Answer(Canned {
            status: 504,
            headers,
            ..Canned::default()
        }),
    ));
    assert_eq!(client.get(URL).await.headers["content-type"], "text/html");
    assert_eq!(client.get(URL).await.status, 503);
    assert_eq!(client.get(URL).await.body["error"]["code"], "");
    assert!(
        client.get(URL).await.headers["location"]
            .to_str()
            .unwrap()
            .ends_with("/users/delta?$deltatoken=")
    );
    assert_eq!(client.get(URL).await.headers["x-odd"], "yes");
    assert_eq!(client.get(URL).await.status, 200);
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let client = client().await;
    client
        .simulator
        .faults()
        .push(Fault::once(When::any(), Effect::SlowBody(Duration::from_millis(2))));
    assert_eq!(client.get(URL).await.body["value"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn the_log_tells_what_came_in_without_its_tokens() {
    let client = client().await;
    drop(client.simulator.take_requests());
    let (_, link, pages) = client.round(URL).await;
    client.try_get(&link, &[("user-agent", "rollcall-test")]).await.unwrap();
    let seen = client.simulator.take_requests();
    assert_eq!((seen.len(), pages), (4, 3));
    assert!(
        seen.iter()
            .all(|request| request.bearer && request.status == 200 && request.endpoint == "/users/delta")
    );
    assert_eq!(seen[3].query, "$deltatoken=…");
    assert_eq!(seen[3].user_agent.as_deref(), Some("rollcall-test"));
    assert_eq!(client.simulator.request_counts()["/users/delta"], 4);
    assert!(client.simulator.requests().is_empty());
}
