//! The URLs that may receive the bearer token.
//!
//! A link is followed exactly as received, and only to the configured root. It is never parsed apart, rebuilt or
//! logged. The request carries the received text: `url` may escape a stray character, nothing else.

use url::Url;

use super::endpoint::Endpoint;
use super::error::GraphError;

const VERSION_PATH: &str = "/v1.0/";

/// The configured root of Graph.
#[derive(Clone, Debug)]
pub(super) struct Root(Url);

/// A URL that may carry the token.
#[derive(Clone)]
pub(super) struct Target {
    /// The URL that is sent.
    pub url: Url,
    /// The text as received or built, to detect a repeated link.
    pub text: String,
}

impl Root {
    /// Takes a validated root (no path, https or loopback).
    pub fn new(root: Url) -> Self {
        Self(root)
    }

    /// The scope that requests every granted permission of this Graph.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.origin())
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// A first request; `rest` follows `/v1.0/`.
    pub fn target(&self, endpoint: Endpoint, rest: &str) -> Result<Target, GraphError> {
        self.follow(endpoint, &format!("{}{VERSION_PATH}{rest}", self.origin()))
    }

    /// Checks a received link.
    pub fn follow(&self, endpoint: Endpoint, link: &str) -> Result<Target, GraphError> {
        let protocol = |what: &str| GraphError::Protocol {
            endpoint: endpoint.template,
            what: what.to_owned(),
        };
        let url = Url::parse(link).map_err(|_| protocol("a link is no URL"))?;
        let same_host = url.scheme() == self.0.scheme()
            && url.host() == self.0.host()
            && url.port_or_known_default() == self.0.port_or_known_default();
        if !same_host || !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or("(none)").to_owned();
            return Err(GraphError::ForeignLink {
                endpoint: endpoint.template,
                host,
            });
        }
        if !url.path().starts_with(VERSION_PATH) {
            return Err(GraphError::ForeignLink {
                endpoint: endpoint.template,
                host: format!("{} (outside {VERSION_PATH})", self.origin()),
            });
        }
        let sent = &url[url::Position::BeforePath..];
        if url.fragment().is_some() || !path_and_query(link).is_some_and(|received| is_same_on_the_wire(received, sent))
        {
            return Err(protocol("a link cannot be sent as it was received"));
        }
        Ok(Target {
            url,
            text: link.to_owned(),
        })
    }
}

fn path_and_query(link: &str) -> Option<&str> {
    let (_, rest) = link.split_once("://")?;
    rest.find('/').map(|slash| &rest[slash..])
}

/// Whether `sent` differs from `received` only in percent-escaped single bytes.
fn is_same_on_the_wire(received: &str, sent: &str) -> bool {
    let mut sent = sent.bytes();
    for byte in received.bytes() {
        match sent.next() {
            Some(same) if same == byte => {}
            Some(b'%') => {
                let escaped = [sent.next(), sent.next()].map(|digit| digit.and_then(|d| char::from(d).to_digit(16)));
                let [Some(high), Some(low)] = escaped else { return false };
                if high * 16 + low != u32::from(byte) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    sent.next().is_none()
}
