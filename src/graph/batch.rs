//! Several reads in one request: `POST $batch` (graph.md, section 7.4).
//!
//! The batch only saves requests. Each part is judged on its own, like a single read. Only failed parts are retried,
//! and if the service refuses the batch itself, each part is sent alone. This module does not look at an answer's
//! content, and follows no link.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use uuid::Uuid;

use super::client::{Call, CallProgress, Graph};
use super::endpoint::{BATCH, Endpoint};
use super::error::GraphError;
use super::fault::{Codes, LinkKind, THROTTLED, refusal, worth_repeating};
use super::http::Connection;
use super::retry::{Retry, read_retry_after};
use super::wire::batch::{self, Body, RawBatch, RawRequest, RawResponse};
use crate::domain::feed::Asked;

/// The most parts in one batch.
pub(super) const MOST_PARTS: usize = 20;

/// One read.
pub(super) struct Part {
    pub endpoint: Endpoint,
    /// What follows `/v1.0/`.
    pub rest: String,
}

/// The body of a part, or why there is none; and when it was requested.
pub(super) type PartAnswer = Asked<Result<Body, GraphError>>;

/// The shared state of the batches of one look-up.
#[derive(Default)]
pub(super) struct BatchesInHand {
    /// Whether the service refuses batches.
    refused: AtomicBool,
    failed: Mutex<FailedParts>,
}

/// Failed parts, folded into one log line for each endpoint, status and code.
#[derive(Default)]
struct FailedParts(BTreeMap<(&'static str, Option<u16>, String), FailedAlike>);

/// Parts that failed in the same way.
struct FailedAlike {
    count: usize,
    // The ids of the first of them.
    request_id: Option<String>,
    client_request_id: Uuid,
}

impl BatchesInHand {
    fn note(&self, endpoint: Endpoint, status: Option<StatusCode>, code: &str, ids: (Option<String>, Uuid)) {
        if endpoint.finds_nobody(status) {
            tracing::debug!(endpoint = endpoint.template, "the directory has no such user");
            return;
        }
        let key = (endpoint.template, status.map(|status| status.as_u16()), code.to_owned());
        let (request_id, client_request_id) = ids;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = failed.0.entry(key).or_insert(FailedAlike {
            count: 0,
            request_id,
            client_request_id,
        });
        alike.count += 1;
    }

    /// Logs the failures so far, so that the log gives the reason before a long wait.
    fn log(&self) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).log();
    }
}

impl FailedParts {
    fn log(&mut self) {
        for ((endpoint, status, code), alike) in std::mem::take(&mut self.0) {
            tracing::warn!(
                endpoint,
                status,
                code,
                count = alike.count,
                request_id = alike.request_id,
                client_request_id = %alike.client_request_id,
                "parts of a batch failed"
            );
        }
    }
}

impl Drop for FailedParts {
    fn drop(&mut self) {
        self.log();
    }
}

/// What the answer to one part means.
enum PartOutcome {
    Done(Result<Body, GraphError>),
    Again(Retry),
    TokenRefused,
}

impl Graph {
    /// Sends up to [`MOST_PARTS`] parts and returns the answers in their order.
    ///
    /// # Errors
    ///
    /// An error that affects every part; see [`concerns_all`].
    pub(super) async fn ask_together(
        &self,
        parts: &[Part],
        in_hand: &BatchesInHand,
    ) -> Result<Vec<PartAnswer>, GraphError> {
        if !in_hand.refused.load(Ordering::Relaxed) {
            match self.ask_in_batch(parts, in_hand).await {
                Err(
                    GraphError::Forbidden { .. }
                    | GraphError::NotFound { .. }
                    | GraphError::BadRequest { .. }
                    | GraphError::Protocol { .. },
                ) => {
                    in_hand.refused.store(true, Ordering::Relaxed);
                    tracing::info!(
                        endpoint = BATCH.template,
                        "batches are refused; their parts are asked one by one"
                    );
                }
                answered => return answered,
            }
        }
        self.ask_one_by_one(parts).await
    }

    async fn ask_in_batch(&self, parts: &[Part], in_hand: &BatchesInHand) -> Result<Vec<PartAnswer>, GraphError> {
        let mut effort = CallProgress::default();
        let mut answers: Vec<Option<PartAnswer>> = parts.iter().map(|_| None).collect();
        loop {
            let open: Vec<usize> = (0..parts.len()).filter(|at| answers[*at].is_none()).collect();
            if open.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            let call = self.batch_call(parts, &open)?;
            let mut fetched = self.fetch_with(&call, &mut effort, batch::decode).await?;
            let (mut again, mut token_refused) = (Vec::new(), false);
            let answer = |value| {
                Some(Asked {
                    at: fetched.asked,
                    value,
                })
            };
            for at in open {
                let response = fetched.value.remove(&at.to_string());
                match self.judge(&parts[at], response, fetched.client_request_id, in_hand) {
                    PartOutcome::Done(body) => answers[at] = answer(body),
                    PartOutcome::Again(failure) => again.push((at, failure)),
                    PartOutcome::TokenRefused if effort.token_replaced => {
                        let endpoint = parts[at].endpoint.template;
                        answers[at] = answer(Err(GraphError::Unauthorized { endpoint }));
                    }
                    PartOutcome::TokenRefused => token_refused = true,
                }
            }
            if token_refused {
                self.replace_token(&fetched.token, &mut effort).await?;
            }
            if !self.wait_for(&again, &mut effort, in_hand).await? {
                for (at, failure) in again {
                    answers[at] = answer(Err(failure.error));
                }
            }
        }
    }

