//! Sections 4, 5, 7 and 11: the columns of state, and rows that are left alone.

use super::*;

#[test]
fn section_7_deletion_is_dated_once_and_forgotten_on_restore() {
    let deleted = now() - chrono::Duration::days(2);
    let mut stage = Stage::created().with(|stage| {
        stage.user.state = DirectoryState::SoftDeleted;
        stage.user.deleted_at = Some(deleted);
        stage.change_everything();
    });
    let changed = stage.changed();
    assert_eq!(
        changed,
        [
            "isdisabled",
            "disabledreason",
            "disabled_by",
            "azurestate",
            "azuredeletedon"
        ]
    );
    assert_eq!(stage.row().azuredeletedon, Some(deleted));
    assert_eq!(
        stage.row().address1_city.as_deref(),
        Some("London"),
        "the last values stay"
    );
    stage.user.deleted_at = Some(now());
    assert_eq!(stage.apply(), [], "never rewritten");
    stage.user.state = DirectoryState::Gone;
    assert_eq!(stage.changed(), ["disabledreason", "azurestate"]);
    assert_eq!((stage.row().azurestate, stage.row().azuredeletedon), (2, Some(deleted)));
    stage.user.state = DirectoryState::Present;
    stage.apply();
    let row = stage.row();
    assert_eq!((row.azurestate, row.azuredeletedon, row.isdisabled), (0, None, false));
    assert_eq!(row.address1_city.as_deref(), Some("new-London"));
}

#[test]
fn section_7_an_unread_deletion_is_dated_by_the_run() {
    let mut stage = Stage::created().with(|stage| stage.user.state = DirectoryState::Gone);
    stage.apply();
    assert_eq!(stage.row().azuredeletedon, Some(now()));
    stage.now += chrono::Duration::days(1);
    assert_eq!(stage.apply(), []);
}

#[test]
fn section_7_islicensed_is_kept_on_disabled_rows() {
    let mut stage = Stage::created().with(|stage| {
        *stage.row() = stage.row().clone().disabled("somebody", "disabled_by_hand");
        stage.licensed = false;
    });
    assert_eq!(stage.apply(), [("islicensed", json!(true), json!(false))]);
    stage.licensed = true;
    assert_eq!(stage.apply(), [("islicensed", json!(false), json!(true))]);
    stage.user.city = Some("Ockham".to_owned());
    assert_eq!(stage.changed(), ["address1_city"], "fields follow as well");
}

#[test]
fn section_4_disabledreason_follows_the_present_reason_where_the_sync_disabled() {
    let mut stage = Stage::created().with(|stage| stage.environment.security_group = Some(PLAN));
    stage.apply();
    let reason = |stage: &mut Stage| stage.row().disabledreason.clone().unwrap_or_default();
    assert_eq!(reason(&mut stage), "not_in_security_group");
    (stage.relation, stage.licensed) = (GroupRelation::Member, false);
    assert_eq!(stage.changed(), ["disabledreason", "islicensed"]);
    assert_eq!(reason(&mut stage), "unlicensed");
    stage.environment.pay_as_you_go = true;
    assert_eq!(stage.changed(), ["disabledreason"]);
    assert_eq!(reason(&mut stage), "on_demand_only");
    stage.environment.pay_as_you_go = false;
    (stage.row().accessmode, stage.slot) = (4, false);
    assert_eq!(stage.changed(), ["disabledreason"]);
    assert_eq!(reason(&mut stage), "non_interactive_cap");
    stage.user.account_enabled = Some(false);
    stage.apply();
    assert_eq!(reason(&mut stage), "directory_account_disabled");
    // What is in doubt or stands in the asker's way is no reason.
    stage.user.account_enabled = Some(true);
    stage.relation = GroupRelation::Unreadable;
    assert_eq!(stage.apply(), []);
    stage.trigger = Trigger::AdminAdd;
    assert_eq!(stage.apply(), []);
}

#[test]
fn section_4_a_row_disabled_by_hand_keeps_its_reason() {
    for change in [
        (|stage: &mut Stage| stage.licensed = false) as fn(&mut Stage),
        |stage| stage.environment.security_group = Some(PLAN),
        |stage| stage.user.account_enabled = Some(false),
        |stage| stage.user.state = DirectoryState::Gone,
    ] {
        let mut stage = Stage::created().with(|stage| {
            *stage.row() = stage.row().clone().disabled("somebody", "disabled_by_hand");
        });
        change(&mut stage);
        stage.apply();
        assert_eq!(stage.row().disabledreason.as_deref(), Some("disabled_by_hand"));
        assert_eq!(stage.row().disabled_by.as_deref(), Some("somebody"));
    }
}

#[test]
fn section_4_a_disable_is_the_sync_s_and_an_enable_clears_it() {
    let mut stage = Stage::created().with(|stage| stage.licensed = false);
    let change = stage.plan().change.unwrap();
    assert_eq!(
        (change.operation, change.reason),
        (Operation::Disable, Some(Code::Unlicensed))
    );
    stage.apply();
    assert_eq!(stage.row().disabled_by.as_deref(), Some("sync"));
    stage.licensed = true;
    assert_eq!(stage.plan().change.unwrap().operation, Operation::Enable);
    stage.apply();
    assert_eq!(
        (stage.row().disabled_by.clone(), stage.row().disabledreason.clone()),
        (None, None)
    );
}

