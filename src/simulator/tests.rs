//! The simulator, asked as a client would ask.

mod assertion;
mod faulty;
mod listings;
mod mirror;
mod on_demand;
mod refusals;
mod rounds;
mod signing;

use serde_json::Value;

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

    async fn post(&self, path: &str, body: &Value) -> Got {
        let request = self
            .http
            .post(format!("{}/v1.0{path}", self.simulator.root()))
            .bearer_auth(&self.token);
        got(request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap())
        .await
    }

    /// Every item of a plain listing.
    async fn listing(&self, url: &str) -> Vec<Value> {
        let (mut items, mut url) = (Vec::new(), url.to_owned());
        loop {
            let page = self.get(&url).await;
            assert_eq!(page.status, 200, "{}", page.body);
            items.extend(page.body["value"].as_array().unwrap().iter().cloned());
            match page.body["@odata.nextLink"].as_str() {
                Some(next) => url = next.to_owned(),
                None => return items,
            }
        }
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
