//! Verifies access tokens signed by Entra: from the text to a caller.
//!
//! Signature, issuer, audience, tenant and time are checked in this order, all of them, before a claim is trusted.
//! <https://learn.microsoft.com/entra/identity-platform/access-tokens> and `access-token-claims-reference` beside it
//! describe Entra's claims.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;
use uuid::Uuid;

use super::error::{AuthError, Fault};
use super::keys::{KeySet, Keys};
use super::{ApiRole, Caller, CallerKind, Entra, rs256};
use crate::clock::Clock;

/// The allowed difference between the clocks of Entra and of this machine, in seconds.
const LEEWAY: f64 = 60.0;

/// The accepted values of `typ`: Entra writes the first, RFC 9068 the second.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];

/// Verifies access tokens.
pub(super) struct AccessTokens {
    tenant: Uuid,
    audiences: [String; 2],
    keys: Keys,
    clock: Clock,
    signature_only: Validation,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    aud: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    pub tid: Option<String>,
    pub oid: Option<String>,
    /// The application that requested the token: `azp` in version 2 tokens, `appid` in version 1.
    azp: Option<String>,
    appid: Option<String>,
    /// The delegated permissions; only in delegated tokens.
    scp: Option<String>,
    /// `app` or `user`, if the application's registration requests the claim.
    idtyp: Option<String>,
    pub roles: Option<Vec<String>>,
    /// Only in identity tokens: the sign-in that asked for it, and who signed in.
    pub nonce: Option<String>,
    pub name: Option<String>,
    pub preferred_username: Option<String>,
}

impl AccessTokens {
    pub fn new(entra: Entra, clock: Clock) -> Self {
        rs256::install();
        // The crate would read the machine's clock; everything but the signature is checked here.
        let mut signature_only = Validation::new(Algorithm::RS256);
        signature_only.required_spec_claims = HashSet::new();
        signature_only.validate_exp = false;
        signature_only.validate_nbf = false;
        signature_only.validate_aud = false;
        Self {
            tenant: entra.tenant,
            audiences: [format!("api://{}", entra.audience), entra.audience],
            keys: Keys::new(entra.keys, clock.clone()),
            clock,
            signature_only,
        }
    }

    /// The caller that presents this token.
    pub async fn check(&self, token: &str) -> Result<Caller, AuthError> {
        Ok(caller(self.verified(token, &self.audiences).await?)?)
    }

    /// The claims of a token that is made for one of these.
    pub(super) async fn verified(&self, token: &str, audiences: &[String]) -> Result<Claims, AuthError> {
        let header = decode_header(token).map_err(|_| Fault::NotAJwt)?;
        let kid = acceptable(&header)?;
        let known = self.keys.with(kid).await?;
        let claims = self.signed(token, kid, &known)?;
        self.valid(&claims, audiences, &known, self.clock.now())?;
        Ok(claims)
    }

    fn signed(&self, token: &str, kid: &str, known: &KeySet) -> Result<Claims, Fault> {
        let key = known.key(kid).ok_or(Fault::UnknownKey)?;
        match decode::<Claims>(token, key, &self.signature_only) {
            Ok(token) => Ok(token.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidAlgorithm => Fault::Algorithm,
                // Only a signed payload is parsed as JSON.
                ErrorKind::Json(_) | ErrorKind::Utf8(_) => Fault::Claims,
                _ => Fault::Signature,
            }),
        }
    }

    fn valid(&self, claims: &Claims, audiences: &[String], known: &KeySet, now: DateTime<Utc>) -> Result<(), Fault> {
        let issuer = claims.iss.as_ref().ok_or(Fault::Lacks("iss"))?;
        if !known.issuers.contains(issuer) {
            return Err(Fault::Issuer);
        }
        let audience = claims.aud.as_ref().ok_or(Fault::Lacks("aud"))?;
        if !audiences.iter().any(|ours| ours.eq_ignore_ascii_case(audience)) {
            return Err(Fault::Audience);
        }
        if let Some(tenant) = &claims.tid
            && Uuid::try_parse(tenant) != Ok(self.tenant)
        {
            return Err(Fault::Tenant);
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        let now = now.timestamp() as f64;
        if claims.exp.ok_or(Fault::Lacks("exp"))? + LEEWAY <= now {
            return Err(Fault::Expired);
        }
        if claims.nbf.ok_or(Fault::Lacks("nbf"))? - LEEWAY > now {
            return Err(Fault::NotYetValid);
        }
        Ok(())
    }
}

/// The key's id, if the header requires nothing unsupported.
fn acceptable(header: &Header) -> Result<&str, Fault> {
    if header.alg != Algorithm::RS256 {
        return Err(Fault::Algorithm);
    }
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Fault::Extension);
    }
    let typ = header.typ.as_deref().unwrap_or(TYPES[0]);
    if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ)) {
        return Err(Fault::NotAnAccessToken);
    }
    header.kid.as_deref().ok_or(Fault::UnknownKey)
}

/// The caller that the claims name. Every access token names the application that requested it; an identity token,
/// which has the same issuer, audience and signature, does not.
fn caller(claims: Claims) -> Result<Caller, Fault> {
    let application = id(claims.azp.or(claims.appid)).ok_or(Fault::NotAnAccessToken)?;
    let delegated = match claims.idtyp.as_deref() {
        Some("app") => false,
        Some("user") => true,
        Some(_) => return Err(Fault::NotAnAccessToken),
        None => claims.scp.is_some(),
    };
    let (name, kind) = if delegated {
        let user = id(claims.oid).ok_or(Fault::Lacks("oid"))?;
        (format!("user:{user}"), CallerKind::User)
    } else {
        (format!("app:{application}"), CallerKind::Application)
    };
    Ok(Caller {
        name,
        kind,
        roles: roles(claims.roles),
    })
}

/// A claim that holds an id.
pub(super) fn id(claim: Option<String>) -> Option<Uuid> {
    Uuid::try_parse(&claim?).ok()
}

/// The roles among a token's app roles.
pub(super) fn roles(claim: Option<Vec<String>>) -> BTreeSet<ApiRole> {
    let named = claim.unwrap_or_default();
    named.iter().filter_map(|role| ApiRole::parse(role)).collect()
}
