//! Users on demand: what a batch asks, and what becomes of each of its parts.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::refusals::Log;
use super::server::{Reply, Seen, Server};
use super::*;
use crate::domain::feed::{AdminRole, LookedUp, Patch};
use crate::graph::{GraphError, LookUps, Priority, SELECTION_FINGERPRINT};

pub(super) const ADA: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
const BOB: &str = "605d1257-ffff-40b6-8e6f-528a53f5dc55";
const UNIT: &str = "49320844-be99-4164-8167-87ff5d047ace";

/// The ids and urls of the parts of a batch.
fn parts(seen: &Seen) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let requests = body["requests"].as_array().unwrap();
    let text = |request: &Value, name: &str| request[name].as_str().unwrap().to_owned();
    requests
        .iter()
        .inspect(|request| assert_eq!(request["method"], "GET"))
        .map(|request| (text(request, "id"), text(request, "url")))
        .collect()
}

/// What this Graph knows: everybody is a member of one group and one administrative unit, and Ada has every role.
pub(super) fn known(url: &str) -> Value {
    if url.contains("/roleAssignments") {
        return json!({"value": [{"principalId": ADA, "directoryScopeId": "/"}]});
    }
    if url.contains("/memberOf") {
        let group = json!({"@odata.type": "#microsoft.graph.group", "id": GROUP});
        let unit = json!({"@odata.type": "#microsoft.graph.administrativeUnit", "id": UNIT});
        return json!({"value": [group, unit]});
    }
    let name = url.trim_start_matches("/users/").split('?').next().unwrap();
    let id = if name.contains('@') { BOB } else { name };
    json!({"id": id, "displayName": name})
}

fn part(id: &str, status: u16, body: &Value) -> Value {
    json!({"id": id, "status": status, "headers": {"request-id": "r-1"}, "body": body})
}

fn refused(id: &str, status: u16, code: &str) -> Value {
    part(
        id,
        status,
        &json!({"error": {"code": code, "message": "Maria Example"}}),
    )
}

fn throttled(id: &str, retry_after: &str) -> Value {
    let mut part = refused(id, 429, "TooManyRequests");
    part["headers"] = json!({"Retry-After": retry_after});
    part
}

/// Answers a batch: each part as `special` says, else as it is known, the last first.
fn batch(seen: &Seen, special: impl Fn(&str, &str) -> Option<Value>) -> Reply {
    let responses: Vec<Value> = parts(seen)
        .iter()
        .rev()
        .map(|(id, url)| special(id, url).unwrap_or_else(|| part(id, 200, &known(url))))
        .filter(|part| !part.is_null())
        .collect();
    Reply::ok(json!({"responses": responses}).to_string())
}

/// A server whose first batches meet something special, one entry each; later ones are answered as known.
pub(super) async fn server(specials: Vec<fn(&str, &str) -> Option<Value>>) -> Server {
    let server = Server::start([]).await;
    let mut specials = specials.into_iter();
    server.answer_by(move |seen| match specials.next() {
        Some(special) => batch(seen, special),
        None => batch(seen, |_, _| None),
    });
    server
}

fn is_user(url: &str) -> bool {
    !url.contains("memberOf") && !url.contains("roleAssignments")
}

pub(super) fn names(users: &[&str]) -> Vec<String> {
    users.iter().map(|&user| user.to_owned()).collect()
}

async fn look_up(server: &Server, users: &[&str], with_roles: bool) -> LookUps {
    graph(server).0.look_up(&names(users), with_roles, None).await.unwrap()
}

pub(super) fn assert_known(user: &Result<LookedUp, GraphError>, id_of: &str) {
    let LookedUp { user, groups } = user.as_ref().unwrap();
    let user = user.value.as_ref().unwrap();
    assert_eq!((user.id, &groups.value.items[..]), (id(id_of), &[GROUP][..]));
}

#[tokio::test]
async fn one_user_with_the_roles_is_one_request_of_five_parts() {
    let server = server(vec![]).await;
    let (graph, _) = graph(&server);
    let graph = graph.with_priority(Priority::Normal);
    let found = graph.look_up(&names(&[ADA]), true, None).await.unwrap();

    let [asked] = &server.asked()[..] else {
        panic!("{:?}", server.asked())
    };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/v1.0/$batch"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("authorization"), Some("Bearer token-of-the-script"));
    assert_eq!(asked.header("x-ms-throttle-priority"), Some("normal"));
    assert!(asked.header("client-request-id").is_some());
    let urls: Vec<String> = parts(asked).into_iter().map(|(_, url)| url).collect();
    let role = |role: AdminRole| {
        let id = role.template_id();
        format!("/roleManagement/directory/roleAssignments?$filter=roleDefinitionId%20eq%20'{id}'&$expand=principal")
    };
    assert_eq!(
        urls,
        [
            role(AdminRole::Global),
            role(AdminRole::PowerPlatform),
            role(AdminRole::Dynamics365),
            format!("/users/{ADA}?$select={SELECTION_FINGERPRINT}"),
            format!("/users/{ADA}/memberOf?$select=id"),
        ]
    );

    let [user] = &found.users[..] else { panic!("{found:?}") };
    assert_known(user, ADA);
    let roles = found.roles.unwrap().unwrap().value;
    let held: Vec<AdminRole> = roles.iter().map(|(role, _)| *role).collect();
    assert_eq!(held, AdminRole::ALL);
    assert!(
        roles
            .iter()
            .all(|(_, one)| one.principal.id == id(ADA) && one.tenant_wide)
    );
}

