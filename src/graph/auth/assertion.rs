//! The client assertion that replaces a client secret: a PS256 JWT signed with the certificate's key (graph.md, section
//! 1.1).
//!
//! The key stays in this file, and an assertion is valid for five minutes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use uuid::Uuid;

use crate::graph::error::GraphError;

/// Entra accepts five to ten minutes.
const LIFE: TimeDelta = TimeDelta::minutes(5);

/// Signs assertions.
pub(super) struct Signer {
    key: RsaKeyPair,
    header: String,
    audience: String,
    client_id: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: Uuid,
    nbf: i64,
    iat: i64,
    exp: i64,
}

impl Signer {
    pub fn new(certificate_pem: &[u8], key_pem: &str, audience: String, client_id: String) -> Result<Self, GraphError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem)
            .map_err(|_| GraphError::Settings("the certificate file holds no PEM certificate".to_owned()))?;
        let key = private_key(key_pem)?;
        let header = Header {
            alg: "PS256",
            typ: "JWT",
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
        };
        Ok(Self {
            key,
            header: encode(&header)?,
            audience,
            client_id,
        })
    }

    /// A new assertion.
    pub fn sign(&self, now: DateTime<Utc>) -> Result<String, GraphError> {
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: Uuid::new_v4(),
            nbf: now.timestamp(),
            iat: now.timestamp(),
            exp: (now + LIFE).timestamp(),
        };
        let message = format!("{}.{}", self.header, encode(&claims)?);
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| GraphError::Settings("the certificate's key cannot sign".to_owned()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The key of a certificate, from PEM.
pub(in crate::graph) fn private_key(key_pem: &str) -> Result<RsaKeyPair, GraphError> {
    let settings = |why: &str| GraphError::Settings(why.to_owned());
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| settings("the key file holds no unencrypted PEM private key"))?;
    match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(settings("the certificate's key is not an RSA key")),
    }
    .map_err(|rejected| GraphError::Settings(format!("the certificate's key cannot sign: {rejected}")))
}

fn encode(part: &impl Serialize) -> Result<String, GraphError> {
    let json =
        serde_json::to_vec(part).map_err(|_| GraphError::Settings("the client id cannot be written".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
