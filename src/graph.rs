//! Edge: Microsoft Graph, read only but for subscriptions. The only user of `oauth2`.
//!
//! [`Graph`] answers in the types of [`crate::domain::feed`]. One call is one logical read: tokens, throttling and
//! retries happen inside it, and nowhere else. It keeps no state between calls but the access token, decides nothing
//! about users, and never writes to the directory.
//!
//! Where to look next: `client` sends and judges, `begin` begins rounds, `pages` reads whole listings, `attempt` says what one failure means,
//! `batch` sends several reads in one request, `look_up` reads users on demand, `auth` obtains tokens, `keys` reads the
//! keys that verify callers' tokens, `wire` decodes, `link` guards where the token may travel, `fault` classifies
//! refusals, `retry` waits, `skew` watches the clock, `error` lists the failures.

mod attempt;
mod auth;
mod batch;
mod begin;
mod certificate;
mod client;
mod endpoint;
mod error;
mod fault;
mod http;
mod keys;
mod link;
mod look_up;
mod pages;
mod remedy;
mod retry;
mod settings;
mod skew;
mod subscription;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::feed::{
    AdminRole, Asked, DeletedUser, GroupChange, Kept, Link, Listed, Page, Principal, RoleAssignment, ServicePrincipal,
    SubscribedSku, UserChange, UserPatch,
};
use crate::domain::sign_in::Redemption;
use crate::domain::signing_keys::SigningKeys;
use wire::relation::{
    RawDeletedItem, RawDeletedUser, RawGroup, RawGroupKind, RawPrincipal, RawRoleAssignment, RawServicePrincipal,
    RawSku,
};
use wire::user::{RawUser, SELECTION};

pub use begin::Latest;
pub use certificate::{CertificateFacts, certificate_facts};
pub use client::{Graph, Priority};
pub use error::{BelowHttp, GraphError, TokenFault, describe};
pub use look_up::LookUps;
pub use settings::{GraphSettings, RetryBounds};

pub use crate::domain::secret::Secret;
pub use fault::causes;
pub use retry::REASONS;
pub use skew::ALARMING_SKEW;

/// The application permissions that are of use: the needed ones, and the optional one (graph.md, section 8).
#[must_use]
pub fn permissions() -> BTreeSet<&'static str> {
    let named = endpoint::ALL.into_iter().map(|endpoint| endpoint.permission);
    named.filter(|permission| !permission.is_empty()).collect()
}

/// The templates of all endpoints, as metric labels.
pub fn endpoints() -> impl Iterator<Item = &'static str> {
    endpoint::ALL.into_iter().map(|endpoint| endpoint.template)
}

/// The property selection of every user feed where nothing more is mapped.
pub const SELECTION_FINGERPRINT: &str = SELECTION;

impl Graph {
    /// Builds the edge; sends nothing.
    ///
    /// # Errors
    ///
    /// [`GraphError::Settings`] for invalid settings.
    pub fn new(settings: &GraphSettings, clock: Clock, cancel: CancellationToken) -> Result<Self, GraphError> {
        Self::build(settings, clock, cancel)
    }

    /// The property selection of every user feed. A delta link is bound to the selection it began with, so a checkpoint
    /// with another one needs a full round.
    #[must_use]
    pub fn selection(&self) -> &str {
        &self.shared.selection
    }

    /// Requests a new token and returns its expiry. For `check`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Token`] with number and remedy, [`GraphError::Unavailable`], [`GraphError::Cancelled`].
    pub async fn check_token(&self) -> Result<DateTime<Utc>, GraphError> {
        self.renew_token().await
    }

    /// Redeems the code of a sign-in for an identity token, which the caller verifies. One request, never repeated.
    ///
    /// # Errors
    ///
    /// [`GraphError::Token`] for a code or a credential that is refused, [`GraphError::Unavailable`],
    /// [`GraphError::Cancelled`].
    pub async fn redeem(&self, redemption: &Redemption) -> Result<Secret, GraphError> {
        self.shared.tokens.redeem(redemption, &self.patience.begun()).await
    }

    /// The application permissions in the token, if it can be read; a hint for people.
    ///
    /// # Errors
    ///
    /// As [`Self::check_token`].
    pub async fn granted_permissions(&self) -> Result<Option<Vec<String>>, GraphError> {
        self.permissions().await
    }

    /// Whether a group is a security group or a Microsoft 365 group, as a gate has to be.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when there is no such group.
    pub async fn can_be_gate(&self, group: Uuid) -> Result<bool, GraphError> {
        let at = format!("groups/{group}?$select=id,securityEnabled,groupTypes");
        self.fetch_one::<RawGroupKind>(endpoint::GROUP, &at).await
    }

