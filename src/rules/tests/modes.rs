//! rules.md, section 5, and the lapse of app passes of section 4.

use std::time::Duration;

use super::*;
use crate::domain::environment::AppPassLapse;
use crate::domain::system_user::LastEntitlement;

fn mode(stage: &Stage, trigger: Trigger) -> (i16, bool) {
    let verdict = stage.judge(trigger);
    (verdict.accessmode, verdict.setupuser)
}

#[test]
fn section_5_access_mode_of_whoever_is_entitled() {
    type Line = (&'static str, fn(&mut Stage), (i16, bool));
    let table: [Line; 20] = [
        ("full", |stage| stage.licences.full = Some(PLAN), (0, false)),
        ("free plan", |stage| stage.licences.free_m365 = Some(PLAN), (0, false)),
        ("global", |stage| stage.roles = GLOBAL, (1, true)),
        ("power platform", |stage| stage.roles = POWER_PLATFORM, (1, true)),
        ("dynamics", |stage| stage.roles = DYNAMICS_365, (1, true)),
        (
            "admin with app pass",
            |stage| (stage.roles, stage.environment.app_pass_capacity) = (GLOBAL, 5),
            (1, true),
        ),
        (
            "admin with pay as you go",
            |stage| (stage.roles, stage.environment.pay_as_you_go) = (GLOBAL, true),
            (1, true),
        ),
        (
            "admin with a free plan",
            |stage| (stage.roles, stage.licences.free_m365) = (DYNAMICS_365, Some(PLAN)),
            (1, true),
        ),
        (
            "admin with pay as you go and marketing",
            |stage| {
                (stage.roles, stage.environment.pay_as_you_go, stage.tenant_marketing) = (POWER_PLATFORM, true, true);
            },
            (1, true),
        ),
        ("app pass", |stage| stage.environment.app_pass_capacity = 1, (0, false)),
        (
            "pay as you go",
            |stage| stage.environment.pay_as_you_go = true,
            (0, false),
        ),
        ("marketing", |stage| stage.tenant_marketing = true, (0, false)),
        (
            "admin who only owns the group",
            |stage| {
                (stage.roles, stage.relation) = (DYNAMICS_365, GroupRelation::OwnerOnly);
                stage.environment.security_group = Some(GROUP);
            },
            (1, true),
        ),
        (
            "licensed power platform",
            |stage| (stage.roles, stage.licences.full) = (POWER_PLATFORM, Some(PLAN)),
            (0, false),
        ),
        (
            "licensed dynamics",
            |stage| (stage.roles, stage.licences.full) = (DYNAMICS_365, Some(PLAN)),
            (0, false),
        ),
        (
            "admin with a full plan",
            |stage| (stage.roles, stage.licences.full) = (GLOBAL, Some(PLAN)),
            (0, false),
        ),
        (
            "global in teams",
            |stage| (stage.roles, stage.environment.kind) = (GLOBAL, Kind::Teams),
            (0, false),
        ),
        (
            "power platform in teams",
            |stage| (stage.roles, stage.environment.kind) = (POWER_PLATFORM, Kind::Teams),
            (0, false),
        ),
        (
            "dynamics in teams",
            |stage| (stage.roles, stage.environment.kind) = (DYNAMICS_365, Kind::Teams),
            (1, true),
        ),
        (
            "licensed global in teams",
            |stage| {
                (stage.roles, stage.environment.kind) = (GLOBAL, Kind::Teams);
                stage.licences.full = Some(PLAN);
            },
            (0, false),
        ),
    ];
    for (what, change, expected) in table {
        let stage = Stage::new().with(change);
        assert_eq!(mode(&stage, Trigger::AdminAdd), expected, "{what}, created");
        let existing = stage.with(|stage| stage.row = row("enabled"));
        assert_eq!(mode(&existing, Trigger::Background), expected, "{what}, existing");
    }
}

#[test]
fn section_5_what_a_person_set_and_modes_2_to_5_stay() {
    for accessmode in 0..=5 {
        for origin in ["sync", "customer"] {
            for setupuser in [false, true] {
                if origin == "sync" && accessmode < 2 {
                    continue;
                }
                for roles in [AdminRoles::default(), GLOBAL] {
                    let stage = Stage::licensed().with(|stage| {
                        stage.roles = roles;
                        let mut row = row("enabled").unwrap();
                        (row.accessmode, row.setupuser) = (accessmode, setupuser);
                        row.accessmode_origin = origin.to_owned();
                        stage.row = Some(row);
                    });
                    assert_eq!(
                        mode(&stage, Trigger::Background),
                        (accessmode, setupuser),
                        "{accessmode} {origin}"
                    );
                }
            }
        }
    }
}

#[test]
fn section_5_an_admin_gains_and_loses_a_plan_and_the_role() {
    let mut stage = Stage::new().with(|stage| {
        stage.roles = GLOBAL;
        stage.row = row("enabled");
        stage.row.as_mut().unwrap().accessmode = 1;
        stage.row.as_mut().unwrap().setupuser = true;
    });
    assert_eq!(mode(&stage, Trigger::Background), (1, true));
    stage.licences.full = Some(PLAN);
    assert_eq!(mode(&stage, Trigger::Background), (0, false), "gains a full plan");
    stage.licences.full = None;
    assert_eq!(mode(&stage, Trigger::Background), (1, true), "loses it");
    stage.roles = AdminRoles::default();
    assert_eq!(
        stage.outcome(Trigger::Background),
        "disable unlicensed",
        "loses the role"
    );
}

/// A row that lives on app passes, whose capacity is now 0.
fn lapsed(state: &str, due_in_days: Option<i64>) -> Stage {
    Stage::new().with(|stage| {
        stage.row = row(state);
        let row = stage.row.as_mut().unwrap();
        row.last_entitlement = LastEntitlement::AppPass;
        row.due_at = due_in_days.map(|days| now() + chrono::Duration::days(days));
    })
}

#[test]
fn section_4_app_passes_alone_are_noted() {
    let passes = Stage::new().with(|stage| stage.environment.app_pass_capacity = 3);
    assert!(passes.judge(Trigger::Api).by_app_pass_alone);
    let others: [fn(&mut Stage); 5] = [
        |stage| stage.licences.full = Some(PLAN),
        |stage| stage.licences.free_m365 = Some(PLAN),
        |stage| stage.tenant_marketing = true,
        |stage| stage.environment.pay_as_you_go = true,
        |stage| stage.roles = DYNAMICS_365,
    ];
    for other in others {
        assert!(!passes.clone().with(other).judge(Trigger::Api).by_app_pass_alone);
    }
}

#[test]
fn section_4_app_pass_lapse_keeps_rows_for_the_grace() {
    let stage = lapsed("enabled", None);
    assert_eq!(stage.outcome(Trigger::Background), "keep");
    assert_eq!(
        stage.judge(Trigger::Background).due_at,
        Some(now() + chrono::Duration::days(7)),
        "seven days by default"
    );
    let stage = lapsed("enabled", Some(3));
    assert_eq!(stage.outcome(Trigger::Background), "keep");
    assert_eq!(
        stage.judge(Trigger::Background).due_at,
        Some(now() + chrono::Duration::days(3)),
        "a grace that runs is not prolonged"
    );
    for due in [0, -1] {
        let stage = lapsed("enabled", Some(due));
        assert_eq!(stage.outcome(Trigger::Background), "disable app_pass_exhausted");
        assert_eq!(stage.outcome(Trigger::AdminAdd), "disable app_pass_exhausted");
        assert!(
            stage.judge(Trigger::Background).due_at <= Some(now()),
            "a row that waits for the guard gets no new grace"
        );
    }
}

#[test]
fn section_4_app_pass_lapse_concerns_rows_that_lived_on_passes_alone() {
    let stage =
        lapsed("enabled", None).with(|stage| stage.row.as_mut().unwrap().last_entitlement = LastEntitlement::Other);
    assert_eq!(stage.outcome(Trigger::Background), "disable unlicensed");
    let free = lapsed("enabled", Some(-1)).with(|stage| stage.licences.free_m365 = Some(PLAN));
    assert_eq!(free.outcome(Trigger::Background), "keep", "another entitlement decides");
    assert_eq!(free.judge(Trigger::Background).due_at, None);
    let disabled = lapsed("by_sync", None);
    assert_eq!(
        disabled.outcome(Trigger::Background),
        "leave unlicensed",
        "a lapse brings no row back"
    );
    assert_eq!(disabled.outcome(Trigger::AdminAdd), "refuse unlicensed");
    assert_eq!(
        disabled.judge(Trigger::Background).due_at,
        None,
        "and nothing falls due"
    );
}

#[test]
fn section_4_app_pass_lapse_keep_leaves_rows() {
    let stage = lapsed("enabled", Some(-1)).with(|stage| stage.environment.app_pass_lapse = AppPassLapse::Keep);
    assert_eq!(stage.outcome(Trigger::Background), "keep");
    assert_eq!(stage.judge(Trigger::Background).due_at, None);
}

#[test]
fn section_4_exhausted_is_said_while_only_the_licence_fails() {
    let mut stage = lapsed("by_sync", None);
    stage.row.as_mut().unwrap().disabledreason = Some("app_pass_exhausted".to_owned());
    assert_eq!(stage.outcome(Trigger::Background), "leave app_pass_exhausted");
    assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse app_pass_exhausted");
    stage.environment.security_group = Some(GROUP);
    assert_eq!(stage.outcome(Trigger::Background), "leave not_in_security_group");
}

#[test]
fn section_4_a_grace_may_be_as_long_as_it_likes() {
    let stage = lapsed("enabled", None).with(|stage| stage.environment.app_pass_grace = Duration::MAX);
    assert_eq!(stage.outcome(Trigger::Background), "keep");
}
