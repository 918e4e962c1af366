//! A token request with any of the credentials, and the meaning of its answer.
//!
//! The `oauth2` crate does the OAuth exchange over our own HTTP client; the machine's identity services have their own
//! dialect. Configuration faults are never retried.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use oauth2::basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken, TokenUrl,
};
use reqwest::{Method, Request, StatusCode};
use url::Url;

use super::Token;
use super::answer::{RawFault, RawToken};
use super::assertion::Signer;
use crate::clock::Clock;
use crate::domain::credential::{Credential, ManagedHost};
use crate::domain::secret::Secret;
use crate::domain::sign_in::Redemption;
use crate::graph::endpoint::TOKEN;
use crate::graph::error::GraphError;
use crate::graph::http::{Broken, Connection, Http, HttpResponse, NoAnswer};
use crate::graph::link::Root;
use crate::graph::retry::{Retry, RetryPolicy, read_retry_after};
use crate::graph::settings::GraphSettings;

/// The type of a client assertion (graph.md, section 1.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The largest answer that is read; a token has a few KiB.
const LARGEST: usize = 1 << 20;
/// The metadata service wants at least this pause after its own failure.
const METADATA_QUIET: Duration = Duration::from_secs(1);

type OAuthClient = oauth2::Client<
    RawFault,
    RawToken,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Sends token requests.
#[derive(Debug)]
pub(super) struct TokenRequests {
    http: Http,
    scope: String,
    way: TokenSource,
}

#[derive(Debug)]
enum TokenSource {
    OAuth {
        client: Box<OAuthClient>,
        proof: ClientProof,
    },
    Managed {
        client_id: Option<String>,
        host: ManagedHost,
        resource: String,
    },
}

#[derive(Debug)]
enum ClientProof {
    /// The client holds the secret.
    Secret,
    Signed(Box<Signer>),
    Federated(std::path::PathBuf),
}

impl ClientProof {
    /// The parameters of a request that prove who sends it, beside the secret.
    async fn parameters(&self, now: DateTime<Utc>) -> Result<Vec<(&'static str, String)>, GraphError> {
        let assertion = match self {
            Self::Secret => return Ok(Vec::new()),
            Self::Signed(signer) => signer.sign(now)?,
            Self::Federated(path) => read_federated_token(path).await?,
        };
        Ok(vec![
            ("client_assertion_type", JWT_BEARER.to_owned()),
            ("client_assertion", assertion),
        ])
    }
}

/// Why there is no token.
pub(super) enum Failure {
    Final(GraphError),
    Again(Box<Retry>),
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Self {
        Self::Final(error)
    }
}

impl TokenRequests {
    pub fn new(settings: &GraphSettings, root: &Root, http: &Http) -> Result<Self, GraphError> {
        let authority = settings.authority.origin().ascii_serialization();
        let token_url = format!("{authority}/{}/oauth2/v2.0/token", settings.tenant_id);
        let oauth = || -> Result<OAuthClient, GraphError> {
            let url = TokenUrl::new(token_url.clone())
                .map_err(|_| GraphError::Settings("the token endpoint is no URL".to_owned()))?;
            Ok(oauth2::Client::new(ClientId::new(settings.client_id.clone()))
                .set_auth_type(AuthType::RequestBody)
                .set_token_uri(url))
        };
        let way = match &settings.credential {
            Credential::Secret(secret) => {
                let client = oauth()?.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
                TokenSource::OAuth {
                    client: Box::new(client),
                    proof: ClientProof::Secret,
                }
            }
            Credential::Certificate {
                certificate_pem,
                key_pem,
            } => {
                let signer = Signer::new(
                    certificate_pem,
                    key_pem.expose(),
                    token_url.clone(),
                    settings.client_id.clone(),
                )?;
                TokenSource::OAuth {
                    client: Box::new(oauth()?),
                    proof: ClientProof::Signed(Box::new(signer)),
                }
            }
            Credential::WorkloadIdentity { token_file } => TokenSource::OAuth {
                client: Box::new(oauth()?),
                proof: ClientProof::Federated(token_file.clone()),
            },
            Credential::ManagedIdentity { client_id, host } => TokenSource::Managed {
                client_id: client_id.clone(),
                host: host.clone(),
                resource: format!("{}/", root.origin()),
            },
        };
        Ok(Self {
            http: http.limited(LARGEST),
            scope: root.scope(),
            way,
        })
    }

