//! Rounds, listings, roles and products as they should be.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::tenant::{GLOBAL_ADMINISTRATOR, Profile, Removal, User};
use super::super::{Effect, Fault, Settings, When};
use super::Client;
use crate::clock::Clock;

#[tokio::test]
async fn a_first_round_lists_every_user_once_and_ends_in_a_delta_link() {
    let client = Client::of(Settings {
        users: 450,
        ..Settings::default()
    })
    .await;
    let (users, link, pages) = client
        .round("/users/delta?$select=displayName,accountEnabled,assignedPlans")
        .await;
    assert_eq!((users.len(), pages), (450, 3));
    let ids: HashSet<_> = users.iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 450);
    let plans = users[0]["assignedPlans"].as_array().unwrap().len();
    assert!(
        users
            .iter()
            .any(|user| user["assignedPlans"].as_array().unwrap().len() > 50),
        "{plans}"
    );
    assert!(link.contains("?$deltatoken="));
    let (nothing, _, _) = client.round(&link).await;
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_tenant_of_chosen_users_tells_their_changes() {
    let client = Client::of(Settings::default()).await;
    let tenant = client.simulator.tenant();
    let ada = tenant.add_user(User::named("Ada", "Lovelace"));
    let (users, link, _) = client.round("/users/delta?$select=givenName,mail,faxNumber").await;
    assert_eq!(
        users,
        [json!({"id": ada, "givenName": "Ada", "mail": "ada.lovelace@contoso.example"})]
    );
    tenant.update_user(ada, |user| user.mail = None);
    let (users, link, _) = client.round(&link).await;
    assert_eq!(
        users,
        [json!({"id": ada, "givenName": "Ada", "mail": null, "faxNumber": null})]
    );
    tenant.update_user(ada, |user| user.city = Some("London".into()));
    let (users, link, _) = client.round(&link).await;
    assert!(users.is_empty(), "only selected properties are tracked");
    tenant.soft_delete(ada);
    let (users, link, _) = client.round(&link).await;
    assert_eq!(users, [json!({"id": ada, "@removed": {"reason": "changed"}})]);
    tenant.purge(ada);
    let (users, _, _) = client.round(&link).await;
    assert_eq!(users, [json!({"id": ada, "@removed": {"reason": "deleted"}})]);
}

