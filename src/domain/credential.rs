//! The daemon's credential. A [`Secret`] is never shown.

use std::path::PathBuf;

use url::Url;

use super::secret::Secret;

/// The credential with which the daemon authenticates to Entra (graph.md, section 1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A client secret.
    Secret(Secret),
    /// An RSA certificate registered with the application.
    Certificate {
        /// The certificate in PEM; the first one is used.
        certificate_pem: Vec<u8>,
        /// Its private key in PEM: PKCS#8 or PKCS#1, not encrypted.
        key_pem: Secret,
    },
    /// A token of another issuer, which the platform writes to a file and rotates (`AZURE_FEDERATED_TOKEN_FILE`).
    WorkloadIdentity {
        /// Read again for every token request.
        token_file: PathBuf,
    },
    /// The managed identity of the machine.
    ManagedIdentity {
        /// The client id, if the machine has several identities.
        client_id: Option<String>,
        /// The token service.
        host: ManagedHost,
    },
}

/// The token service of a managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagedHost {
    /// The instance metadata service of a virtual machine, `http://169.254.169.254`.
    InstanceMetadata {
        /// The service's root; [`ManagedHost::METADATA_ROOT`] outside tests.
        root: Url,
    },
    /// App Service and similar platforms.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        endpoint: Url,
        /// `IDENTITY_HEADER`.
        header: Secret,
    },
}

impl ManagedHost {
    /// The root of a virtual machine's metadata service.
    pub const METADATA_ROOT: &str = "http://169.254.169.254";
}
