//! One HTTP exchange: the clients, and a body read to the end within a limit. Only this module builds HTTP clients.
//!
//! Never follows a redirect, never weakens TLS verification, never puts a URL into an error.

use std::error::Error;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Request, StatusCode, redirect};

use super::error::{BelowHttp, GraphError};
use super::settings::{GraphSettings, is_loopback};

/// The clients, with a shared configuration.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pooled: Client,
    fresh: Client,
    direct: Client,
    limit: usize,
    proxy: Option<String>,
}

/// The kind of connection that a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// An open one, if there is one.
    Pooled,
    /// A new one: the retry of a 503 avoids the machine that answered it (graph.md, section 7.3).
    Fresh,
    /// A new one without a proxy: for the machine's identity services, which use plain http.
    Direct,
}

/// An answer with its complete body.
#[derive(Debug)]
pub(super) struct HttpResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// No connection, no answer, or a timeout.
    #[error("send the request")]
    Network(#[source] NoAnswer),
    /// The body ended early or cannot be decompressed.
    #[error("read the body")]
    Body(#[source] BelowHttp),
    /// The body is larger than the limit, in bytes.
    #[error("read a body of more than {0} bytes")]
    TooLarge(usize),
}

/// What keeps a host from answering: the root cause, without the library's words around it.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {cause}")]
pub(super) struct NoAnswer {
    host: String,
    cause: String,
    way: Way,
}

/// The way to a host.
#[derive(Debug)]
enum Way {
    Direct,
    /// Through the proxy that the environment names.
    Proxy(String),
    /// To the identity service of the machine itself.
    Machine,
}

impl NoAnswer {
    /// For a request that could not be built or sent.
    pub fn unsent(host: &str, error: &dyn Error) -> Self {
        Self {
            host: host.to_owned(),
            cause: root_cause(error),
            way: Way::Direct,
        }
    }

    /// What an operator can do about it.
    pub fn remedy(&self) -> String {
        let host = &self.host;
        match &self.way {
            Way::Direct => format!(
                "Let this machine reach {host}: check firewall and DNS; if it needs a proxy, set HTTPS_PROXY, which is not \
                 set."
            ),
            Way::Proxy(proxy) => format!(
                "Let this machine reach {host} through the proxy {proxy}, which HTTPS_PROXY names: check the proxy, firewall \
                 and DNS."
            ),
            Way::Machine => format!(
                "Only a machine in Azure with a managed identity has {host}: assign one, or use another kind of credential."
            ),
        }
    }
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl Http {
    pub fn new(settings: &GraphSettings) -> Result<Self, GraphError> {
        // The process may have a provider already; both are ring's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = match &settings.extra_ca_pem {
            None => Vec::new(),
            Some(pem) => Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| GraphError::Settings("the extra root certificates are not PEM".to_owned()))?,
        };
        let roots = [&settings.graph_root, &settings.authority];
        let local = roots.iter().all(|root| is_loopback(root));
        let plain = roots.iter().all(|root| root.scheme() == "http");
        let build = |connection: Connection| {
            let mut builder = Client::builder()
                .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.request_timeout);
            // Without encryption the platform's certificates need not be loaded; no other is trusted then.
            builder = match connection {
                Connection::Pooled | Connection::Fresh if !plain => builder.tls_certs_merge(certificates.clone()),
                _ => builder.tls_certs_only([]),
            };
            if connection != Connection::Pooled {
                builder = builder.pool_max_idle_per_host(0);
            }
            if connection == Connection::Direct || local {
                builder = builder.no_proxy();
            }
            builder
                .build()
                .map_err(|error| GraphError::Settings(format!("no HTTP client can be built: {error}")))
        };
        Ok(Self {
            pooled: build(Connection::Pooled)?,
            fresh: build(Connection::Fresh)?,
            direct: build(Connection::Direct)?,
            limit: settings.response_limit,
            // As for the clients: no proxy between two programs on one machine.
            proxy: settings.proxy.clone().filter(|_| !local),
        })
    }

    /// The same clients with a lower limit.
    pub fn limited(&self, limit: usize) -> Self {
        Self {
            limit: limit.min(self.limit),
            ..self.clone()
        }
    }

    /// Sends one request and reads the whole answer.
    pub async fn exchange(&self, request: Request, connection: Connection) -> Result<HttpResponse, Broken> {
        let client = match connection {
            Connection::Pooled => &self.pooled,
            Connection::Fresh => &self.fresh,
            Connection::Direct => &self.direct,
        };
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let mut response = client.execute(request).await.map_err(|error| {
            Broken::Network(NoAnswer {
                host,
                cause: root_cause(&error.without_url()),
                way: match &self.proxy {
                    _ if connection == Connection::Direct => Way::Machine,
                    Some(proxy) => Way::Proxy(proxy.clone()),
                    None => Way::Direct,
                },
            })
        })?;
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(announced.min(self.limit));
        while let Some(chunk) = response.chunk().await.map_err(|error| Broken::Body(below(error)))? {
            if body.len() + chunk.len() > self.limit {
                return Err(Broken::TooLarge(self.limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

fn below(error: reqwest::Error) -> BelowHttp {
    Box::new(error.without_url())
}
