//! What an application may present in place of a secret: a JWT by its own certificate, or of an outside issuer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

use super::Settings;
use super::identity::Refusal;

/// A certificate registered with the application.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// SHA-256 of the DER certificate, base64url, as in `x5t#S256`.
    pub thumbprint: String,
    /// The RSA public key in DER (PKCS#1, as `ring` takes it).
    pub public_key: Vec<u8>,
}

/// An outside issuer whose tokens the application may present instead of a credential of its own.
#[derive(Clone, Debug)]
pub struct Federation {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The issuer's RSA public key in DER; without one the signature is not looked at.
    pub public_key: Option<Vec<u8>>,
}

/// Checks a JWT that stands in for a secret: our own certificate's, or an outside issuer's.
pub(super) fn check(settings: &Settings, jwt: &str, audience: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
    let malformed = |why: &str| {
        Refusal(
            50_027,
            "invalid_request",
            400,
            format!("JWT token is invalid or malformed: {why}."),
        )
    };
    let (signed, mark) = jwt.rsplit_once('.').ok_or_else(|| malformed("no signature"))?;
    let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("no claims"))?;
    let open = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = open(header).ok_or_else(|| malformed("header"))?;
    let claims = open(claims).ok_or_else(|| malformed("claims"))?;
    let mark = URL_SAFE_NO_PAD.decode(mark).map_err(|_| malformed("signature"))?;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let algorithm: &'static dyn VerificationAlgorithm = match text(&header, "alg").as_str() {
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        other => return Err(malformed(&format!("algorithm '{other}'"))),
    };
    let signed_by = |key: &[u8]| {
        UnparsedPublicKey::new(algorithm, key)
            .verify(signed.as_bytes(), &mark)
            .is_ok()
    };
    // Kubernetes writes the audience as a list; exactly one is accepted.
    let exchange = Value::from("api://AzureADTokenExchange");
    let for_exchange = claims["aud"] == exchange || claims["aud"].as_array().is_some_and(|all| *all == [exchange]);
    if let Some(federation) = &settings.federation
        && for_exchange
    {
        let known = text(&claims, "iss") == federation.issuer
            && text(&claims, "sub") == federation.subject
            && text(&header, "alg") == "RS256";
        if !known {
            let why = "No matching federated identity record found for presented assertion.".into();
            return Err(Refusal(70_021, "invalid_request", 400, why));
        }
        if !federation.public_key.as_ref().is_none_or(|key| signed_by(key)) {
            return Err(Refusal(
                50_013,
                "invalid_request",
                400,
                "Assertion failed signature validation.".into(),
            ));
        }
        return in_time(&claims, now, false);
    }
    let unproven = |why: &str| {
        let text =
            format!("The certificate with identifier used to sign the client assertion is not registered: {why}.");
        Refusal(700_027, "invalid_client", 401, text)
    };
    let certificate = settings
        .certificate
        .as_ref()
        .ok_or_else(|| unproven("the application has none"))?;
    if text(&header, "typ") != "JWT" {
        return Err(malformed("typ"));
    }
    if text(&header, "x5t#S256") != certificate.thumbprint {
        return Err(unproven("thumbprint"));
    }
    if !signed_by(&certificate.public_key) {
        return Err(unproven("signature"));
    }
    let client = settings.client_id.to_string();
    if text(&claims, "iss") != client || text(&claims, "sub") != client {
        return Err(unproven("issuer and subject"));
    }
    if text(&claims, "aud") != audience {
        return Err(Refusal(
            700_023,
            "invalid_client",
            401,
            "Client assertion audience claim does not match.".into(),
        ));
    }
    if text(&claims, "jti").is_empty() {
        return Err(malformed("jti"));
    }
    in_time(&claims, now, true)
}

/// The longest a certificate's assertion may be good for.
const LONGEST_ASSERTION: i64 = 10 * 60;
/// How far clocks may differ.
const CLOCK_SKEW: i64 = 5 * 60;

fn in_time(claims: &Value, now: DateTime<Utc>, short: bool) -> Result<(), Refusal> {
    let outside = || {
        Refusal(
            500_133,
            "invalid_request",
            400,
            "Assertion is not within its valid time range.".into(),
        )
    };
    let expires = claims["exp"].as_i64().ok_or_else(outside)?;
    let begins = claims["nbf"]
        .as_i64()
        .or_else(|| claims["iat"].as_i64())
        .ok_or_else(outside)?;
    let now = now.timestamp();
    let well = expires > now && begins <= now + CLOCK_SKEW && (!short || expires - begins <= LONGEST_ASSERTION);
    if well { Ok(()) } else { Err(outside()) }
}
