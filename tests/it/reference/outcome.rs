//! The reference, continued: what becomes of an existing row, from rules.md, sections 4, 5 and 7.

use rollcall::domain::environment::{AppPassLapse, Environment, Kind};
use rollcall::domain::field::Policy;

use super::directory::{Person, Presence};
use super::evaluation::{Cycle, Entitlement, Gates, Means, Record, SYNC, gates, means, policy};
use super::fields::{Wanted, wanted};
use super::table::{FED, Row};

/// Judges an existing row, in the background or on demand; true if it is to be enabled as soon as a non-interactive slot is
/// free.
pub fn judge_row(
    environment: &Environment,
    cycle: &Cycle<'_>,
    person: &Person,
    keeps_name: bool,
    on_demand: bool,
    record: &mut Record,
) -> bool {
    let gates = gates(environment, cycle, person, Some(&record.row));
    if let Gates::LeftAlone(why) = gates {
        record.because.push(why);
        return false;
    }
    let means = means(environment, cycle, person, Some(&record.row), &gates);
    let was_live = record.row.azurestate == 0;
    follow_fields(environment, person, keeps_name, record);
    // "kept up to date on disabled rows too" (section 7)
    record.row.islicensed = means.full;
    follow_presence(cycle, person, keeps_name, record);
    let alone = record.app_pass_alone;
    record.app_pass_alone = match means.entitlement {
        Entitlement::None => alone,
        _ => means.app_pass_alone,
    };
    if means.entitlement != Entitlement::None {
        record.grace_ends = None;
    }
    if person.is_present() && keeps_name && !was_live && !person.account_undecodable {
        // "A restored user whose UPN was reused stays disabled with azurestate 1 until the conflict ends."
        set_reason(&mut record.row, "upn_conflict");
        record
            .because
            .push("2: a restored user whose UPN was reused stays disabled with azurestate 1");
        return false;
    }
    match gates {
        Gates::LeftAlone(_) => false,
        Gates::StateLeft(why) => {
            record.because.push(why);
            if means.entitlement == Entitlement::None {
                is_in_grace(environment, cycle, record);
            }
            false
        }
        Gates::Refused(reason, why) => {
            record.because.push(why);
            disable(record, reason);
            false
        }
        Gates::Passed { why, .. } => {
            record.because.push(why);
            conclude(environment, cycle, &means, on_demand, record)
        }
    }
}

/// Section 4 for a row whose user passes every gate.
fn conclude(environment: &Environment, cycle: &Cycle<'_>, means: &Means, on_demand: bool, record: &mut Record) -> bool {
    if !record.row.isdisabled {
        if means.entitlement != Entitlement::None {
            record.because.push("4: enabled row: keep");
            set_access_mode(environment, means, &mut record.row);
        } else if !record.app_pass_alone {
            record.because.push("4: none, enabled row: disable `unlicensed`");
            disable(record, "unlicensed");
        } else if is_in_grace(environment, cycle, record) {
            record
                .because
                .push("4: app pass gone: stay enabled until the grace has run out");
            set_access_mode(environment, means, &mut record.row);
        } else {
            record
                .because
                .push("4: app pass gone and the grace over: disabled `app_pass_exhausted`");
            disable(record, "app_pass_exhausted");
        }
        return false;
    }
    record.grace_ends = None;
    if means.entitlement == Entitlement::None {
        // "then are disabled `app_pass_exhausted`, and keep that reason while only the licence fails"
        if record.row.disabledreason.as_deref() != Some("app_pass_exhausted") {
            set_reason(&mut record.row, "unlicensed");
        }
        record.because.push("4: none, disabled row, background: leave");
        return false;
    }
    if record.row.onhold {
        // Held by a person, disabled by the sync before that: the rules do not say that the reason becomes `on_hold`.
        record.because.push("4: a hold: no trigger enables it");
        return false;
    }
    if record.row.disabled_by.as_deref() != Some(SYNC) && !on_demand {
        record
            .because
            .push("4: a row disabled by hand is left alone by background");
        return false;
    }
    match means.entitlement {
        Entitlement::OnDemandOnly if !on_demand => {
            set_reason(&mut record.row, "on_demand_only");
            record.because.push("4: now entitled on demand only → `on_demand_only`");
            false
        }
        Entitlement::NonInteractive => true,
        _ => {
            enable(&mut record.row);
            set_access_mode(environment, means, &mut record.row);
            record
                .because
                .push("4: full or admin, disabled row, background: enable if the sync disabled it");
            false
        }
    }
}