    /// How far this machine's clock is ahead of the directory's, by the latest answer with a time; negative if it is
    /// behind.
    #[must_use]
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.patience.skew.told()
    }

    /// The tenant's public keys, which verify its access tokens. Sends no token.
    ///
    /// # Errors
    ///
    /// [`GraphError::ForeignLink`] if the metadata points to another host for the keys, [`GraphError::Protocol`] if no
    /// key is usable; never [`GraphError::NotFound`] for missing metadata, since the keys have a known place.
    pub async fn signing_keys(&self) -> Result<SigningKeys, GraphError> {
        self.shared.publisher.signing_keys(&self.patience.begun()).await
    }

    /// One page of the user feed; `None` begins a full round. Entries of users who are not `kept` are dropped before
    /// they are decoded.
    ///
    /// # Errors
    ///
    /// [`GraphError::LinkExpired`] only if a link was given; a first request refused for the same reason is
    /// [`GraphError::BadRequest`].
    pub async fn users_delta(&self, at: Option<&Link>, kept: &Kept) -> Result<Page<UserChange>, GraphError> {
        let first = || format!("users/delta?$select={}", self.selection());
        self.fetch_delta::<RawUser>(endpoint::USERS_DELTA, first, at, kept)
            .await
    }

    /// One page of a group's membership changes. A large group is split into several entries.
    ///
    /// # Errors
    ///
    /// [`GraphError::LinkExpired`] when the listing must be read again.
    pub async fn group_delta(&self, at: &Link) -> Result<Page<GroupChange>, GraphError> {
        self.fetch_delta::<RawGroup>(endpoint::GROUPS_DELTA, String::new, Some(at), &Kept::All)
            .await
    }

    /// One page of a group's direct members; `None` begins the listing. Soft-deleted users are still listed.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when the group is gone, which does not mean "no members".
    /// [`GraphError::LinkExpired`] when the listing must begin again.
    pub async fn group_members(&self, group: Uuid, at: Option<&Link>) -> Result<Page<Principal>, GraphError> {
        let first = |size| format!("{}&$top={size}", members_of(group));
        self.fetch_sized::<RawPrincipal>(endpoint::GROUP_MEMBERS, first, at)
            .await
    }

    /// All direct members of a small group.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when the group is gone.
    pub async fn all_group_members(&self, group: Uuid) -> Result<Asked<Listed<Principal>>, GraphError> {
        let first = || members_of(group);
        self.fetch_all::<RawPrincipal>(endpoint::GROUP_MEMBERS, first).await
    }

    /// All owners of a group.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when the group is gone.
    pub async fn group_owners(&self, group: Uuid) -> Result<Asked<Listed<Principal>>, GraphError> {
        let first = || owners_of(group);
        self.fetch_all::<RawPrincipal>(endpoint::GROUP_OWNERS, first).await
    }

    /// All owners of some groups, in the given order, twenty groups in a request.
    ///
    /// # Errors
    ///
    /// An error that affects all, as for [`Self::look_up`]; an error of one group is in its place in the answer:
    /// [`GraphError::NotFound`] when the group is gone.
    pub async fn owners_of_groups(
        &self,
        groups: &[Uuid],
    ) -> Result<Vec<Result<Asked<Listed<Principal>>, GraphError>>, GraphError> {
        if let [group] = groups {
            return Ok(vec![self.group_owners(*group).await]);
        }
        self.begun().look_up_owners(groups).await
    }

    /// All active assignments of a role, permanent and activated, of any scope, without eligible ones.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn role_assignments(&self, role: AdminRole) -> Result<Asked<Listed<RoleAssignment>>, GraphError> {
        self.fetch_all::<RawRoleAssignment>(endpoint::ROLE_ASSIGNMENTS, || assignments_of(role))
            .await
    }

    /// The tenant's subscriptions.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn subscribed_skus(&self) -> Result<Listed<SubscribedSku>, GraphError> {
        let skus = self.fetch_all::<RawSku>(endpoint::SUBSCRIBED_SKUS, || "subscribedSkus".to_owned());
        Ok(skus.await?.value)
    }

    /// All soft-deleted users.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn deleted_users(&self) -> Result<Listed<DeletedUser>, GraphError> {
        let first = || "directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime".to_owned();
        let deleted = self.fetch_all::<RawDeletedUser>(endpoint::DELETED_USERS, first);
        Ok(deleted.await?.value)
    }

    /// One soft-deleted user; `None` if there is none of this id, because the user is present, permanently deleted or
    /// unknown.
    ///
    /// # Errors
    ///
    /// As any call; never [`GraphError::NotFound`].
    pub async fn deleted_user(&self, id: Uuid) -> Result<Option<DeletedUser>, GraphError> {
        let call = self.begun();
        let rest = format!("directory/deletedItems/{id}?$select=id,deletedDateTime");
        match call.fetch_one::<RawDeletedItem>(endpoint::DELETED_ITEM, &rest).await {
            Ok(item) => Ok(item),
            Err(GraphError::NotFound { .. }) => Ok(None),
            // Not every Graph reads a single one; every Graph lists them.
            Err(error) if error.is_refusal() => {
                let all = call.deleted_users().await?;
                Ok(all.items.into_iter().find(|user| user.id == id))
            }
            Err(error) => Err(error),
        }
    }

    /// The service principal of an application; `None` if this tenant has none. Needs the optional permission
    /// `Application.Read.All`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Forbidden`] without that permission, which its remedy names.
    pub async fn service_principal(&self, app_id: Uuid) -> Result<Option<ServicePrincipal>, GraphError> {
        let first =
            || format!("servicePrincipals?$filter=appId%20eq%20'{app_id}'&$select=id,appId,displayName,accountEnabled");
        let found = self
            .fetch_all::<RawServicePrincipal>(endpoint::SERVICE_PRINCIPALS, first)
            .await?;
        let mut found = found.value.items.into_iter();
        Ok(found.find(|principal| principal.app_id == app_id))
    }

    /// Current facts about any number of users, each by object id or user principal name; with `with_roles` also the
    /// administrators, and if a group is given also its owners. One request carries twenty questions: two per user,
    /// three for the roles, one for the owners. If the service refuses such batches, they are sent one by one.
    ///
    /// # Errors
    ///
    /// An error that affects all: no token, no batch within the retry limits, a stop. An error of one user, of the
    /// roles or of the owners is in its place in the answer.
    pub async fn look_up(
        &self,
        users: &[String],
        with_roles: bool,
        owners_of: Option<Uuid>,
    ) -> Result<LookUps, GraphError> {
        self.begun().look_up_all(users, with_roles, owners_of).await
    }

    /// The direct parent groups of some groups, in the given order, twenty in a request.
    ///
    /// # Errors
    ///
    /// An error that affects all, as for [`Self::look_up`]; an error of one group is in its place in the answer.
    pub async fn groups_of_groups(
        &self,
        groups: &[Uuid],
    ) -> Result<Vec<Result<Asked<Listed<Uuid>>, GraphError>>, GraphError> {
        self.begun().look_up_groups(groups).await
    }

    /// One user by object id or user principal name; `None` if there is none, or only a soft-deleted one. An absent
    /// property is not set.
    ///
    /// # Errors
    ///
    /// As any call; never [`GraphError::NotFound`].
    pub async fn user(&self, id_or_upn: &str) -> Result<Option<UserPatch>, GraphError> {
        let Some(segment) = user_segment(id_or_upn) else {
            return Ok(None);
        };
        match self
            .fetch_one::<RawUser>(endpoint::USER, &user_at(&segment, self.selection()))
            .await
        {
            Ok(user) => Ok(present(user)),
            Err(GraphError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The groups, roles and administrative units that a user is a direct member of.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when there is no such user.
    pub async fn user_member_of(&self, id: Uuid) -> Result<Asked<Listed<Principal>>, GraphError> {
        let first = || groups_at(&format!("users/{id}"));
        self.fetch_all::<RawPrincipal>(endpoint::MEMBER_OF, first).await
    }

    /// Any user, or `None` in an empty tenant. For `check`: an `account_enabled` that is not a value shows that a
    /// permission is missing although Graph answers (graph.md, section 8).
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn sample_user(&self) -> Result<Option<UserPatch>, GraphError> {
        let first = || format!("users?$top=1&$select={}", self.selection());
        let page = self.fetch_plain::<RawUser>(endpoint::USERS, first, None).await?;
        Ok(page.items.into_iter().find_map(present))
    }
}

/// A user who is present.
fn present(user: UserChange) -> Option<UserPatch> {
    match user {
        UserChange::Present(user) => Some(*user),
        UserChange::Removed { .. } => None,
    }
}

/// The path of a group's direct members.
fn members_of(group: Uuid) -> String {
    format!("groups/{group}/members?$select=id")
}

/// The path of a group's owners.
fn owners_of(group: Uuid) -> String {
    format!("groups/{group}/owners?$select=id")
}

/// The path of a user.
fn user_at(segment: &str, selection: &str) -> String {
    format!("{segment}?$select={selection}")
}

/// The path of the direct memberships of a user or a group: the plain listing, since indexed queries lag.
fn groups_at(segment: &str) -> String {
    format!("{segment}/memberOf?$select=id")
}

/// The path of a role's assignments.
fn assignments_of(role: AdminRole) -> String {
    let role = role.template_id();
    format!("roleManagement/directory/roleAssignments?$filter=roleDefinitionId%20eq%20'{role}'&$expand=principal")
}

/// The path segment of a user; none for a text that cannot name one and might name something else.
fn user_segment(id_or_upn: &str) -> Option<String> {
    if let Ok(id) = Uuid::try_parse(id_or_upn) {
        return Some(format!("users/{id}"));
    }
    if !id_or_upn.contains('@') || id_or_upn.chars().any(char::is_control) {
        return None;
    }
    // A name that begins with `$` must be written as a key, with quotes doubled.
    let quoted = id_or_upn.starts_with('$');
    let segment = if quoted {
        format!("users('{}')", id_or_upn.replace('\'', "''"))
    } else {
        id_or_upn.to_owned()
    };
    let mut url = Url::parse("http://localhost").ok()?;
    url.path_segments_mut().ok()?.push(&segment);
    let encoded = url.path().trim_start_matches('/');
    Some(if quoted {
        encoded.to_owned()
    } else {
        format!("users/{encoded}")
    })
}
