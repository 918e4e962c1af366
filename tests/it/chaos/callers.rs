//! People and programs who ask between the cycles, of either daemon, and remember what they were told.

use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ledger::{Whose, Wish};
use super::pause;
use super::stage::Stage;
use crate::api::{Answered, answered};

/// Longer than any answer takes: one look-up in the directory is bounded to ten seconds, and so is a connection.
const PATIENCE: Duration = Duration::from_secs(25);

/// How many ask at a time. Each asks about users of its own, so that it knows in which order they were changed.
const CALLERS: usize = 3;

/// They ask until it is over.
pub async fn ask(stage: &Stage, mut dice: StdRng) {
    let callers = (0..CALLERS).map(|caller| ask_as(stage, StdRng::seed_from_u64(dice.random()), caller));
    join_all(callers).await;
}

async fn ask_as(stage: &Stage, mut dice: StdRng, number: usize) {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let mut asked = 0;
    while !stage.is_over() {
        pause(dice.random_range(20..250)).await;
        asked += 1;
        let caller = Caller {
            stage,
            number,
            http: &http,
            to: dice.random_range(0..2),
        };
        let _calm = stage.calm.read().await;
        if dice.random_ratio(1, 12) {
            caller.decide(&mut dice).await;
        } else {
            caller.ask_something(&mut dice, asked).await;
        }
    }
}

struct Caller<'a> {
    stage: &'a Stage,
    number: usize,
    http: &'a reqwest::Client,
    /// Which daemon is asked.
    to: usize,
}

