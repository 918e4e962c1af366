//! Whatever arrives, in every shape that can be made of a good answer by spoiling it: nothing panics, no link leads
//! elsewhere, nothing a page holds stands in an error, and the work has an end.
//!
//! Payloads are good ones with a few places spoilt, since random bytes get no further than the first brace. What such a
//! run has found, or might have, stands below as a case with a name.

mod mutation;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use self::mutation::{Spoiling, spoiling, spoilt};
use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{Moment, Next, UserChange};
use crate::graph::endpoint;
use crate::graph::fault::Codes;
use crate::graph::link::Root;
use crate::graph::retry::read_retry_after;
use crate::graph::wire::relation::{
    RawDeletedUser, RawGroup, RawPrincipal, RawRoleAssignment, RawServicePrincipal, RawSku,
};
use crate::graph::wire::user::RawUser;
use crate::graph::wire::{Raw, Undecodable, batch, decode_listing};

/// Stands for everything personal: it is in every page and must be in no complaint.
const PERSON: &str = "Maria";
const ID: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
const OTHER: &str = "95b76021-6a53-4741-ab8b-1d1f3d66a95a";

fn users_page() -> Value {
    json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users",
        "@odata.nextLink": "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=oEcOySpF",
        "value": [
            {
                "@odata.type": "#microsoft.graph.user", "id": ID, "userPrincipalName": "Maria@contoso.example",
                "displayName": PERSON, "givenName": PERSON, "surname": PERSON, "jobTitle": null,
                "mail": "Maria@contoso.example", "businessPhones": ["Maria", "+1"], "mobilePhone": "Maria",
                "accountEnabled": true, "city": PERSON,
                "assignedPlans": [
                    {"assignedDateTime": "2026-01-01T00:00:00Z", "capabilityStatus": "Enabled", "service": PERSON,
                     "servicePlanId": OTHER},
                    {"capabilityStatus": "Deleted", "servicePlanId": ID},
                ],
            },
            {"id": OTHER, "@removed": {"reason": "changed"}, "displayName": PERSON},
        ],
    })
}

fn groups_page() -> Value {
    json!({
        "@odata.deltaLink": "https://graph.microsoft.com/v1.0/groups/delta?$deltatoken=oEcOySpF",
        "value": [{
            "id": ID, "displayName": PERSON,
            "members@delta": [
                {"@odata.type": "#microsoft.graph.user", "id": OTHER, "displayName": PERSON},
                {"@odata.type": "#microsoft.graph.group", "id": ID, "@removed": {"reason": "deleted"}},
            ],
        }],
    })
}

fn relations_page() -> Value {
    json!({
        "value": [
            {"@odata.type": "#microsoft.graph.user", "id": ID, "displayName": PERSON, "appId": OTHER,
             "accountEnabled": true, "deletedDateTime": "2026-02-03T04:05:06Z",
             "principalId": OTHER, "directoryScopeId": "/", "roleDefinitionId": ID,
             "principal": {"@odata.type": "#microsoft.graph.group", "id": OTHER, "displayName": PERSON},
             "skuId": ID, "skuPartNumber": "DEVELOPERPACK_E5", "capabilityStatus": "Warning",
             "servicePlans": [{"servicePlanId": OTHER, "servicePlanName": "Marketing"}]},
            {"id": OTHER},
        ],
    })
}

/// Decodes a page as every kind of entry it might hold, and complains of nothing that stands in it.
fn decode<R: Raw>(body: &[u8], entries: usize) -> Result<(), TestCaseError> {
    match decode_listing::<R>(body) {
        Ok(listing) => {
            prop_assert!(listing.items.len() <= entries, "more items than entries");
            let complaints = listing.unreadable.join("\n");
            prop_assert!(!complaints.contains(PERSON), "{}", complaints);
            if let Ok(page) = listing.into_delta_page("x", Moment::default()) {
                prop_assert!(!matches!(page.next, Next::End));
            }
        }
        Err(Undecodable::Shape(what)) => prop_assert!(!what.contains(PERSON), "{}", what),
        Err(Undecodable::Broken) => {}
    }
    Ok(())
}