#[tokio::test]
async fn many_users_come_in_the_order_asked_however_many_batches_it_takes() {
    let users: Vec<String> = (1..=25).map(|number| Uuid::from_u128(number).to_string()).collect();
    for (with_roles, sizes) in [(false, [20, 20, 10]), (true, [20, 20, 13])] {
        let server = server(vec![]).await;
        let found = graph(&server).0.look_up(&users, with_roles, None).await.unwrap();
        let mut asked: Vec<usize> = server.asked().iter().map(|seen| parts(seen).len()).collect();
        asked.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        assert_eq!(asked, sizes);
        assert_eq!(found.users.len(), 25);
        assert_eq!(found.roles.is_some(), with_roles);
        for (user, id) in found.users.iter().zip(&users) {
            assert_known(user, id);
        }
    }
}

#[tokio::test]
async fn a_name_is_escaped_and_a_text_that_names_nobody_is_not_asked_about() {
    let server = server(vec![]).await;
    let found = look_up(&server, &["o'x#EXT#@contoso.com", "delta", "", ADA], false).await;
    let urls: Vec<String> = parts(&server.asked()[0]).into_iter().map(|(_, url)| url).collect();
    assert_eq!(urls[1], "/users/o'x%23EXT%23@contoso.com/memberOf?$select=id");
    assert_eq!(urls.len(), 4);
    assert_known(&found.users[0], BOB);
    for nobody in &found.users[1..3] {
        let nobody = nobody.as_ref().unwrap();
        assert!(nobody.user.value.is_none() && nobody.groups.value.items.is_empty());
    }
    assert_known(&found.users[3], ADA);

    let nothing = look_up(&server, &["delta"], false).await;
    assert!(nothing.users[0].as_ref().unwrap().user.value.is_none() && nothing.roles.is_none());
    assert_eq!(server.asked().len(), 1);
    assert!(look_up(&server, &[], true).await.roles.unwrap().is_ok());
}

#[tokio::test]
async fn only_what_was_throttled_is_repeated_after_the_longest_wait() {
    let server = server(vec![
        |id, url| match (is_user(url), url.contains(ADA)) {
            (true, true) => Some(throttled(id, "3")),
            (false, true) => Some(throttled(id, "7.5")),
            (true, false) => Some(refused(id, 424, "FailedDependency")),
            (false, false) => None,
        },
        |id, url| url.contains(BOB).then(|| refused(id, 503, "serviceNotAvailable")),
    ])
    .await;
    let (graph, clock) = graph(&server);
    let found = graph.look_up(&names(&[ADA, BOB]), false, None).await.unwrap();
    assert_known(&found.users[0], ADA);
    assert_known(&found.users[1], BOB);
    let asked = server.asked();
    let sizes: Vec<usize> = asked.iter().map(|seen| parts(seen).len()).collect();
    assert_eq!(sizes, [4, 3, 1]);
    let waited = clock.now() - start();
    assert!(waited >= TimeDelta::milliseconds(7500) && waited <= TimeDelta::milliseconds(9500));
    assert_ne!(asked[1].connection, asked[2].connection, "a 503 is repeated elsewhere");
}

