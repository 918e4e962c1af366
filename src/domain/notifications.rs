//! Change notifications: where the directory sends them, and what becomes of one.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use super::word::words;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifications {
    /// The address by which the directory reaches the listener.
    pub public_url: Url,
    /// Where the listener is.
    pub listen: SocketAddr,
}

words! {
    /// What becomes of a request to the listener.
    pub enum NotificationResult {
        /// It has the subscription's secret: the next run begins earlier.
        Accepted "accepted"
        /// It has another secret, or none.
        Forged "forged"
        /// It is no notification.
        Malformed "malformed"
        /// Too many came at once; it was not looked at.
        Limited "limited"
        /// The directory asks whether the listener is ours, while a subscription is created.
        Handshake "handshake"
        /// The same at another time.
        Refused "refused"
    }
}

/// A subscription that the directory has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}