impl Caller<'_> {
    async fn ask_something(&self, dice: &mut StdRng, asked: u32) {
        let number = format!("{}-{asked}", self.number);
        let (environment, id) = {
            let people = self.stage.people.lock().unwrap();
            let at = dice.random_range(0..people.environments.len());
            (
                people.environments[at].name.clone(),
                people.draw(dice, self.number, CALLERS),
            )
        };
        let name = self.stage.tenant().user(id).and_then(|user| user.user_principal_name);
        let place = format!("environments/{environment}");
        let user = format!("{place}/users/{id}");
        let whose = (environment, id);
        match dice.random_range(0..20) {
            0..4 => {
                let user = name.filter(|_| dice.random()).unwrap_or(id.to_string());
                self.judge(&whose, &format!("{place}/access"), Some(json!({ "user": user })))
                    .await;
            }
            4..6 => {
                let user = name.filter(|_| dice.random()).unwrap_or(id.to_string());
                self.judge(&whose, &format!("{place}/users"), Some(json!({ "user": user })))
                    .await;
            }
            6..8 => self.judge(&whose, &format!("{user}/refresh"), None).await,
            8..11 => {
                let wish = Wish::Column("internalemailaddress", format!("edit.{number}@chaos.example"));
                self.wish(&whose, wish).await;
            }
            11..14 => {
                self.wish(&whose, Wish::Column("company", format!("Company {number}")))
                    .await;
            }
            14 => self.wish(&whose, Wish::Hold(format!("Held for {number}"))).await,
            15 => self.wish(&whose, Wish::Release).await,
            16 => self.wish(&whose, Wish::Disable).await,
            17 => self.wish(&whose, Wish::Enable).await,
            18 => self.wish(&whose, Wish::Mode(if dice.random() { 2 } else { 4 })).await,
            _ => {
                let user = name.unwrap_or(id.to_string());
                let path = match dice.random_range(0..4) {
                    0 => format!(
                        "{place}/explain?user={}",
                        url::form_urlencoded::byte_serialize(user.as_bytes()).collect::<String>()
                    ),
                    1 => format!("{place}/users?limit=5"),
                    2 => "runs?limit=3".to_owned(),
                    _ => "findings".to_owned(),
                };
                self.send(Method::GET, &path, None).await;
            }
        }
    }

    /// Something by hand, whose answer is remembered.
    async fn wish(&self, whose: &Whose, wish: Wish) {
        let user = format!("environments/{}/users/{}", whose.0, whose.1);
        let (method, path, body) = match &wish {
            Wish::Column(column, value) => (Method::PATCH, user, Some(json!({ (*column): value }))),
            Wish::Mode(mode) => (Method::PATCH, user, Some(json!({ "accessmode": mode }))),
            Wish::Hold(reason) => (Method::POST, format!("{user}/hold"), Some(json!({ "reason": reason }))),
            Wish::Release => (Method::POST, format!("{user}/release"), None),
            Wish::Disable => (Method::POST, format!("{user}/disable"), None),
            Wish::Enable => (Method::POST, format!("{user}/enable"), None),
        };
        let asked = (whose.clone(), wish.clone());
        self.stage
            .ledger
            .lock()
            .unwrap()
            .asked
            .entry(whose.clone())
            .or_default()
            .insert(wish);
        let answer = self.send(method, &path, body).await;
        let mut ledger = self.stage.ledger.lock().unwrap();
        match answer {
            Some(answer) if answer.status == 200 => {
                note_row(&mut ledger.rows, &whose.0, &answer.body);
                ledger.kept.push(asked);
            }
            // A refusal. Whatever the database or the network was in the way of may have been done all the same.
            Some(answer) if answer.status < 500 => {}
            _ => {
                ledger.unsure.insert(asked);
            }
        }
    }

    /// Something that the rules decide.
    async fn judge(&self, whose: &Whose, path: &str, body: Option<Value>) {
        let Some(answer) = self.send(Method::POST, path, body).await else {
            return;
        };
        if answer.status == 200 {
            let mut ledger = self.stage.ledger.lock().unwrap();
            note_row(&mut ledger.rows, &whose.0, &answer.body);
        }
    }

    /// What the guard holds is approved or rejected. What is held for a doubt is never approved: whoever does that
    /// takes the doubt's word for it.
    async fn decide(&self, dice: &mut StdRng) {
        let open: Vec<(i64, String)> = {
            let mut db = self.stage.sql().await;
            sqlx::query_as(
                "select run_id, why from rollcall.held_set where decision is null order by run_id desc limit 1",
            )
            .fetch_all(&mut db)
            .await
            .unwrap_or_default()
        };
        for (run, why) in open {
            let by_guard = why.split("; ").all(|why| why.contains("within the last 24 hours"));
            let act = if by_guard && dice.random_ratio(2, 3) {
                "approve"
            } else {
                "reject"
            };
            self.send(Method::POST, &format!("runs/{run}/{act}"), None).await;
        }
    }

    /// Sends a request. Every answer is either good or a proper problem; none is an error that nobody expected.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Option<Answered> {
        let address = self.stage.pair[self.to].address();
        let mut request = self
            .http
            .request(method.clone(), format!("http://{address}/api/v1/{path}"))
            .bearer_auth(&self.stage.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = match request.send().await {
            Ok(response) => answered(response).await,
            Err(_) => None,
        };
        let mut answers = self.stage.answers.lock().unwrap();
        let Some(answer) = answer else {
            answers.count("no answer", 1);
            return None;
        };
        let name = match answer.status {
            200..300 => "good",
            503 => "503",
            500.. => "500",
            _ => "refused",
        };
        answers.count(name, 1);
        if answer.status >= 300 {
            let (status, code) = answer.problem();
            assert!(status != 500, "{method} {path}: {code} {}", answer.body);
            assert!(
                ![401, 403, 405, 422].contains(&status),
                "{method} {path}: {}",
                answer.body
            );
        }
        Some(answer)
    }
}

fn note_row(rows: &mut std::collections::BTreeSet<(String, Uuid)>, environment: &str, answer: &Value) {
    let id = answer["user"]["systemuserid"].as_str().and_then(|id| id.parse().ok());
    rows.extend(id.map(|id: Uuid| (environment.to_owned(), id)));
}