#[tokio::test]
async fn a_part_that_stays_unavailable_fails_its_user_alone() {
    let bobs: fn(&str, &str) -> Option<Value> = |id, url| url.contains(BOB).then(|| refused(id, 504, "Gateway"));
    let server = server(vec![bobs; 9]).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    let error = found.users[1].as_ref().unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(error.to_string(), "reach users/{id} (504 Gateway)");
    assert_eq!(server.asked().len(), 5);

    let server = self::server(vec![|id, url| url.contains(BOB).then(|| throttled(id, "121"))]).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    let error = found.users[1].as_ref().unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(121)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn whoever_is_not_found_is_nobody_and_groups_that_are_not_found_are_an_error() {
    let server = server(vec![|id, url| {
        let missing = url.contains(ADA) || !is_user(url);
        missing.then(|| refused(id, 404, "Request_ResourceNotFound"))
    }])
    .await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    let ada = found.users[0].as_ref().unwrap();
    assert!(ada.user.value.is_none() && ada.groups.value.items.is_empty());
    let error = found.users[1].as_ref().unwrap_err();
    assert!(matches!(
        error,
        GraphError::NotFound {
            endpoint: "users/{id}/memberOf"
        }
    ));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_missing_permission_is_named_where_it_is_missed() {
    let server = server(vec![|id, url| {
        let denied = url.contains("Assignments") || url.contains(BOB);
        denied.then(|| refused(id, 403, "Authorization_RequestDenied"))
    }])
    .await;
    let found = look_up(&server, &[ADA, BOB], true).await;
    assert_known(&found.users[0], ADA);
    let remedy = |error: &GraphError| error.remedy().unwrap();
    assert!(remedy(found.users[1].as_ref().unwrap_err()).contains("User.Read.All"));
    assert!(remedy(&found.roles.unwrap().unwrap_err()).contains("RoleManagement.Read.Directory"));
}

#[tokio::test]
async fn a_body_that_cannot_be_used_fails_its_user_alone() {
    let bodies = [
        Value::Null,
        json!("PGh0bWw+"),
        json!([]),
        json!({}),
        json!({"value": {}}),
    ];
    for body in bodies {
        for users_part in [true, false] {
            let server = Server::start([]).await;
            let body = body.clone();
            server.answer_by(move |seen| {
                batch(seen, |id, url| {
                    (url.contains(BOB) && is_user(url) == users_part).then(|| part(id, 200, &body))
                })
            });
            let found = look_up(&server, &[BOB, ADA], false).await;
            let error = found.users[0].as_ref().unwrap_err();
            assert!(matches!(error, GraphError::Protocol { .. }), "{error:?}");
            assert_known(&found.users[1], ADA);
            assert_eq!(server.asked().len(), 1);
        }
    }
    for status in [204, 302] {
        let server = Server::start([]).await;
        server.answer_by(move |seen| {
            batch(seen, |id, url| {
                url.contains(BOB)
                    .then(|| json!({"id": id, "status": status, "body": null}))
            })
        });
        let found = look_up(&server, &[BOB, ADA], false).await;
        assert!(matches!(&found.users[0], Err(GraphError::Protocol { .. })));
        assert_known(&found.users[1], ADA);
    }
}

#[tokio::test]
async fn a_part_without_an_answer_is_asked_again_and_not_for_ever() {
    let unanswered: [fn(&str, &str) -> Option<Value>; 3] = [
        |_, url| url.contains(BOB).then_some(Value::Null),
        |id, url| url.contains(BOB).then(|| json!({"id": id, "body": {"id": BOB}})),
        |_, url| {
            url.contains(BOB)
                .then(|| json!({"id": 7, "status": 200, "body": {"id": BOB}}))
        },
    ];
    for special in unanswered {
        let server = server(vec![special]).await;
        let found = look_up(&server, &[ADA, BOB], false).await;
        assert_known(&found.users[0], ADA);
        assert_known(&found.users[1], BOB);
        let sizes: Vec<usize> = server.asked().iter().map(|seen| parts(seen).len()).collect();
        assert_eq!(sizes, [4, 2]);
    }
    let server = server(vec![unanswered[0]; 9]).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    assert!(matches!(&found.users[1], Err(GraphError::Protocol { .. })));
    assert_eq!(server.asked().len(), 5);
}

/// A server whose `memberOf` of Bob has a second page there.
async fn server_with_pages(next: impl Fn(&Server) -> String) -> Server {
    let server = Server::start([]).await;
    let next = next(&server);
    server.answer_by(move |seen| {
        if seen.method == "GET" {
            let group = Uuid::from_u128(7);
            return Reply::ok(json!({"value": [{"id": group}]}).to_string());
        }
        batch(seen, |id, url| {
            let mut page = known(url);
            page["@odata.nextLink"] = next.clone().into();
            (url.contains(BOB) && !is_user(url)).then(|| part(id, 200, &page))
        })
    });
    server
}

#[tokio::test]
async fn further_pages_are_read_outside_the_batch() {
    let server = server_with_pages(|server| server.link("users/x/memberOf?$skiptoken=2")).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    let bob = found.users[1].as_ref().unwrap();
    assert_eq!(bob.groups.value.items, [GROUP, Uuid::from_u128(7)]);
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].target, "/v1.0/users/x/memberOf?$skiptoken=2");
    assert_eq!(asked[1].header("authorization"), Some("Bearer token-of-the-script"));

    // A page link that has expired begins the listing again, alone.
    let server = server_with_pages(|server| server.link("users/x/memberOf?$skiptoken=2")).await;
    let (graph, _) = graph(&server);
    let mut pages = 0;
    let link = server.link("users/x/memberOf?$skiptoken=2");
    server.answer_by(move |seen| {
        if seen.method == "GET" {
            pages += 1;
            return if pages == 1 {
                Reply::error(400, "Directory_ExpiredPageToken")
            } else {
                Reply::ok(known(&seen.target).to_string())
            };
        }
        batch(seen, |id, url| {
            let mut page = known(url);
            page["@odata.nextLink"] = link.clone().into();
            (!is_user(url)).then(|| part(id, 200, &page))
        })
    });
    let found = graph.look_up(&names(&[BOB]), false, None).await.unwrap();
    assert_known(&found.users[0], BOB);
    assert_eq!(
        server.asked()[2].target,
        format!("/v1.0/users/{BOB}/memberOf?$select=id")
    );
}

