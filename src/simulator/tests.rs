//! The simulator, asked as a client would ask.

use serde_json::Value;

use super::tenant::User;
use super::{Settings, Simulator};

struct Client {
    http: reqwest::Client,
    simulator: Simulator,
    token: String,
}

struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Client {
    async fn of(settings: Settings) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulator = Simulator::start(settings).unwrap();
        let http = reqwest::Client::builder().build().unwrap();
        let mut client = Self {
            http,
            simulator,
            token: String::new(),
        };
        let answer = client.ask_token(&[]).await;
        client.token = answer.body["access_token"].as_str().unwrap().to_owned();
        client
    }

    async fn ask_token(&self, changed: &[(&str, &str)]) -> Got {
        let (id, secret) = (self.simulator.client_id().to_string(), self.simulator.client_secret());
        let scope = format!("{}/.default", self.simulator.root());
        let mut form = vec![
            ("client_id", id.as_str()),
            ("client_secret", secret.as_str()),
            ("scope", scope.as_str()),
            ("grant_type", "client_credentials"),
        ];
        for (name, value) in changed {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.simulator.root(),
            self.simulator.tenant_id()
        );
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        got(request.send().await.unwrap()).await
    }

    async fn get(&self, url: &str) -> Got {
        self.try_get(url, &[]).await.unwrap()
    }

    async fn try_get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Got, reqwest::Error> {
        let url = if url.starts_with("http") {
            url.to_owned()
        } else {
            format!("{}/v1.0{url}", self.simulator.root())
        };
        let mut request = self.http.get(url).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Got {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    /// Follows a round to its delta link; the items in order, the link, and how many pages there were.
    async fn round(&self, url: &str) -> (Vec<Value>, String, usize) {
        let (mut items, mut url, mut pages) = (Vec::new(), url.to_owned(), 0);
        loop {
            let page = self.get(&url).await;
            assert_eq!(page.status, 200, "{}", page.body);
            pages += 1;
            items.extend(page.body["value"].as_array().unwrap().iter().cloned());
            match (
                page.body["@odata.nextLink"].as_str(),
                page.body["@odata.deltaLink"].as_str(),
            ) {
                (Some(next), None) => url = next.to_owned(),
                (None, Some(delta)) => return (items, delta.to_owned(), pages),
                both => panic!("{both:?}"),
            }
        }
    }
}

async fn got(response: reqwest::Response) -> Got {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Got {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

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
    let ids: std::collections::HashSet<_> = users.iter().map(|user| user["id"].as_str().unwrap()).collect();
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
        [serde_json::json!({"id": ada, "givenName": "Ada", "mail": "ada.lovelace@contoso.example"})]
    );
    tenant.update_user(ada, |user| user.mail = None);
    let (users, link, _) = client.round(&link).await;
    assert_eq!(
        users,
        [serde_json::json!({"id": ada, "givenName": "Ada", "mail": null, "faxNumber": null})]
    );
    tenant.update_user(ada, |user| user.city = Some("London".into()));
    let (users, link, _) = client.round(&link).await;
    assert!(users.is_empty(), "only selected properties are tracked");
    tenant.soft_delete(ada);
    let (users, link, _) = client.round(&link).await;
    assert_eq!(
        users,
        [serde_json::json!({"id": ada, "@removed": {"reason": "changed"}})]
    );
    tenant.purge(ada);
    let (users, _, _) = client.round(&link).await;
    assert_eq!(
        users,
        [serde_json::json!({"id": ada, "@removed": {"reason": "deleted"}})]
    );
}