fn decode_as_everything(page: &Value, spoiling: &Spoiling) -> Result<(), TestCaseError> {
    let body = spoilt(page, spoiling);
    // A duplicate of a list doubles it at most as often as something is spoilt.
    let entries = 64;
    decode::<RawUser>(&body, entries)?;
    decode::<RawPrincipal>(&body, entries)?;
    decode::<RawGroup>(&body, entries)?;
    decode::<RawRoleAssignment>(&body, entries)?;
    decode::<RawSku>(&body, entries)?;
    decode::<RawDeletedUser>(&body, entries)?;
    decode::<RawServicePrincipal>(&body, entries)
}

proptest! {
    #[test]
    fn no_page_however_spoilt_panics_or_shows_a_person(spoiling in spoiling()) {
        for page in [users_page(), groups_page(), relations_page()] {
            decode_as_everything(&page, &spoiling)?;
        }
    }

    #[test]
    fn one_spoilt_entry_changes_nothing_about_the_others(spoiling in spoiling(), first in any::<bool>()) {
        let good = users_page();
        let mut page = good.clone();
        let entry = spoilt(&good["value"][0], &spoiling);
        let Ok(mut entry) = serde_json::from_slice::<Value>(&entry) else { return Ok(()) };
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("id".to_owned(), json!("00000000-0000-0000-0000-000000000001"));
        }
        let list = page["value"].as_array_mut().unwrap();
        list.insert(if first { 0 } else { list.len() }, entry);
        let ids = |page: &Value| -> Vec<Uuid> {
            let listing = decode_listing::<RawUser>(page.to_string().as_bytes()).unwrap();
            let ids = listing.items.iter().map(|change| match change {
                UserChange::Present(user) => user.id,
                UserChange::Removed { id, .. } => *id,
            });
            ids.filter(|id| *id != Uuid::from_u128(1)).collect()
        };
        prop_assert_eq!(ids(&page), ids(&good));
    }

    #[test]
    fn no_bytes_however_odd_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode::<RawUser>(&bytes, 300)?;
        decode::<RawGroup>(&bytes, 300)?;
        let _ = batch::decode(&bytes);
        let _ = batch::decode_alone(&bytes);
        prop_assert!(Codes::decode(&bytes).shown().len() <= 100);
    }

    #[test]
    fn an_error_body_gives_codes_and_nothing_else(spoiling in spoiling()) {
        let body = json!({"error": {
            "code": "Request_ResourceNotFound", "message": "Maria does not exist",
            "innerError": {"date": "2026-01-01T00:00:00", "request-id": ID, "code": "syncStateNotFound",
                "innererror": {"code": "", "message": PERSON}},
            "details": [{"code": "x", "message": PERSON}], "target": PERSON,
        }});
        let codes = Codes::decode(&spoilt(&body, &spoiling));
        let shown = codes.shown();
        prop_assert!(shown.len() <= 100 && shown.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{shown:?}");
    }

    #[test]
    fn retry_after_of_any_text_is_a_wait_or_none(text in "[ -~]{0,40}|[0-9.eE+-]{0,30}|(Sun|Mon), [0-9]{2} Mar [0-9]{1,6} [0-9:]{0,10} GMT") {
        if let Some(wait) = read_retry_after(&text, start()) {
            prop_assert!(!wait.is_zero());
        }
    }

    #[test]
    fn no_link_however_bent_leads_anywhere_else(link in bent_link()) {
        let root = Root::new(Url::parse("https://graph.microsoft.com").unwrap());
        let Ok(target) = root.follow(endpoint::USERS_DELTA, &link) else { return Ok(()) };
        let url = &target.url;
        prop_assert!(url.as_str().starts_with("https://graph.microsoft.com/v1.0/"), "{link} became {url}");
        prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        prop_assert!(!url.path().split('/').any(|part| part == ".."), "{url}");
        prop_assert_eq!(target.text, link);
    }

    #[test]
    fn a_root_on_another_port_is_another_root(port in 1_u16.., link in bent_link()) {
        let root = Root::new(Url::parse(&format!("http://127.0.0.1:{port}")).unwrap());
        if let Ok(target) = root.follow(endpoint::USERS_DELTA, &link.replace("https://graph.microsoft.com", "http://127.0.0.1:8")) {
            prop_assert_eq!(target.url.port_or_known_default(), Some(port));
            prop_assert_eq!(target.url.host_str(), Some("127.0.0.1"));
        }
    }
}