#[tokio::test]
async fn a_next_link_elsewhere_is_not_followed() {
    let stranger = Server::start([]).await;
    let link = stranger.link("users/x/memberOf?$skiptoken=2");
    let server = server_with_pages(move |_| link.clone()).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    let error = found.users[1].as_ref().unwrap_err();
    assert!(matches!(error, GraphError::ForeignLink { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("skiptoken"));
    assert!(stranger.asked().is_empty() && stranger.token_requests().is_empty());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_parts_refuse_is_replaced_once() {
    let server = server(vec![|id, url| {
        url.contains(BOB)
            .then(|| refused(id, 401, "InvalidAuthenticationToken"))
    }])
    .await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    assert_known(&found.users[1], BOB);
    assert_eq!((server.asked().len(), server.token_requests().len()), (2, 2));
    assert_eq!(parts(&server.asked()[1]).len(), 2);

    let bobs: fn(&str, &str) -> Option<Value> = |id, url| url.contains(BOB).then(|| refused(id, 401, "Forbidden"));
    let server = self::server(vec![bobs; 9]).await;
    let found = look_up(&server, &[ADA, BOB], false).await;
    assert_known(&found.users[0], ADA);
    assert!(matches!(&found.users[1], Err(GraphError::Unauthorized { .. })));
    assert_eq!((server.asked().len(), server.token_requests().len()), (2, 2));
}

#[tokio::test]
async fn a_failed_part_is_logged_with_its_ids_and_nothing_about_a_person() {
    let log = Log::default();
    let _listening = log.listen();
    let server = server(vec![|id, url| match (is_user(url), url.contains('@')) {
        (true, true) => Some(refused(id, 403, "Authorization_RequestDenied")),
        (false, true) => {
            let link = "https://elsewhere.example/v1.0/x?$skiptoken=abcdef";
            Some(part(id, 200, &json!({"value": [], "@odata.nextLink": link})))
        }
        _ => None,
    }])
    .await;
    let found = look_up(&server, &["maria@contoso.com", ADA], false).await;
    assert!(found.users[0].is_err() && found.users[1].is_ok());
    let log = log.text();
    let sent = server.asked()[0].header("client-request-id").unwrap().to_owned();
    for part in ["users/{id}", "403", "Authorization_RequestDenied", "r-1", &sent] {
        assert!(log.contains(part), "{part} is missing in\n{log}");
    }
    for part in ["Maria", "maria", "abcdef", "token-of-the-script", ADA, &server.root()] {
        assert!(!log.contains(part), "{part} stands in\n{log}");
    }
    assert_eq!(
        found.users[1].as_ref().unwrap().user.value.as_ref().unwrap().mail,
        Patch::Absent
    );
}

#[tokio::test]
async fn parts_that_fail_alike_are_one_line_and_users_who_do_not_exist_are_none() {
    let log = Log::default();
    let _listening = log.listen();
    let nobody: Vec<String> = (0..200).map(|n| format!("nobody.{n}@contoso.com")).collect();
    let server = Server::start([]).await;
    server.answer_by(|seen| batch(seen, |id, _| Some(refused(id, 404, "Request_ResourceNotFound"))));
    let found = graph(&server).0.look_up(&nobody, false, None).await.unwrap();
    assert!(
        found
            .users
            .iter()
            .all(|user| user.as_ref().unwrap().user.value.is_none())
    );
    assert_eq!(log.text(), "");

    server.answer_by(|seen| {
        batch(seen, |id, url| {
            is_user(url).then(|| refused(id, 403, "Authorization_RequestDenied"))
        })
    });
    let found = graph(&server).0.look_up(&nobody, false, None).await.unwrap();
    assert!(found.users.iter().all(Result::is_err));
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("count=200") && text.contains("users/{id}"), "{text}");
}
