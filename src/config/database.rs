//! Section `[database]`: the location of the table. The URL may hold a password, so it is a secret everywhere.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::{Host, Url};

use super::Issue;
use super::secret::Surroundings;
use crate::domain::schema::Schema;
use crate::domain::secret::Secret;

/// Section `[database]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The server that everything is written to and judged by.
    pub at: Place,
    /// A replica of it, for lists that may be seconds old.
    pub read_at: Option<Place>,
    /// The schema of this installation.
    pub schema: Schema,
    /// The size of the connection pool.
    pub max_connections: u32,
}

/// A server's URL, and where the configuration has it from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The URL, including the password.
    pub url: Secret,
    /// The file it was read from; `None` if the configuration itself holds it.
    pub file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDatabase {
    url: Option<String>,
    url_file: Option<PathBuf>,
    read_url: Option<String>,
    read_url_file: Option<PathBuf>,
    schema: Option<String>,
    max_connections: u32,
}

impl Default for RawDatabase {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            read_url: None,
            read_url_file: None,
            schema: None,
            max_connections: 8,
        }
    }
}

impl RawDatabase {
    pub(super) fn validate(self, surroundings: &mut Surroundings<'_>) -> Result<Database, Issue> {
        let Some(at) = Place::validate("url", self.url, self.url_file, surroundings)? else {
            return Err(Issue::new(
                "database.url",
                "missing; expected \"postgres://user@host/database\", or url_file with the file that holds it",
            ));
        };
        let read_at = Place::validate("read_url", self.read_url, self.read_url_file, surroundings)?;
        let schema = self
            .schema
            .map_or_else(|| Some(Schema::default()), |name| Schema::parse(&name));
        let Some(schema) = schema else {
            return Err(Issue::new(
                "database.schema",
                format!("no name for a schema of ours; expected {}", Schema::EXPECTED),
            ));
        };
        if !(1..=1000).contains(&self.max_connections) {
            return Err(Issue::new(
                "database.max_connections",
                "out of bounds; expected 1 to 1000",
            ));
        }
        Ok(Database {
            at,
            read_at,
            schema,
            max_connections: self.max_connections,
        })
    }
}

impl Place {
    /// Reads the URL from the key, or from the file that the key with `_file` names; none where neither is given.
    fn validate(
        key: &str,
        url: Option<String>,
        file: Option<PathBuf>,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<Option<Self>, Issue> {
        let (path, url) = match (url, &file) {
            (Some(url), None) => (format!("database.{key}"), Secret::new(url)),
            (None, Some(file)) => {
                let path = format!("database.{key}_file");
                let url = surroundings.secret_file(&path, file)?;
                (path, url)
            }
            (Some(_), Some(_)) => {
                return Err(Issue::new(
                    "database",
                    format!("{key} and {key}_file are both given; expected one of them"),
                ));
            }
            (None, None) => return Ok(None),
        };
        // The problem never quotes the text: it may hold a password.
        if !is_postgres_url(url.expose()) {
            return Err(Issue::new(
                &path,
                "this is no PostgreSQL URL; expected postgres://user:password@host:port/database (percent-encode \
                 special characters in the password)",
            ));
        }
        if let Some(key) = unknown_parameter(url.expose()) {
            return Err(Issue::new(
                &path,
                format!(
                    "the parameter `{key}` means nothing; expected {}",
                    PARAMETERS.join(", ")
                ),
            ));
        }
        if let Some(problem) = wrong_parameter(url.expose()) {
            return Err(Issue::new(&path, problem));
        }
        if let Some(host) = unverified_host(url.expose())
            && !surroundings.variables.contains_key("PGSSLMODE")
        {
            surroundings.warnings.push(format!(
                "{path}: nobody verifies that {host} is the database's server; add sslmode=verify-full (and sslrootcert=… \
                 for an authority of your own)"
            ));
        }
        Ok(Some(Self { url, file }))
    }

    /// The URL with every password redacted, for display.
    #[must_use]
    pub fn shown_url(&self) -> String {
        const HIDDEN: &str = "redacted";
        let Ok(mut url) = Url::parse(self.url.expose()) else {
            return HIDDEN.to_owned();
        };
        if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
            return HIDDEN.to_owned();
        }
        if url.query().is_some() {
            let pairs: Vec<(String, String)> = url
                .query_pairs()
                .map(|(key, value)| {
                    let shown = if key.contains("password") {
                        HIDDEN.to_owned()
                    } else {
                        value.into_owned()
                    };
                    (key.into_owned(), shown)
                })
                .collect();
            url.query_pairs_mut().clear().extend_pairs(pairs);
        }
        url.into()
    }

    /// Whether the URL itself carries a password.
    pub(super) fn has_password(&self) -> bool {
        Url::parse(self.url.expose())
            .is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(key, _)| key.contains("password")))
    }
}

/// Whether the text is a PostgreSQL URL whose password, if any, is where [`Place::shown_url`] expects it. A password
/// with an unescaped `/`, `?` or `#` would end up in the path or after it.
fn is_postgres_url(text: &str) -> bool {
    let scheme = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let plain = |key: &str| {
        key.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    scheme
        && Url::parse(text).is_ok_and(|url| {
            url.fragment().is_none() && !url.path().contains('@') && url.query_pairs().all(|(key, _)| plain(&key))
        })
}

/// The allowed query parameters. sqlx would log any other, with its value.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

fn unknown_parameter(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let mut keys = url.query_pairs().map(|(key, _)| key.into_owned());
    keys.find(|key| !PARAMETERS.contains(&key.as_str()))
}

/// What is wrong with the value of a parameter. The driver would say so only when it connects, and not of what.
fn wrong_parameter(text: &str) -> Option<String> {
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    let url = Url::parse(text).ok()?;
    url.query_pairs().find_map(|(key, value)| match key.as_ref() {
        "sslmode" if !MODES.contains(&value.as_ref()) => Some(format!(
            "the parameter `sslmode` has none of its values; expected {}",
            MODES.join(", ")
        )),
        "port" if value.parse::<u16>().is_err() => {
            Some("the parameter `port` is no port; expected a number up to 65535".to_owned())
        }
        "hostaddr" if value.parse::<IpAddr>().is_err() => {
            Some("the parameter `hostaddr` is no IP address; a name belongs into `host`".to_owned())
        }
        "sslrootcert" | "sslcert" | "sslkey" => fs::File::open(value.as_ref()).err().map(|error| {
            format!("the parameter `{key}` names the file {value}, which cannot be read ({error}); give its whole path")
        }),
        _ => None,
    })
}

/// The host of a remote URL without certificate verification.
fn unverified_host(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    let verified = parameter("sslmode").is_some_and(|mode| ["verify-full", "verify-ca"].contains(&mode.as_ref()));
    let is_here = |host: &str| match Host::parse(host) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost",
        Err(_) => false,
    };
    let host = parameter("hostaddr").or_else(|| parameter("host"));
    let host = host.map_or_else(|| url.host_str().unwrap_or_default().to_owned(), Into::into);
    let is_socket = host.is_empty() || host.starts_with('/') || host.to_lowercase().starts_with("%2f");
    (!verified && !is_socket && !is_here(&host)).then_some(host)
}
