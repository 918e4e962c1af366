//! Batches: what each may have depends on the others, and on who asks.

use chrono::TimeZone;

use super::*;
use crate::domain::directory_user::DirectoryUser;
use crate::domain::environment::{Environment, Kind};
use crate::domain::licence::{Catalogue, Category, ViralCountsAs};
use crate::domain::role::{Assignment, Provenance, SYSTEM_ADMINISTRATOR};
use crate::domain::system_user::{SystemUser, access_mode};

const PLAN: Uuid = Uuid::from_u128(0x9a);

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap()
}

/// A licensed user of the directory.
fn user(id: u128, name: &str) -> Candidate {
    let text = |text: &str| Some(text.to_owned());
    Candidate {
        id: Uuid::from_u128(id),
        ..Candidate::nobody(Some(DirectoryUser {
            id: Uuid::from_u128(id),
            account_enabled: Some(true),
            user_principal_name: text(name),
            display_name: text("Ada Lovelace"),
            given_name: text("Ada"),
            surname: text("Lovelace"),
            usable_plans: vec![PLAN],
            ..DirectoryUser::default()
        }))
    }
}

/// The same with an enabled row, which has the name it had.
fn with_row(id: u128, name: &str, had: &str) -> Candidate {
    let mut candidate = user(id, had);
    let draft = decided(vec![candidate.clone()], Removals::Collect, Quotas::default(), &[]);
    let mut row = draft.decisions[0].plan.change.clone().unwrap().after;
    row.systemuserid = Uuid::from_u128(id + 0x1000);
    row.upn_key = row.upn_key_after(None);
    candidate.row = Some(row);
    candidate.user.as_mut().unwrap().user_principal_name = Some(name.to_owned());
    candidate
}

fn without_licence(mut candidate: Candidate) -> Candidate {
    candidate.user.as_mut().unwrap().usable_plans.clear();
    candidate
}

fn administrator(mut candidate: Candidate) -> Candidate {
    candidate.assignments.push(Assignment {
        systemuserid: candidate.row.as_ref().unwrap().systemuserid,
        role: SYSTEM_ADMINISTRATOR.to_owned(),
        provenance: Provenance::Manual,
        team: None,
        revoked: false,
    });
    candidate
}

fn waiting_for_slot(id: u128) -> Candidate {
    let name = format!("bot{id}@contoso.example");
    let mut candidate = with_row(id, &name, &name);
    let row = candidate.row.as_mut().unwrap();
    row.accessmode = access_mode::NON_INTERACTIVE;
    "customer".clone_into(&mut row.accessmode_origin);
    row.disable(SYNC_ACTOR, Code::NonInteractiveCap);
    candidate
}

fn decided(candidates: Vec<Candidate>, removals: Removals, quotas: Quotas, held: &[u128]) -> Draft {
    let environment = Environment::new("test", Kind::Production);
    let catalogue = Catalogue::builtin().with_overrides(&[(PLAN, Category::Full)]);
    let view = EnvironmentView {
        environment: &environment,
        catalogue: &catalogue,
        viral_counts_as: ViralCountsAs::None,
        unread: BTreeSet::new(),
        tenant_marketing: false,
        stale_roles: false,
        stale_skus: false,
    };
    let is_on_demand = removals == Removals::ApplyUnlessHeld;
    let policy = Policy {
        trigger: if is_on_demand {
            Trigger::Refresh
        } else {
            Trigger::Background
        },
        actor: SYNC_ACTOR,
        now: now(),
        new_id: &|| Uuid::from_u128(0xff),
        removals,
        slots_are_open: is_on_demand || quotas.slots > 0,
        company: None,
    };
    let held = held.iter().map(|id| Uuid::from_u128(id + 0x1000)).collect();
    decide(candidates, &BTreeSet::new(), quotas, &held, &view, &policy)
}

/// What each row will be, of those that are written.
fn rows(draft: &Draft) -> Vec<(u128, Option<&str>, bool)> {
    let written = draft.decisions.iter().filter_map(|decision| {
        let row: &SystemUser = &decision.plan.change.as_ref()?.after;
        Some((
            decision.candidate.id.as_u128(),
            row.domainname.as_deref(),
            row.isdisabled,
        ))
    });
    written.collect()
}

