//! Plain listings, casts and counts: their pages, what they refuse, and how far they lag behind the feeds.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::tenant::User;
use super::super::{Carrying, Effect, Fault, Settings, When};
use super::Client;
use crate::clock::Clock;

const EVENTUAL: [(&str, &str); 1] = [("ConsistencyLevel", "eventual")];

/// The pages of a listing, each with the ids on it.
async fn pages(client: &Client, url: &str) -> Vec<Vec<Uuid>> {
    let (mut pages, mut next) = (Vec::new(), Some(url.to_owned()));
    while let Some(url) = next {
        let page = client.get(&url).await;
        assert_eq!(page.status, 200, "{url}: {}", page.body);
        pages.push(ids(&page.body));
        next = page.body["@odata.nextLink"].as_str().map(ToOwned::to_owned);
        assert!(page.body.get("@odata.deltaLink").is_none(), "a listing has no end mark");
    }
    pages
}

fn ids(page: &Value) -> Vec<Uuid> {
    let entries = page["value"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn a_listing_names_everybody_once_in_pages_of_the_size_that_was_asked_for_or_less() {
    let client = Client::of(Settings {
        users: 45,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let (gone, everybody) = (tenant.user_ids()[3], tenant.user_ids()[44]);
    let group = tenant.create_group("Gate");
    tenant.add_members(group, tenant.user_ids());
    tenant.add_member(group, tenant.add_device("Printer"));
    tenant.soft_delete(gone);
    let members = format!("/groups/{group}/members");
    let cast = format!("{members}/microsoft.graph.user");
    client.simulator.configure(|settings| settings.cast_needs_index = false);
    for (listing, listed) in [("/users", 44), (members.as_str(), 45), (cast.as_str(), 44)] {
        for (top, room, sizes) in [
            (20, 999, [20, 20]),
            (999, 999, [listed, 0]),
            (999, 30, [30, listed - 30]),
        ] {
            client.simulator.configure(|settings| settings.listing_page_size = room);
            let pages = pages(&client, &format!("{listing}?$select=displayName&$top={top}")).await;
            assert_eq!(pages[0].len(), sizes[0], "{listing} {top}");
            assert_eq!(pages.get(1).map_or(0, Vec::len), sizes[1], "{listing} {top}");
            let mut all: Vec<Uuid> = pages.into_iter().flatten().collect();
            assert!(all.contains(&everybody) && !all.contains(&gone));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), listed, "{listing} {top}");
        }
    }
    for (count, number) in [("/users/$count", 44), (&format!("{members}/$count"), 45)] {
        let answer = client.try_get(count, &EVENTUAL).await.unwrap();
        assert_eq!((answer.status, answer.body), (200, json!(number)), "{count}");
        assert_eq!(answer.headers["content-type"], "text/plain");
    }
}

#[tokio::test]
async fn a_listing_writes_null_for_what_was_never_set_and_a_first_round_leaves_it_out() {
    let client = Client::of(Settings::default()).await;
    let ada = client.simulator.tenant().add_user(User::named("Ada", "Lovelace"));
    let listed = client.listing("/users?$select=givenName,city").await;
    assert_eq!(listed, [json!({"id": ada, "givenName": "Ada", "city": null})]);
    let (walked, _, _) = client.round("/users/delta?$select=givenName,city").await;
    assert_eq!(walked, [json!({"id": ada, "givenName": "Ada"})]);
}

#[tokio::test]
async fn listings_casts_and_counts_refuse_what_graph_refuses() {
    let client = Client::of(Settings {
        users: 3,
        largest_top: 500,
        ..Settings::default()
    })
    .await;
    let group = client.simulator.tenant().create_group("Gate");
    let (members, nobody) = (format!("/groups/{group}/members"), Uuid::from_u128(9));
    let cast = format!("{members}/microsoft.graph.user");
    let cases = [
        ("/users?$top=0".to_owned(), 400, "Request_BadRequest"),
        ("/users?$top=1000".to_owned(), 400, "Request_BadRequest"),
        ("/users?$top=many".to_owned(), 400, "Request_BadRequest"),
        ("/users?$top=501".to_owned(), 400, "Request_BadRequest"),
        ("/users?$top=500".to_owned(), 200, ""),
        ("/users?$select=nonsense".to_owned(), 400, "BadRequest"),
        ("/users?$skiptoken=foreign".to_owned(), 400, "Request_BadRequest"),
        ("/users/$count".to_owned(), 400, "Request_UnsupportedQuery"),
        (format!("{members}/$count"), 400, "Request_UnsupportedQuery"),
        (format!("{members}?$top=501"), 400, "Request_BadRequest"),
        (cast.clone(), 400, "Request_UnsupportedQuery"),
        // A group that does not exist is missed first.
        (
            format!("/groups/{nobody}/members/$count"),
            404,
            "Request_ResourceNotFound",
        ),
    ];
    for (url, status, code) in cases {
        let answer = client.get(&url).await;
        let said = answer.body["error"]["code"].as_str().unwrap_or_default();
        assert_eq!((answer.status, said), (status, code), "{url}");
    }
    assert_eq!(
        client
            .try_get(&format!("{cast}?$count=true"), &EVENTUAL)
            .await
            .unwrap()
            .status,
        200
    );
    client.simulator.configure(|settings| settings.permissions.clear());
    for url in ["/users", "/users/$count", &members, &format!("{members}/$count"), &cast] {
        assert_eq!(client.try_get(url, &EVENTUAL).await.unwrap().status, 403, "{url}");
    }
}

#[tokio::test]
async fn each_endpoint_can_be_refused_by_itself() {
    let client = Client::of(Settings {
        users: 3,
        listing_page_size: 2,
        cast_needs_index: false,
        ..Settings::default()
    })
    .await;
    let group = client.simulator.tenant().create_group("Gate");
    let members = format!("/groups/{group}/members");
    let urls = [
        ("/users", "/users?$select=id".to_owned()),
        ("/users/$count", "/users/$count".to_owned()),
        ("/groups/{id}/members", members.clone()),
        ("/groups/{id}/members/$count", format!("{members}/$count")),
        (
            "/groups/{id}/members/microsoft.graph.user",
            format!("{members}/microsoft.graph.user"),
        ),
        ("/users/delta", "/users/delta?$deltatoken=latest".to_owned()),
    ];
    let faults = client.simulator.faults();
    for &(refused, _) in &urls {
        let when = When::endpoint(refused);
        let when = if refused == "/users/delta" {
            when.carrying(Carrying::Latest)
        } else {
            when
        };
        faults.push(Fault::forever(when, Effect::error(400, "Request_UnsupportedQuery")));
        for &(endpoint, ref url) in &urls {
            let status = client.try_get(url, &EVENTUAL).await.unwrap().status;
            assert_eq!(
                status == 400,
                endpoint == refused,
                "{endpoint} while {refused} is refused"
            );
        }
        faults.clear();
    }
    assert_eq!(client.get("/users/delta?$select=id").await.status, 200);
    // In the middle of a listing.
    let first = client.get("/users?$select=id").await;
    client.simulator.tenant().expire_page_tokens();
    let later = client.get(first.body["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(later.body["error"]["code"], "Directory_ExpiredPageToken");
}

#[tokio::test]
async fn a_service_may_take_latest_for_no_token() {
    let client = Client::of(Settings {
        users: 3,
        ignores_latest: true,
        ..Settings::default()
    })
    .await;
    let (users, _, _) = client.round("/users/delta?$select=id&$deltatoken=latest").await;
    assert_eq!(users.len(), 3);
}

#[tokio::test]
async fn listings_the_index_and_look_ups_lag_each_by_its_own_time() {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let mut client = Client::of(Settings {
        users: 3,
        clock: clock.clone(),
        cast_needs_index: false,
        listing_lag: Duration::from_mins(5),
        index_lag: Duration::from_mins(10),
        look_up_lag: Duration::from_mins(15),
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    let (changed, gone, left) = (users[0], users[1], users[2]);
    let group = tenant.create_group("Gate");
    tenant.add_members(group, users.clone());
    clock.advance(Duration::from_hours(1));
    tenant.update_user(changed, |user| user.city = Some("Elsewhere".into()));
    tenant.soft_delete(gone);
    tenant.remove_member(group, left);
    let new = tenant.add_user(User::named("Ada", "Lovelace"));
    tenant.add_member(group, new);

    client.token = client.ask_token(&[]).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let members = format!("/groups/{group}/members");
    let steps = [
        (0, [false, false, false]),
        (6, [true, false, false]),
        (5, [true, true, false]),
        (5, [true, true, true]),
    ];
    for (minutes, [listings, index, look_ups]) in steps {
        clock.advance(Duration::from_mins(minutes));
        let city = |entry: &Value| entry["city"] == "Elsewhere";
        let people = client.listing("/users?$select=city").await;
        let deleted = client.listing("/directory/deletedItems/microsoft.graph.user").await;
        assert_eq!(people.iter().any(city), listings, "{minutes}");
        assert_eq!((people.len(), deleted.len()), (3, usize::from(listings)));
        assert_eq!(client.listing(&members).await.len(), if listings { 2 } else { 3 });
        let is_new = |entry: &Value| entry["id"] == json!(new);
        assert_eq!(people.iter().any(is_new), listings);
        let cast = client.listing(&format!("{members}/microsoft.graph.user")).await;
        assert_eq!(
            (cast.iter().any(is_new), cast.len()),
            (index, if index { 2 } else { 3 })
        );
        let count = client.try_get(&format!("{members}/$count"), &EVENTUAL).await.unwrap();
        assert_eq!(count.body, json!(cast.len()));
        assert_eq!(client.get(&format!("/users/{new}")).await.status == 200, look_ups);
        assert_eq!(client.get(&format!("/users/{gone}")).await.status == 404, look_ups);
        assert_eq!(
            client.get(&format!("/directory/deletedItems/{gone}")).await.status == 200,
            look_ups
        );
        let groups = client.get(&format!("/users/{left}/memberOf")).await;
        assert_eq!(ids(&groups.body).is_empty(), look_ups);
        let walked = client.round("/users/delta?$select=city").await.0;
        assert!(
            walked.iter().any(city) && walked.iter().any(is_new),
            "a feed does not lag"
        );
    }
}
