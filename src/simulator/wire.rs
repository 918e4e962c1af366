//! What comes in and what goes out, before HTTP: a question, an answer, and OData's way of refusing.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// A request, or one part of a batch.
#[derive(Clone)]
pub(super) struct Ask {
    pub method: Method,
    /// Without percent escapes.
    pub path: String,
    /// Path and query as they came.
    pub target: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub request_id: Uuid,
    pub client_request_id: String,
    pub now: DateTime<Utc>,
    /// A fault wants this page to be empty although there is more.
    pub empty_page: bool,
}

impl Ask {
    pub(super) fn new(method: Method, target: &str, headers: HeaderMap, body: Bytes, now: DateTime<Utc>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request_id = Uuid::new_v4();
        let client_request_id = headers.get("client-request-id").and_then(|value| value.to_str().ok());
        Self {
            path: unescape(path),
            target: target.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            client_request_id: client_request_id.map_or_else(|| request_id.to_string(), ToOwned::to_owned),
            method,
            headers,
            body,
            request_id,
            now,
            empty_page: false,
        }
    }

    /// A header, if it is there and readable.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query option, whatever the case of its name.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Refuses every OData option that is not in the list, and one that is given twice.
    pub(super) fn only_options(&self, known: &[&str]) -> Result<(), Answer> {
        for (position, (name, _)) in self.query.iter().enumerate() {
            if name.starts_with('$') && !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(self.bad_request(&format!("The query parameter '{name}' is not supported.")));
            }
            if self.query[..position]
                .iter()
                .any(|(earlier, _)| earlier.eq_ignore_ascii_case(name))
            {
                return Err(self.bad_request(&format!("Query option '{name}' was specified more than once.")));
            }
        }
        Ok(())
    }

    /// The names in `$select`; none if it was not given.
    pub(super) fn select(&self) -> Result<Option<Vec<String>>, Answer> {
        let Some(list) = self.option("$select") else {
            return Ok(None);
        };
        let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(self.bad_request("Parsing OData Select and Expand failed: an empty name."));
        }
        Ok(Some(names))
    }

    /// An OData error.
    pub(super) fn refuse(&self, status: StatusCode, code: &str, message: &str) -> Answer {
        let body = json!({
            "error": {
                "code": code,
                "message": message,
                "innerError": {
                    "date": self.now.format("%Y-%m-%dT%H:%M:%S").to_string(),
                    "request-id": self.request_id,
                    "client-request-id": self.client_request_id,
                },
            },
        });
        Answer {
            status,
            ..Answer::json(&body)
        }
    }

    pub(super) fn bad_request(&self, message: &str) -> Answer {
        self.refuse(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn unsupported_query(&self, message: &str) -> Answer {
        self.refuse(StatusCode::BAD_REQUEST, "Request_UnsupportedQuery", message)
    }

    pub(super) fn not_found(&self, what: &str) -> Answer {
        self.refuse(
            StatusCode::NOT_FOUND,
            "Request_ResourceNotFound",
            &format!(
                "Resource '{what}' does not exist or one of its queried reference-property objects are not present."
            ),
        )
    }

    pub(super) fn forbidden(&self) -> Answer {
        self.refuse(
            StatusCode::FORBIDDEN,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        )
    }
}

/// What is answered.
#[derive(Clone)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whether the body is compressed already.
    pub gzipped: bool,
    /// Whether the same question has the same answer until the tenant changes.
    pub cacheable: bool,
}

const ODATA: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

impl Answer {
    pub(super) fn bytes(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: ODATA,
            headers: Vec::new(),
            body: body.into(),
            gzipped: false,
            cacheable: false,
        }
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::bytes(body.to_string())
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A handler answers or refuses, and a refusal is an answer.
pub(super) type Outcome = Result<Answer, Answer>;

/// Takes a clause like `id eq 'x'` apart: the property and the literal, quoted or not.
pub(super) fn equality(clause: &str) -> Option<(&str, &str)> {
    let (property, rest) = clause.trim().split_once(' ')?;
    let literal = rest.trim_start().strip_prefix("eq ")?.trim();
    let value = literal
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or(literal);
    Some((property, value))
}

fn unescape(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex
            .and_then(|two| u8::from_str_radix(two, 16).ok())
            .filter(|_| byte == b'%')
        {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
