//! The endpoints that the daemon reads, by name: the bounded label of logs and metrics, and the permission of each.

use reqwest::StatusCode;

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// Its template.
    pub template: &'static str,
    /// The permission to grant when it is forbidden. It is one of the working minimum of graph.md, section 8, so that
    /// an operator sees the same four names everywhere; only `Application.Read.All` is beyond it, and optional.
    pub permission: &'static str,
    /// Whether it reads a user who may not exist: then 404 is an answer, not a failure.
    pub may_find_nobody: bool,
}

impl Endpoint {
    const fn about_one_user(self) -> Self {
        Self {
            may_find_nobody: true,
            ..self
        }
    }

    /// Whether this status only means that the user does not exist.
    pub fn finds_nobody(self, status: Option<StatusCode>) -> bool {
        self.may_find_nobody && status == Some(StatusCode::NOT_FOUND)
    }

    /// Whether this status is a refusal after which the same is asked in another way.
    pub fn has_another_way(self, status: Option<StatusCode>) -> bool {
        self.template == GROUP_USERS.template && status == Some(StatusCode::BAD_REQUEST)
    }
}

const fn endpoint(template: &'static str, permission: &'static str) -> Endpoint {
    Endpoint {
        template,
        permission,
        may_find_nobody: false,
    }
}

pub(super) const TOKEN: Endpoint = endpoint("token", "");
/// A tenant's public metadata.
pub(super) const METADATA: Endpoint = endpoint("openid-configuration", "");
/// The public keys for its tokens.
pub(super) const SIGNING_KEYS: Endpoint = endpoint("discovery/keys", "");
pub(super) const USERS_DELTA: Endpoint = endpoint("users/delta", "User.Read.All");
pub(super) const USERS: Endpoint = endpoint("users", "User.Read.All");
pub(super) const USERS_COUNT: Endpoint = endpoint("users/$count", "User.Read.All");
pub(super) const USER: Endpoint = endpoint("users/{id}", "User.Read.All").about_one_user();
pub(super) const MEMBER_OF: Endpoint = endpoint("users/{id}/memberOf", "GroupMember.Read.All").about_one_user();
pub(super) const DELETED_USERS: Endpoint = endpoint("directory/deletedItems/microsoft.graph.user", "User.Read.All");
pub(super) const DELETED_ITEM: Endpoint = endpoint("directory/deletedItems/{id}", "User.Read.All").about_one_user();
pub(super) const GROUPS_DELTA: Endpoint = endpoint("groups/delta", "GroupMember.Read.All");
/// Only `check` asks for it.
pub(super) const GROUP: Endpoint = endpoint("groups/{id}", "GroupMember.Read.All");
pub(super) const GROUP_MEMBERS: Endpoint = endpoint("groups/{id}/members", "GroupMember.Read.All");
/// The users among them, with their properties.
pub(super) const GROUP_USERS: Endpoint = endpoint("groups/{id}/members/microsoft.graph.user", "User.Read.All");
/// Only `check` asks for it.
pub(super) const GROUP_MEMBERS_COUNT: Endpoint = endpoint("groups/{id}/members/$count", "GroupMember.Read.All");
pub(super) const GROUP_MEMBER_OF: Endpoint = endpoint("groups/{id}/memberOf", "GroupMember.Read.All");
pub(super) const GROUP_OWNERS: Endpoint = endpoint("groups/{id}/owners", "GroupMember.Read.All");
pub(super) const ROLE_ASSIGNMENTS: Endpoint = endpoint(
    "roleManagement/directory/roleAssignments",
    "RoleManagement.Read.Directory",
);
pub(super) const SUBSCRIBED_SKUS: Endpoint = endpoint("subscribedSkus", "LicenseAssignment.Read.All");
pub(super) const SERVICE_PRINCIPALS: Endpoint = endpoint("servicePrincipals", "Application.Read.All");
/// Subscriptions to changes of users.
pub(super) const SUBSCRIPTIONS: Endpoint = endpoint("subscriptions", "User.Read.All");
pub(super) const SUBSCRIPTION: Endpoint = endpoint("subscriptions/{id}", "User.Read.All");
/// Needs no permission of its own: each part has its own.
pub(super) const BATCH: Endpoint = endpoint("$batch", "");

/// All of them, for metrics that start at 0.
pub(super) const ALL: [Endpoint; 23] = [
    TOKEN,
    METADATA,
    SIGNING_KEYS,
    USERS_DELTA,
    USERS,
    USERS_COUNT,
    USER,
    MEMBER_OF,
    DELETED_USERS,
    DELETED_ITEM,
    GROUPS_DELTA,
    GROUP,
    GROUP_MEMBERS,
    GROUP_USERS,
    GROUP_MEMBERS_COUNT,
    GROUP_MEMBER_OF,
    GROUP_OWNERS,
    ROLE_ASSIGNMENTS,
    SUBSCRIBED_SKUS,
    SERVICE_PRINCIPALS,
    SUBSCRIPTIONS,
    SUBSCRIPTION,
    BATCH,
];
