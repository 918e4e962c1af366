//! Edge: the programs that are told of changes. One message to one receiver, signed after Standard Webhooks.
//!
//! Never follows a redirect, never reads the body of an answer, never weakens TLS verification, never puts a URL into an
//! error.

use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, redirect};
use ring::hmac;

use crate::domain::webhook::{Message, Webhook};

/// The time for a whole delivery.
const DELIVERED_WITHIN: Duration = Duration::from_secs(10);

/// Why a receiver has not taken a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// No connection, no answer, or too late.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// A redirect, which is not followed.
    #[error("answered {0}: redirects are not followed")]
    Redirect(u16),
    /// Any other answer but success.
    #[error("answered {0}")]
    Status(u16),
    /// There is no HTTP client.
    #[error("no HTTP client can be built: {0}")]
    Client(String),
}

/// Sends messages to receivers.
#[derive(Clone, Debug)]
pub struct Sender {
    remote: Client,
    local: Client,
}

impl Sender {
    /// Builds the clients.
    ///
    /// # Errors
    /// [`DeliveryError::Client`].
    pub fn new() -> Result<Self, DeliveryError> {
        Self::within(DELIVERED_WITHIN)
    }

    /// The same with another time for a delivery.
    ///
    /// # Errors
    /// [`DeliveryError::Client`].
    pub fn within(limit: Duration) -> Result<Self, DeliveryError> {
        // The process may have a provider already; both are ring's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .timeout(limit)
        };
        let failed = |error: reqwest::Error| DeliveryError::Client(error.to_string());
        Ok(Self {
            remote: builder().build().map_err(failed)?,
            // No proxy between two programs on one machine, and no certificates without encryption.
            local: builder().no_proxy().tls_certs_only([]).build().map_err(failed)?,
        })
    }

    /// Delivers a message.
    ///
    /// # Errors
    /// When the receiver does not answer with success in time.
    pub async fn send(&self, webhook: &Webhook, message: &Message, now: DateTime<Utc>) -> Result<(), DeliveryError> {
        let client = if webhook.url.scheme() == "http" {
            &self.local
        } else {
            &self.remote
        };
        let timestamp = now.timestamp().to_string();
        let signature = signature(&webhook.secrets, &message.id, &timestamp, &message.body);
        let answer = client
            .post(webhook.url.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.clone())
            .send()
            .await
            .map_err(|error| DeliveryError::NoAnswer(cause(&error.without_url())))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(DeliveryError::Redirect(status.as_u16())),
            status => Err(DeliveryError::Status(status.as_u16())),
        }
    }
}

/// The header `webhook-signature`: a signature by each secret.
fn signature(secrets: &[Vec<u8>], id: &str, timestamp: &str, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |secret: &Vec<u8>| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// The root cause, without the library's words around it.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "not in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            body,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signature(
            &[secret.clone(), secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            body,
        );
        assert_eq!(both, format!("{signed} {signed}"));
    }
}
