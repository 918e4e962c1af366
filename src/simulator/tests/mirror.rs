//! A client that follows the rounds, whatever happens meanwhile, ends up knowing the tenant.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use uuid::Uuid;

use super::super::Settings;
use super::super::tenant::Standing;
use super::Client;

const USERS: &str = "/users/delta?$select=userPrincipalName,accountEnabled,jobTitle,givenName";
const GROUPS: &str = "/groups/delta?$select=members,owners";

fn id_of(item: &Value) -> Uuid {
    item["id"].as_str().unwrap().parse().unwrap()
}

#[derive(Default)]
struct Mirror {
    /// In a first round absent means unset.
    first: bool,
    users: BTreeMap<Uuid, BTreeMap<String, Value>>,
    groups: BTreeMap<Uuid, [BTreeSet<Uuid>; 2]>,
}

impl Mirror {
    fn take_users(&mut self, items: &[Value]) {
        for item in items {
            let id = id_of(item);
            if item.get("@removed").is_some() {
                self.users.remove(&id);
                continue;
            }
            let user = self.users.entry(id).or_default();
            if self.first {
                user.clear();
            }
            for (name, value) in item.as_object().unwrap() {
                user.insert(name.clone(), value.clone());
            }
        }
    }

    fn take_groups(&mut self, items: &[Value]) {
        for item in items {
            let id = id_of(item);
            if item.get("@removed").is_some() {
                self.groups.remove(&id);
                continue;
            }
            let group = self.groups.entry(id).or_default();
            for (at, name) in ["members@delta", "owners@delta"].into_iter().enumerate() {
                for entry in item[name].as_array().into_iter().flatten() {
                    if entry.get("@removed").is_some() {
                        group[at].remove(&id_of(entry));
                    } else {
                        group[at].insert(id_of(entry));
                    }
                }
            }
        }
    }

    fn check(&self, client: &Client) {
        let tenant = client.simulator.tenant();
        let live: BTreeSet<Uuid> = tenant.user_ids().into_iter().collect();
        assert_eq!(self.users.keys().copied().collect::<BTreeSet<_>>(), live);
        for (id, mirrored) in &self.users {
            let user = tenant.user(*id).unwrap();
            let text = |name: &str| mirrored.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            assert_eq!(text("userPrincipalName"), user.user_principal_name);
            assert_eq!(text("jobTitle"), user.job_title);
            assert_eq!(text("givenName"), user.given_name);
            assert_eq!(
                mirrored.get("accountEnabled").and_then(Value::as_bool),
                user.account_enabled
            );
        }
        let groups: BTreeSet<Uuid> = tenant.group_ids().into_iter().collect();
        assert_eq!(self.groups.keys().copied().collect::<BTreeSet<_>>(), groups);
        for (id, [members, owners]) in &self.groups {
            assert_eq!(*members, tenant.members(*id).unwrap().into_iter().collect());
            assert_eq!(*owners, tenant.owners(*id).unwrap().into_iter().collect());
            assert!(
                members
                    .iter()
                    .all(|member| tenant.standing(*member) != Some(Standing::Purged))
            );
        }
    }
}

#[tokio::test]
async fn following_the_rounds_through_any_changes_gives_the_tenant() {
    for (seed, minimal_rounds) in [(1, false), (2, true), (3, false)] {
        let settings = Settings {
            users: 60,
            page_size: 7,
            relations_per_page: 9,
            minimal_rounds,
            ..Settings::default()
        };
        let client = Client::of(settings).await;
        let tenant = client.simulator.tenant();
        let mut rng = StdRng::seed_from_u64(seed);
        for name in ["One", "Two", "Three"] {
            let group = tenant.create_group(name);
            tenant.add_members(group, tenant.user_ids().into_iter().step_by(2));
        }
        let mut mirror = Mirror {
            first: true,
            ..Mirror::default()
        };
        let (mut users, mut groups) = (USERS.to_owned(), GROUPS.to_owned());
        for _ in 0..12 {
            // Pages and changes by turns.
            for _ in 0..15 {
                let page = client.get(&users).await.body;
                mirror.take_users(page["value"].as_array().unwrap());
                mirror.first &= page.get("@odata.deltaLink").is_none();
                users = link(&page);
                let page = client.get(&groups).await.body;
                mirror.take_groups(page["value"].as_array().unwrap());
                groups = link(&page);
                for _ in 0..3 {
                    tenant.random_change(&mut rng);
                }
            }
            let (items, link, _) = client.round(&users).await;
            mirror.take_users(&items);
            mirror.first = false;
            users = link;
            let (items, link, _) = client.round(&groups).await;
            mirror.take_groups(&items);
            groups = link;
            // A round that was under way ends with what had happened by then; one more tells the rest.
            let (items, link, _) = client.round(&users).await;
            mirror.take_users(&items);
            mirror.first = false;
            users = link;
            let (items, link, _) = client.round(&groups).await;
            mirror.take_groups(&items);
            groups = link;
            mirror.check(&client);
        }
    }
}

fn link(page: &Value) -> String {
    let link = page["@odata.nextLink"]
        .as_str()
        .or_else(|| page["@odata.deltaLink"].as_str());
    link.unwrap().to_owned()
}
