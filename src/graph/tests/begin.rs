//! How a round begins: the link of the changes, the listing, and the count.

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{Next, UserChange};
use crate::graph::{Latest, SELECTION_FINGERPRINT};

const USER: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";

fn page(server: &Server, users: &[&str], link: Option<(&str, &str)>) -> Reply {
    let users: Vec<String> = users.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let link = link.map_or(String::new(), |(kind, rest)| {
        format!(r#""@odata.{kind}Link":"{}","#, server.link(rest))
    });
    Reply::ok(format!(r#"{{{link}"value":[{}]}}"#, users.join(",")))
}

const NEXT: Option<(&str, &str)> = Some(("next", "users/delta?$skiptoken=a"));
const LATER: Option<(&str, &str)> = Some(("next", "users/delta?$skiptoken=c"));
const DELTA: Option<(&str, &str)> = Some(("delta", "users/delta?$deltatoken=b"));

#[tokio::test]
async fn latest_is_a_link_or_a_walk_that_has_begun_or_refused() {
    type Pages = Vec<(&'static [&'static str], Option<(&'static str, &'static str)>)>;
    let cases: [(Pages, &str); 5] = [
        (vec![(&[], DELTA)], "link"),
        (vec![(&[], NEXT), (&[], DELTA)], "link"),
        (vec![(&[USER], NEXT)], "walk"),
        (vec![(&[], NEXT), (&[USER], LATER)], "walk"),
        (vec![(&[USER], DELTA)], "walk"),
    ];
    for (pages, expected) in cases {
        let server = Server::start([]).await;
        server.script(pages.iter().map(|(users, link)| page(&server, users, *link)));
        let said = match graph(&server).0.users_delta_latest().await.unwrap() {
            Latest::Link(link) => {
                assert_eq!(link.value.expose(), server.link("users/delta?$deltatoken=b"));
                "link"
            }
            Latest::Walk(page) => {
                assert!(matches!(&page.items[..], [UserChange::Present(user)] if user.id == id(USER)));
                "walk"
            }
            Latest::Refused(_) => "refused",
        };
        assert_eq!((said, server.asked().len()), (expected, pages.len()), "{pages:?}");
        let first = format!("/v1.0/users/delta?$select={SELECTION_FINGERPRINT}&$deltatoken=latest");
        assert_eq!(server.asked()[0].target, first);
    }
    for (status, is_refused) in [(400, true), (405, true), (501, true), (403, false), (410, false)] {
        let server = Server::start([Reply::error(status, "Request_UnsupportedQuery")]).await;
        let said = graph(&server).0.users_delta_latest().await;
        assert_eq!(matches!(said, Ok(Latest::Refused(_))), is_refused, "{status}: {said:?}");
        assert_eq!(said.is_err(), !is_refused, "{status}");
    }
}

#[tokio::test]
async fn a_listing_asks_for_smaller_pages_where_large_ones_are_refused_and_then_follows_the_links() {
    for (refusals, sizes) in [(0, vec![999]), (1, vec![999, 500]), (2, vec![999, 500, 120])] {
        let server = Server::start([]).await;
        let next = Some(("next", "users?$top=7&$skiptoken=a"));
        let refused = (0..refusals).map(|_| Reply::error(400, "Request_BadRequest"));
        server.script(refused.chain([page(&server, &[USER], next), page(&server, &[], None)]));
        let (graph, _) = graph(&server);
        let first = graph.users_listing(None).await.unwrap();
        let Next::Page(link) = first.next else {
            panic!("{first:?}")
        };
        assert_eq!(graph.users_listing(Some(&link)).await.unwrap().next, Next::End);
        let asked: Vec<String> = server.asked().into_iter().map(|seen| seen.target).collect();
        let first = |size: &u32| format!("/v1.0/users?$select={SELECTION_FINGERPRINT}&$top={size}");
        let last = ["/v1.0/users?$top=7&$skiptoken=a".to_owned()];
        let expected: Vec<String> = sizes.iter().map(first).chain(last).collect();
        assert_eq!(asked, expected);
    }
    let server = Server::start((0..3).map(|_| Reply::error(400, "Request_BadRequest"))).await;
    let refused = graph(&server).0.users_listing(None).await.unwrap_err();
    assert!(refused.is_refusal() && server.asked().len() == 3, "{refused:?}");
    // In the middle of a listing it is the link, and no other size is tried.
    let server = Server::start([Reply::error(400, "Request_BadRequest")]).await;
    let link = crate::domain::feed::Link::new(server.link("users?$skiptoken=a"));
    let died = graph(&server).0.users_listing(Some(&link)).await;
    assert!(
        matches!(died, Err(GraphError::LinkExpired { cause: "refused", .. })),
        "{died:?}"
    );
}

#[tokio::test]
async fn a_count_is_a_bare_number_of_the_index_or_refused() {
    let plain = |body: &str| Reply::ok(body).with("content-type", "text/plain");
    for (reply, expected) in [
        (plain("42"), Some(42)),
        (plain("\u{feff}42\r\n"), Some(42)),
        (Reply::error(400, "Request_UnsupportedQuery"), None),
        (Reply::error(501, "NotImplemented"), None),
        (Reply::error(403, "Authorization_RequestDenied"), None),
        (Reply::error(404, "Request_ResourceNotFound"), None),
    ] {
        let server = Server::start([Reply::error(503, ""), plain("<html>"), reply.clone()]).await;
        let count = graph(&server).0.users_count().await.unwrap();
        assert_eq!(count, expected, "{reply:?}");
        for seen in server.asked() {
            assert_eq!(seen.target, "/v1.0/users/$count");
            assert_eq!(seen.header("consistencylevel"), Some("eventual"));
        }
    }
}
