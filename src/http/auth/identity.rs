//! The identity token of a person who signs in to the console: signature, issuer, tenant and time as of an access token,
//! made for exactly our application, and for the sign-in that began (`nonce`).

use std::collections::BTreeSet;

use super::access_token::{AccessTokens, Claims, id, roles};
use super::error::{AuthError, Fault};
use super::{ApiRole, Caller, CallerKind};

/// Who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person as a caller, as of the same person through the API.
    pub caller: Caller,
    /// The person in the directory.
    pub object_id: uuid::Uuid,
    /// The name to show.
    pub name: String,
}

impl Person {
    /// Whether the person has any role that opens the console.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.caller.may(ApiRole::Read)
    }
}

impl AccessTokens {
    /// The person of an identity token for a sign-in that began with this nonce.
    pub async fn person(&self, token: &str, client_id: &str, nonce: &str) -> Result<Person, AuthError> {
        let claims = self.verified(token, &[client_id.to_owned()]).await?;
        Ok(person(claims, nonce)?)
    }
}

fn person(claims: Claims, nonce: &str) -> Result<Person, Fault> {
    if claims.tid.is_none() {
        return Err(Fault::Lacks("tid"));
    }
    if claims.nonce.as_deref().ok_or(Fault::Lacks("nonce"))? != nonce {
        return Err(Fault::Nonce);
    }
    let object_id = id(claims.oid).ok_or(Fault::Lacks("oid"))?;
    let roles: BTreeSet<ApiRole> = roles(claims.roles);
    let name = claims.name.or(claims.preferred_username);
    Ok(Person {
        caller: Caller {
            name: format!("user:{object_id}"),
            kind: CallerKind::User,
            roles,
        },
        object_id,
        name: name.unwrap_or_else(|| object_id.to_string()),
    })
}
