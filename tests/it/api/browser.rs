//! A browser that follows nothing by itself, and keeps cookies as the console wants them kept.

use std::collections::BTreeMap;

use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};

use super::Stage;

/// A browser at the console.
#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
    address: String,
    /// The address that is in its bar.
    pub root: String,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// On the machine itself.
    pub fn new(stage: &Stage) -> Self {
        Self::at(stage, &format!("http://{}", stage.client.address))
    }

    /// At a public address.
    pub fn at(stage: &Stage, root: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        Self {
            http: http.build().unwrap(),
            address: format!("http://{}", stage.client.address),
            root: root.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// Signed in with the token of somebody.
    pub async fn of(stage: &Stage, token: &str) -> Self {
        let mut browser = Self::new(stage);
        let answer = browser
            .post("/console/sign-in", &[("token", token), ("to", "/console/runs")])
            .await;
        assert_eq!(location(&answer), "/console/runs");
        browser.keep_cookies(&answer);
        browser
    }

    /// Keeps the cookies of an answer; one whose life is over goes.
    pub fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let place = if name.starts_with("__Host-") {
                "Path=/; Secure; HttpOnly; SameSite=Lax"
            } else {
                "Path=/console; HttpOnly; SameSite=Lax"
            };
            assert!(attributes.starts_with(place), "{cookie}");
            if attributes.ends_with("; Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let host = self.root.split_once("://").unwrap().1;
        let request = self.http.request(method, format!("{}{path}", self.address));
        let request = request.header("host", host);
        if self.cookies.is_empty() {
            return request;
        }
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        request.header("cookie", cookies.join("; "))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The text of a page.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// Sends a form from our own page.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_from(&self.root, path, fields).await
    }

    pub async fn post_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self.request(Method::POST, path).header("origin", origin);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(form).send().await.unwrap()
    }

    /// Goes to another server, as a link or a redirect leads there.
    pub async fn visit(&self, url: &str) -> Response {
        self.http.get(url).send().await.unwrap()
    }
}

/// Where an answer leads.
pub fn location(answer: &Response) -> &str {
    answer.headers().get("location").map_or("", |to| to.to_str().unwrap())
}
