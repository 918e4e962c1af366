//! What the Graph edge must be told, and the checks that no caller can skip.
//!
//! Values only: nothing here reads the environment, a file or the clock. A [`Secret`] never shows itself, TLS
//! verification cannot be switched off, and plain http is refused except to a loopback address.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::error::GraphError;
use crate::domain::feed::Extent;
use crate::domain::secret::Secret;

/// How the daemon proves to Entra who it is (graph.md, section 1.1).
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret.
    Secret(Secret),
    /// An RSA certificate registered with the application.
    Certificate {
        /// The certificate in PEM; the first one counts.
        certificate_pem: Vec<u8>,
        /// Its private key in PEM: PKCS#8 or PKCS#1, not encrypted.
        key_pem: Secret,
    },
    /// A token of another issuer, which the platform writes to a file and rotates (`AZURE_FEDERATED_TOKEN_FILE`).
    WorkloadIdentity {
        /// Read anew for every token request.
        token_file: PathBuf,
    },
    /// The identity of the machine.
    ManagedIdentity {
        /// Which identity, where the machine has several.
        client_id: Option<String>,
        /// Who hands out the tokens.
        host: ManagedHost,
    },
}

/// Who hands out the tokens of a managed identity.
#[derive(Clone, Debug)]
pub enum ManagedHost {
    /// The instance metadata service of a virtual machine, `http://169.254.169.254`.
    InstanceMetadata {
        /// The service's root; [`ManagedHost::METADATA_ROOT`] outside tests.
        root: Url,
    },
    /// App Service and its kin.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        endpoint: Url,
        /// `IDENTITY_HEADER`.
        header: Secret,
    },
}

impl ManagedHost {
    /// Where a virtual machine finds its metadata service.
    pub const METADATA_ROOT: &str = "http://169.254.169.254";

    /// App Service where both its variables are set, else the metadata service.
    ///
    /// # Errors
    ///
    /// [`GraphError::Settings`] when `IDENTITY_ENDPOINT` is no URL.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Result<Self, GraphError> {
        let url = |text: &str| Url::parse(text).map_err(|_| GraphError::Settings(format!("{text} is no URL")));
        match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            (Some(endpoint), Some(header)) => Ok(Self::AppService {
                endpoint: url(&endpoint)?,
                header: Secret::new(header),
            }),
            _ => Ok(Self::InstanceMetadata {
                root: url(Self::METADATA_ROOT)?,
            }),
        }
    }
}

/// Everything the edge needs; [`GraphSettings::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// The tenant's GUID or domain.
    pub tenant_id: String,
    /// The application's id.
    pub client_id: String,
    /// How the application proves itself.
    pub credential: Credential,
    /// Root of the token service, without a path.
    pub authority: Url,
    /// Root of Graph, without a path; `/v1.0` is appended.
    pub graph_root: Url,
    /// More root certificates in PEM, beside those of the platform.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Time to reach the service.
    pub connect_timeout: Duration,
    /// Time for a whole request, the body included.
    pub request_timeout: Duration,
    /// The largest body that is read, after decompression. A page of 200 users with 70 plans each is about 1.5 MiB.
    pub response_limit: usize,
    /// The longest listing that is held in memory; a longer one is no listing.
    pub listing: Extent,
    /// How patiently one call repeats itself.
    pub retry: RetryBounds,
    /// How long a whole call may take for which somebody waits
    /// ([`Graph::for_someone_waiting`](super::Graph::for_someone_waiting)).
    pub on_demand_limit: Duration,
    /// How long a configuration fault of the token service is answered from memory instead of asking again.
    pub token_fault_memory: Duration,
    /// Seed of the retry jitter; drawn from the system where `None`.
    pub seed: Option<u64>,
}

/// The bounds of repetition inside one call.
#[derive(Clone, Copy, Debug)]
pub struct RetryBounds {
    /// Requests sent at most, the first included.
    pub attempts: u32,
    /// Waiting at most, over all repetitions. A longer `Retry-After` ends the call.
    pub total_wait: Duration,
    /// The first backoff is drawn from zero to this; it doubles from there.
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

/// Names every tenant answers to, which this grant refuses (AADSTS9001023).
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
            extra_ca_pem: None,
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

    /// Refuses what could never work or would put the credential at risk.
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
