//! Security roles: a user's permissions in an environment. The sync grants few of them (rules.md, section 8).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::word::words;

/// The role that its last enabled holder cannot lose.
pub const SYSTEM_ADMINISTRATOR: &str = "System Administrator";
/// Granted to users created in a default environment, and to stubs if there is no [`SALESPERSON`].
pub const BASIC_USER: &str = "Basic User";
/// Granted to users created in a default environment.
pub const ENVIRONMENT_MAKER: &str = "Environment Maker";
/// Granted to stubs if the environment has the role.
pub const SALESPERSON: &str = "Salesperson";

words! {
    /// The origin of an assignment. The sync removes only its own.
    pub enum Provenance {
        /// The sync, from a plan that `license_roles` maps.
        License "license"
        /// The sync, when it created a row in a default environment.
        Default "default"
        /// A data import that created a stub.
        Import "import"
        /// A person or another program.
        Manual "manual"
    }
}

/// One assignment of a role to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The row.
    pub systemuserid: Uuid,
    /// The role's name.
    pub role: String,
    /// Its origin.
    pub provenance: Provenance,
    /// A person revoked the role: it is not held, and does not return while its cause lasts.
    pub revoked: bool,
}

/// One assignment as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Holder {
    /// The row.
    pub systemuserid: Uuid,
    /// Its user principal name.
    pub domainname: Option<String>,
    /// Whether the row is disabled.
    pub isdisabled: bool,
    /// The role.
    pub role: String,
    /// `license`, `default`, `import` or `manual`.
    pub provenance: String,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// Who granted it.
    pub granted_by: String,
}

/// The position after which a list of assignments continues. As text it is opaque and safe in a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HolderKey {
    pub(crate) systemuserid: Uuid,
    pub(crate) role: String,
    pub(crate) provenance: String,
}

impl From<&Holder> for HolderKey {
    fn from(holder: &Holder) -> Self {
        Self {
            systemuserid: holder.systemuserid,
            role: holder.role.clone(),
            provenance: holder.provenance.clone(),
        }
    }
}

impl fmt::Display for HolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = format!("{} {} {}", self.systemuserid.simple(), self.provenance, self.role);
        f.write_str(&URL_SAFE_NO_PAD.encode(key))
    }
}

impl FromStr for HolderKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let mut parts = key.splitn(3, ' ');
            Some(Self {
                systemuserid: parts.next()?.parse().ok()?,
                provenance: parts.next()?.to_owned(),
                role: parts.next().filter(|role| !role.contains('\0'))?.to_owned(),
            })
        };
        read().ok_or("expected `next` of the page before")
    }
}
