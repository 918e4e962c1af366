//! One logical read: sends, judges the answer, retries within limits, decodes.
//!
//! `attempt` holds the meaning of a single failed attempt, and its log line.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attempt::{Attempt, Failure};
use super::auth::{Token, Tokens};
use super::endpoint::{self, Endpoint};
use super::error::{BelowHttp, GraphError};
use super::fault::LinkKind;
use super::http::{Connection, Http};
use super::keys::Publisher;
use super::link::{Root, Target};
use super::retry::{Repetitions, RetryPolicy};
use super::settings::GraphSettings;
use super::wire::{self, Listing, Raw, Undecodable};
use crate::clock::Clock;
use crate::domain::feed::{Asked, Extent, Kept, Link, Moment, Next, Page};

/// Microsoft Graph, for reading. Cheap to clone; clones share the token and the connections.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) shared: Arc<Shared>,
    pub(super) patience: RetryPolicy,
    priority: Priority,
    moments: Moments,
}

/// The source of the numbers that order the answers; see [`Moment`].
#[derive(Clone, Default)]
struct Moments(Option<Arc<Draw>>);

type Draw = dyn Fn() -> BoxFuture<'static, Result<Moment, BelowHttp>> + Send + Sync;

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moments")
    }
}

/// The priority of a request under throttling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Background work.
    #[default]
    Low,
    /// A caller is waiting.
    Normal,
}

#[derive(Debug)]
pub(super) struct Shared {
    http: Http,
    pub tokens: Tokens,
    pub root: Root,
    pub publisher: Publisher,
    /// How much of a listing is kept in memory.
    pub listing: Extent,
    pub selection: String,
}

/// One read, with all of its attempts.
pub(super) struct Call {
    pub endpoint: Endpoint,
    pub target: Target,
    pub carries: LinkKind,
    /// The body of a POST; none for a GET.
    pub body: Option<String>,
    pub expected: Expected,
}

impl Call {
    /// The same call for another kind of answer.
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }
}

/// The kind of answer that a call expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Json,
    /// JSON from the service's index.
    Indexed,
    /// A bare number from the service's index, which only serves requests that accept its lag.
    Count,
    /// A new object, made by a POST.
    Created,
    /// An object, changed by a PATCH.
    Changed,
    /// Nothing, after a DELETE.
    Deleted,
}

impl Expected {
    /// The status of success.
    const fn status(self) -> StatusCode {
        match self {
            Self::Json | Self::Indexed | Self::Count | Self::Changed => StatusCode::OK,
            Self::Created => StatusCode::CREATED,
            Self::Deleted => StatusCode::NO_CONTENT,
        }
    }
}

/// What one logical read has used so far.
pub(super) struct CallProgress {
    pub repetitions: Repetitions,
    pub token_replaced: bool,
    pub connection: Connection,
}

impl Default for CallProgress {
    fn default() -> Self {
        Self {
            repetitions: Repetitions::default(),
            token_replaced: false,
            connection: Connection::Pooled,
        }
    }
}

/// The result of an attempt, with its token and request id.
pub(super) struct Fetched<T> {
    pub asked: Moment,
    pub value: T,
    pub token: Arc<Token>,
    pub client_request_id: Uuid,
}

