//! The simulator refuses what Graph refuses.

use std::time::Duration;

use serde_json::json;

use super::super::tenant::{TokenDeath, User};
use super::super::{Effect, Fault, Settings, TokenFault, When};
use super::Client;
use crate::clock::Clock;

/// The fields changed, the status, the AADSTS number, the OAuth error.
type Case = (&'static [(&'static str, &'static str)], u16, u64, &'static str);

#[tokio::test]
async fn the_token_endpoint_tells_which_part_of_the_request_is_wrong() {
    let client = Client::of(Settings::default()).await;
    let cases: [Case; 6] = [
        (&[("client_secret", "wrong")], 401, 7_000_215, "invalid_client"),
        (
            &[("client_id", "5133aaaa-0000-4000-8000-000000000000")],
            400,
            700_016,
            "unauthorized_client",
        ),
        (
            &[("scope", "https://graph.microsoft.com/.default")],
            400,
            70_011,
            "invalid_scope",
        ),
        (&[("grant_type", "")], 400, 900_144, "invalid_request"),
        (&[("grant_type", "password")], 400, 70_003, "unsupported_grant_type"),
        (&[("client_secret", "")], 401, 7_000_218, "invalid_client"),
    ];
    for (changed, status, number, error) in cases {
        let answer = client.ask_token(changed).await;
        assert_eq!(
            (answer.status, &answer.body["error_codes"]),
            (status, &json!([number])),
            "{changed:?}"
        );
        assert_eq!(answer.body["error"], error);
        assert!(
            answer.body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{number}: "))
        );
        assert!(answer.body["trace_id"].is_string() && answer.body["correlation_id"].is_string());
    }
}

#[tokio::test]
async fn token_faults_bend_the_answer() {
    let client = Client::of(Settings::default()).await;
    let faults = client.simulator.faults();
    faults.push(Fault::times(
        When::token(),
        2,
        Effect::Token(TokenFault::FEDERATION_NOT_READY),
    ));
    faults.push(Fault::once(When::token(), Effect::Token(TokenFault::ExpiresInAsString)));
    faults.push(Fault::once(When::token(), Effect::Token(TokenFault::NoExpiresIn)));
    assert_eq!(client.ask_token(&[]).await.body["error_codes"], json!([70_021]));
    assert_eq!(client.ask_token(&[]).await.status, 400);
    assert!(client.ask_token(&[]).await.body["expires_in"].is_string());
    assert!(client.ask_token(&[]).await.body.get("expires_in").is_none());
    assert!(client.ask_token(&[]).await.body["expires_in"].as_u64().unwrap() >= 3_600);
}

#[tokio::test]
async fn an_access_token_ends_and_an_unknown_one_never_began() {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let mut client = Client::of(Settings {
        clock: clock.clone(),
        ..Settings::default()
    })
    .await;
    assert_eq!(client.get("/subscribedSkus").await.status, 200);
    clock.advance(Duration::from_mins(91));
    let late = client.get("/subscribedSkus").await;
    assert_eq!(
        (late.status, &late.body["error"]["code"]),
        (401, &json!("InvalidAuthenticationToken"))
    );
    client.token = "made-up".into();
    assert_eq!(client.get("/subscribedSkus").await.status, 401);
}

