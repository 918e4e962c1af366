//! One logical read: sends, judges the answer, repeats within bounds, decodes.
//!
//! A failed attempt is logged here once, with the endpoint's template, status, code and correlation ids; never with a
//! link, a token or anything that names a person.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::RESTARTS;
use super::auth::{Token, Tokens};
use super::endpoint::{self, Endpoint};
use super::error::GraphError;
use super::fault::{Carries, Codes, refusal, worth_repeating};
use super::http::{Answer, Broken, Connection, Http};
use super::link::{Root, Target};
use super::retry::{Again, Patience, Repetitions, read_retry_after};
use super::settings::GraphSettings;
use super::wire::user::RawUser;
use super::wire::{self, Listing, Raw, Undecodable};
use crate::clock::Clock;
use crate::domain::feed::{Link, Next, Page, UserChange, UserPatch};

/// Microsoft Graph, for reading. Cheap to clone; clones share the token and the connections.
#[derive(Clone, Debug)]
pub struct Graph {
    shared: Arc<Shared>,
    priority: Priority,
}

/// Whom the service throttles first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Background work.
    #[default]
    Low,
    /// Somebody is waiting.
    Normal,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    tokens: Tokens,
    root: Root,
    patience: Patience,
}

/// One read, whatever its attempts.
struct Call {
    endpoint: Endpoint,
    target: Target,
    carries: Carries,
}

/// What became of one attempt.
enum Failure {
    Final(GraphError),
    Again { again: Again, connection: Connection },
    TokenRefused,
}

impl Graph {
    pub(super) fn build(settings: &GraphSettings, clock: Clock, cancel: CancellationToken) -> Result<Self, GraphError> {
        settings.check()?;
        let http = Http::new(settings)?;
        let root = Root::new(settings.graph_root.clone());
        let tokens = Tokens::new(settings, &root, http.clone())?;
        let patience = Patience::new(settings.retry, clock, cancel, settings.seed);
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                tokens,
                root,
                patience,
            }),
            priority: Priority::Low,
        })
    }

    /// The same edge, sending another priority.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            priority,
        }
    }

    pub(super) async fn renew_token(&self) -> Result<DateTime<Utc>, GraphError> {
        Ok(self.shared.tokens.renew(&self.shared.patience).await?.expires_at)
    }

    /// One page of a delta feed; `first` builds what follows `/v1.0/` where no link is given.
    pub(super) async fn fetch_delta<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.call(endpoint, first, at, Carries::DeltaLink)?;
        let listing = self.fetch(&call, wire::decode_listing::<R>).await?;
        complain(endpoint, &listing);
        let page = listing
            .into_delta_page(&call.target.text)
            .map_err(|what| protocol(endpoint, what))?;
        self.followable(endpoint, page)
    }

    /// One page of a plain listing.
    pub(super) async fn fetch_plain<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
    ) -> Result<Page<R::Item>, GraphError> {
        let call = self.call(endpoint, first, at, Carries::PageLink)?;
        let listing = self.fetch(&call, wire::decode_listing::<R>).await?;
        complain(endpoint, &listing);
        let page = listing
            .into_plain_page(&call.target.text)
            .map_err(|what| protocol(endpoint, what))?;
        self.followable(endpoint, page)
    }

    /// A page whose link may not be followed is refused as a whole: whoever kept it would stand before that link
    /// for ever.
    fn followable<T>(&self, endpoint: Endpoint, page: Page<T>) -> Result<Page<T>, GraphError> {
        if let Next::Page(link) | Next::Delta(link) = &page.next {
            self.shared.root.follow(endpoint, link.expose())?;
        }
        Ok(page)
    }

    /// All pages of a plain listing; begins again when a page link expires.
    pub(super) async fn fetch_all<R: Raw>(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
    ) -> Result<Vec<R::Item>, GraphError> {
        let mut restarts = 0;
        'listing: loop {
            let mut items = Vec::new();
            let mut visited = Visited::default();
            let mut at: Option<Link> = None;
            loop {
                let page = match self.fetch_plain::<R>(endpoint, &first, at.as_ref()).await {
                    Err(GraphError::LinkExpired { .. }) if restarts < RESTARTS => {
                        restarts += 1;
                        continue 'listing;
                    }
                    Err(GraphError::LinkExpired { .. }) => return Err(endless(endpoint)),
                    page => page?,
                };
                items.extend(page.items);
                let Next::Page(link) = page.next else { return Ok(items) };
                visited.step(endpoint, &link)?;
                at = Some(link);
            }
        }
    }

    /// One user; `rest` follows `/v1.0/`.
    pub(super) async fn fetch_user(&self, rest: &str) -> Result<UserPatch, GraphError> {
        let call = self.call(endpoint::USER, || rest.to_owned(), None, Carries::Nothing)?;
        let raw = self
            .fetch(&call, |body| wire::decode_with_path::<RawUser>(body))
            .await?;
        match raw.finish(&mut Vec::new()) {
            Some(UserChange::Present(user)) => Ok(*user),
            Some(UserChange::Removed { .. }) => Err(GraphError::NotFound {
                endpoint: endpoint::USER.template,
            }),
            None => Err(protocol(endpoint::USER, "a user without a usable id".to_owned())),
        }
    }

    /// Prepares a request. Links are checked where they arrive, so one that may not be followed is a stored one
    /// from before another root was configured: nothing is sent, and it is as good as expired.
    fn call(
        &self,
        endpoint: Endpoint,
        first: impl Fn() -> String,
        at: Option<&Link>,
        link: Carries,
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
            },
            None => Call {
                endpoint,
                target: root.target(endpoint, &first())?,
                carries: Carries::Nothing,
            },
        })
    }

    /// Sends until there is an answer that decodes, or no more sense in sending.
    async fn fetch<T>(&self, call: &Call, decode: fn(&[u8]) -> Result<T, Undecodable>) -> Result<T, GraphError> {
        let Shared { tokens, patience, .. } = self.shared.as_ref();
        let mut repetitions = Repetitions::default();
        let mut connection = Connection::Pooled;
        let mut token_replaced = false;
        loop {
            let token = tokens.get(patience).await?;
            match self.attempt(call, &token, connection, decode).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::TokenRefused) if token_replaced => {
                    return Err(GraphError::Unauthorized {
                        endpoint: call.endpoint.template,
                    });
                }
                Err(Failure::TokenRefused) => {
                    token_replaced = true;
                    tokens.discard(&token).await;
                    patience.metrics.graph_retry("unauthorized");
                }
                Err(Failure::Again {
                    again,
                    connection: next,
                }) => {
                    connection = next;
                    patience.pause(&mut repetitions, again).await?;
                }
            }
        }
    }

    async fn attempt<T>(
        &self,
        call: &Call,
        token: &Token,
        connection: Connection,
        decode: fn(&[u8]) -> Result<T, Undecodable>,
    ) -> Result<T, Failure> {
        let Shared { http, patience, .. } = self.shared.as_ref();
        let attempt = Attempt {
            endpoint: call.endpoint,
            client_request_id: Uuid::new_v4(),
            started: Instant::now(),
        };
        let request = self
            .request(call, token, attempt.client_request_id)
            .map_err(Failure::Final)?;
        let answer = match patience
            .unless_cancelled(http.exchange(request, connection))
            .await
            .map_err(Failure::Final)?
        {
            Ok(answer) => answer,
            Err(broken) => return Err(attempt.broken(broken, patience)),
        };
        let status = answer.status.as_u16().to_string();
        patience
            .metrics
            .graph_request(call.endpoint.template, &status, attempt.started.elapsed());
        if answer.status != StatusCode::OK {
            return Err(attempt.refused(call.carries, &answer, patience));
        }
        decode(&answer.body).map_err(|undecodable| attempt.undecodable(undecodable, &answer))
    }

    fn request(&self, call: &Call, token: &Token, client_request_id: Uuid) -> Result<Request, GraphError> {
        let mut request = Request::new(Method::GET, call.target.url.clone());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| protocol(endpoint::TOKEN, "a token that cannot be a header".to_owned()))?;
        bearer.set_sensitive(true);
        let id = HeaderValue::try_from(client_request_id.to_string())
            .map_err(|_| protocol(call.endpoint, "an id that cannot be a header".to_owned()))?;
        let priority = match self.priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
        };
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("client-request-id", id);
        headers.insert("x-ms-throttle-priority", HeaderValue::from_static(priority));
        Ok(request)
    }
}