#[tokio::test]
async fn a_first_round_may_hold_tombstones_and_repeats_and_an_empty_page() {
    let client = Client::of(Settings {
        users: 5,
        page_size: 2,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    tenant.add_stray_tombstone(Uuid::from_u128(7), Removal::Soft);
    tenant.add_stray_tombstone(Uuid::from_u128(8), Removal::Permanent);
    let first = tenant.user_ids()[0];
    client
        .simulator
        .faults()
        .push(Fault::once(When::path("/users/delta").after(1), Effect::EmptyPage));
    let change = move |tenant: &super::super::Tenant| {
        tenant.update_user(first, |user| user.city = Some("Elsewhere".into()));
    };
    client.simulator.faults().push(Fault::once(
        When::path("/users/delta").after(2),
        Effect::meanwhile(change),
    ));
    let (items, _, pages) = client.round("/users/delta?$select=city").await;
    let reasons: Vec<&str> = items
        .iter()
        .filter_map(|item| item["@removed"]["reason"].as_str())
        .collect();
    assert_eq!(reasons, ["changed", "deleted"]);
    let cities: Vec<&str> = items
        .iter()
        .filter(|item| item["id"] == json!(first))
        .filter_map(|item| item["city"].as_str())
        .collect();
    assert_eq!((cities.len(), cities[1]), (2, "Elsewhere"));
    assert!(pages >= 5);
    assert_eq!(client.simulator.faults().pending(), 0);
}

#[tokio::test]
async fn latest_gives_a_link_and_no_data_and_minimal_gives_only_what_changed() {
    let client = Client::of(Settings {
        users: 3,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let (none, link, _) = client
        .round("/users/delta?$select=city,jobTitle&$deltatoken=latest")
        .await;
    assert!(none.is_empty());
    let id = tenant.user_ids()[0];
    tenant.update_user(id, |user| user.city = None);
    let page = client.try_get(&link, &[("prefer", "return=minimal")]).await.unwrap();
    assert_eq!(page.body["value"], json!([{"id": id, "city": null}]));
    assert_eq!(page.headers["preference-applied"], "return=minimal");
}

#[tokio::test]
async fn a_large_group_comes_in_parts_and_tells_who_left() {
    let client = Client::of(Settings {
        users: 12,
        relations_per_page: 5,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let group = tenant.create_group("Gate");
    let users = tenant.user_ids();
    tenant.add_members(group, users.iter().copied());
    let device = tenant.add_device("Kiosk");
    tenant.add_member(group, device);
    tenant.add_owner(group, users[0]);
    let url = format!("/groups/delta?$select=displayName,members,owners&$filter=id eq '{group}'");
    let (parts, link, pages) = client.round(&url).await;
    assert!(pages >= 3 && parts.iter().all(|part| part["id"] == json!(group)));
    let of = |parts: &[Value], name: &str| -> Vec<Value> {
        parts
            .iter()
            .filter_map(|part| part[name].as_array())
            .flatten()
            .cloned()
            .collect()
    };
    assert_eq!(of(&parts, "members@delta").len(), 13);
    assert_eq!(of(&parts, "owners@delta").len(), 1);
    tenant.soft_delete(users[1]);
    let (parts, link, _) = client.round(&link).await;
    assert!(parts.is_empty(), "a soft-deleted user keeps her membership");
    let listing = client.get(&format!("/groups/{group}/members")).await;
    assert_eq!(
        listing.body["value"].as_array().unwrap().len(),
        12,
        "the plain listing leaves her out"
    );
    tenant.purge(users[1]);
    tenant.remove_member(group, users[2]);
    let (parts, link, _) = client.round(&link).await;
    let left: HashSet<String> = of(&parts, "members@delta")
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, HashSet::from([users[1].to_string(), users[2].to_string()]));
    assert!(parts[0].get("owners@delta").is_none());
    tenant.delete_group(group);
    let (parts, _, _) = client.round(&link).await;
    assert_eq!(parts, [json!({"id": group, "@removed": {"reason": "deleted"}})]);
    assert_eq!(client.get(&format!("/groups/{group}/members")).await.status, 404);
    let (none, _, _) = client.round(&url).await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn plain_listings_are_paged_and_devices_come_with_nulls() {
    let client = Client::of(Settings {
        users: 30,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let (outer, inner) = (tenant.create_group("Outer"), tenant.create_group("Inner"));
    let users = tenant.user_ids();
    tenant.add_members(outer, users[..20].iter().copied());
    tenant.add_members(inner, users[15..].iter().copied());
    tenant.add_member(outer, inner);
    let device = tenant.add_device("Kiosk");
    tenant.add_member(outer, device);
    let all = client
        .listing(&format!("/groups/{outer}/members?$top=8&$select=id,displayName"))
        .await;
    assert_eq!(all.len(), 22);
    let kiosk = all.iter().find(|member| member["id"] == json!(device)).unwrap();
    assert_eq!(
        (&kiosk["@odata.type"], &kiosk["displayName"]),
        (&json!("#microsoft.graph.device"), &Value::Null)
    );
    let flat = client
        .listing(&format!("/groups/{outer}/transitiveMembers?$top=7"))
        .await;
    assert_eq!(flat.len(), 32);
    assert_eq!(client.listing("/users?$top=7&$select=id").await.len(), 30);
    let upn = tenant
        .user(users[3])
        .unwrap()
        .user_principal_name
        .unwrap()
        .replace('#', "%23");
    assert_eq!(client.get(&format!("/users/{upn}")).await.body["id"], json!(users[3]));
    assert_eq!(client.listing(&format!("/users/{}/memberOf", users[16])).await.len(), 2);
}

#[tokio::test]
async fn an_activated_role_ends_and_an_eligible_one_never_began() {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let client = Client::of(Settings {
        users: 4,
        clock: clock.clone(),
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    tenant.assign_role(GLOBAL_ADMINISTRATOR, users[0], "/");
    tenant.activate_role(GLOBAL_ADMINISTRATOR, users[1], "/", Duration::from_mins(30));
    tenant.make_eligible(GLOBAL_ADMINISTRATOR, users[2], "/");
    let filter = format!("?$filter=roleDefinitionId eq '{GLOBAL_ADMINISTRATOR}'");
    let assignments = format!("/roleManagement/directory/roleAssignments{filter}&$expand=principal");
    let instances = format!("/roleManagement/directory/roleAssignmentScheduleInstances{filter}");
    let held = client.listing(&assignments).await;
    assert_eq!(held.len(), 2);
    assert_eq!(held[0]["principal"]["@odata.type"], "#microsoft.graph.user");
    let kinds: Vec<Value> = client
        .listing(&instances)
        .await
        .iter()
        .map(|instance| instance["assignmentType"].clone())
        .collect();
    assert_eq!(kinds, ["Assigned", "Activated"]);
    clock.advance(Duration::from_mins(31));
    assert_eq!(client.listing(&assignments).await.len(), 1);
    let eligible = format!("/roleManagement/directory/roleEligibilityScheduleInstances{filter}");
    assert_eq!(client.listing(&eligible).await.len(), 1);
    let two = format!("{assignments} or roleDefinitionId eq '{GLOBAL_ADMINISTRATOR}'");
    assert_eq!(client.get(&two.replace("&$expand=principal", "")).await.status, 400);
}

#[tokio::test]
async fn deleted_items_products_and_a_single_user_are_there_to_be_read() {
    let client = Client::of(Settings {
        users: 4,
        ..Settings::default()
    })
    .await;
    let tenant = client.simulator.tenant();
    let users = tenant.user_ids();
    tenant.soft_delete(users[1]);
    tenant.give_profile(users[2], Profile::Renewed);
    let deleted = client
        .listing("/directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime")
        .await;
    assert_eq!((deleted.len(), &deleted[0]["id"]), (1, &json!(users[1])));
    assert!(deleted[0]["deletedDateTime"].is_string());
    assert_eq!(
        client.get(&format!("/users/{}", users[1])).await.body["error"]["code"],
        "Request_ResourceNotFound"
    );
    tenant.restore(users[1]);
    assert_eq!(client.get(&format!("/users/{}", users[1])).await.status, 200);
    let renewed = client
        .get(&format!("/users/{}?$select=assignedPlans,assignedLicenses", users[2]))
        .await;
    let sales: Vec<&Value> = renewed.body["assignedPlans"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|plan| plan["servicePlanId"] == "2da8e897-7791-486b-b08f-cc63c8129df7")
        .map(|plan| &plan["capabilityStatus"])
        .collect();
    assert_eq!(sales, [&json!("Deleted"), &json!("Enabled")]);
    let skus = client.get("/subscribedSkus").await;
    assert!(skus.body["value"].as_array().unwrap().len() > 10);
    assert_eq!(skus.headers["x-ms-resource-unit"], "3");
}

#[tokio::test]
async fn a_batch_answers_its_parts_one_by_one() {
    let client = Client::of(Settings {
        users: 2,
        ..Settings::default()
    })
    .await;
    let id = client.simulator.tenant().user_ids()[0];
    client
        .simulator
        .faults()
        .push(Fault::once(When::path("/subscribedSkus"), Effect::throttled(None)));
    let answer = client
        .post(
            "/$batch",
            &json!({"requests": [
                {"id": "a", "method": "GET", "url": format!("/users/{id}?$select=id")},
                {"id": "b", "method": "GET", "url": "/users/00000000-0000-0000-0000-000000000000"},
                {"id": "c", "method": "GET", "url": "/subscribedSkus"},
            ]}),
        )
        .await;
    let mut told: Vec<(String, u64)> = answer.body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            (
                part["id"].as_str().unwrap().to_owned(),
                part["status"].as_u64().unwrap(),
            )
        })
        .collect();
    told.sort();
    assert_eq!(told, [("a".into(), 200), ("b".into(), 404), ("c".into(), 429)]);
    assert_eq!(client.post("/$batch", &json!({"requests": []})).await.status, 400);
}

#[tokio::test]
async fn cached_pages_are_the_pages_until_something_changes() {
    let client = Client::of(Settings {
        users: 500,
        cache_pages: true,
        ..Settings::default()
    })
    .await;
    let url = "/users/delta?$select=displayName,assignedPlans";
    let (first, link, _) = client.round(url).await;
    let (second, _, _) = client.round(url).await;
    assert_eq!(first, second);
    let id = client.simulator.tenant().user_ids()[450];
    client
        .simulator
        .tenant()
        .update_user(id, |user| user.display_name = Some("Changed".into()));
    let (third, _, _) = client.round(url).await;
    assert_ne!(first, third);
    let (changed, _, _) = client.round(&link).await;
    assert_eq!(changed.len(), 1);
}

#[tokio::test]
async fn a_furnished_tenant_has_groups_of_known_ids() {
    let client = Client::of(Settings {
        users: 1_000,
        ..Settings::default()
    })
    .await;
    let furnished = client.simulator.tenant().furnish();
    let members = client
        .listing(&format!("/groups/{}/members", super::super::tenant::SMALL_GROUP))
        .await;
    assert!(members.len() > 40);
    assert!(
        members
            .iter()
            .all(|member| member["id"] != json!(furnished.soft_deleted))
    );
    let large = client
        .listing(&format!(
            "/groups/{}/members?$top=999",
            super::super::tenant::LARGE_GROUP
        ))
        .await;
    assert_eq!(large.len(), 600);
}