    /// Sends one request. Boxed: the compiler cannot prove that the `oauth2` crate's future is `Send`.
    pub fn send<'a>(
        &'a self,
        patience: &'a RetryPolicy,
    ) -> Pin<Box<dyn Future<Output = Result<Token, Failure>> + Send + 'a>> {
        Box::pin(self.send_once(patience))
    }

    async fn send_once(&self, patience: &RetryPolicy) -> Result<Token, Failure> {
        let now = patience.clock.now();
        let started = Instant::now();
        let exchanged = match &self.way {
            TokenSource::OAuth { client, proof } => self.exchange(client, proof, patience, now).await?,
            TokenSource::Managed {
                client_id,
                host,
                resource,
            } => self.ask_machine(client_id.as_deref(), host, resource, patience).await?,
        };
        let label = exchanged
            .status
            .map_or(Cow::Borrowed("error"), |status| Cow::Owned(status.as_u16().to_string()));
        patience
            .metrics
            .graph_request(TOKEN.template, &label, started.elapsed());
        match exchanged.outcome {
            Ok(token) => Ok(token.into_token(now)),
            Err(trouble) => Err(self.judge(trouble, exchanged.status, exchanged.retry_after, patience)),
        }
    }

    async fn exchange(
        &self,
        client: &OAuthClient,
        proof: &ClientProof,
        patience: &RetryPolicy,
        now: DateTime<Utc>,
    ) -> Result<Exchanged, GraphError> {
        let mut request = client
            .exchange_client_credentials()
            .add_scope(Scope::new(self.scope.clone()));
        for (name, value) in proof.parameters(now).await? {
            request = request.add_extra_param(name, value);
        }
        let transport = self.transport(patience);
        let outcome = patience.unless_cancelled(request.request_async(&transport)).await?;
        Ok(transport.exchanged(outcome))
    }

    /// Sends the one request that redeems a code: the code is good once, so it is never repeated. Boxed as [`Self::send`].
    pub fn redeem<'a>(
        &'a self,
        redemption: &'a Redemption,
        patience: &'a RetryPolicy,
    ) -> Pin<Box<dyn Future<Output = Result<Secret, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let TokenSource::OAuth { client, proof } = &self.way else {
                let problem = "a managed identity cannot redeem the code of a sign-in";
                return Err(GraphError::Settings(problem.to_owned()).into());
            };
            let code = AuthorizationCode::new(redemption.code.expose().to_owned());
            let redirect = Cow::Owned(RedirectUrl::from_url(redemption.redirect.clone()));
            let mut request = client
                .exchange_code(code)
                .set_pkce_verifier(PkceCodeVerifier::new(redemption.verifier.expose().to_owned()))
                .set_redirect_uri(redirect);
            for (name, value) in proof.parameters(patience.clock.now()).await? {
                request = request.add_extra_param(name, value);
            }
            let transport = self.transport(patience);
            let outcome = patience.unless_cancelled(request.request_async(&transport)).await?;
            let exchanged = transport.exchanged(outcome);
            match exchanged.outcome {
                Ok(token) => token
                    .into_identity()
                    .ok_or_else(|| GraphError::protocol(TOKEN, "no identity token").into()),
                Err(trouble) => Err(self.judge(trouble, exchanged.status, exchanged.retry_after, patience)),
            }
        })
    }

    fn transport<'a>(&'a self, patience: &'a RetryPolicy) -> Transport<'a> {
        Transport {
            http: &self.http,
            patience,
            seen: Mutex::default(),
        }
    }

    async fn ask_machine(
        &self,
        client_id: Option<&str>,
        host: &ManagedHost,
        resource: &str,
        patience: &RetryPolicy,
    ) -> Result<Exchanged, GraphError> {
        let (mut url, version, header, value) = match host {
            ManagedHost::InstanceMetadata { root } => {
                let url = root.join("/metadata/identity/oauth2/token");
                let url = url.map_err(|_| GraphError::Settings("the metadata service has no URL".to_owned()))?;
                (url, "2018-02-01", "metadata", "true")
            }
            ManagedHost::AppService { endpoint, header } => {
                (Url::clone(endpoint), "2019-08-01", "x-identity-header", header.expose())
            }
        };
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", resource);
        if let Some(client_id) = client_id {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        let mut request = Request::new(Method::GET, url);
        let mut value = reqwest::header::HeaderValue::from_str(value)
            .map_err(|_| GraphError::Settings("IDENTITY_HEADER is no header value".to_owned()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header, value);
        *request.timeout_mut() = patience.request_timeout();
        let answer = match patience
            .unless_cancelled(self.http.exchange(request, Connection::Direct))
            .await?
        {
            Ok(answer) => answer,
            Err(broken) => {
                return Ok(Exchanged {
                    status: None,
                    retry_after: None,
                    outcome: Err(TokenFailure::Broken(broken)),
                });
            }
        };
        let outcome = if answer.status == StatusCode::OK {
            serde_json::from_slice(&answer.body).map_err(|_| TokenFailure::NotUnderstood)
        } else {
            Err(serde_json::from_slice(&answer.body).map_or(TokenFailure::NotUnderstood, TokenFailure::Fault))
        };
        Ok(Exchanged {
            status: Some(answer.status),
            retry_after: wanted_wait(&answer, &patience.clock),
            outcome,
        })
    }

    fn judge(
        &self,
        trouble: TokenFailure,
        status: Option<StatusCode>,
        retry_after: Option<Duration>,
        patience: &RetryPolicy,
    ) -> Failure {
        let managed = matches!(self.way, TokenSource::Managed { .. });
        let endpoint = TOKEN.template;
        let (fault, reason, source) = match trouble {
            TokenFailure::Broken(Broken::TooLarge(limit)) => {
                let what = format!("more than {limit} bytes");
                return Failure::Final(GraphError::Protocol { endpoint, what });
            }
            TokenFailure::Broken(Broken::Body(source)) => (None, "broken_body", Some(source)),
            TokenFailure::Broken(Broken::Network(source)) => (None, "network", Some(source.into())),
            TokenFailure::NotUnderstood if status == Some(StatusCode::OK) => (None, "broken_body", None),
            TokenFailure::NotUnderstood => (Some(RawFault::default()), "unavailable", None),
            TokenFailure::Fault(fault) => (Some(fault), "unavailable", None),
        };
        let fault = fault.map(|fault| fault.into_fault(status, managed));
        tracing::warn!(
            endpoint,
            status = status.map(|status| status.as_u16()),
            error = fault.as_ref().map(|fault| fault.error.as_str()),
            aadsts = fault.as_ref().and_then(|fault| fault.aadsts),
            trace_id = fault.as_ref().and_then(|fault| fault.trace_id.as_deref()),
            correlation_id = fault.as_ref().and_then(|fault| fault.correlation_id.as_deref()),
            "the token service gave no token"
        );
        let throttled = status == Some(StatusCode::TOO_MANY_REQUESTS);
        if throttled {
            patience.metrics.graph_throttled();
        }
        let server_failed = status.is_some_and(|status| status.is_server_error());
        let error = match fault {
            Some(fault) if !fault.transient => return Failure::Final(GraphError::Token(Box::new(fault))),
            // A known fault that persists keeps its number.
            Some(fault) if fault.aadsts.is_some() && !throttled => GraphError::Token(Box::new(fault)),
            fault => {
                let reason = match fault {
                    Some(fault) => fault.to_string(),
                    None if reason == "network" => "no answer".to_owned(),
                    None => "an answer that cannot be read".to_owned(),
                };
                GraphError::Unavailable {
                    endpoint,
                    reason,
                    retry_after,
                    source,
                }
            }
        };
        Failure::Again(Box::new(Retry {
            reason: if throttled { "throttled" } else { reason },
            wanted: retry_after,
            at_least: if managed && server_failed {
                METADATA_QUIET
            } else {
                Duration::ZERO
            },
            error,
        }))
    }
}

/// Our HTTP client in the form that the `oauth2` crate wants, which keeps neither status nor headers of a refusal.
struct Transport<'a> {
    http: &'a Http,
    patience: &'a RetryPolicy,
    seen: Mutex<(Option<StatusCode>, Option<Duration>)>,
}

