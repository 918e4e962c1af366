//! What is inside `$skiptoken` and `$deltatoken`: opaque to a client, signed, so that a foreign one is refused.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::tenant::TokenDeath;
use super::tenant::state::State;
use super::wire::{Answer, Ask};

/// A place in a listing or a round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Marker {
    /// What it is a place in: `users`, `groups`, or the path of a plain listing.
    pub of: String,
    pub generation: u64,
    pub page_generation: u64,
    /// When a delta token was issued, in Unix seconds; page tokens do not age.
    pub issued: Option<i64>,
    /// Whether the round is a first one.
    pub first: bool,
    /// The place in the listing, while a first round is in it.
    pub listing: Option<(u64, u64, u64)>,
    /// The place in the log.
    pub log: u64,
    pub select: Option<Vec<String>>,
    pub ids: Option<Vec<Uuid>>,
    /// Makes an otherwise equal link different, after an empty page.
    pub salt: u32,
}

const TAG: usize = 9;

impl Marker {
    pub(super) fn seal(&self, key: &hmac::Key) -> String {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        let tag = hmac::sign(key, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a token of this listing, or refuses a foreign one.
    pub(super) fn open(ask: &Ask, key: &hmac::Key, of: &str, token: &str) -> Result<Self, Answer> {
        let badly_formed = || ask.refuse(StatusCode::BAD_REQUEST, "Request_BadRequest", "Badly formed token.");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| badly_formed())?;
        let (sealed, tag) = bytes
            .split_at_checked(bytes.len().saturating_sub(TAG))
            .ok_or_else(badly_formed)?;
        let expected = hmac::sign(key, sealed);
        if expected.as_ref()[..TAG] != *tag {
            return Err(badly_formed());
        }
        let marker: Self = serde_json::from_slice(sealed).map_err(|_| badly_formed())?;
        if marker.of == of {
            Ok(marker)
        } else {
            Err(badly_formed())
        }
    }

    /// Refuses a token that has died.
    pub(super) fn alive(
        &self,
        ask: &Ask,
        state: &State,
        lifetime: chrono::Duration,
        delta_url: &str,
    ) -> Result<(), Answer> {
        let issued = self
            .issued
            .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
        let outlived = issued.is_some_and(|issued| ask.now - issued > lifetime);
        if outlived || self.generation != state.generation {
            return Err(dead(ask, state.death, delta_url));
        }
        if self.issued.is_none() && self.page_generation != state.page_generation {
            return Err(dead(ask, TokenDeath::ExpiredPageToken, delta_url));
        }
        Ok(())
    }
}

/// The answer to a dead token.
pub(super) fn dead(ask: &Ask, death: TokenDeath, delta_url: &str) -> Answer {
    let generation = "The sync state generation is not found. The delta token is expired and data must be \
                      synchronized again.";
    let gone = StatusCode::GONE;
    match death {
        TokenDeath::GoneWithLocation => ask
            .refuse(gone, "resyncRequired", generation)
            .with_header("location", format!("{delta_url}?$deltatoken=")),
        TokenDeath::Gone => ask.refuse(gone, "resyncRequired", generation),
        TokenDeath::GoneSyncStateNotFound => ask.refuse(gone, "SyncStateNotFound", generation),
        TokenDeath::SyncStateNotFound => ask.refuse(StatusCode::BAD_REQUEST, "syncStateNotFound", generation),
        TokenDeath::UnsupportedQuery => ask.unsupported_query("DeltaLink older than 30 days is not supported."),
        TokenDeath::ExpiredPageToken => ask.refuse(
            StatusCode::BAD_REQUEST,
            "Directory_ExpiredPageToken",
            "The specified page token value has expired and can no longer be included in your request.",
        ),
    }
}
