//! Who is signed in to the console.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::api_role::ApiRole;

/// A session of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The actor in the change log, as of the same person through the API.
    pub actor: String,
    /// The name to show.
    pub display_name: String,
    /// The person in the directory; none for the holder of a static token.
    pub object_id: Option<Uuid>,
    /// What the person may do.
    pub roles: BTreeSet<ApiRole>,
    /// When the session began.
    pub signed_in_at: DateTime<Utc>,
}

/// A form that was sent when the sign-in was too old for it, and that waits for a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptForm {
    /// The path that it was sent to.
    pub path: String,
    /// Its fields, as a browser sends them.
    pub fields: String,
}
