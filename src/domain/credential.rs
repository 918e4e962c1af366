//! How the daemon proves who it is. A [`Secret`] never shows itself.

use std::path::PathBuf;

use url::Url;

use super::secret::Secret;

/// How the daemon proves to Entra who it is (graph.md, section 1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
}
