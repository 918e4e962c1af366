//! Text for a verdict: what each check found, and what to do if it failed. Never decides anything.

use super::gate::Gate;
use super::subject::{DirectoryAnswer, GroupRelation, Subject};
use super::verdict::{Check, Entitlement, Status, Verdict};
use crate::domain::directory_user::DirectoryState;
use crate::domain::environment::{Environment, Kind};
use crate::domain::system_user::{ORIGIN_SYNC, access_mode};

/// The text for one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What was found.
    pub detail: String,
    /// The remedy, if the check failed or is unknown.
    pub remedy: Option<&'static str>,
}

/// The text for every check of a verdict, in order.
#[must_use]
pub fn words(environment: &Environment, subject: &Subject<'_>, verdict: &Verdict) -> Vec<Words> {
    let word = |check: &Check| {
        let failed = matches!(check.status, Status::Fail | Status::Unknown);
        Words {
            detail: detail(environment, subject, verdict, *check),
            remedy: check.code.filter(|_| failed).map(crate::domain::reason::Code::remedy),
        }
    };
    verdict.checks.iter().map(word).collect()
}

/// What admits a user against a rule: the exemption from the licence or the group.
#[must_use]
pub fn exemption(environment: &Environment, subject: &Subject<'_>, verdict: &Verdict) -> Option<String> {
    let mut exemptions = Vec::new();
    if environment.security_group.is_some()
        && subject.roles.escapes_group()
        && !matches!(subject.relation, GroupRelation::Member)
    {
        exemptions.push("Global and Power Platform administrators need not be in the security group");
    }
    match verdict.entitlement {
        Entitlement::Admin => exemptions.push("administrators need no licence"),
        Entitlement::NonInteractive => exemptions.push("non-interactive users need no licence"),
        Entitlement::OnDemandOnly if subject.licences.full.is_none() => {
            exemptions.push("what the user or the environment has counts on demand");
        }
        Entitlement::Full | Entitlement::OnDemandOnly | Entitlement::None => {}
    }
    (!exemptions.is_empty()).then(|| exemptions.join("; "))
}

/// Why the row has, or would have, its access mode.
#[must_use]
pub fn accessmode_reason(environment: &Environment, subject: &Subject<'_>) -> String {
    let text = match subject.row {
        Some(row) if row.applicationid.is_some() => "application users are always non-interactive",
        Some(row) if row.accessmode_origin != ORIGIN_SYNC => "set by a person: the sync leaves it alone",
        Some(row) if row.accessmode > access_mode::ADMINISTRATIVE => "modes 2 to 5 are not the sync's to change",
        _ if environment.kind == Kind::Teams && subject.roles.escapes_group() => {
            "Global and Power Platform administrators are Read-Write in a Teams environment"
        }
        _ if subject.roles.any() && subject.licences.full.is_none() => "an administrator without a full licence",
        _ => "the usual mode",
    };
    text.to_owned()
}

fn detail(environment: &Environment, subject: &Subject<'_>, verdict: &Verdict, check: Check) -> String {
    // If nothing was found out, nothing is claimed.
    let is_unread = check.gate == Gate::SecurityGroup && matches!(subject.relation, GroupRelation::Unreadable);
    if check.status == Status::Unknown && check.code.is_none() && !is_unread {
        return "not known".to_owned();
    }
    match check.gate {
        Gate::Database if environment.has_database => "the environment has a database".to_owned(),
        Gate::ReservedIdentity if check.code.is_none() => "the identity is not reserved".to_owned(),
        Gate::ApplicationUser if check.code.is_none() => "the row is no application user".to_owned(),
        Gate::Stub if check.code.is_none() => "the row is no stub".to_owned(),
        Gate::RowDeleted if check.code.is_none() => "the row is not deleted".to_owned(),
        Gate::UserPrincipalName if check.code.is_none() => "nobody else holds the user principal name".to_owned(),
        Gate::DirectoryAnswer if check.code.is_none() => "the directory's record is complete".to_owned(),
        Gate::DirectoryPresence | Gate::DirectorySoftDeletion | Gate::AccountEnabled if check.code.is_none() => {
            directory_state(subject, check)
        }
        Gate::DeveloperCreator if check.status == Status::NotApplicable => {
            format!("not a developer environment but {}", environment.kind.as_str())
        }
        Gate::SecurityGroup => security_group(environment, subject, check),
        Gate::Licence => licence(environment, subject, verdict, check),
        Gate::NonInteractiveCap if check.code.is_none() => "a non-interactive slot is free".to_owned(),
        Gate::BackgroundCreation if check.code.is_none() => "the background sync may create the row".to_owned(),
        _ => check.code.map_or_else(String::new, |code| code.sentence().to_owned()),
    }
}

fn directory_state(subject: &Subject<'_>, check: Check) -> String {
    let DirectoryAnswer::Known(user) = subject.answer else {
        return "not known".to_owned();
    };
    match (check.gate, user.state, check.status) {
        (_, _, Status::Unknown) => "not known".to_owned(),
        (Gate::DirectoryPresence, _, _) => "the directory has the user".to_owned(),
        (Gate::DirectorySoftDeletion, _, _) => "the user is not deleted".to_owned(),
        (_, DirectoryState::Present, _) => "sign-in is allowed".to_owned(),
        _ => "does not matter any more".to_owned(),
    }
}

fn security_group(environment: &Environment, subject: &Subject<'_>, check: Check) -> String {
    let Some(group) = environment.security_group else {
        return "the environment has no security group".to_owned();
    };
    if check.status == Status::Pass && subject.roles.escapes_group() {
        return "Global and Power Platform administrators need not be in the security group".to_owned();
    }
    match subject.relation {
        GroupRelation::Member => format!("direct member of {group}"),
        GroupRelation::OwnerOnly => format!("owner, not member, of {group}: counts on demand only"),
        GroupRelation::NestedOnly => {
            format!(
                "member of {group} through a nested group (group_nesting = {})",
                environment.group_nesting.as_str()
            )
        }
        GroupRelation::None => format!("neither member nor owner of {group}"),
        GroupRelation::Unreadable => format!("{group} cannot be read"),
    }
}

fn licence(environment: &Environment, subject: &Subject<'_>, verdict: &Verdict, check: Check) -> String {
    if check.status == Status::NotApplicable {
        return "licences do not apply to this row".to_owned();
    }
    match verdict.entitlement {
        Entitlement::NonInteractive => "non-interactive users need no licence".to_owned(),
        Entitlement::Full => "a plan gives full rights".to_owned(),
        Entitlement::Admin => "administrators need no licence; unlicensed ones get administrative access".to_owned(),
        Entitlement::OnDemandOnly => {
            let mut causes = Vec::new();
            if subject.licences.free_m365.is_some() {
                causes.push("a free Microsoft 365 plan");
            }
            if environment.app_pass_capacity > 0 {
                causes.push("the environment's app passes");
            }
            if subject.tenant_marketing {
                causes.push("the tenant's Marketing licence");
            }
            if environment.pay_as_you_go {
                causes.push("pay-as-you-go");
            }
            if causes.is_empty() {
                causes.push("the relation to the security group");
            }
            format!("counts on demand only: {}", causes.join(", "))
        }
        Entitlement::None if check.code.is_none() => "app passes are gone, the grace still lasts".to_owned(),
        Entitlement::None => "no plan, role or pass entitles the user".to_owned(),
    }
}
