//! Authenticates the callers of the API, and finds their roles.
//!
//! A caller presents one bearer token: a static one of the configuration, known here only by its SHA-256, or an access
//! token of our tenant for our application, verified with the tenant's published keys. The API decides which role an
//! operation needs. This module never puts a token or its claims into an error or a log, and never reads the machine's
//! clock.
//!
//! Where to look next: `bearer` reads the header, `access_token` verifies Entra's tokens, `identity` those of people who
//! sign in to the console, `rs256` is the only algorithm, `keys` keeps the tenant's keys, `error` lists the failures.

mod access_token;
mod bearer;
mod error;
mod identity;
mod keys;
mod rs256;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::clock::Clock;
use access_token::AccessTokens;

pub use crate::domain::api_role::ApiRole;
pub use error::{AuthError, Fault};
pub use identity::Person;
pub use keys::KeySource;

/// A static token of the configuration. The token itself is unknown here.
#[derive(Clone)]
pub struct StaticToken {
    /// The holder's name; the actor in the change log.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its roles.
    pub roles: BTreeSet<ApiRole>,
}

/// The tenant and audience of accepted access tokens.
#[derive(Clone, Debug)]
pub struct Entra {
    /// The tenant.
    pub tenant: Uuid,
    /// The application id of the audience; `api://` before it is accepted too.
    pub audience: String,
    /// Fetches the keys that the tenant publishes.
    pub keys: KeySource,
}

/// The caller, as far as it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The actor in the change log: the name of a static token, `app:` and the application's id, or `user:` and the
    /// user's object id. It holds no person's name, so it may be logged.
    pub name: String,
    /// The kind of caller.
    pub kind: CallerKind,
    /// Its roles, at least one.
    pub roles: BTreeSet<ApiRole>,
}

/// Kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// The holder of a static token.
    StaticToken,
    /// An application acting for itself.
    Application,
    /// A person, through an application.
    User,
}

impl Caller {
    /// Whether the caller has the role, or [`ApiRole::Operate`], which implies every other.
    #[must_use]
    pub fn may(&self, role: ApiRole) -> bool {
        self.roles.contains(&role) || self.roles.contains(&ApiRole::Operate)
    }

    /// Refuses a caller without the role.
    ///
    /// # Errors
    ///
    /// [`AuthError::Forbidden`], which names caller and role.
    pub fn require(&self, role: ApiRole) -> Result<(), AuthError> {
        if self.may(role) {
            return Ok(());
        }
        Err(AuthError::Forbidden {
            caller: self.name.clone(),
            role,
        })
    }
}

/// Authenticates callers. Cheap to clone; clones share the tenant's keys.
#[derive(Clone)]
pub struct Auth(Arc<Accepted>);

struct Accepted {
    tokens: Vec<StaticToken>,
    access_tokens: Option<AccessTokens>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// Accepts these static tokens and, with `entra`, access tokens of its tenant. Fetches nothing yet. With neither,
    /// it admits nobody.
    #[must_use]
    pub fn new(tokens: Vec<StaticToken>, entra: Option<Entra>, clock: Clock) -> Self {
        Self(Arc::new(Accepted {
            tokens,
            access_tokens: entra.map(|entra| AccessTokens::new(entra, clock)),
        }))
    }

    /// The caller of a request with these headers. Must run on a tokio runtime: a separate task fetches keys.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unauthenticated`] for no token or a bad one, [`AuthError::NoRole`] for a good one without a role
    /// here, [`AuthError::KeysUnavailable`] if it cannot be verified.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let token = bearer::read(headers)?;
        let caller = match (self.holder(token), &self.0.access_tokens) {
            (Some(holder), _) => holder,
            (None, Some(access_tokens)) => access_tokens.check(token).await?,
            (None, None) if self.0.tokens.is_empty() => return Err(Fault::NothingAccepted.into()),
            (None, None) => return Err(Fault::Unknown.into()),
        };
        if caller.roles.is_empty() {
            return Err(AuthError::NoRole { caller: caller.name });
        }
        Ok(caller)
    }

    /// The person of an identity token that Entra gave for a sign-in to this application.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate`], except that a person without a role is nobody's error.
    pub(super) async fn person(&self, token: &str, client_id: &str, nonce: &str) -> Result<Person, AuthError> {
        match &self.0.access_tokens {
            Some(access_tokens) => access_tokens.person(token, client_id, nonce).await,
            None => Err(Fault::NothingAccepted.into()),
        }
    }

    /// The holder of a static token. Compares with every token and every byte, so that the timing reveals nothing.
    pub(super) fn holder(&self, token: &str) -> Option<Caller> {
        let presented = digest(&SHA256, token.as_bytes());
        let mut holder = None;
        for known in &self.0.tokens {
            if bool::from(known.sha256.as_slice().ct_eq(presented.as_ref())) {
                holder = Some(known);
            }
        }
        holder.map(|known| Caller {
            name: known.name.clone(),
            kind: CallerKind::StaticToken,
            roles: known.roles.clone(),
        })
    }
}
