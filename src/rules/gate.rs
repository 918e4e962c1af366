//! The gates and the checks that follow them. The name, number, condition and codes of each are in one place, with an
//! example that fails it, which `rollcall rules` passes to the evaluator to obtain the outcome.

use super::situation::{GROUP, Situation};
use super::subject::{Client, GroupRelation, Trigger};
use crate::domain::directory_user::{DirectoryState, Unknowns};
use crate::domain::environment::{GroupNesting, Kind};
use crate::domain::reason::Code;
use crate::domain::system_user::access_mode::{NON_INTERACTIVE, SUPPORT};
use crate::domain::system_user::{SUPPORT_UPN, SystemUser};

/// One line of the table of rules.md, section 2, or a check of a later section.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The gate.
    pub gate: Gate,
    /// Its number in rules.md, section 2; for a check of another section, that section, as in `§4`.
    pub number: &'static str,
    /// When this line applies, in one sentence.
    pub condition: &'static str,
    /// The effect in addition to the outcome; often empty.
    pub note: &'static str,
    /// The codes that the check can carry, and those reported to the caller in their place.
    pub codes: &'static [Code],
    /// Turns a licensed user who passes every gate into one to whom this line applies. Accepts rows of any state and
    /// keeps their state.
    pub(crate) example: fn(&mut Situation),
}

macro_rules! gates {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal {
        $($number:literal $condition:literal $note:literal [$($code:ident)*] $example:expr;)*
    })*) => {
        /// The gates and the checks that follow them, in order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Gate { $($(#[doc = $doc])* $variant,)* }

        impl Gate {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in verdicts.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        /// Every line, in evaluation order.
        pub const RULES: &[Rule] = &[$($(Rule {
            gate: Gate::$variant,
            number: $number,
            condition: $condition,
            note: $note,
            codes: &[$(Code::$code,)*],
            example: $example,
        },)*)*];
    };
}