#[test]
fn a_name_passes_within_a_batch_and_on_demand_nothing_else_of_its_holder() {
    let mut holder = without_licence(with_row(2, "b@contoso.example", "a@contoso.example"));
    holder.has_joined = true;
    let batch = || vec![user(1, "a@contoso.example"), holder.clone()];
    let by_cycle = decided(batch(), Removals::Collect, Quotas::default(), &[]);
    assert_eq!(
        rows(&by_cycle),
        [
            (1, Some("a@contoso.example"), false),
            (2, Some("b@contoso.example"), false)
        ],
        "the name is wanted, so the row does not wait for the guard"
    );
    assert_eq!(by_cycle.decisions[1].plan.removal, Some(Code::Unlicensed));
    let on_demand = decided(batch(), Removals::ApplyUnlessHeld, Quotas::default(), &[]);
    assert_eq!(rows(&on_demand).last(), Some(&(2, Some("b@contoso.example"), false)));
    assert!(on_demand.decisions[1].is_open, "the cycle does the rest");
}

#[test]
fn a_holder_who_keeps_its_name_is_not_written_on_demand() {
    let mut holder = with_row(2, "a@contoso.example", "a@contoso.example");
    holder.has_joined = true;
    let user = holder.user.as_mut().unwrap();
    user.city = Some("Oslo".to_owned());
    let draft = decided(
        vec![with_row(1, "a@contoso.example", "c@contoso.example"), holder],
        Removals::ApplyUnlessHeld,
        Quotas::default(),
        &[],
    );
    assert!(draft.decisions[0].candidate.name_is_taken);
    assert!(rows(&draft).iter().all(|(id, ..)| *id != 2));
}

#[test]
fn a_removal_waits_for_the_guard_is_carried_out_or_is_held() {
    let leaver = || without_licence(with_row(1, "new@contoso.example", "old@contoso.example"));
    let one = |removals, held: &[u128]| decided(vec![leaver()], removals, Quotas::default(), held);
    let collected = one(Removals::Collect, &[]);
    assert_eq!(rows(&collected), [], "written once, when the guard has decided");
    assert_eq!(collected.decisions[0].plan.removal, Some(Code::Unlicensed));
    let enabled = [(1, Some("new@contoso.example"), false)];
    let disabled = [(1, Some("new@contoso.example"), true)];
    assert_eq!(
        rows(&one(Removals::Collect, &[1])),
        enabled,
        "decided in an earlier run"
    );
    assert_eq!(rows(&one(Removals::Hold, &[1])), enabled);
    assert_eq!(rows(&one(Removals::Apply, &[1])), disabled);
    assert_eq!(rows(&one(Removals::ApplyUnlessHeld, &[])), disabled);
    let held = one(Removals::ApplyUnlessHeld, &[1]);
    assert_eq!(rows(&held), enabled);
    assert!(held.decisions[0].is_open);
}

#[test]
fn slots_are_counted_down_and_given_out_last_in_a_cycle() {
    let bots = || vec![waiting_for_slot(1), waiting_for_slot(2), waiting_for_slot(3)];
    let early = decided(bots(), Removals::Collect, Quotas::default(), &[]);
    assert_eq!((early.late.len(), early.decisions.len()), (3, 0));
    let quotas = Quotas {
        slots: 2,
        administrators: 0,
    };
    let late = decided(bots(), Removals::Collect, quotas, &[]);
    let enabled = rows(&late).into_iter().filter(|(_, _, isdisabled)| !isdisabled);
    assert_eq!(enabled.map(|(id, ..)| id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_last_system_administrator_stays_unless_the_directory_takes_it_away() {
    let both = || {
        let one = |id: u128| {
            let name = format!("admin{id}@contoso.example");
            administrator(without_licence(with_row(id, &name, &name)))
        };
        vec![one(1), one(2)]
    };
    let quotas = Quotas {
        slots: 0,
        administrators: 2,
    };
    let draft = decided(both(), Removals::Apply, quotas, &[]);
    assert_eq!(rows(&draft).iter().filter(|(_, _, isdisabled)| *isdisabled).count(), 1);
    assert!(draft.decisions[1].candidate.is_last_administrator);

    let gone = both().into_iter().map(|mut candidate| {
        candidate.user.as_mut().unwrap().account_enabled = Some(false);
        candidate
    });
    let draft = decided(gone.collect(), Removals::Apply, quotas, &[]);
    assert_eq!(rows(&draft).iter().filter(|(_, _, isdisabled)| *isdisabled).count(), 2);
    let told = |decision: &Decision| {
        let mut findings = decision.plan.findings.iter();
        findings.any(|finding| finding.code == Code::LastSystemAdministrator)
    };
    assert!(!told(&draft.decisions[0]) && told(&draft.decisions[1]));
    assert!(draft.decisions[1].is_open, "looked at until there is one again");
}
