//! Where browsers find the console, and so what is ours: under a public address, where people sign in with Entra, or under
//! this machine's own names, where the holder of a static token does.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use url::Url;

use crate::domain::secret::Secret;
use crate::domain::sign_in::Redemption;

/// Where the console is, and how people sign in to it.
#[derive(Clone, Debug)]
pub enum Site {
    /// Under this machine's own names, by a static token.
    Here,
    /// Under a public address, with Entra.
    Public(Arc<Entra>),
}

/// What signing in with Entra needs.
#[derive(Debug)]
pub struct Entra {
    /// The address of the console for browsers, without a path.
    pub public_url: Url,
    /// The tenant's page that asks people to sign in.
    pub authorize: Url,
    /// The application that people sign in to.
    pub client_id: String,
    /// Redeems the codes that Entra sends.
    pub redeemer: Redeemer,
}

/// Why a code got no identity token.
#[derive(Clone, Debug)]
pub struct NotRedeemed {
    /// What happened and what to do, for the page.
    pub detail: String,
    /// Whether it may work later without anybody changing anything.
    pub is_transient: bool,
}

type Redeeming = Pin<Box<dyn Future<Output = Result<Secret, NotRedeemed>> + Send>>;

/// Redeems the code of a sign-in for an identity token.
#[derive(Clone)]
pub struct Redeemer(Arc<dyn Fn(Redemption) -> Redeeming + Send + Sync>);

impl fmt::Debug for Redeemer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redeemer(…)")
    }
}

impl Redeemer {
    /// Takes the call that redeems. It must end by itself; a person waits for it.
    #[must_use]
    pub fn new<F>(redeem: impl Fn(Redemption) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, NotRedeemed>> + Send + 'static,
    {
        Self(Arc::new(move |redemption| Box::pin(redeem(redemption))))
    }

    pub(super) async fn redeem(&self, redemption: Redemption) -> Result<Secret, NotRedeemed> {
        (self.0)(redemption).await
    }
}

/// The cookies of the console.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cookie {
    /// The secret of a session. It is worth nothing at `/api/v1`.
    Session,
    /// A sign-in with Entra that has begun.
    SignIn,
}

impl Site {
    /// Whether the console answers under this host.
    pub(super) fn admits(&self, host: &str) -> bool {
        match self {
            Self::Here => is_loopback(host),
            Self::Public(entra) => authority(&entra.public_url).contains(&host.to_owned()),
        }
    }

    /// Whether a form comes from our own page: by its origin or, without one, by what the browser says of the site.
    pub(super) fn is_ours(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(origin) = text(&header::ORIGIN) else {
            return text(&HeaderName::from_static("sec-fetch-site")) == Some("same-origin");
        };
        let origin = origin.to_ascii_lowercase();
        match self {
            Self::Here => origin.strip_prefix("http://") == Some(&host(headers, uri)),
            Self::Public(entra) => origin == entra.public_url.origin().ascii_serialization(),
        }
    }

    fn is_secure(&self) -> bool {
        matches!(self, Self::Public(entra) if entra.public_url.scheme() == "https")
    }

    fn cookie_name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.is_secure()) {
            (Cookie::Session, true) => "__Host-rollcall",
            (Cookie::Session, false) => "rollcall_session",
            (Cookie::SignIn, true) => "__Host-rollcall-sign-in",
            (Cookie::SignIn, false) => "rollcall_sign_in",
        }
    }

    /// What a browser has sent as a cookie.
    pub(super) fn cookie(&self, headers: &HeaderMap, cookie: Cookie) -> Option<String> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let name = self.cookie_name(cookie);
        pairs.find(|(sent, _)| *sent == name).map(|(_, value)| value.to_owned())
    }

    /// The header that makes a browser keep a cookie: until it ends, for some seconds, or no longer (0).
    pub(super) fn set_cookie(&self, cookie: Cookie, value: &str, seconds: Option<u32>) -> Option<HeaderValue> {
        let place = if self.is_secure() { "/; Secure" } else { "/console" };
        let life = seconds.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
        let name = self.cookie_name(cookie);
        HeaderValue::try_from(format!("{name}={value}; Path={place}; HttpOnly; SameSite=Lax{life}")).ok()
    }
}

