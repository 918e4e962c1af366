//! What is read about one user at a time: batches, containers, deleted items, applications.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::tenant::GLOBAL_ADMINISTRATOR;
use super::super::{Effect, Fault, RetryAfter, Settings, When};
use super::Client;

async fn client() -> Client {
    Client::of(Settings {
        users: 4,
        ..Settings::default()
    })
    .await
}

fn gets(urls: &[String]) -> Value {
    let requests: Vec<Value> = urls
        .iter()
        .enumerate()
        .map(|(at, url)| json!({"id": at.to_string(), "method": "GET", "url": url}))
        .collect();
    json!({"requests": requests})
}

/// The answers to a batch by id.
async fn batch(client: &Client, urls: &[String]) -> HashMap<String, Value> {
    let answer = client.post("/$batch", &gets(urls)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let responses = answer.body["responses"].as_array().unwrap();
    assert_eq!(responses.len(), urls.len());
    responses
        .iter()
        .map(|response| (response["id"].as_str().unwrap().to_owned(), response.clone()))
        .collect()
}

#[tokio::test]
async fn parts_fail_by_themselves_with_their_own_headers_and_bodies() {
    let client = client().await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    let faults = client.simulator.faults();
    let wait = Some(RetryAfter::Seconds(7));
    faults.push(Fault::once(When::path(users[0].to_string()), Effect::throttled(wait)));
    faults.push(Fault::once(When::path(users[1].to_string()), Effect::empty_body(204)));
    faults.push(Fault::once(
        When::path(users[2].to_string()),
        Effect::error(424, "FailedDependency"),
    ));
    let mut urls: Vec<String> = users[..3].iter().map(|id| format!("/users/{id}?$select=id")).collect();
    urls.push("/servicePrincipals?$select=id".to_owned());
    urls.push("/$batch".to_owned());
    urls.push(format!("users/{}?$select=id", users[3]));
    let answers = batch(&client, &urls).await;
    assert_eq!(answers["0"]["status"], 429);
    assert_eq!(answers["0"]["headers"]["retry-after"], "7");
    assert_eq!(answers["0"]["body"]["error"]["code"], "TooManyRequests");
    assert_eq!(
        (&answers["1"]["status"], &answers["1"]["body"]),
        (&json!(204), &Value::Null)
    );
    assert_eq!(answers["2"]["status"], 424);
    assert_eq!(answers["3"]["body"]["error"]["code"], "Authorization_RequestDenied");
    assert_eq!(answers["4"]["status"], 400, "a batch holds no batch");
    assert_eq!(answers["5"]["body"]["id"], json!(users[3]));
    assert_eq!(faults.pending(), 0);
}

#[tokio::test]
async fn a_malformed_batch_is_refused_as_a_whole() {
    let client = client().await;
    let url = || "/subscribedSkus".to_owned();
    let many: Vec<String> = (0..21).map(|_| url()).collect();
    let mut twice = gets(&[url(), url()]);
    twice["requests"][1]["id"] = "0".into();
    let mut nameless = gets(&[url()]);
    nameless["requests"][0]["id"] = Value::Null;
    let absolute = gets(&[format!("{}/v1.0/subscribedSkus", client.simulator.root())]);
    for body in [gets(&many), twice, nameless, absolute, json!({}), json!([])] {
        assert_eq!(client.post("/$batch", &body).await.status, 400, "{body}");
    }
    assert_eq!(batch(&client, &many[..20]).await.len(), 20);
    assert_eq!(client.get("/$batch").await.status, 405);
    client.simulator.revoke_access_tokens();
    assert_eq!(client.post("/$batch", &gets(&[url()])).await.status, 401);
}

#[tokio::test]
async fn what_a_user_is_a_member_of_comes_in_pages_also_from_a_batch() {
    let client = client().await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    for number in 0..130 {
        let group = tenant.create_group(&format!("Group {number}"));
        tenant.add_member(group, users[0]);
    }
    tenant.assign_role(GLOBAL_ADMINISTRATOR, users[0], "/");
    tenant.make_eligible(GLOBAL_ADMINISTRATOR, users[1], "/");
    tenant.assign_role(GLOBAL_ADMINISTRATOR, users[2], "/administrativeUnits/x");
    let answers = batch(&client, &[format!("/users/{}/memberOf?$select=id", users[0])]).await;
    let first = &answers["0"]["body"];
    assert_eq!(first["value"].as_array().unwrap().len(), 100);
    let group = json!({"@odata.type": "#microsoft.graph.group", "id": tenant.group_ids()[0]});
    assert_eq!(first["value"][0], group);
    let rest = client.listing(first["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(rest.len(), 31);
    assert_eq!(rest[30]["@odata.type"], "#microsoft.graph.directoryRole");
    assert_ne!(
        rest[30]["id"],
        json!(GLOBAL_ADMINISTRATOR),
        "the object's id, not the template's"
    );
    for user in [users[1], users[2]] {
        assert!(client.listing(&format!("/users/{user}/memberOf")).await.is_empty());
    }
    let answer = client
        .get(&format!("/users/{}/memberOf?$select=nonsense", users[0]))
        .await;
    assert_eq!(answer.status, 400);
    tenant.soft_delete(users[0]);
    assert_eq!(client.get(&format!("/users/{}/memberOf", users[0])).await.status, 404);
}

#[tokio::test]
async fn a_deleted_item_is_read_by_its_id() {
    let client = client().await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    tenant.soft_delete(users[1]);
    tenant.purge(users[2]);
    let url = |key: &str| format!("/directory/deletedItems/{key}?$select=id,deletedDateTime");
    let found = client.get(&url(&users[1].to_string())).await;
    assert_eq!(found.status, 200);
    assert_eq!(found.body["@odata.type"], "#microsoft.graph.user");
    assert_eq!(found.body["id"], json!(users[1]));
    assert!(found.body["deletedDateTime"].is_string());
    assert!(found.body.get("displayName").is_none());
    let whole = client.get(&format!("/directory/deletedItems/{}", users[1])).await;
    assert!(whole.body["displayName"].is_string() && whole.body["deletedDateTime"].is_string());

    for (key, status, code) in [
        (users[0].to_string(), 404, "Request_ResourceNotFound"),
        (users[2].to_string(), 404, "Request_ResourceNotFound"),
        (uuid::Uuid::nil().to_string(), 404, "Request_ResourceNotFound"),
        ("maria@contoso.com".to_owned(), 400, "Request_BadRequest"),
    ] {
        let answer = client.get(&url(&key)).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (status, &json!(code)),
            "{key}"
        );
    }
    let expanded = format!("/directory/deletedItems/{}?$expand=manager", users[1]);
    assert_eq!(client.get(&expanded).await.status, 400);
    tenant.restore(users[1]);
    assert_eq!(client.get(&url(&users[1].to_string())).await.status, 404);

    tenant.soft_delete(users[1]);
    client.simulator.configure(|settings| {
        settings.permissions.remove("User.Read.All");
    });
    assert_eq!(client.get(&url(&users[1].to_string())).await.status, 403);
    assert_eq!(client.simulator.request_counts()["/directory/deletedItems/{id}"], 9);
}

#[tokio::test]
async fn an_application_is_found_by_its_id_where_that_may_be_read() {
    let client = client().await;
    client.simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
    let (id, app_id) = client.simulator.tenant().add_service_principal("Billing");
    let url = |filter: &str| format!("/servicePrincipals?$filter={filter}&$select=id,appId,displayName,accountEnabled");
    let found = client.listing(&url(&format!("appId eq '{app_id}'"))).await;
    let expected = json!({"id": id, "appId": app_id, "displayName": "Billing", "accountEnabled": true});
    assert_eq!(found, [expected]);
    let own = client.simulator.client_id();
    assert_eq!(client.listing(&url(&format!("appId eq '{own}'"))).await.len(), 1);
    assert!(client.listing(&url(&format!("appId eq '{id}'"))).await.is_empty());
    assert_eq!(client.get(&url("tags eq 'x'")).await.status, 400);
    assert_eq!(client.get("/servicePrincipals?$select=nonsense").await.status, 400);
}
