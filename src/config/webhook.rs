//! Sections `[[webhook]]`: programs that are told of changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::{Host, Url};

use super::Issue;
use super::secret::Surroundings;
use super::value::{FromText, Parsed};
use crate::domain::webhook::Webhook;

/// What a secret begins with in Standard Webhooks; base64 follows.
const PREFIX: &str = "whsec_";

/// The sizes of a secret in bytes, as in Standard Webhooks.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// The change from which a new receiver is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Beginning,
}

impl FromText for From {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "beginning" => Ok(Self::Beginning),
            _ => Err(format!("nothing begins at `{text}`; expected \"now\" or \"beginning\"")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    name: Option<String>,
    url: String,
    secret_file: PathBuf,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
    from: Option<Parsed<From>>,
    #[serde(default)]
    include_values: bool,
}

/// The receivers; `source` names the installation to them.
pub(super) fn validate(
    raw: Vec<RawWebhook>,
    known: &[&str],
    source: &str,
    surroundings: &mut Surroundings<'_>,
) -> Result<Vec<Webhook>, Issue> {
    let mut names = BTreeSet::new();
    let mut webhooks = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let path = |key: &str| format!("webhook[{index}].{key}");
        let url = receiver(&path("url"), &raw.url)?;
        let host = url.host_str().unwrap_or_default();
        let name = raw.name.unwrap_or_else(|| match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
        if name.trim() != name || name.is_empty() || name.contains(char::is_control) || name.chars().count() > 100 {
            return Err(Issue::new(
                &path("name"),
                "no name; expected some words, at most 100 characters",
            ));
        }
        if !names.insert(name.clone()) {
            let problem = format!("another webhook is called {name} too; give each a name of its own");
            return Err(Issue::new(&path("name"), problem));
        }
        if let Some(unknown) = raw.environments.iter().find(|one| !known.contains(&one.as_str())) {
            let problem = format!(
                "`{unknown}` is no configured environment; expected some of {}",
                known.join(", ")
            );
            return Err(Issue::new(&path("environments"), problem));
        }
        if let Some(odd) = raw.operations.iter().find(|one| !is_operation(one)) {
            let problem =
                format!("`{odd}` is no operation; expected words such as \"create\", \"disable\" or \"grant\"");
            return Err(Issue::new(&path("operations"), problem));
        }
        let text = surroundings.secret_file(&path("secret_file"), &raw.secret_file)?;
        let secrets: Option<Vec<Vec<u8>>> = text.expose().lines().map(secret).collect();
        let secrets = secrets.filter(|secrets| !secrets.is_empty()).ok_or_else(|| {
            Issue::new(
                &path("secret_file"),
                "the file holds no secret of Standard Webhooks; expected a line `whsec_` and the base64 of 24 to 64 \
                 random bytes, as of `echo \"whsec_$(openssl rand -base64 32)\"`; a second line while you replace the first",
            )
        })?;
        webhooks.push(Webhook {
            name,
            url,
            secrets,
            secret_file: raw.secret_file,
            environments: raw.environments,
            operations: raw.operations,
            from_beginning: raw.from.is_some_and(|from| from.0 == From::Beginning),
            include_values: raw.include_values,
            source: source.to_owned(),
        });
    }
    Ok(webhooks)
}

fn secret(line: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(line.trim().strip_prefix(PREFIX)?).ok()?;
    SIZES.contains(&bytes.len()).then_some(bytes)
}

fn is_operation(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The address of a receiver. It is not repeated in an error: it may hold a secret.
fn receiver(path: &str, text: &str) -> Result<Url, Issue> {
    let refuse = |problem: &str| {
        let expected = format!("{problem}; expected an address such as \"https://crm.example/rollcall\"");
        Err(Issue::new(path, expected))
    };
    let Ok(url) = Url::parse(text) else {
        return refuse("this is no address");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("an address must not carry credentials: the signature proves who sends");
    }
    if url.fragment().is_some() {
        return refuse("an address to send to has no fragment");
    }
    match (url.scheme(), is_loopback(&url)) {
        ("https", _) | ("http", true) => Ok(url),
        ("http", false) => refuse("plain http is for loopback addresses only"),
        _ => refuse("this is no https address"),
    }
}

/// Whether an address is of this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An address for display, without what may be a secret.
pub(super) fn shown_url(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.query().is_some() {
        shown.set_query(Some("redacted"));
    }
    shown.into()
}