impl Graph {
    pub(super) fn build(settings: &GraphSettings, clock: Clock, cancel: CancellationToken) -> Result<Self, GraphError> {
        settings.check()?;
        let http = Http::new(settings)?;
        let root = Root::new(settings.graph_root.clone());
        let tokens = Tokens::new(settings, &root, &http)?;
        let publisher = Publisher::new(settings, &http);
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                tokens,
                root,
                publisher,
                listing: settings.listing,
                selection: wire::user::selection(&settings.extra),
            }),
            patience: RetryPolicy::new(settings, clock, cancel),
            priority: Priority::Low,
            moments: Moments::default(),
        })
    }

    /// The same edge with a source of the numbers that order its answers: it calls `draw` before every attempt. Without
    /// one, all answers count as requested at the beginning. That is enough for a caller that stores none of them.
    #[must_use]
    pub fn ordered_by(
        &self,
        draw: impl Fn() -> BoxFuture<'static, Result<Moment, BelowHttp>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            moments: Moments(Some(Arc::new(draw))),
            ..self.clone()
        }
    }

    pub(super) async fn moment(&self) -> Result<Moment, GraphError> {
        match &self.moments.0 {
            Some(draw) => draw().await.map_err(GraphError::Moment),
            None => Ok(Moment::default()),
        }
    }

    /// The same edge with another priority.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self {
            priority,
            ..self.clone()
        }
    }

    /// The same edge for work on demand: [`Priority::Normal`], and each call ends within
    /// [`GraphSettings::on_demand_limit`], with [`GraphError::Unavailable`] instead of a longer wait. A `Retry-After`
    /// beyond the remaining time ends it at once. Each call has its own limit, so the edge can be kept.
    #[must_use]
    pub fn for_someone_waiting(&self) -> Self {
        Self {
            patience: self.patience.hurried(),
            ..self.with_priority(Priority::Normal)
        }
    }

    /// The same edge within one call, whose time starts now unless it has started. For calls of several reads.
    #[must_use]
    pub fn begun(&self) -> Self {
        Self {
            patience: self.patience.begun(),
            ..self.clone()
        }
    }

    pub(super) async fn renew_token(&self) -> Result<DateTime<Utc>, GraphError> {
        let patience = self.patience.begun();
        Ok(self.shared.tokens.renew(&patience).await?.expires_at)
    }

    pub(super) async fn permissions(&self) -> Result<Option<Vec<String>>, GraphError> {
        let patience = self.patience.begun();
        Ok(self.shared.tokens.get(&patience).await?.permissions())
    }

    /// One page of a delta feed; `first` builds what follows `/v1.0/` if no link is given. Entries that are not `kept`
    /// are dropped before they are decoded.
    pub(super) async fn fetch_delta<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
        kept: &Kept,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.call(endpoint, first, at, LinkKind::DeltaLink)?;
        let listing = self
            .fetch(&call, |body: &[u8]| wire::decode_kept::<R>(body, kept))
            .await?;
        complain(endpoint, &listing.value);
        let page = listing
            .value
            .into_delta_page(&call.target.text, listing.at)
            .map_err(|what| GraphError::protocol(endpoint, what))?;
        self.followable(endpoint, page)
    }

    /// One page of a plain listing.
    pub(super) async fn fetch_plain<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.call(endpoint, first, at, LinkKind::PageLink)?;
        let listing = self.fetch(&call, wire::decode_listing::<R>).await?;
        self.plain_page(&call, listing)
    }

    pub(super) fn plain_page<T>(&self, call: &Call, listing: Asked<Listing<T>>) -> Result<Page<T>, GraphError> {
        complain(call.endpoint, &listing.value);
        let page = listing
            .value
            .into_plain_page(&call.target.text, listing.at)
            .map_err(|what| GraphError::protocol(call.endpoint, what))?;
        self.followable(call.endpoint, page)
    }

    /// Refuses a whole page if its link may not be followed: a caller that stored it would be stuck at that link for
    /// ever.
    fn followable<T>(&self, endpoint: Endpoint, page: Page<T>) -> Result<Page<T>, GraphError> {
        if let Next::Page(link) | Next::Delta(link) = &page.next {
            self.shared.root.follow(endpoint, link.expose())?;
        }
        Ok(page)
    }

    /// One object; `rest` follows `/v1.0/`.
    pub(super) async fn fetch_one<R: Raw>(&self, endpoint: Endpoint, rest: &str) -> Result<R::Item, GraphError> {
        let call = self.call(endpoint, || rest.to_owned(), None, LinkKind::Nothing)?;
        Ok(self.fetch(&call, wire::decode_one::<R>).await?.value)
    }

    /// Prepares a request. Links are checked on arrival, so a link that may not be followed was stored before another
    /// root was configured: nothing is sent, and it counts as expired.
    pub(super) fn call(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
        link: LinkKind,
    ) -> Result<Call, GraphError> {
        let root = &self.shared.root;
        Ok(match at {
            Some(at) => Call {
                endpoint,
                target: root
                    .follow(endpoint, at.expose())
                    .map_err(|_| GraphError::LinkExpired {
                        endpoint: endpoint.template,
                        cause: "other_root",
                    })?,
                carries: link,
                body: None,
                expected: Expected::Json,
            },
            None => Call {
                endpoint,
                target: root.target(endpoint, &first())?,
                carries: LinkKind::Nothing,
                body: None,
                expected: Expected::Json,
            },
        })
    }

    /// Sends until an answer decodes, or until a retry makes no sense.
    pub(super) async fn fetch<T>(
        &self,
        call: &Call,
        decode: impl Fn(&[u8]) -> Result<T, Undecodable> + Copy,
    ) -> Result<Asked<T>, GraphError> {
        let fetched = self
            .begun()
            .fetch_with(call, &mut CallProgress::default(), decode)
            .await?;
        Ok(Asked {
            at: fetched.asked,
            value: fetched.value,
        })
    }

    /// The same as part of a larger call, whose limits it shares.
    pub(super) async fn fetch_with<T>(
        &self,
        call: &Call,
        effort: &mut CallProgress,
        decode: impl Fn(&[u8]) -> Result<T, Undecodable> + Copy,
    ) -> Result<Fetched<T>, GraphError> {
        let (tokens, patience) = (&self.shared.tokens, &self.patience);
        loop {
            if patience.left().is_some_and(|left| left.is_zero()) {
                return Err(GraphError::too_late(call.endpoint));
            }
            let token = tokens.get(patience).await?;
            let asked = self.moment().await?;
            match self.attempt(call, &token, effort.connection, decode).await {
                Ok((value, client_request_id)) => {
                    effort.connection = Connection::Pooled;
                    return Ok(Fetched {
                        asked,
                        value,
                        token,
                        client_request_id,
                    });
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::TokenRefused) if effort.token_replaced => {
                    return Err(GraphError::Unauthorized {
                        endpoint: call.endpoint.template,
                    });
                }
                Err(Failure::TokenRefused) => self.replace_token(&token, effort).await?,
                Err(Failure::Again { again, connection }) => {
                    effort.connection = connection;
                    patience.pause(&mut effort.repetitions, again).await?;
                }
            }
        }
    }

    /// Drops a refused token, at most once per call.
    pub(super) async fn replace_token(
        &self,
        refused: &Arc<Token>,
        effort: &mut CallProgress,
    ) -> Result<(), GraphError> {
        effort.token_replaced = true;
        self.shared.tokens.discard(refused, &self.patience).await?;
        self.patience.metrics.graph_retry("unauthorized");
        Ok(())
    }

    async fn attempt<T>(
        &self,
        call: &Call,
        token: &Token,
        connection: Connection,
        decode: impl Fn(&[u8]) -> Result<T, Undecodable> + Copy,
    ) -> Result<(T, Uuid), Failure> {
        let patience = &self.patience;
        let attempt = Attempt {
            endpoint: call.endpoint,
            client_request_id: Uuid::new_v4(),
            started: Instant::now(),
        };
        let request = self
            .request(call, token, attempt.client_request_id)
            .map_err(Failure::Final)?;
        let answer = match patience
            .unless_cancelled(self.shared.http.exchange(request, connection))
            .await
            .map_err(Failure::Final)?
        {
            Ok(answer) => answer,
            Err(broken) => return Err(attempt.broken(broken, patience)),
        };
        patience.note_date(&answer);
        let status = answer.status.as_u16().to_string();
        patience
            .metrics
            .graph_request(call.endpoint.template, &status, attempt.started.elapsed());
        if answer.status != call.expected.status() {
            return Err(attempt.refused(call.carries, &answer, patience));
        }
        match decode(&answer.body) {
            Ok(value) => Ok((value, attempt.client_request_id)),
            Err(undecodable) => Err(attempt.undecodable(undecodable, &answer)),
        }
    }

    fn request(&self, call: &Call, token: &Token, client_request_id: Uuid) -> Result<Request, GraphError> {
        let method = match call.expected {
            Expected::Changed => Method::PATCH,
            Expected::Deleted => Method::DELETE,
            _ if call.body.is_some() => Method::POST,
            _ => Method::GET,
        };
        let mut request = Request::new(method, call.target.url.clone());
        *request.timeout_mut() = self.patience.request_timeout();
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| GraphError::protocol(endpoint::TOKEN, "a token that cannot be a header"))?;
        bearer.set_sensitive(true);
        let id = HeaderValue::try_from(client_request_id.to_string())
            .map_err(|_| GraphError::protocol(call.endpoint, "an id that cannot be a header"))?;
        let priority = match self.priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
        };
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer);
        let accepted = match call.expected {
            Expected::Json | Expected::Indexed | Expected::Created | Expected::Changed | Expected::Deleted => {
                "application/json"
            }
            Expected::Count => "text/plain",
        };
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        if matches!(call.expected, Expected::Count | Expected::Indexed) {
            headers.insert("consistencylevel", HeaderValue::from_static("eventual"));
        }
        headers.insert("client-request-id", id);
        headers.insert("x-ms-throttle-priority", HeaderValue::from_static(priority));
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(request)
    }
}

fn complain<T>(endpoint: Endpoint, listing: &Listing<T>) {
    if let Some(first) = listing.unreadable.first() {
        let count = listing.unreadable.len();
        tracing::warn!(
            endpoint = endpoint.template,
            count,
            first,
            "entries could not be read and are skipped"
        );
    }
}
