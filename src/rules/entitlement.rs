//! What entitles a user (rules.md, section 3), and the grace period of lapsed app passes.

use chrono::{DateTime, Utc};

use super::subject::Subject;
use super::verdict::Entitlement;
use crate::domain::environment::{AppPassLapse, Environment};
use crate::domain::system_user::LastEntitlement;
use crate::domain::system_user::access_mode::NON_INTERACTIVE;

/// The state of the grace period of lapsed app passes.
pub(super) enum Lapse {
    /// It lasts, until this time or without end.
    Lasting(Option<DateTime<Utc>>),
    /// It ended at this time.
    Over(DateTime<Utc>),
}

/// The first entitlement that applies. `on_demand_only` if the user is in the security group by gate 13 or 14 only.
pub(super) fn entitlement(environment: &Environment, subject: &Subject<'_>, on_demand_only: bool) -> Entitlement {
    let is_non_interactive = subject
        .row
        .is_some_and(|row| row.accessmode == NON_INTERACTIVE && row.applicationid.is_none());
    let entitlement = if is_non_interactive {
        return Entitlement::NonInteractive;
    } else if subject.licences.full.is_some() {
        Entitlement::Full
    } else if subject.roles.any() {
        Entitlement::Admin
    } else if counts_on_demand(environment, subject) || environment.app_pass_capacity > 0 {
        Entitlement::OnDemandOnly
    } else {
        return Entitlement::None;
    };
    if on_demand_only {
        Entitlement::OnDemandOnly
    } else {
        entitlement
    }
}

/// Everything except app passes that counts on demand only.
pub(super) fn counts_on_demand(environment: &Environment, subject: &Subject<'_>) -> bool {
    subject.licences.free_m365.is_some() || subject.tenant_marketing || environment.pay_as_you_go
}

/// The grace period of an enabled row that depended on app passes now gone; none if it does not apply.
pub(super) fn app_pass_lapse(
    environment: &Environment,
    subject: &Subject<'_>,
    entitlement: Entitlement,
) -> Option<Lapse> {
    let row = subject.row.filter(|row| !row.isdisabled)?;
    if row.last_entitlement != LastEntitlement::AppPass || entitlement != Entitlement::None {
        return None;
    }
    if environment.app_pass_lapse == AppPassLapse::Keep {
        return Some(Lapse::Lasting(None));
    }
    let grace = chrono::Duration::from_std(environment.app_pass_grace).unwrap_or(chrono::Duration::MAX);
    let due = row.due_at.or_else(|| subject.now.checked_add_signed(grace));
    match due {
        Some(due) if due <= subject.now => Some(Lapse::Over(due)),
        due => Some(Lapse::Lasting(due)),
    }
}
