//! The endpoints the daemon reads, by name: the bounded label of logs and metrics, and the permission each needs.

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// Its template.
    pub template: &'static str,
    /// The permission to grant when it is forbidden: out of the working minimum of graph.md, section 8, so that
    /// an operator meets the same four names everywhere; `Application.Read.All` alone is beyond it, and optional.
    pub permission: &'static str,
}

const fn endpoint(template: &'static str, permission: &'static str) -> Endpoint {
    Endpoint { template, permission }
}

pub(super) const TOKEN: Endpoint = endpoint("token", "");
/// What a tenant publishes about itself, for everybody.
pub(super) const METADATA: Endpoint = endpoint("openid-configuration", "");
/// The keys behind its tokens, for everybody too.
pub(super) const SIGNING_KEYS: Endpoint = endpoint("discovery/keys", "");
pub(super) const USERS_DELTA: Endpoint = endpoint("users/delta", "User.Read.All");
pub(super) const USERS: Endpoint = endpoint("users", "User.Read.All");
pub(super) const USER: Endpoint = endpoint("users/{id}", "User.Read.All");
pub(super) const MEMBER_OF: Endpoint = endpoint("users/{id}/memberOf", "GroupMember.Read.All");
pub(super) const DELETED_USERS: Endpoint = endpoint("directory/deletedItems/microsoft.graph.user", "User.Read.All");
pub(super) const DELETED_ITEM: Endpoint = endpoint("directory/deletedItems/{id}", "User.Read.All");
pub(super) const GROUPS_DELTA: Endpoint = endpoint("groups/delta", "GroupMember.Read.All");
pub(super) const GROUP_MEMBERS: Endpoint = endpoint("groups/{id}/members", "GroupMember.Read.All");
pub(super) const GROUP_MEMBER_OF: Endpoint = endpoint("groups/{id}/memberOf", "GroupMember.Read.All");
pub(super) const GROUP_OWNERS: Endpoint = endpoint("groups/{id}/owners", "GroupMember.Read.All");
pub(super) const ROLE_ASSIGNMENTS: Endpoint = endpoint(
    "roleManagement/directory/roleAssignments",
    "RoleManagement.Read.Directory",
);
pub(super) const SUBSCRIBED_SKUS: Endpoint = endpoint("subscribedSkus", "LicenseAssignment.Read.All");
pub(super) const SERVICE_PRINCIPALS: Endpoint = endpoint("servicePrincipals", "Application.Read.All");
/// Needs no permission of its own: each part needs its own.
pub(super) const BATCH: Endpoint = endpoint("$batch", "");