impl Transport<'_> {
    /// What one request came to.
    fn exchanged(&self, outcome: Result<RawToken, RequestTokenError<Broken, RawFault>>) -> Exchanged {
        let (status, retry_after) = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = outcome.map_err(|error| match error {
            RequestTokenError::Request(broken) => TokenFailure::Broken(broken),
            RequestTokenError::ServerResponse(fault) => TokenFailure::Fault(fault),
            // Their texts quote the body, which may hold a token.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => TokenFailure::NotUnderstood,
        });
        Exchanged {
            status,
            retry_after,
            outcome,
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Transport<'_> {
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, Broken>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(async move {
            let mut request =
                Request::try_from(request).map_err(|error| Broken::Network(NoAnswer::unsent("token", &error)))?;
            *request.timeout_mut() = self.patience.request_timeout();
            let answer = self.http.exchange(request, Connection::Pooled).await?;
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
                (Some(answer.status), wanted_wait(&answer, &self.patience.clock));
            self.patience.note_date(&answer);
            Ok(into_http(answer))
        })
    }
}

struct Exchanged {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    outcome: Result<RawToken, TokenFailure>,
}

enum TokenFailure {
    Broken(Broken),
    Fault(RawFault),
    NotUnderstood,
}

async fn read_federated_token(path: &std::path::Path) -> Result<String, GraphError> {
    let token = tokio::fs::read_to_string(path).await.map_err(|error| {
        GraphError::Settings(format!(
            "the federated token file {} cannot be read: {error}",
            path.display()
        ))
    })?;
    Ok(token.trim().to_owned())
}

fn wanted_wait(answer: &HttpResponse, clock: &Clock) -> Option<Duration> {
    read_retry_after(answer.header("retry-after")?, clock.now())
}

fn into_http(answer: HttpResponse) -> oauth2::HttpResponse {
    let mut response = oauth2::http::Response::new(answer.body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