/// One request on its way, and what a failure of it means.
struct Attempt {
    endpoint: Endpoint,
    client_request_id: Uuid,
    started: Instant,
}

impl Attempt {
    fn broken(&self, broken: Broken, patience: &Patience) -> Failure {
        patience
            .metrics
            .graph_request(self.endpoint.template, "error", self.started.elapsed());
        self.warn(None, &broken.to_string(), None);
        match broken {
            Broken::Network(source) => self.again("network", "no answer".to_owned(), None, Some(source)),
            Broken::Body(source) => self.again("broken_body", "a body that broke off".to_owned(), None, Some(source)),
            Broken::TooLarge(limit) => Failure::Final(protocol(
                self.endpoint,
                format!("more than {limit} bytes in one answer"),
            )),
        }
    }

    fn refused(&self, carries: Carries, answer: &Answer, patience: &Patience) -> Failure {
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

    fn undecodable(&self, undecodable: Undecodable, answer: &Answer) -> Failure {
        match undecodable {
            Undecodable::Broken => {
                self.warn(Some(answer.status), "not JSON", answer.header("request-id"));
                self.again("broken_body", "a body that is not JSON".to_owned(), None, None)
            }
            Undecodable::Shape(what) => {
                self.warn(Some(answer.status), &what, answer.header("request-id"));
                Failure::Final(protocol(self.endpoint, what))
            }
        }
    }

    fn again(
        &self,
        label: &'static str,
        reason: String,
        wanted: Option<Duration>,
        source: Option<super::BelowHttp>,
    ) -> Failure {
        let error = GraphError::Unavailable {
            endpoint: self.endpoint.template,
            reason,
            retry_after: wanted,
            source,
        };
        let again = Again {
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

/// The links of one listing: a circle of pages would never end.
#[derive(Default)]
pub(super) struct Visited(HashSet<Link>);

impl Visited {
    pub fn step(&mut self, endpoint: Endpoint, link: &Link) -> Result<(), GraphError> {
        if self.0.insert(link.clone()) {
            return Ok(());
        }
        Err(protocol(
            endpoint,
            "a next link leads back to an earlier page".to_owned(),
        ))
    }
}

pub(super) fn endless(endpoint: Endpoint) -> GraphError {
    protocol(
        endpoint,
        "its page links expire while they are followed, or it has no end".to_owned(),
    )
}

fn protocol(endpoint: Endpoint, what: String) -> GraphError {
    GraphError::Protocol {
        endpoint: endpoint.template,
        what,
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
