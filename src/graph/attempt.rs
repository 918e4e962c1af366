//! A single request attempt: what its failure means, and the log line about it.
//!
//! Each failed attempt is logged here once (a part of a batch in `batch`), with the endpoint's template, status, code
//! and correlation ids; never with a link, a token or personal data.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use uuid::Uuid;

use super::endpoint::Endpoint;
use super::error::{BelowHttp, GraphError};
use super::fault::{Codes, LinkKind, refusal, worth_repeating};
use super::http::{Broken, Connection, HttpResponse};
use super::retry::{Retry, RetryPolicy, read_retry_after};
use super::wire::Undecodable;

/// How an attempt failed.
pub(super) enum Failure {
    Final(GraphError),
    Again { again: Retry, connection: Connection },
    TokenRefused,
}

/// A single request attempt, and what its failure means.
pub(super) struct Attempt {
    pub endpoint: Endpoint,
    pub client_request_id: Uuid,
    pub started: Instant,
}

impl Attempt {
    pub fn broken(&self, broken: Broken, patience: &RetryPolicy) -> Failure {
        patience
            .metrics
            .graph_request(self.endpoint.template, "error", self.started.elapsed());
        self.warn(None, &broken.to_string(), None);
        match broken {
            Broken::Network(source) => self.again("network", "no answer".to_owned(), None, Some(source.into())),
            Broken::Body(source) => self.again("broken_body", "a body that broke off".to_owned(), None, Some(source)),
            Broken::TooLarge(limit) => Failure::Final(GraphError::protocol(
                self.endpoint,
                format!("more than {limit} bytes in one answer"),
            )),
        }
    }

    pub fn refused(&self, carries: LinkKind, answer: &HttpResponse, patience: &RetryPolicy) -> Failure {
        let status = answer.status;
        let codes = Codes::decode(&answer.body);
        self.warn(Some(status), codes.shown(), answer.header("request-id"));
        if status == StatusCode::UNAUTHORIZED {
            return Failure::TokenRefused;
        }
        let Some(reason) = worth_repeating(status) else {
            return Failure::Final(refusal(self.endpoint, carries, status, &codes));
        };
        if status == StatusCode::TOO_MANY_REQUESTS {
            patience.metrics.graph_throttled();
        }
        let wanted = answer
            .header("retry-after")
            .and_then(|wait| read_retry_after(wait, patience.clock.now()));
        let mut failure = self.again(reason, format!("{} {}", status.as_u16(), codes.shown()), wanted, None);
        if let Failure::Again { connection, .. } = &mut failure
            && status == StatusCode::SERVICE_UNAVAILABLE
        {
            *connection = Connection::Fresh;
        }
        failure
    }

    pub fn undecodable(&self, undecodable: Undecodable, answer: &HttpResponse) -> Failure {
        match undecodable {
            Undecodable::Broken => {
                self.warn(Some(answer.status), "not JSON", answer.header("request-id"));
                self.again("broken_body", "a body that is not JSON".to_owned(), None, None)
            }
            Undecodable::Shape(what) => {
                self.warn(Some(answer.status), &what, answer.header("request-id"));
                Failure::Final(GraphError::protocol(self.endpoint, what))
            }
        }
    }

    fn again(
        &self,
        label: &'static str,
        reason: String,
        wanted: Option<Duration>,
        source: Option<BelowHttp>,
    ) -> Failure {
        let error = GraphError::Unavailable {
            endpoint: self.endpoint.template,
            reason,
            retry_after: wanted,
            source,
        };
        let again = Retry {
            reason: label,
            wanted,
            at_least: Duration::ZERO,
            error,
        };
        Failure::Again {
            again,
            connection: Connection::Pooled,
        }
    }

    fn warn(&self, status: Option<StatusCode>, code: &str, request_id: Option<&str>) {
        if self.endpoint.finds_nobody(status) {
            tracing::debug!(endpoint = self.endpoint.template, "the directory has no such user");
            return;
        }
        if self.endpoint.has_another_way(status) {
            tracing::debug!(endpoint = self.endpoint.template, code, "refused; another way is tried");
            return;
        }
        tracing::warn!(
            endpoint = self.endpoint.template,
            status = status.map(|status| status.as_u16()),
            code,
            request_id,
            client_request_id = %self.client_request_id,
            "a Graph request failed"
        );
    }
}
