//! Section `[tenant]`: the directory, its cloud, and rollcall's credential.
//!
//! The clouds and their addresses are Microsoft's national clouds; `custom` is for others, and for a simulated tenant
//! on a loopback address. Never accepts a plain-text connection to another machine.

use crate::domain::word::{alternatives, words};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use url::{Host, Url};
use uuid::Uuid;

use super::Issue;
use super::secret::Surroundings;
use super::value::{FromText, Parsed};
use crate::domain::credential::{Credential, ManagedHost};
use crate::domain::secret::Secret;

/// The default mount path of the Kubernetes webhook's token, unless `AZURE_FEDERATED_TOKEN_FILE` is set.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// Section `[tenant]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant.
    pub id: Uuid,
    /// The application that reads the directory.
    pub client_id: Uuid,
    /// The credential of the application.
    pub credential: Credential,
    /// The configured credential: its kind and the location of the secret, never the secret.
    pub credential_given: Value,
    /// The cloud that sets the two addresses.
    pub cloud: Cloud,
    /// The token service, without a path.
    pub authority: Url,
    /// Graph, without a path.
    pub graph_root: Url,
    /// Additional trusted certificates, PEM: for a proxy that intercepts TLS.
    pub ca_file: Option<CertificateFile>,
}

/// A public PEM file and its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// The content.
    pub pem: String,
    /// Its path.
    pub file: PathBuf,
}

words! {
    /// The clouds that Microsoft runs.
    pub enum Cloud: "no cloud" {
        /// Worldwide, and US GCC.
        Global "global"
        /// US Government L4 (GCC High).
        UsGov "us_gov"
        /// US Government L5 (`DoD`).
        UsGovDod "us_gov_dod"
        /// China, run by 21Vianet.
        China "china"
        /// Any other: the configuration gives both addresses.
        Custom "custom"
    }
}