/// Whether the grace of an app pass that is gone still lasts. It begins when a run first finds it gone.
fn is_in_grace(environment: &Environment, cycle: &Cycle<'_>, record: &mut Record) -> bool {
    if !record.app_pass_alone || record.row.isdisabled || environment.app_pass_lapse == AppPassLapse::Keep {
        // "`app_pass_lapse = "keep"` leaves them until another entitlement has decided."
        return true;
    }
    let grace = chrono::Duration::from_std(environment.app_pass_grace).unwrap();
    cycle.now < *record.grace_ends.get_or_insert(cycle.now + grace)
}

/// "Fields are synced on every row whose directory user is present, enabled or disabled; a row whose directory user is
/// soft-deleted or gone keeps its last values." (section 7)
fn follow_fields(environment: &Environment, person: &Person, keeps_name: bool, record: &mut Record) {
    if !person.is_present() {
        return;
    }
    for column in FED {
        let owned = record.row.customer_owned.iter().any(|owned| owned == column);
        let writes = match policy(environment, column) {
            Policy::Always => true,
            // "written when the row is created, never by sync after"
            Policy::OnCreate | Policy::Never => false,
            // "sync follows the directory until anyone but the sync changes the column ... then never again"
            Policy::UntilEdited => !owned,
        };
        // Gate 7: "the row keeps its old `domainname` ... the other fields proceed"
        let stays = column == "domainname" && keeps_name;
        if let (true, false, Wanted::Value(value)) = (writes, stays, wanted(person, column)) {
            *record.row.text(column) = value;
        }
    }
}

/// `azurestate` and `azuredeletedon`.
fn follow_presence(cycle: &Cycle<'_>, person: &Person, keeps_name: bool, record: &mut Record) {
    let row = &mut record.row;
    match person.presence {
        Presence::Present if keeps_name && row.azurestate != 0 => return,
        Presence::Present => {
            row.azurestate = 0;
            // "null again on restore"
            row.azuredeletedon = None;
            return;
        }
        Presence::SoftDeleted => row.azurestate = 1,
        Presence::Gone => row.azurestate = 2,
    }
    // "the deletion time from deletedItems if read in that run, else the run's time, never rewritten". Where the row
    // could not be written in that run, what it read still counts.
    row.azuredeletedon.get_or_insert(person.deleted_at.unwrap_or(cycle.now));
}

/// Section 5: "`accessmode` and `setupuser` change only on rows that end the evaluation enabled."
pub fn set_access_mode(environment: &Environment, means: &Means, row: &mut Row) {
    // "Read in this order: set by a person, or 2–5; Global or Power Platform admin in `teams` (0, setupuser false);
    // unlicensed admin (1, setupuser true); else 0 (setupuser false)."
    if row.accessmode_origin == "customer" || row.accessmode >= 2 {
        return;
    }
    let in_teams = environment.kind == Kind::Teams && means.tenant_admin;
    let is_administrative = means.admin && !means.full && !in_teams;
    row.accessmode = i16::from(is_administrative);
    row.setupuser = is_administrative;
}

pub fn enable(row: &mut Row) {
    row.isdisabled = false;
    row.disabledreason = None;
    row.disabled_by = None;
}

fn disable(record: &mut Record, reason: &str) {
    if record.row.isdisabled {
        set_reason(&mut record.row, reason);
    } else {
        record.row.isdisabled = true;
        record.row.disabledreason = Some(reason.to_owned());
        record.row.disabled_by = Some(SYNC.to_owned());
    }
    record.grace_ends = None;
}

/// "`disabledreason` of a row that the sync disabled follows the present primary reason ... A row disabled by hand
/// keeps its reason." (section 4)
fn set_reason(row: &mut Row, reason: &str) {
    if row.isdisabled && row.disabled_by.as_deref() == Some(SYNC) {
        row.disabledreason = Some(reason.to_owned());
    }
}