/// The host that a request is for.
pub(super) fn host(headers: &HeaderMap, uri: &Uri) -> String {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let named = named.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    named.unwrap_or_default().to_ascii_lowercase()
}

/// How a browser may write the host of an address.
fn authority(url: &Url) -> Vec<String> {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => vec![format!("{host}:{port}")],
        None => vec![
            host.to_owned(),
            format!("{host}:{}", url.port_or_known_default().unwrap_or_default()),
        ],
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: &str) -> Site {
        Site::Public(Arc::new(Entra {
            public_url: Url::parse(url).unwrap(),
            authorize: Url::parse("https://login.example").unwrap(),
            client_id: String::new(),
            redeemer: Redeemer::new(async |_| {
                Err(NotRedeemed {
                    detail: String::new(),
                    is_transient: false,
                })
            }),
        }))
    }

    #[test]
    fn a_console_answers_under_its_own_names_only() {
        let (https, other_port) = (
            public("https://rollcall.example"),
            public("https://rollcall.example:8443"),
        );
        for (site, ours, others) in [
            (
                &Site::Here,
                &[
                    "localhost",
                    "localhost:8080",
                    "127.0.0.1:8080",
                    "127.9.9.9",
                    "[::1]:8080",
                    "[::1]",
                ][..],
                &[
                    "",
                    "example.com",
                    "localhost.example.com:80",
                    "127.0.0.1.example.com",
                    "10.0.0.1:8080",
                    "[::2]:1",
                ][..],
            ),
            (
                &https,
                &["rollcall.example", "rollcall.example:443"],
                &[
                    "localhost",
                    "127.0.0.1:8080",
                    "rollcall.example:80",
                    "rollcall.example.evil",
                    "",
                ],
            ),
            (
                &other_port,
                &["rollcall.example:8443"],
                &["rollcall.example", "rollcall.example:443"],
            ),
        ] {
            for host in ours {
                assert!(site.admits(host), "{host}");
            }
            for host in others {
                assert!(!site.admits(host), "{host}");
            }
        }
    }

    #[test]
    fn a_form_is_ours_by_its_origin_or_by_the_site() {
        let from = |site: &Site, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            site.is_ours(&headers, &Uri::from_static("/"))
        };
        let public = public("https://rollcall.example");
        assert!(from(&Site::Here, &[("origin", "http://localhost:8080")]));
        assert!(from(&public, &[("origin", "https://rollcall.example")]));
        for site in [&Site::Here, &public] {
            assert!(from(site, &[("sec-fetch-site", "same-origin")]));
            for bad in [
                &[][..],
                &[("origin", "null")],
                &[("origin", "http://localhost:8081")],
                &[("origin", "https://localhost:8080")],
                &[("origin", "http://rollcall.example")],
                &[("origin", "http://example.com"), ("sec-fetch-site", "same-origin")],
                &[("sec-fetch-site", "same-site")],
                &[("sec-fetch-site", "cross-site")],
            ] {
                assert!(!from(site, bad), "{bad:?}");
            }
        }
        assert!(
            !from(&public, &[("origin", "http://localhost:8080")]),
            "never by the host that was sent"
        );
    }

    #[test]
    fn a_cookie_is_bound_to_the_host_wherever_the_address_is_encrypted() {
        let set = |site: &Site| {
            site.set_cookie(Cookie::Session, "s", None)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            set(&public("https://rollcall.example")),
            "__Host-rollcall=s; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        for plain in [Site::Here, public("http://localhost:8080")] {
            assert_eq!(set(&plain), "rollcall_session=s; Path=/console; HttpOnly; SameSite=Lax");
        }
    }
}