#[tokio::test]
async fn queries_that_graph_does_not_support_are_refused() {
    let client = Client::of(Settings {
        users: 3,
        page_size: 2,
        ..Settings::default()
    })
    .await;
    let cases = [
        ("/users/delta?$orderby=displayName", 400, "BadRequest"),
        ("/users/delta?$expand=manager", 400, "BadRequest"),
        ("/users/delta?$select=nonsense", 400, "BadRequest"),
        ("/users/delta?$select=signInActivity", 501, "NotImplemented"),
        (
            "/users/delta?$filter=accountEnabled eq true",
            400,
            "Request_UnsupportedQuery",
        ),
        ("/users/delta?$skiptoken=foreign", 400, "Request_BadRequest"),
        ("/subscribedSkus?$select=skuId", 400, "BadRequest"),
        (
            "/groups/00000000-0000-0000-0000-000000000000/members",
            404,
            "Request_ResourceNotFound",
        ),
        ("/users/nobody@contoso.example", 404, "Request_ResourceNotFound"),
        ("/roleManagement/directory/roleAssignments?$top=5", 400, "BadRequest"),
        ("/servicePrincipals", 403, "Authorization_RequestDenied"),
        ("/nonsense", 400, "BadRequest"),
        ("/subscriptions", 501, "NotImplemented"),
    ];
    for (url, status, code) in cases {
        let answer = client.try_get(url, &[("client-request-id", "mine")]).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (status, &json!(code)),
            "{url}"
        );
        assert_eq!(answer.body["error"]["innerError"]["client-request-id"], "mine");
        assert_eq!(answer.headers["client-request-id"], "mine");
        assert!(answer.headers.contains_key("request-id") && answer.headers.contains_key("x-ms-ags-diagnostic"));
    }
    let page = client.get("/users/delta?$select=city&$top=1").await;
    assert_eq!(page.body["value"].as_array().unwrap().len(), 2, "$top is ignored");
    let next = page.body["@odata.nextLink"].as_str().unwrap();
    assert_eq!(client.get(&format!("{next}&$select=city")).await.status, 400);
}

#[tokio::test]
async fn a_dead_delta_token_answers_in_each_of_its_shapes() {
    let client = Client::of(Settings::default()).await;
    let tenant = client.simulator.tenant();
    tenant.add_user(User::named("Ada", "Lovelace"));
    let shapes = [
        (TokenDeath::GoneWithLocation, 410, "resyncRequired"),
        (TokenDeath::Gone, 410, "resyncRequired"),
        (TokenDeath::GoneSyncStateNotFound, 410, "SyncStateNotFound"),
        (TokenDeath::SyncStateNotFound, 400, "syncStateNotFound"),
        (TokenDeath::UnsupportedQuery, 400, "Request_UnsupportedQuery"),
        (TokenDeath::ExpiredPageToken, 400, "Directory_ExpiredPageToken"),
    ];
    for (death, status, code) in shapes {
        let (_, link, _) = client.round("/users/delta?$select=city").await;
        tenant.expire_tokens(death);
        let answer = client.get(&link).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)));
        assert_eq!(
            answer.headers.contains_key("location"),
            death == TokenDeath::GoneWithLocation
        );
        if let Some(location) = answer.headers.get("location") {
            assert_eq!(client.get(location.to_str().unwrap()).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_delta_token_dies_of_age() {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let lifetime = Duration::from_mins(10);
    let settings = Settings {
        clock: clock.clone(),
        delta_token_lifetime: lifetime,
        ..Settings::default()
    };
    let client = Client::of(settings).await;
    let (_, link, _) = client.round("/users/delta").await;
    clock.advance(Duration::from_mins(9));
    let (_, younger, _) = client.round(&link).await;
    clock.advance(Duration::from_mins(2));
    assert_eq!(client.get(&link).await.status, 410);
    assert_eq!(client.get(&younger).await.status, 200);
}

#[tokio::test]
async fn a_missing_permission_shows_in_its_three_ways() {
    let client = Client::of(Settings {
        users: 2,
        ..Settings::default()
    })
    .await;
    let url = "/users/delta?$select=displayName,accountEnabled,assignedPlans";
    client
        .simulator
        .configure(|settings| settings.limited_information = true);
    let page = client.get(url).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.body["value"][0]["accountEnabled"], json!(null));
    assert!(page.body["value"][0].get("accountEnabled").is_some());
    client.simulator.configure(|settings| {
        settings.limited_information = false;
        settings.permissions = ["User.ReadBasic.All".to_owned()].into();
    });
    let page = client.get(url).await;
    assert!(page.body["value"][0].get("accountEnabled").is_none());
    assert!(page.body["value"][0]["displayName"].is_string());
    client.simulator.configure(|settings| settings.permissions.clear());
    let page = client.get(url).await;
    assert_eq!(
        (page.status, &page.body["error"]["code"]),
        (403, &json!("Authorization_RequestDenied"))
    );
    assert_eq!(client.get("/groups/delta").await.status, 403);
    assert_eq!(client.get("/subscribedSkus").await.status, 403);
    assert_eq!(
        client.get("/roleManagement/directory/roleAssignments").await.status,
        403
    );
}
