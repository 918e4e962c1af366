//! What each call sends, and that it reads every page.

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{AdminRole, Kept, Link, Next, PrincipalKind, UserChange};
use crate::graph::{GraphError, Priority, SELECTION_FINGERPRINT};

const USER: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";

#[tokio::test]
async fn a_full_round_begins_with_the_selection_and_follows_links_verbatim() {
    let server = Server::start([]).await;
    let next = server.link("users/delta?$skiptoken=aB-_.~(x)*!'%2F%2f+ü");
    let delta = server.link("users/delta?$deltatoken=zzz");
    server.script([
        Reply::ok(format!(r#"{{"@odata.nextLink":"{next}","value":[]}}"#)),
        Reply::ok(format!(
            r#"{{"value":[{{"id":"{USER}"}}],"@odata.deltaLink":"{delta}"}}"#
        )),
    ]);
    let (graph, _) = graph(&server);

    let first = graph.users_delta(None, &Kept::All).await.unwrap();
    assert!(first.items.is_empty());
    let Next::Page(link) = first.next else {
        panic!("{first:?}")
    };
    assert_eq!(link.expose(), next);
    let last = graph.users_delta(Some(&link), &Kept::All).await.unwrap();
    assert_eq!(last.next, Next::Delta(Link::new(delta)));
    assert!(matches!(&last.items[..], [UserChange::Present(user)] if user.id == id(USER)));

    let asked = server.asked();
    assert_eq!(
        asked[0].target,
        format!("/v1.0/users/delta?$select={SELECTION_FINGERPRINT}")
    );
    // Only the letters that no request line may hold are escaped.
    assert_eq!(
        asked[1].target,
        "/v1.0/users/delta?$skiptoken=aB-_.~(x)*!%27%2F%2f+%C3%BC"
    );
}

#[tokio::test]
async fn every_request_names_itself_and_carries_a_fresh_id() {
    let server = Server::start([
        Reply::error(500, "x"),
        Reply::ok(r#"{"value":[]}"#),
        Reply::ok(r#"{"value":[]}"#),
    ])
    .await;
    let (graph, _) = graph(&server);
    graph.subscribed_skus().await.unwrap();
    graph.with_priority(Priority::Normal).subscribed_skus().await.unwrap();

    let asked = server.asked();
    let ids: std::collections::HashSet<_> = asked
        .iter()
        .map(|seen| seen.header("client-request-id").unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    for seen in &asked {
        assert_eq!(seen.method, "GET");
        assert_eq!(seen.target, "/v1.0/subscribedSkus");
        assert_eq!(seen.header("authorization"), Some("Bearer token-of-the-script"));
        assert_eq!(
            seen.header("user-agent"),
            Some(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(seen.header("accept"), Some("application/json"));
        assert!(seen.header("accept-encoding").unwrap().contains("gzip"));
    }
    let priorities: Vec<_> = asked
        .iter()
        .map(|seen| seen.header("x-ms-throttle-priority").unwrap())
        .collect();
    assert_eq!(priorities, ["low", "low", "normal"]);
}

#[tokio::test]
async fn compressed_answers_are_read() {
    const GZIP: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0x56, 0x2a, 0x4b, 0xcc, 0x29, 0x4d, 0x55, 0xb2, 0x8a, 0x8e, 0xad, 5,
        0, 0x42, 0xea, 0x40, 0x44, 0x0c, 0, 0, 0,
    ];
    let server = Server::start([Reply::ok(GZIP).with("content-encoding", "gzip")]).await;
    assert_eq!(graph(&server).0.subscribed_skus().await.unwrap().items, []);
}

#[tokio::test]
async fn listings_read_every_page_and_name_what_they_list() {
    let group = "ec22655c-8eb2-432a-b4ea-8b8a254b0000";
    let server = Server::start([]).await;
    let next = server.link("next?$skiptoken=2");
    let two_pages = |first: &str, second: &str| {
        [
            Reply::ok(format!(r#"{{"value":[{first}],"@odata.nextLink":"{next}"}}"#)),
            Reply::ok(format!(r#"{{"value":[{second}]}}"#)),
        ]
    };
    let (graph, _) = graph(&server);

    let user = format!(r##"{{"id":"{USER}","@odata.type":"#microsoft.graph.user"}}"##);
    let robot = format!(r##"{{"id":"{group}","@odata.type":"#microsoft.graph.servicePrincipal"}}"##);
    server.script(two_pages(&user, &robot));
    let owners = graph.group_owners(GROUP).await.unwrap().value.items;
    assert_eq!(
        owners.iter().map(|owner| owner.kind).collect::<Vec<_>>(),
        [PrincipalKind::User, PrincipalKind::Other]
    );

    let role = format!(
        r##"{{"principalId":"{group}","directoryScopeId":"/administrativeUnits/1","principal":{{"@odata.type":"#microsoft.graph.group","id":"{group}"}}}}"##
    );
    let bare = format!(r#"{{"principalId":"{USER}","directoryScopeId":"/"}}"#);
    server.script(two_pages(&role, &bare));
    let roles = graph
        .role_assignments(AdminRole::Dynamics365)
        .await
        .unwrap()
        .value
        .items;
    assert_eq!(
        (roles[0].principal.kind, roles[0].tenant_wide),
        (PrincipalKind::Group, false)
    );
    assert_eq!(
        (roles[1].principal.kind, roles[1].tenant_wide),
        (PrincipalKind::Unknown, true)
    );

    let dated = format!(r#"{{"id":"{USER}","deletedDateTime":"2026-02-01T00:00:00.1234567Z"}}"#);
    server.script(two_pages(
        &dated,
        &format!(r#"{{"id":"{group}","deletedDateTime":"yesterday"}}"#),
    ));
    let deleted = graph.deleted_users().await.unwrap().items;
    assert_eq!(deleted[0].deleted_at.unwrap().timestamp(), 1_769_904_000);
    assert_eq!(deleted[1].deleted_at, None);

    server.script(two_pages(
        &robot,
        &format!(r##"{{"id":"{group}","@odata.type":"#Microsoft.Graph.Group"}}"##),
    ));
    let containers = graph.user_member_of(id(USER)).await.unwrap().value.items;
    assert_eq!(containers[1].kind, PrincipalKind::Group);

    let firsts: Vec<_> = server.asked().into_iter().step_by(2).map(|seen| seen.target).collect();
    assert_eq!(
        firsts,
        [
            format!("/v1.0/groups/{GROUP}/owners?$select=id"),
            "/v1.0/roleManagement/directory/roleAssignments?$filter=roleDefinitionId%20eq%20\
             %2744367163-eba1-44c3-98af-f5787879f96a%27&$expand=principal"
                .to_owned(),
            "/v1.0/directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime".to_owned(),
            format!("/v1.0/users/{USER}/memberOf?$select=id"),
        ]
    );
}

#[tokio::test]
async fn members_come_page_by_page_and_end() {
    let server = Server::start([]).await;
    let next = server.link("groups/x/members?$skiptoken=2");
    server.script([
        Reply::ok(format!(
            r#"{{"value":[{{"id":"{USER}"}},{{"id":"short"}},{{}}],"@odata.nextLink":"{next}"}}"#
        )),
        Reply::ok(r#"{"value":[]}"#),
    ]);
    let (graph, _) = graph(&server);
    let page = graph.group_members(GROUP, None).await.unwrap();
    assert_eq!((page.items.len(), page.unreadable.len()), (1, 2));
    let Next::Page(link) = page.next else {
        panic!("{page:?}")
    };
    assert_eq!(graph.group_members(GROUP, Some(&link)).await.unwrap().next, Next::End);
    assert_eq!(
        server.asked()[0].target,
        format!("/v1.0/groups/{GROUP}/members?$select=id&$top=999")
    );
}

#[tokio::test]
async fn the_newest_group_link_is_found_behind_next_links() {
    let server = Server::start([]).await;
    let (next, delta) = (
        server.link("groups/delta?$skiptoken=1"),
        server.link("groups/delta?$deltatoken=2"),
    );
    server.script([
        Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{next}"}}"#)),
        Reply::error(410, "syncStateNotFound"),
        Reply::ok(format!(r#"{{"value":[],"@odata.nextLink":"{next}"}}"#)),
        Reply::ok(format!(r#"{{"value":[],"@odata.deltaLink":"{delta}"}}"#)),
    ]);
    let (graph, _) = graph(&server);
    assert_eq!(graph.group_delta_latest(GROUP).await.unwrap().value.expose(), delta);
    assert_eq!(
        server.asked()[0].target,
        format!("/v1.0/groups/delta?$select=members&$filter=id%20eq%20%27{GROUP}%27&$deltatoken=latest")
    );
}

#[tokio::test]
async fn a_group_change_tells_joined_from_left_and_the_last_word_counts() {
    let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
    let server = Server::start([]).await;
    let delta = server.link("groups/delta?$deltatoken=2");
    server.script([Reply::ok(format!(
        r##"{{"@odata.deltaLink":"{delta}","value":[
            {{"id":"{GROUP}","members@delta":[
                {{"id":"{a}","@removed":{{"reason":"deleted"}}}}, {{"id":"{b}","@odata.type":"#microsoft.graph.device"}},
                {{"id":"{c}"}}, {{"id":"{a}","@odata.type":"#microsoft.graph.user"}},
                {{"id":"{c}","@removed":{{"reason":"deleted"}}}}]}},
            {{"id":"{a}","@removed":{{"reason":"changed"}}}}, {{"id":null}}]}}"##
    ))]);
    let page = graph(&server)
        .0
        .group_delta(&Link::new(server.link("groups/delta?$deltatoken=1")))
        .await
        .unwrap();
    let [change, gone] = &page.items[..] else {
        panic!("{page:?}")
    };
    assert_eq!(change.joined.iter().map(|member| member.id).collect::<Vec<_>>(), [b, a]);
    assert_eq!(change.joined[0].kind, PrincipalKind::Other);
    assert_eq!(change.left, [c]);
    assert!(!change.removed && gone.removed && gone.joined.is_empty());
    assert_eq!(page.unreadable, ["a group has no id"]);
}

#[tokio::test]
async fn one_user_is_found_by_id_or_name_or_not_at_all() {
    let body = format!(r#"{{"id":"{USER}","accountEnabled":null}}"#);
    let server = Server::start([
        Reply::ok(body.clone()),
        Reply::ok(body.clone()),
        Reply::ok(body.clone()),
        Reply::error(404, "Request_ResourceNotFound"),
        Reply::ok(r#"{"displayName":"Nobody"}"#),
        Reply::ok(format!(r#"{{"value":[{body}]}}"#)),
        Reply::ok(r#"{"value":[]}"#),
    ])
    .await;
    let (graph, _) = graph(&server);
    assert_eq!(graph.user(&USER.to_uppercase()).await.unwrap().unwrap().id, id(USER));
    assert!(graph.user("o'neil_x.y#EXT#@contoso.com").await.unwrap().is_some());
    assert!(graph.user("$o'x@contoso.com").await.unwrap().is_some());
    assert!(graph.user("gone@contoso.com").await.unwrap().is_none());
    assert!(matches!(graph.user(USER).await, Err(GraphError::Protocol { .. })));
    // Texts that name no user name nothing else either.
    for text in ["", "delta", "..", "$count", "a\n@b"] {
        assert!(graph.user(text).await.unwrap().is_none());
    }
    assert!(graph.sample_user().await.unwrap().is_some());
    assert!(graph.sample_user().await.unwrap().is_none());
    let paths: Vec<_> = server
        .asked()
        .iter()
        .map(|seen| seen.target.split('?').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        paths[..5],
        [
            format!("/v1.0/users/{USER}"),
            "/v1.0/users/o'neil_x.y%23EXT%23@contoso.com".to_owned(),
            "/v1.0/users('$o''x@contoso.com')".to_owned(),
            "/v1.0/users/gone@contoso.com".to_owned(),
            format!("/v1.0/users/{USER}"),
        ]
    );
    assert_eq!(server.asked().len(), 7);
}

#[tokio::test]
async fn an_expired_page_link_restarts_a_listing_a_few_times_only() {
    let server = Server::start([]).await;
    let first = Reply::ok(format!(
        r#"{{"value":[{{"id":"{USER}"}}],"@odata.nextLink":"{}"}}"#,
        server.link("n")
    ));
    let expired = Reply::error(400, "Directory_ExpiredPageToken");
    let end = Reply::ok(r#"{"value":[]}"#);
    let (graph, _) = graph(&server);
    server.script([first.clone(), expired.clone(), first.clone(), end]);
    assert_eq!(graph.group_owners(GROUP).await.unwrap().value.items.len(), 1);
    server.script([
        first.clone(),
        expired.clone(),
        first.clone(),
        expired.clone(),
        first,
        expired,
    ]);
    assert!(matches!(
        graph.group_owners(GROUP).await,
        Err(GraphError::Protocol { .. })
    ));
}

#[test]
fn every_call_can_be_spawned() {
    fn is_send(_: &(impl Send + ?Sized)) {}
    fn calls(graph: &Graph, link: &Link) {
        is_send(&graph.users_delta(Some(link), &Kept::All));
        is_send(&graph.group_delta_latest(GROUP));
        is_send(&graph.group_delta(link));
        is_send(&graph.role_assignments(AdminRole::Global));
        is_send(&graph.user("x"));
        is_send(&graph.check_token());
        is_send(&graph.look_up(&[], true, None));
        is_send(&graph.deleted_user(GROUP));
        is_send(&graph.service_principal(GROUP));
    }
    let _ = calls;
}
