//! Reason codes (rules.md, section 10): stable names, whether a retry can help, a sentence and a remedy.

use std::fmt;

macro_rules! codes {
    ($($variant:ident $name:literal $retryable:literal $sentence:literal $remedy:literal;)*) => {
        /// Why a check failed, a row is disabled or a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $sentence] $variant,)* }

        impl Code {
            /// All codes, in the order of rules.md.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same request may succeed later without any change by a person.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }

            /// One sentence that states the problem.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// One sentence that states the remedy.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }

            /// The code with this name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    NoDatabase "no_database" false
        "The environment has no database."
        "Add a database to the environment, or set has_database = true in its configuration.";
    ReservedUser "reserved_user" false
        "The identity is reserved for the system."
        "Use another account: support, delegated administrator and system identities are never synchronised.";
    ApplicationUser "application_user" false
        "The row is an application user."
        "Manage it as an application user; group and licence do not apply to it.";
    StubUser "stub_user" false
        "The row is a stub made by data import."
        "Bind it to a directory user with `rollcall user map`.";
    RowDeleted "row_deleted" false
        "The row was deleted in the store."
        "A deleted row is never restored; create the user under a new directory account.";
    DirectoryUnavailable "directory_unavailable" true
        "The directory did not give a complete answer."
        "Try again; if it stays, run `rollcall check` to see which permission or group cannot be read.";
    UpnConflict "upn_conflict" false
        "Another live row holds this user principal name."
        "Rename the other user in the directory, or map or delete the row that holds the name.";
    UserNotFound "user_not_found" false
        "The directory knows no such user."
        "Check the object id or user principal name.";
    UserSoftDeleted "user_soft_deleted" false
        "The user is deleted in the directory and can still be restored."
        "Restore the user in Entra ID, under Deleted users.";
    DirectoryDeleted "directory_deleted" false
        "The user was deleted from the directory for good."
        "Create a new directory user if the person needs access.";
    DirectorySoftDeleted "directory_soft_deleted" false
        "The user is deleted in the directory and can still be restored."
        "Restore the user in Entra ID, under Deleted users.";
    DirectoryAccountDisabled "directory_account_disabled" false
        "Sign-in is blocked for the user in the directory."
        "Unblock sign-in for the user in Entra ID.";
    DeveloperEnvironment "developer_environment" false
        "Only its creator has access to a developer environment."
        "Use another environment, or set the environment's creator.";
    DeveloperForeignUser "developer_foreign_user" false
        "A user other than the creator has a row in a developer environment."
        "Disable the row by hand if it should not be there.";
    NotInSecurityGroup "not_in_security_group" false
        "The user is not a direct member of the environment's security group."
        "Add the user to the security group as a direct member.";
    NestedMemberOnly "nested_member_only" false
        "The user is in the security group only through a nested group."
        "Add the user to the security group as a direct member, or set group_nesting.";
    Unlicensed "unlicensed" false
        "The user has no licence that gives access."
        "Assign a Dynamics 365, Power Apps or Power Automate licence to the user.";
    OnDemandOnly "on_demand_only" false
        "What the user has counts only when access is asked for, not for the background sync."
        "Nothing is wrong: the user is added at the first access, or by `rollcall user add`.";
    AppPassExhausted "app_pass_exhausted" false
        "The environment's app passes are gone and the grace has run out."
        "Allocate app passes to the environment, or assign a licence to the user.";
    NonInteractiveCap "non_interactive_cap" false
        "The environment already has as many non-interactive users as it may have."
        "Disable another non-interactive user first.";
    OnHold "on_hold" false
        "An administrator has put the user on hold."
        "Release the hold with `rollcall user release`.";
    LastSystemAdministrator "last_system_administrator" false
        "The row is the last enabled holder of the System Administrator role."
        "Give another enabled user the System Administrator role first.";
    TenantAdministrator "tenant_administrator" false
        "Global administrators cannot be disabled by hand."
        "Remove the administrator role in Entra ID first.";
    UserDisabled "user_disabled" false
        "The row is disabled."
        "Enable the user first, or set allow_role_assignment_on_disabled_users.";
    DisabledByHand "disabled_by_hand" false
        "An administrator has disabled the row."
        "Enable it with `rollcall user enable`, or let the user ask for access.";
    NonInteractive "non_interactive" false
        "Non-interactive users cannot sign in to the web interface."
        "Sign in with another account, or ask with client = \"api\".";
    NotDeletable "not_deletable" false
        "The row may not be deleted."
        "Delete the user in the directory for good first; stubs and inactive application users can be deleted at once.";
    EnvironmentRetired "environment_retired" false
        "An administrator has taken leave of the environment."
        "Configure the environment again: whoever is entitled is enabled by the next sync.";
    RoleNotFound "role_not_found" false
        "The environment has no such security role."
        "Add the role to the environment's `roles`, or correct the name.";
    FieldNotEditable "field_not_editable" false
        "The column cannot be edited."
        "Change the value in the directory, or set another field policy.";
    AlreadyMapped "already_mapped" false
        "The directory user already has a row in this environment."
        "Merge the stub into that row (`rollcall user map --merge`), or map it to somebody else.";
    ValueTruncated "value_truncated" false
        "A directory value did not fit its column and was cut, or had characters that cannot be stored."
        "Shorten or correct the value in the directory.";
    InvalidEmail "invalid_email" false
        "The directory's mail is no usable address."
        "Correct the mail attribute in the directory.";
    RowNotWritten "row_not_written" false
        "The database does not take the row: a constraint or trigger of its owner's refuses it."
        "Ask whoever owns the constraint or trigger that is named. The row is tried again when the user changes, and once in each sync.full_interval.";
    RootUnit "root_unit" false
        "The root business unit can be renamed only."
        "Use another business unit: the root of an environment is never disabled, moved or deleted.";
    UnitNotEmpty "unit_not_empty" false
        "The business unit is not disabled and empty."
        "Disable it with `rollcall unit disable`, and move or delete its users, teams and units first.";
    WouldCycle "would_cycle" false
        "The one above would stand below."
        "Choose one that is not below, or move that one first.";
    NameTaken "name_taken" false
        "The environment has that name already."
        "Choose another name: upper and lower case count as the same.";
    PositionInUse "position_in_use" false
        "The position has users or other positions below it."
        "Give its users and the positions below it another position first.";
    TeamIsDefault "team_is_default" false
        "The default team of a business unit follows the unit."
        "Move users to the business unit, or rename or delete the unit; other teams are kept by hand.";
    TeamFollowsGroup "team_follows_group" false
        "The members of the team are those of a group in the directory."
        "Add the user to the group in Entra ID, or remove the user there.";
    TeamTakesNoRoles "team_takes_no_roles" false
        "An access team has no security roles."
        "Use an owner team or a group team.";
    NotAMember "not_a_member" false
        "The user is not a member of the team."
        "Nothing needs to be removed; `rollcall team show` lists the members.";
    GroupTaken "group_taken" false
        "The environment already has a team for this group and type of membership."
        "Use that team, or choose another group or type of membership.";
    GroupNotUsable "group_not_usable" false
        "No team can follow this group."
        "Choose a security group or a Microsoft 365 group.";
    NotForgettable "not_forgettable" false
        "The user is still in the directory, or has a row that is not deleted."
        "Delete the user in the directory, and the rows with `rollcall user delete`, first.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
