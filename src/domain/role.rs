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
        /// A team of the row: such a role is the team's, and only the team can lose it.
        Team "team"
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
    /// The name of the team through which the row has the role.
    pub team: Option<String>,
    /// Not held any more: a person revoked the role, and it does not return while its cause lasts; or the directory took
    /// the row out of the team's group.
    pub revoked: bool,
}

impl Assignment {
    /// Whether the role is the row's own, not that of a team.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        self.team.is_none()
    }

    /// The role and where it comes from, as a text.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.team {
            Some(team) => format!("{} (team {team})", self.role),
            None => format!("{} ({})", self.role, self.provenance),
        }
    }
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
    /// `license`, `default`, `import` or `manual`; `team` for a role of a team.
    pub provenance: String,
    /// The team through which the row has the role; null for a role of its own.
    pub teamid: Option<Uuid>,
    /// The name of the team.
    pub team: Option<String>,
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
    /// The team; nil for a role of the row's own.
    pub(crate) team: Uuid,
}

impl From<&Holder> for HolderKey {
    fn from(holder: &Holder) -> Self {
        Self {
            systemuserid: holder.systemuserid,
            role: holder.role.clone(),
            provenance: holder.provenance.clone(),
            team: holder.teamid.unwrap_or_default(),
        }
    }
}

impl fmt::Display for HolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (row, team) = (self.systemuserid.simple(), self.team.simple());
        let key = format!("{row} {} {team} {}", self.provenance, self.role);
        f.write_str(&URL_SAFE_NO_PAD.encode(key))
    }
}

impl FromStr for HolderKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let mut parts = key.splitn(4, ' ');
            Some(Self {
                systemuserid: parts.next()?.parse().ok()?,
                provenance: parts.next()?.to_owned(),
                team: parts.next()?.parse().ok()?,
                role: parts.next().filter(|role| !role.contains('\0'))?.to_owned(),
            })
        };
        read().ok_or("expected `next` of the page before")
    }
}