/// A good link with something put in, taken out or replaced, or put together of parts that are used for such tricks.
fn bent_link() -> impl Strategy<Value = String> {
    let good = "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=a.b-c";
    let trick = prop::sample::select(vec![
        "@",
        ":443",
        ":80",
        "//",
        "/..",
        "/%2e%2e",
        "\\",
        "%00",
        "\0",
        "\t",
        "\n",
        "\r\n",
        " ",
        "#",
        "?",
        "evil.example",
        "@evil.example",
        "evil.example/",
        ".",
        "https:",
        "http://",
        "HTTPS://",
        "GRAPH.MICROSOFT.COM",
        "。",
        "\u{ff0f}",
        "\u{200b}",
        "xn--",
        "[::1]",
        "127.0.0.1",
        "user:password@",
        ";",
        "&",
        "//evil.example/v1.0/",
        "/v1.0/",
        "é",
    ]);
    let bend = (any::<prop::sample::Index>(), 0_usize..12, trick.clone());
    let spoilt_links = prop::collection::vec(bend, 1..4).prop_map(move |bends| {
        let mut link: Vec<char> = good.chars().collect();
        for (at, length, trick) in bends {
            let at = at.index(link.len());
            let end = (at + length).min(link.len());
            link.splice(at..end, trick.chars());
        }
        link.into_iter().collect()
    });
    let composed = prop::collection::vec(trick, 1..8).prop_map(|parts| format!("https://{}", parts.concat()));
    prop_oneof![3 => spoilt_links, 1 => composed, 1 => any::<String>()]
}

/// Runs cases that need a server: the same dice every time, since a case is told by what was spoilt.
async fn cases(count: u32, mut case: impl AsyncFnMut(Spoiling)) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..count {
        case(spoiling().new_tree(&mut runner).unwrap().current()).await;
    }
}