gates! {
    /// 1
    Database "database" {
        "1" "The environment has no database." "" [NoDatabase]
            |it| it.environment.has_database = false;
    }
    /// 2
    ReservedIdentity "reserved_identity" {
        "2" "The identity is reserved: support user, delegated administrator, SYSTEM, INTEGRATION, the sync itself."
            "" [ReservedUser] reserved;
    }
    /// 3
    ApplicationUser "application_user" {
        "3" "The row is an application user."
            "It is never disabled for group or licence. A refresh takes over the application's name only."
            [ApplicationUser] |it| on_row(it, |row| row.applicationid = Some(GROUP));
    }
    /// 4
    Stub "stub" {
        "4" "The row is a stub." "Only mapping turns it into a real user." [StubUser]
            |it| on_row(it, |row| row.isstub = true);
    }
    /// 5
    RowDeleted "row_deleted" {
        "5" "The row was deleted in the store." "" [RowDeleted]
            |it| on_row(it, |row| row.deletedstate = 1);
    }
    /// 6
    DirectoryAnswer "directory_answer" {
        "6" "The directory's answer about this user is missing or incomplete, or does not say in a way that can be \
             decoded whether sign-in is allowed."
            "A finding is opened." [DirectoryUnavailable]
            |it| it.user = None;
    }
    /// 7
    UserPrincipalName "user_principal_name" {
        "7" "Another live row keeps the user principal name, once the renames of the run are counted."
            "A finding is opened. A row that exists keeps its old name and follows in everything else."
            [UpnConflict] |it| it.upn_blocked = true;
    }
    /// 8
    DirectoryPresence "directory_presence" {
        "8" "The directory user is gone." "azurestate becomes 2." [DirectoryDeleted UserNotFound]
            |it| on_user(it, DirectoryState::Gone);
    }
    /// 9
    DirectorySoftDeletion "directory_soft_deletion" {
        "9" "The directory user is soft-deleted." "azurestate becomes 1." [DirectorySoftDeleted UserSoftDeleted]
            |it| on_user(it, DirectoryState::SoftDeleted);
    }
    /// 10
    AccountEnabled "account_enabled" {
        "10" "Sign-in is blocked in the directory, administrators and non-interactive users not excepted."
            "" [DirectoryAccountDisabled] |it| if let Some(user) = &mut it.user { user.account_enabled = Some(false) };
    }
    /// 11
    DeveloperCreator "developer_creator" {
        "11" "The environment is a developer's, and the user is not its creator."
            "A finding is opened about a row; its columns and azurestate follow."
            [DeveloperEnvironment DeveloperForeignUser] |it| it.environment.kind = Kind::Developer;
    }
    /// 12 to 15
    SecurityGroup "security_group" {
        "12" "The environment has a security group, and the user is a Global or Power Platform administrator or a \
              direct member."
            "" [] |it| grouped(it, GroupRelation::Member);
        "12b" "The security group cannot be read; that is not an empty group."
            "A finding is opened, and the user is judged again in the next cycle."
            [DirectoryUnavailable] |it| grouped(it, GroupRelation::Unreadable);
        "13" "The user only owns the security group." "What entitles counts on demand only." [OnDemandOnly]
            |it| grouped(it, GroupRelation::OwnerOnly);
        "14" "The user is in the security group only through a nested group, and group_nesting is on_demand."
            "What entitles counts on demand only. Under group_nesting = full line 12 applies, under ignore line 15."
            [NestedMemberOnly] nested;
        "15" "The user is none of these; a Dynamics 365 administrator outside the group, too."
            "" [NotInSecurityGroup] |it| grouped(it, GroupRelation::None);
    }
    /// rules.md, section 3
    Licence "licence" {
        "§3" "Nothing entitles the user; see the entitlements below."
            "An entitlement that counts on demand only passes, and says so. Rows that lived on app passes alone \
             outlast them by the grace, and are then disabled for app_pass_exhausted."
            [Unlicensed AppPassExhausted OnDemandOnly] |it| it.licences.full = None;
        "§2" "Nothing entitles the user, and the plans could never be decoded."
            "The row is left alone until they can." [DirectoryUnavailable] without_plans;
    }
    /// rules.md, section 4: hold
    Hold "hold" {
        "§4" "An administrator has put the row on hold." "Release the hold to have the row judged again." [OnHold]
            |it| on_row(it, |row| row.onhold = row.isdisabled);
    }
    /// rules.md, section 4: disabled by hand
    DisabledByHand "disabled_by_hand" {
        "§4" "The row was disabled by hand." "" [DisabledByHand]
            |it| on_row(it, |row| if row.isdisabled { row.disabled_by = Some("somebody".to_owned()) });
    }
    /// rules.md, section 6: non-interactive users have no web access
    WebAccess "web_access" {
        "§6" "A non-interactive user wants to sign in to the web interface." "" [NonInteractive]
            |it| on_row(it, |row| row.accessmode = NON_INTERACTIVE);
    }
    /// rules.md, section 6: the cap of non-interactive users
    NonInteractiveCap "non_interactive_cap" {
        "§6" "As many non-interactive users are enabled as the environment may have."
            "A finding is opened. An enabled one keeps its place." [NonInteractiveCap] without_slot;
    }
    /// rules.md, section 4: creation by the background sync
    BackgroundCreation "background_creation" {
        "§4" "The background sync does not create the row: the entitlement counts on demand only, the environment \
              is a trial or one for Teams, or the user is an AI agent."
            "" [OnDemandOnly] |it| it.environment.kind = Kind::Trial;
    }
    /// rules.md, section 4: the last System Administrator
    LastSystemAdministrator "last_system_administrator" {
        "§4" "The row is the last enabled holder of the System Administrator role and would be disabled."
            "A critical finding is opened. When the directory user is blocked or deleted the row is disabled all \
             the same."
            [LastSystemAdministrator]
            |it| { it.licences.full = None; it.last_system_administrator = true; };
    }
}

impl Rule {
    /// The trigger that represents "on demand".
    pub(crate) const fn on_demand(&self) -> Trigger {
        match self.gate {
            Gate::WebAccess => Trigger::Access(Client::Interactive),
            _ => Trigger::Access(Client::Api),
        }
    }
}

fn on_row(it: &mut Situation, change: fn(&mut SystemUser)) {
    if let Some(row) = &mut it.row {
        change(row);
    }
}

fn on_user(it: &mut Situation, state: DirectoryState) {
    if let Some(user) = &mut it.user {
        user.state = state;
    }
}

fn reserved(it: &mut Situation) {
    if let Some(user) = &mut it.user {
        user.user_principal_name = Some(SUPPORT_UPN.to_owned());
    }
    on_row(it, |row| row.accessmode = SUPPORT);
}

fn grouped(it: &mut Situation, relation: GroupRelation) {
    it.environment.security_group = Some(GROUP);
    it.relation = relation;
}

fn nested(it: &mut Situation) {
    grouped(it, GroupRelation::NestedOnly);
    it.environment.group_nesting = GroupNesting::OnDemand;
}

fn without_plans(it: &mut Situation) {
    it.licences.full = None;
    if let Some(user) = &mut it.user {
        user.undecodable = Unknowns::no_plans();
    }
}

fn without_slot(it: &mut Situation) {
    it.non_interactive_slot = false;
    on_row(it, |row| row.accessmode = NON_INTERACTIVE);
}