impl Cloud {
    /// Authority and Graph root; `None` if the configuration gives them.
    const fn roots(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Global => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
            Self::UsGov => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
            Self::UsGovDod => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
            Self::China => (
                "https://login.chinacloudapi.cn",
                "https://microsoftgraph.chinacloudapi.cn",
            ),
            Self::Custom => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    id: Parsed<Uuid>,
    client_id: Parsed<Uuid>,
    credential: RawCredential,
    cloud: Option<Parsed<Cloud>>,
    authority: Option<String>,
    graph_root: Option<String>,
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredential {
    kind: Parsed<CredentialKind>,
    file: Option<PathBuf>,
    env: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_id: Option<Parsed<Uuid>>,
}

words! {
    enum CredentialKind {
        Secret "secret"
        Certificate "certificate"
        WorkloadIdentity "workload_identity"
        ManagedIdentity "managed_identity"
    }
}

impl FromText for CredentialKind {
    fn from_text(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|kind| format!("\"{kind}\""));
        Self::parse(text).ok_or_else(|| format!("this is no kind of credential; expected {}", alternatives(&names)))
    }
}

impl RawTenant {
    pub(super) fn validate(self, surroundings: &mut Surroundings<'_>) -> Result<Tenant, Issue> {
        let id = not_all_zero("tenant.id", self.id.0)?;
        let client_id = not_all_zero("tenant.client_id", self.client_id.0)?;
        let cloud = self.cloud.map_or(Cloud::Global, |cloud| cloud.0);
        let (authority, graph_root) = match cloud.roots() {
            Some((authority, graph_root)) => {
                for (path, given) in [
                    ("tenant.authority", &self.authority),
                    ("tenant.graph_root", &self.graph_root),
                ] {
                    if given.is_some() {
                        let cloud = cloud.as_str();
                        return Err(Issue::new(
                            path,
                            format!(
                                "the cloud \"{cloud}\" has its own address; leave this out or set cloud = \"custom\""
                            ),
                        ));
                    }
                }
                (
                    root("tenant.authority", authority)?,
                    root("tenant.graph_root", graph_root)?,
                )
            }
            None => (
                custom_root("tenant.authority", self.authority)?,
                custom_root("tenant.graph_root", self.graph_root)?,
            ),
        };
        let ca_file = match self.ca_file {
            Some(file) => Some(certificate("tenant.ca_file", file, surroundings)?),
            None => None,
        };
        let (credential, credential_given) = self.credential.validate("tenant.credential", surroundings)?;
        Ok(Tenant {
            id,
            client_id,
            credential,
            credential_given,
            cloud,
            authority,
            graph_root,
            ca_file,
        })
    }
}

impl RawCredential {
    /// The credential of the key `path`, and what may be shown of it.
    pub(super) fn validate(
        self,
        path: &str,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<(Credential, Value), Issue> {
        let key = |key: &str| format!("{path}.{key}");
        let kind = self.kind.0;
        self.refuse_foreign_keys(path, kind)?;
        let mut given = json!({ "kind": kind.as_str() });
        let credential = match kind {
            CredentialKind::Secret => Credential::Secret(match (self.file, self.env) {
                (Some(file), None) => {
                    given["file"] = json!(file);
                    surroundings.secret_file(&key("file"), &file)?
                }
                (None, Some(name)) => {
                    given["env"] = json!(name);
                    surroundings.secret_variable(&key("env"), &name)?
                }
                (Some(_), Some(_)) => {
                    return Err(Issue::new(path, "file and env are both given; expected one of them"));
                }
                (None, None) => {
                    let problem = "a secret needs file = \"…\" or env = \"…\", the place that holds it";
                    return Err(Issue::new(path, problem));
                }
            }),
            CredentialKind::Certificate => {
                let (Some(file), Some(key_file)) = (self.certificate, self.key) else {
                    return Err(Issue::new(
                        path,
                        "a certificate needs certificate = \"file.pem\" and key = \"file.pem\"",
                    ));
                };
                let certificate = certificate(&key("certificate"), file, surroundings)?;
                let key_pem = surroundings.secret_file(&key("key"), &key_file)?;
                if !key_pem.expose().contains("PRIVATE KEY-----") {
                    return Err(Issue::new(
                        &key("key"),
                        format!("{} holds no private key; expected a PEM file", key_file.display()),
                    ));
                }
                given["certificate"] = json!(certificate.file);
                given["key"] = json!(key_file);
                Credential::Certificate {
                    certificate_pem: certificate.pem.into_bytes(),
                    key_pem,
                }
            }
            CredentialKind::WorkloadIdentity => Credential::WorkloadIdentity {
                token_file: surroundings
                    .variables
                    .get("AZURE_FEDERATED_TOKEN_FILE")
                    .map_or(TOKEN_FILE, String::as_str)
                    .into(),
            },
            CredentialKind::ManagedIdentity => {
                let client_id = self.client_id.map(|client_id| client_id.0.to_string());
                if let Some(id) = &client_id {
                    given["client_id"] = json!(id);
                }
                Credential::ManagedIdentity {
                    client_id,
                    host: managed_host(path, surroundings)?,
                }
            }
        };
        Ok((credential, given))
    }

    fn refuse_foreign_keys(&self, path: &str, kind: CredentialKind) -> Result<(), Issue> {
        let given = [
            ("file", self.file.is_some(), CredentialKind::Secret),
            ("env", self.env.is_some(), CredentialKind::Secret),
            ("certificate", self.certificate.is_some(), CredentialKind::Certificate),
            ("key", self.key.is_some(), CredentialKind::Certificate),
            ("client_id", self.client_id.is_some(), CredentialKind::ManagedIdentity),
        ];
        match given.into_iter().find(|(_, given, owner)| *given && *owner != kind) {
            None => Ok(()),
            Some((key, _, owner)) => Err(Issue::new(
                &format!("{path}.{key}"),
                format!(
                    "only kind \"{}\" has this key, and the kind is \"{}\"; leave it out",
                    owner.as_str(),
                    kind.as_str()
                ),
            )),
        }
    }
}

/// App Service if both its variables are set, since one alone means nothing; else the metadata service.
fn managed_host(path: &str, surroundings: &Surroundings<'_>) -> Result<ManagedHost, Issue> {
    let variable = |name: &str| surroundings.variables.get(name);
    let problem = "the environment variable IDENTITY_ENDPOINT, which the platform sets, is no address";
    let url = |text: &str| Url::parse(text).map_err(|_| Issue::new(path, problem));
    Ok(match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
        (Some(endpoint), Some(header)) => ManagedHost::AppService {
            endpoint: url(endpoint)?,
            header: Secret::new(header.clone()),
        },
        _ => ManagedHost::InstanceMetadata {
            root: url(ManagedHost::METADATA_ROOT)?,
        },
    })
}

fn not_all_zero(path: &str, id: Uuid) -> Result<Uuid, Issue> {
    if id.is_nil() {
        return Err(Issue::new(
            path,
            "this is the all-zero GUID; fill in the one from the Entra admin centre",
        ));
    }
    Ok(id)
}

fn certificate(path: &str, file: PathBuf, surroundings: &Surroundings<'_>) -> Result<CertificateFile, Issue> {
    let pem = surroundings.text_file(path, &file)?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Issue::new(
            path,
            format!("{} holds no certificate; expected a PEM file", file.display()),
        ));
    }
    Ok(CertificateFile { pem, file })
}

fn custom_root(path: &str, text: Option<String>) -> Result<Url, Issue> {
    match text {
        Some(text) => root(path, &text),
        None => Err(Issue::new(
            path,
            "missing; the cloud \"custom\" needs authority and graph_root",
        )),
    }
}

/// An address without path, query and credentials. Plain http only to this machine, because it carries tokens.
pub(super) fn root(path: &str, text: &str) -> Result<Url, Issue> {
    let refuse = |problem: &str| {
        Err(Issue::new(
            path,
            format!("{problem}; expected an address such as https://host.example"),
        ))
    };
    let Ok(url) = Url::parse(text) else {
        return refuse("this is no address");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("an address must not carry credentials");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return refuse("a root has no path, query or fragment (they are appended)");
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => refuse("plain http is for loopback addresses only"),
        _ => refuse("this is no https address"),
    }
}