#[tokio::test]
async fn no_token_answer_however_spoilt_panics_hammers_or_shows_a_secret() {
    let answer = json!({
        "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "expires_on": "1772367000",
        "not_before": "1", "access_token": "eyJ0eXAi.Maria.t0ken", "error": "invalid_client", "error_codes": [7_000_215],
        "error_description": "AADSTS7000215: Maria. Trace ID: x", "trace_id": ID, "correlation_id": ID,
    });
    cases(150, async |spoiling| {
        let body = spoilt(&answer, &spoiling);
        for status in [200, 400, 401, 503] {
            let server = Server::start([]).await;
            server.script_tokens((0..9).map(|_| Reply::new(status, body.clone())));
            let (graph, _) = graph(&server);
            match graph.check_token().await {
                Ok(until) => assert!(
                    until >= start() && until <= start() + chrono::TimeDelta::hours(48),
                    "{until}"
                ),
                Err(error) => {
                    let text = format!("{} {error:?}", told(&error));
                    assert!(
                        !text.contains("t0ken") && !text.contains("s3cr&t"),
                        "{text} of {spoiling:?}"
                    );
                    assert!(
                        !told(&error).contains(PERSON) || spoiling.renames(),
                        "{text} of {spoiling:?}"
                    );
                }
            }
            assert!(server.token_requests().len() <= 5, "{spoiling:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_batch_however_spoilt_panics_or_is_asked_for_without_end() {
    cases(200, async |spoiling| {
        let user = json!({"id": ID, "displayName": PERSON, "accountEnabled": true, "assignedPlans": []});
        let batch = json!({"responses": [
            {"id": "1", "status": 200, "headers": {"Retry-After": "3"}, "body": user},
            {"id": "0", "status": 429, "headers": {"retry-after": 1}, "body": {"error": {"code": "x", "message": PERSON}}},
            {"id": "2", "status": 200, "body": {"value": [{"@odata.type": "#microsoft.graph.group", "id": OTHER}],
                "@odata.nextLink": "https://evil.example/v1.0/users?$skiptoken=1"}},
            {"id": "3", "status": 404, "body": null},
            {"id": "4", "status": 200, "body": {"value": []}},
        ]});
        let body = spoilt(&batch, &spoiling);
        let server = Server::start([]).await;
        server.answer_by(move |seen| {
            if seen.target.ends_with("/$batch") { Reply::ok(body.clone()) } else { Reply::error(404, "x") }
        });
        let (graph, _) = graph(&server);
        if let Ok(found) = graph.look_up(&[ID.to_owned()], true, None).await {
            for error in found.users.iter().filter_map(|user| user.as_ref().err()) {
                assert!(!told(error).contains(PERSON) || spoiling.renames(), "{error:?} of {spoiling:?}");
            }
        }
        assert!(server.asked().len() <= 40, "{} requests of {spoiling:?}", server.asked().len());
    })
    .await;
}

#[tokio::test]
async fn no_published_key_however_spoilt_panics_or_sends_us_elsewhere() {
    let stranger = Server::start([]).await;
    let foreign = stranger.link("keys");
    cases(150, async |spoiling| {
        let server = Server::start([]).await;
        let root = server.root();
        let metadata = json!({"issuer": format!("{root}/{TENANT}/v2.0"), "jwks_uri": format!("{root}/keys")});
        let keys = json!({"keys": [
            {"kty": "RSA", "use": "sig", "kid": "k", "n": "x".repeat(342), "e": "AQAB", "x5c": [PERSON],
             "issuer": "https://x/{tenantid}/v2.0"},
            {"kty": "RSA", "kid": "l", "n": "x".repeat(342), "e": "AQAB"},
        ]});
        let metadata = String::from_utf8_lossy(&spoilt(&metadata, &spoiling)).replace(mutation::URL, &foreign);
        let keys = spoilt(&keys, &spoiling);
        server.answer_by(move |seen| {
            let is_metadata = seen.target.contains("openid-configuration");
            Reply::ok(if is_metadata {
                metadata.clone().into_bytes()
            } else {
                keys.clone()
            })
        });
        if let Ok(found) = graph(&server).0.signing_keys().await {
            for key in found.keys {
                assert!((256..=1024).contains(&key.modulus.len()) && (1..=4).contains(&key.exponent.len()));
            }
        }
        assert!(server.asked().len() <= 10, "{spoiling:?}");
    })
    .await;
    assert!(stranger.asked().is_empty());
}

/// Pages that were found to be awkward, or would be the first to be.
#[test]
fn awkward_pages_are_read_or_refused() {
    let huge = "9".repeat(400);
    for (body, items) in [
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","id":"95b76021-6a53-4741-ab8b-1d1f3d66a95a"}]}"#
                .to_owned(),
            Some(1),
        ),
        (
            r#"{"value":[{"id":"{87d349ed-44d7-43e1-9a83-5f2406dee5bd}"}]}"#.to_owned(),
            Some(0),
        ),
        (
            r#"{"value":[{"id":"87d349ed44d743e19a835f2406dee5bd"}]}"#.to_owned(),
            Some(0),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","@removed":null}]}"#.to_owned(),
            Some(1),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","@removed":{"reason":null}}]}"#.to_owned(),
            Some(1),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","@removed":[]}]}"#.to_owned(),
            Some(1),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","@removed":"deleted"}]}"#.to_owned(),
            Some(1),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","displayName":"\ud800"}]}"#.to_owned(),
            Some(1),
        ),
        // A list where an object belongs, longer than the object has members: no end of the page.
        (
            format!(r#"{{"value":[{{"id":"{ID}","assignedPlans":[[null,[],{{}},"x"]]}},{{"id":"{OTHER}"}}]}}"#),
            Some(2),
        ),
        (
            r#"{"value":[{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","displayName":"\u0000"}]}"#.to_owned(),
            Some(1),
        ),
        (format!(r#"{{"value":[],"@odata.count":{huge}}}"#), Some(0)),
        (
            format!(r#"{{"value":[{{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","accountEnabled":{huge}}}]}}"#),
            Some(1),
        ),
        ("\u{feff}{\"value\":[]}".to_owned(), None),
        (r#"{"value":[],"value":[]}"#.to_owned(), None),
        (r#"{"value":{"0":{}}}"#.to_owned(), None),
        ("[".repeat(100_000), None),
    ] {
        let read = decode_listing::<RawUser>(body.as_bytes());
        assert_eq!(read.ok().map(|listing| listing.items.len()), items, "{body:.200}");
    }
}
