//! Security roles: what a user may do in an environment. The sync gives few of them (rules.md, section 8).

use super::word::words;
use uuid::Uuid;

/// The role that the last enabled holder cannot lose.
pub const SYSTEM_ADMINISTRATOR: &str = "System Administrator";
/// Given to whoever is created in a default environment, and to stubs where there is no [`SALESPERSON`].
pub const BASIC_USER: &str = "Basic User";
/// Given to whoever is created in a default environment.
pub const ENVIRONMENT_MAKER: &str = "Environment Maker";
/// Given to stubs where the environment has it.
pub const SALESPERSON: &str = "Salesperson";

words! {
    /// Where an assignment comes from. Removal by the sync touches only its own.
    pub enum Provenance {
        /// The sync, from a plan that `license_roles` maps.
        License "license"
        /// The sync, when it made a row in a default environment.
        Default "default"
        /// A data import that made a stub.
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
    /// Where it comes from.
    pub provenance: Provenance,
    /// A person took the role away: it is not held, and does not come back while its cause lasts.
    pub revoked: bool,
}