    /// Waits before a retry of parts, for the longest wait that the service named; false if they are not retried.
    async fn wait_for(
        &self,
        again: &[(usize, Retry)],
        effort: &mut CallProgress,
        in_hand: &BatchesInHand,
    ) -> Result<bool, GraphError> {
        let Some((_, first)) = again.first() else {
            return Ok(true);
        };
        let wanted = again.iter().filter_map(|(_, failure)| failure.wanted).max();
        let Some(wait) = self.patience.allow(&mut effort.repetitions, wanted, Duration::ZERO) else {
            return Ok(false);
        };
        if again.iter().any(|(_, failure)| failure.reason != THROTTLED) {
            effort.connection = Connection::Fresh;
        }
        in_hand.log();
        self.patience.wait(first.reason, wait).await?;
        Ok(true)
    }

    fn batch_call(&self, parts: &[Part], open: &[usize]) -> Result<Call, GraphError> {
        let request = |at: &usize| RawRequest {
            id: at.to_string(),
            method: "GET",
            url: format!("/{}", parts[*at].rest),
        };
        let batch = RawBatch {
            requests: open.iter().map(request).collect(),
        };
        let body =
            serde_json::to_string(&batch).map_err(|_| GraphError::protocol(BATCH, "a batch that cannot be written"))?;
        Ok(Call {
            body: Some(body),
            ..self.call(BATCH, || BATCH.template.to_owned(), None, LinkKind::Nothing)?
        })
    }

    /// Judges the answer to one part, by the rules of a single read.
    fn judge(
        &self,
        part: &Part,
        response: Option<RawResponse>,
        client_request_id: Uuid,
        in_hand: &BatchesInHand,
    ) -> PartOutcome {
        let endpoint = part.endpoint;
        let answered = response.and_then(|response| {
            let status = StatusCode::from_u16(response.status()?).ok()?;
            Some((status, response))
        });
        let Some((status, response)) = answered else {
            in_hand.note(endpoint, None, "no answer", (None, client_request_id));
            return PartOutcome::Again(Retry {
                reason: "broken_body",
                wanted: None,
                at_least: Duration::ZERO,
                error: GraphError::protocol(endpoint, "a batch came back without its answer"),
            });
        };
        if status == StatusCode::OK {
            return PartOutcome::Done(Ok(response.into_body()));
        }
        let codes = Codes::decode(response.bytes());
        let ids = (response.header("request-id"), client_request_id);
        in_hand.note(endpoint, Some(status), codes.shown(), ids);
        if status == StatusCode::UNAUTHORIZED {
            return PartOutcome::TokenRefused;
        }
        // 424 means that a part failed because one that it depends on did; none of ours depends on any.
        let dependent = (status == StatusCode::FAILED_DEPENDENCY).then_some("unavailable");
        let Some(reason) = worth_repeating(status).or(dependent) else {
            return PartOutcome::Done(Err(refusal(endpoint, LinkKind::Nothing, status, &codes)));
        };
        if reason == THROTTLED {
            self.patience.metrics.graph_throttled();
        }
        let wanted = response
            .header("retry-after")
            .and_then(|wait| read_retry_after(&wait, self.patience.clock.now()));
        PartOutcome::Again(Retry {
            reason,
            wanted,
            at_least: Duration::ZERO,
            error: GraphError::Unavailable {
                endpoint: endpoint.template,
                reason: format!("{} {}", status.as_u16(), codes.shown()),
                retry_after: wanted,
                source: None,
            },
        })
    }

    /// The same answers without a batch. All parts share the limits of one call, as in a batch.
    async fn ask_one_by_one(&self, parts: &[Part]) -> Result<Vec<PartAnswer>, GraphError> {
        let mut effort = CallProgress::default();
        let mut answers = Vec::with_capacity(parts.len());
        for part in parts {
            let call = self.call(part.endpoint, || part.rest.clone(), None, LinkKind::Nothing)?;
            // For an answer without a body: as old as the first attempt.
            let at = self.moment().await?;
            answers.push(match self.fetch_with(&call, &mut effort, batch::decode_alone).await {
                Ok(fetched) => Asked {
                    at: fetched.asked,
                    value: Ok(fetched.value),
                },
                Err(error) if concerns_all(&error) => return Err(error),
                Err(error) => Asked { at, value: Err(error) },
            });
        }
        Ok(answers)
    }
}

/// Whether an error of one read applies to every other read too.
pub(super) fn concerns_all(error: &GraphError) -> bool {
    matches!(
        error,
        GraphError::Cancelled | GraphError::Moment(_) | GraphError::Token(_)
    ) || matches!(error, GraphError::Unavailable { endpoint, .. } if *endpoint == super::endpoint::TOKEN.template)
}
