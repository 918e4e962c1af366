//! What came in: the last requests, and a count per endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// One request as it was received and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Counts from 1; parts of a batch are counted by their envelope.
    pub sequence: u64,
    /// The HTTP method.
    pub method: String,
    /// The path as received.
    pub path: String,
    /// The query as received, with the tokens in it replaced by `…`.
    pub query: String,
    /// The template of the path, such as `/users/delta` or `/groups/{id}/members`.
    pub endpoint: &'static str,
    /// The status answered; 0 if the connection was closed without an answer.
    pub status: u16,
    /// Whether the request carried a bearer token.
    pub bearer: bool,
    /// The `client-request-id` the request carried.
    pub client_request_id: Option<String>,
    /// The `User-Agent`.
    pub user_agent: Option<String>,
    /// The `Prefer` header.
    pub prefer: Option<String>,
    /// The `x-ms-throttle-priority` header.
    pub priority: Option<String>,
}

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
struct Pages {
    seen: VecDeque<Seen>,
    counts: BTreeMap<&'static str, u64>,
    sequence: u64,
}

/// The log of requests.
#[derive(Default)]
pub(super) struct Journal(Mutex<Pages>);

impl Journal {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that came in; its number.
    pub(super) fn note(&self, mut seen: Seen) -> u64 {
        let mut pages = self.pages();
        pages.sequence += 1;
        seen.sequence = pages.sequence;
        *pages.counts.entry(seen.endpoint).or_default() += 1;
        if pages.seen.len() == REMEMBERED {
            pages.seen.pop_front();
        }
        pages.seen.push_back(seen);
        pages.sequence
    }

    /// Notes how a request was answered.
    pub(super) fn answered(&self, sequence: u64, status: u16) {
        let mut pages = self.pages();
        if let Some(seen) = pages.seen.iter_mut().rev().find(|seen| seen.sequence == sequence) {
            seen.status = status;
        }
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.pages().seen.iter().cloned().collect()
    }

    pub(super) fn take(&self) -> Vec<Seen> {
        self.pages().seen.drain(..).collect()
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.pages().counts.clone()
    }
}

/// The query with its tokens replaced.
pub(super) fn without_tokens(query: &str) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, value)) if name.to_ascii_lowercase().ends_with("token") && value.len() > 10 => format!("{name}=…"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}
