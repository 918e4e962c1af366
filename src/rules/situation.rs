//! One complete situation that owns every input of a verdict: for the rule table and for the tests, which start from a
//! plain one and change what matters.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::subject::{AdminRoles, DirectoryAnswer, GroupRelation, Subject};
use crate::domain::directory_user::DirectoryUser;
use crate::domain::environment::{Environment, Kind};
use crate::domain::licence::Licences;
use crate::domain::system_user::SystemUser;

/// The user of every situation.
pub(crate) const USER: Uuid = Uuid::from_u128(0x0a);
/// A security group.
pub(crate) const GROUP: Uuid = Uuid::from_u128(0x67);
/// A service plan.
pub(crate) const PLAN: Uuid = Uuid::from_u128(0x9a);

/// An environment, a user and optionally a row.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the subject's")]
pub(crate) struct Situation {
    /// The environment.
    pub environment: Environment,
    /// The directory's record; none if the look-up failed.
    pub user: Option<DirectoryUser>,
    /// How the plans count.
    pub licences: Licences,
    /// Administrator roles.
    pub roles: AdminRoles,
    /// Relation to the security group.
    pub relation: GroupRelation,
    /// The row.
    pub row: Option<SystemUser>,
    /// Another live row keeps the name.
    pub upn_blocked: bool,
    /// The tenant has a Marketing licence.
    pub tenant_marketing: bool,
    /// A non-interactive slot is free.
    pub non_interactive_slot: bool,
    /// The row is the last enabled System Administrator.
    pub last_system_administrator: bool,
    /// The roles could not be read.
    pub stale_roles: bool,
    /// The SKUs could not be read.
    pub stale_skus: bool,
    /// The time of the evaluation.
    pub now: DateTime<Utc>,
}

impl Situation {
    /// A present user who may sign in and has no entitlement; no row, no security group.
    pub(crate) fn new() -> Self {
        Self {
            environment: Environment::new("test", Kind::Production),
            user: Some(DirectoryUser {
                id: USER,
                account_enabled: Some(true),
                user_principal_name: Some("ada@contoso.example".to_owned()),
                ..DirectoryUser::default()
            }),
            licences: Licences::default(),
            roles: AdminRoles::default(),
            relation: GroupRelation::None,
            row: None,
            upn_blocked: false,
            tenant_marketing: false,
            non_interactive_slot: true,
            last_system_administrator: false,
            stale_roles: false,
            stale_skus: false,
            now: DateTime::UNIX_EPOCH,
        }
    }

    /// The same with a full plan.
    pub(crate) fn licensed() -> Self {
        Self::new().with(|situation| situation.licences.full = Some(PLAN))
    }

    /// The same after a change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The input of the evaluation.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            answer: self
                .user
                .as_ref()
                .map_or(DirectoryAnswer::Unknown, DirectoryAnswer::Known),
            licences: self.licences,
            roles: self.roles,
            relation: self.relation,
            row: self.row.as_ref(),
            upn_blocked: self.upn_blocked,
            tenant_marketing: self.tenant_marketing,
            non_interactive_slot: self.non_interactive_slot,
            last_system_administrator: self.last_system_administrator,
            stale_roles: self.stale_roles,
            stale_skus: self.stale_skus,
            now: self.now,
        }
    }
}
