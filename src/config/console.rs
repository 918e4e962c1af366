//! Section `[console]`: whether the pages for administrators are served, and how people sign in to them.
//!
//! With a public address people sign in with Entra; without one the holder of a static token does, on the machine
//! itself. Where there is neither way in, the console is off.

use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::secret::Surroundings;
use super::tenant::{RawCredential, root};
use super::{Http, Issue, Tenant};
use crate::domain::credential::Credential;

/// Section `[console]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// Whether the console is wanted.
    pub enabled: bool,
    /// The way in; none if there is none.
    pub way: Option<SignIn>,
    /// The configured credential: its kind and the location of the secret, never the secret.
    pub credential_given: Option<Value>,
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// With Entra.
    Entra(Box<EntraSignIn>),
    /// By a static token, under a loopback host only.
    Token,
}

/// What signing in with Entra needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraSignIn {
    /// The address of the console for browsers, without a path.
    pub public_url: Url,
    /// The application that people sign in to: the audience of the API's tokens.
    pub client_id: Uuid,
    /// Its credential, which redeems the codes of sign-ins.
    pub credential: Credential,
}

impl Console {
    /// Why the console is off; none if it is served.
    #[must_use]
    pub fn why_off(&self) -> Option<&'static str> {
        match (self.enabled, &self.way) {
            (false, _) => Some("console.enabled is false"),
            (true, None) => Some(
                "nobody could sign in: set console.public_url and http.audience to sign in with Entra, or add an \
                 [[http.token]] to sign in on this machine",
            ),
            (true, Some(_)) => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConsole {
    enabled: bool,
    public_url: Option<String>,
    credential: Option<RawCredential>,
}

impl Default for RawConsole {
    fn default() -> Self {
        Self {
            enabled: true,
            public_url: None,
            credential: None,
        }
    }
}

const CREDENTIAL: &str = "console.credential";

impl RawConsole {
    pub(super) fn validate(
        self,
        tenant: &Tenant,
        http: &Http,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<Console, Issue> {
        let (own, credential_given) = match self.credential {
            Some(raw) => {
                let (credential, given) = raw.validate(CREDENTIAL, surroundings)?;
                (Some(credential), Some(given))
            }
            None => (None, None),
        };
        let Some(public_url) = self.public_url else {
            if own.is_some() {
                let problem = "only signing in with Entra needs it; set console.public_url, or leave this out";
                return Err(Issue::new(CREDENTIAL, problem));
            }
            let way = (!http.tokens.is_empty()).then_some(SignIn::Token);
            return Ok(Console {
                enabled: self.enabled,
                way,
                credential_given,
            });
        };
        let public_url = root("console.public_url", &public_url)?;
        let client_id = application(http)?;
        let credential = match own {
            Some(credential) => credential,
            None if client_id == tenant.client_id => tenant.credential.clone(),
            None => {
                let problem = "missing; people sign in to the application http.audience, which is not tenant.client_id; \
                               expected that application's credential";
                return Err(Issue::new(CREDENTIAL, problem));
            }
        };
        if matches!(credential, Credential::ManagedIdentity { .. }) {
            let problem = "a managed identity cannot sign people in; expected a credential of the kind secret, certificate \
                           or workload_identity of the application http.audience";
            return Err(Issue::new(CREDENTIAL, problem));
        }
        Ok(Console {
            enabled: self.enabled,
            way: Some(SignIn::Entra(Box::new(EntraSignIn {
                public_url,
                client_id,
                credential,
            }))),
            credential_given,
        })
    }
}

/// The application that people sign in to.
fn application(http: &Http) -> Result<Uuid, Issue> {
    let Some(audience) = &http.audience else {
        let problem = "needs http.audience, the application id that people sign in to; set it, or leave this out to sign \
                       in with a static token on this machine";
        return Err(Issue::new("console.public_url", problem));
    };
    Uuid::parse_str(audience).map_err(|_| {
        let problem = "this is no application id, and people sign in to it (console.public_url); expected a GUID";
        Issue::new("http.audience", problem)
    })
}
