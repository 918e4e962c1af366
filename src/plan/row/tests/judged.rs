//! What holds for every user in every environment once a verdict has become a plan: sections 2, 4 and 6.

use proptest::prelude::*;

use super::{Code, Operation, RemovalMode, RowPlan, Verdict, Writer, plan_row};
use crate::domain::system_user::SystemUser;
use crate::rules::situation::Situation;
use crate::rules::tests::properties::{TRIGGERS, any_stage};
use crate::rules::{Client, Entitlement, Outcome, Trigger};

/// Judges and plans as the engine does.
fn plan(stage: &Situation, trigger: Trigger, removals: RemovalMode) -> (Verdict, RowPlan) {
    let verdict = stage.judge(trigger);
    let writer = Writer {
        actor: "sync",
        now: stage.now,
        new_id: super::ROW,
    };
    let plan = plan_row(
        &stage.environment,
        stage.user.as_ref(),
        stage.row.as_ref(),
        &verdict,
        stage.upn_blocked,
        removals,
        writer,
    );
    (verdict, plan)
}

/// The situation after a trigger, time having gone by.
fn after(stage: &Situation, trigger: Trigger) -> Situation {
    let (_, plan) = plan(stage, trigger, RemovalMode::Apply);
    stage.clone().with(|stage| {
        if let Some(change) = plan.change {
            stage.row = Some(change.after);
        }
        stage.now += chrono::Duration::seconds(60);
    })
}

fn untouched_rows() -> impl Strategy<Value = SystemUser> {
    prop::sample::select(vec![
        ("crmoln@microsoft.com", "reserved"),
        ("CRMOLN2@microsoft.com", "reserved"),
        ("SYSTEM", "reserved"),
        ("Integration", "reserved"),
        ("sync", "reserved"),
        ("app@contoso.example", "application"),
        ("stub@contoso.example", "stub"),
        ("old@contoso.example", "deleted"),
    ])
    .prop_map(|(name, state)| {
        let mut row = SystemUser::example(Some(super::USER).filter(|_| state == "deleted"));
        row.domainname = Some(name.to_owned());
        row.isstub = state == "stub";
        row.applicationid = Some(super::PLAN).filter(|_| state == "application");
        row.deletedstate = i16::from(state == "deleted");
        row
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_trigger_ever_touches_a_row_that_is_not_the_directory_s(
        mut stage in any_stage(), row in untouched_rows(), isdisabled in any::<bool>(),
    ) {
        stage.row = Some(SystemUser { isdisabled, ..row });
        for trigger in TRIGGERS {
            for removals in [RemovalMode::Apply, RemovalMode::Collect] {
                let (_, plan) = plan(&stage, trigger, removals);
                prop_assert_eq!(plan.change, None, "{:?}", trigger);
                prop_assert_eq!(plan.removal, None, "{:?}", trigger);
            }
        }
    }

    #[test]
    fn a_row_that_a_trigger_has_settled_is_never_rewritten(stage in any_stage()) {
        for trigger in TRIGGERS {
            let settled = after(&stage, trigger);
            prop_assert_eq!(plan(&settled, trigger, RemovalMode::Apply).1.change, None, "{:?}", trigger);
            let judged = after(&settled, Trigger::Background);
            let (_, plan) = plan(&judged, Trigger::Background, RemovalMode::Apply);
            prop_assert_eq!(plan.change, None, "the second cycle after {:?}", trigger);
        }
    }

    #[test]
    fn an_enabled_row_that_passes_is_never_rewritten(stage in any_stage()) {
        let writes = |trigger: &&Trigger| stage.row.is_none() || **trigger != Trigger::Import;
        for trigger in TRIGGERS.iter().filter(|trigger| trigger.may_create()).filter(writes) {
            let settled = after(&stage, *trigger);
            for again in TRIGGERS {
                let (verdict, plan) = plan(&settled, again, RemovalMode::Apply);
                if verdict.outcome == Outcome::Keep {
                    prop_assert_eq!(plan.change, None, "{:?} after {:?}", again, trigger);
                }
            }
        }
    }

    #[test]
    fn access_after_access_changes_nothing(stage in any_stage()) {
        for client in [Client::Interactive, Client::Api] {
            let access = Trigger::Access(client);
            let first = stage.judge(access);
            let stage = after(&stage, access);
            let (second, plan) = plan(&stage, access, RemovalMode::Apply);
            prop_assert_eq!(plan.change, None);
            prop_assert_eq!(plan.removal, None);
            let got_in = first.outcome.ends_enabled();
            prop_assert_eq!(second.outcome == Outcome::Keep, got_in, "{:?}, then {:?}", first, second);
            prop_assert_eq!(second.asker_code(), first.asker_code());
        }
    }

    #[test]
    fn background_creates_only_for_full_and_admin_and_disables_nobody_whom_an_access_let_in(stage in any_stage()) {
        let (verdict, made) = plan(&stage, Trigger::Background, RemovalMode::Apply);
        if made.change.is_some_and(|change| change.operation == Operation::Create) {
            prop_assert!(matches!(verdict.entitlement, Entitlement::Full | Entitlement::Admin));
        }
        let stage = after(&stage, Trigger::Access(Client::Api));
        if stage.judge(Trigger::Access(Client::Api)).outcome == Outcome::Keep {
            prop_assert_eq!(stage.judge(Trigger::Background).outcome, Outcome::Keep, "create narrowly, keep widely");
        }
    }

    /// What is in doubt, stands in an asker's way or is a person's business is no reason of the sync's.
    #[test]
    fn the_sync_writes_reasons_of_the_row_only(stage in any_stage()) {
        let reasons = [
            Code::UpnConflict,
            Code::DirectoryDeleted,
            Code::DirectorySoftDeleted,
            Code::DirectoryAccountDisabled,
            Code::NotInSecurityGroup,
            Code::Unlicensed,
            Code::OnDemandOnly,
            Code::AppPassExhausted,
            Code::NonInteractiveCap,
        ];
        for trigger in TRIGGERS {
            let before = stage.row.as_ref().and_then(|row| row.disabledreason.clone());
            let Some(change) = plan(&stage, trigger, RemovalMode::Apply).1.change else { continue };
            if let Some(reason) = change.after.disabledreason.filter(|reason| Some(reason) != before.as_ref()) {
                let known = Code::parse(&reason).is_some_and(|code| reasons.contains(&code));
                prop_assert!(known, "{} by {:?}", reason, trigger);
                prop_assert_eq!(change.after.disabled_by.as_deref(), Some("sync"));
            }
        }
    }

    #[test]
    fn what_only_reports_writes_nothing_and_an_import_changes_no_row(stage in any_stage()) {
        let (_, diagnostics) = plan(&stage, Trigger::Diagnostics, RemovalMode::Apply);
        prop_assert_eq!(diagnostics.change, None);
        prop_assert_eq!(diagnostics.removal, None);
        let (_, refresh) = plan(&stage, Trigger::Refresh, RemovalMode::Apply);
        prop_assert!(stage.row.is_some() || refresh.change.is_none());
        let (_, import) = plan(&stage, Trigger::Import, RemovalMode::Apply);
        prop_assert!(stage.row.is_none() || import.change.is_none());
    }
}