#[test]
fn section_5_mode_and_setupuser_change_only_on_rows_that_end_enabled() {
    let global = AdminRoles {
        global: true,
        ..AdminRoles::default()
    };
    let mut stage = Stage::created().with(|stage| (stage.licensed, stage.roles) = (false, global));
    assert_eq!(stage.changed(), ["accessmode", "islicensed", "setupuser"]);
    let mut disabled = stage.clone().with(|stage| {
        *stage.row() = stage.row().clone().disabled("somebody", "disabled_by_hand");
        stage.licensed = true;
    });
    assert_eq!(disabled.changed(), ["islicensed"]);
    stage.user.account_enabled = Some(false);
    stage.licensed = true;
    stage.apply();
    assert_eq!((stage.row().accessmode, stage.row().setupuser), (1, true));
}

#[test]
fn section_7_a_name_that_is_taken_waits_and_the_rest_proceeds() {
    let mut stage = Stage::created().with(|stage| {
        stage.change_everything();
        stage.keeps_name = true;
    });
    assert_eq!(stage.plan().findings[0].code, Code::UpnConflict);
    let changed = stage.changed();
    assert!(!changed.contains(&"domainname") && changed.contains(&"address1_city"));
    stage.keeps_name = false;
    assert_eq!(stage.changed(), ["domainname"]);
}

#[test]
fn section_2_gate_7_a_restored_user_without_its_name_stays_disabled() {
    let mut stage = Stage::created().with(|stage| stage.user.state = DirectoryState::SoftDeleted);
    stage.apply();
    stage.user.state = DirectoryState::Present;
    stage.keeps_name = true;
    assert_eq!(stage.changed(), ["disabledreason"]);
    assert_eq!((stage.row().azurestate, stage.row().isdisabled), (1, true));
    stage.keeps_name = false;
    assert_eq!(
        stage.changed(),
        [
            "isdisabled",
            "disabledreason",
            "disabled_by",
            "azurestate",
            "azuredeletedon"
        ]
    );
}

#[test]
fn section_11_a_removal_that_waits_leaves_state_and_mode_and_writes_the_rest() {
    let mut stage = Stage::created().with(|stage| {
        stage.removals = RemovalMode::Collect;
        stage.user.state = DirectoryState::SoftDeleted;
        stage.licensed = false;
    });
    assert_eq!(stage.plan().removal, Some(Code::DirectorySoftDeleted));
    assert_eq!(stage.changed(), ["islicensed", "azurestate", "azuredeletedon"]);
    assert!(!stage.row().isdisabled && !stage.row().is_live(), "its name is free");
}

#[test]
fn section_4_refresh_never_creates_and_import_never_changes() {
    let mut stage = Stage::new().with(|stage| stage.trigger = Trigger::Refresh);
    assert_eq!(stage.plan().change, None);
    stage.trigger = Trigger::Import;
    assert_eq!(stage.plan().change.unwrap().operation, Operation::Create);
    stage = Stage::created().with(|stage| {
        stage.trigger = Trigger::Import;
        stage.change_everything();
    });
    assert_eq!(stage.plan(), RowPlan::default());
}

#[test]
fn section_2_rows_that_are_not_ours_are_never_planned() {
    for state in ["reserved", "stub", "application", "deleted"] {
        let mut stage = Stage::created().with(Stage::change_everything);
        let row = stage.row();
        match state {
            "reserved" => {
                row.azureactivedirectoryobjectid = None;
                row.domainname = Some("crmoln@microsoft.com".to_owned());
            }
            "stub" => row.isstub = true,
            "application" => row.applicationid = Some(PLAN),
            _ => row.deletedstate = 1,
        }
        stage.licensed = false;
        assert_eq!(stage.plan().change, None, "{state}");
        assert_eq!(stage.plan().removal, None, "{state}");
    }
}

#[test]
fn section_4_the_grace_of_app_passes_is_kept_with_the_row_and_not_logged() {
    let mut stage = Stage::new().with(|stage| {
        stage.licensed = false;
        stage.environment.app_pass_capacity = 1;
        stage.trigger = Trigger::Api;
    });
    stage.apply();
    assert_eq!(stage.row().last_entitlement, LastEntitlement::AppPass);
    stage.trigger = Trigger::Background;
    stage.environment.app_pass_capacity = 0;
    let change = stage.plan().change.unwrap();
    assert_eq!(change.fields, [], "nothing that anybody sees");
    assert_eq!(change.after.modifiedon, now());
    stage.apply();
    let due = stage.row().due_at.unwrap();
    assert_eq!(due, now() + chrono::Duration::days(7));
    stage.now = due;
    let held = stage.clone().with(|stage| stage.removals = RemovalMode::Collect);
    assert_eq!(held.plan().removal, Some(Code::AppPassExhausted));
    assert_eq!(
        held.plan().change,
        None,
        "while it is held the grace does not begin anew"
    );
    stage.apply();
    assert_eq!(stage.row().disabledreason.as_deref(), Some("app_pass_exhausted"));
    assert_eq!(stage.row().due_at, None);
    assert_eq!(stage.plan().change, None);
}
