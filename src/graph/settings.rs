//! The settings of the Graph edge, and the checks that no caller can skip.
//!
//! Values only: nothing here reads the environment, a file or the clock. TLS verification cannot be switched off, and
//! plain http is refused except to a loopback address.

use std::collections::BTreeSet;
use std::time::Duration;

use url::{Host, Url};

use super::error::GraphError;
use crate::domain::credential::Credential;
use crate::domain::feed::Extent;

/// All settings of the edge; [`GraphSettings::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// The tenant's GUID or domain.
    pub tenant_id: String,
    /// The application's id.
    pub client_id: String,
    /// The credential of the application.
    pub credential: Credential,
    /// Root of the token service, without a path.
    pub authority: Url,
    /// Root of Graph, without a path; `/v1.0` is appended.
    pub graph_root: Url,
    /// Properties of users to select in addition to those that the columns of every row need.
    pub extra: BTreeSet<&'static str>,
    /// Additional root certificates in PEM, beside those of the platform.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// The proxy that the environment names, as host and port, for messages. The HTTP library reads the environment
    /// itself.
    pub proxy: Option<String>,
    /// The connect timeout.
    pub connect_timeout: Duration,
    /// The timeout of a whole request, including the body.
    pub request_timeout: Duration,
    /// The largest body that is read, after decompression. A page of 200 users with 70 plans each is about 1.5 MiB.
    pub response_limit: usize,
    /// The longest listing that is kept in memory; a longer one is refused.
    pub listing: Extent,
    /// The retry limits of one call.
    pub retry: RetryBounds,
    /// The time limit of a call with a waiting caller
    /// ([`Graph::for_someone_waiting`](super::Graph::for_someone_waiting)).
    pub on_demand_limit: Duration,
    /// How long a configuration fault of the token service is answered from memory instead of asking again.
    pub token_fault_memory: Duration,
    /// Seed of the retry jitter; taken from the system if `None`.
    pub seed: Option<u64>,
}

/// The retry limits of one call.
#[derive(Clone, Copy, Debug)]
pub struct RetryBounds {
    /// The maximum number of requests, including the first.
    pub attempts: u32,
    /// The maximum total wait. A longer `Retry-After` ends the call.
    pub total_wait: Duration,
    /// The ceiling of the first backoff, which is random from zero; it doubles from there.
    pub first_backoff: Duration,
    /// The longest single backoff.
    pub longest_backoff: Duration,
}

impl Default for RetryBounds {
    fn default() -> Self {
        Self {
            attempts: 5,
            total_wait: Duration::from_mins(2),
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
        }
    }
}

/// Names shared by all tenants, which this grant refuses (AADSTS9001023).
const SHARED_TENANTS: [&str; 3] = ["common", "consumers", "organizations"];

impl GraphSettings {
    /// Settings with the default bounds.
    #[must_use]
    pub fn new(tenant_id: String, client_id: String, credential: Credential, authority: Url, graph_root: Url) -> Self {
        Self {
            tenant_id,
            client_id,
            credential,
            authority,
            graph_root,
            extra: BTreeSet::new(),
            extra_ca_pem: None,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_mins(1),
            response_limit: 64 << 20,
            listing: Extent::HELD,
            retry: RetryBounds::default(),
            on_demand_limit: Duration::from_secs(10),
            token_fault_memory: Duration::from_mins(1),
            seed: None,
        }
    }

    /// Refuses settings that cannot work or would put the credential at risk.
    pub(super) fn check(&self) -> Result<(), GraphError> {
        check_root("the authority", &self.authority)?;
        check_root("the Graph root", &self.graph_root)?;
        let tenant = self.tenant_id.as_str();
        if tenant.is_empty()
            || !tenant
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        {
            return Err(GraphError::Settings(
                "the tenant id is neither a GUID nor a domain".to_owned(),
            ));
        }
        if SHARED_TENANTS.iter().any(|shared| shared.eq_ignore_ascii_case(tenant)) {
            return Err(GraphError::Settings(format!(
                "the tenant id must name one tenant, not `{tenant}`"
            )));
        }
        if self.client_id.is_empty() && !matches!(self.credential, Credential::ManagedIdentity { .. }) {
            return Err(GraphError::Settings("the client id is empty".to_owned()));
        }
        if self.retry.attempts == 0 {
            return Err(GraphError::Settings("at least one attempt is needed".to_owned()));
        }
        Ok(())
    }
}

fn check_root(name: &str, url: &Url) -> Result<(), GraphError> {
    let refuse = |why: &str| Err(GraphError::Settings(format!("{name} {why}")));
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) => {}
        "http" => return refuse("uses plain http to a host that is not this machine"),
        _ => return refuse("is no https URL"),
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("must have no path, query or fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not carry a user name or password");
    }
    Ok(())
}

/// Whether a URL points at this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}
