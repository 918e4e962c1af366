//! Sections 3 and 4: what entitles, and what becomes of the row.

use super::*;
use crate::domain::directory_user::DirectoryState;

const ON_DEMAND_MEANS: [(&str, Event); 4] = [
    ("free plan", |stage| stage.licences.free_m365 = Some(PLAN)),
    ("app pass", |stage| stage.environment.app_pass_capacity = 1),
    ("marketing", |stage| stage.tenant_marketing = true),
    ("pay as you go", |stage| stage.environment.pay_as_you_go = true),
];

const UNTOUCHED: &str = "
    application | leave application_user | refuse application_user | leave application_user
    stub        | leave stub_user        | refuse stub_user        | refuse stub_user
    reserved    | leave reserved_user    | refuse reserved_user    | refuse reserved_user
    deleted     | leave row_deleted      | refuse row_deleted      | refuse row_deleted";

#[test]
fn section_3_the_first_entitlement_that_fits() {
    let mut stage = Stage::new();
    assert_eq!(stage.entitlement(), Entitlement::None);
    for (name, means) in ON_DEMAND_MEANS {
        assert_eq!(
            Stage::new().with(means).entitlement(),
            Entitlement::OnDemandOnly,
            "{name}"
        );
        means(&mut stage);
    }
    for roles in [GLOBAL, POWER_PLATFORM, DYNAMICS_365] {
        stage.roles = roles;
        assert_eq!(stage.entitlement(), Entitlement::Admin);
    }
    stage.licences.full = Some(PLAN);
    assert_eq!(stage.entitlement(), Entitlement::Full);
    stage.row = row("mode_4");
    assert_eq!(stage.entitlement(), Entitlement::NonInteractive);
    stage.row.as_mut().unwrap().applicationid = Some(PLAN);
    assert_eq!(
        stage.entitlement(),
        Entitlement::Full,
        "an application user is not one of them"
    );
}

#[test]
fn section_3_owners_and_nested_members_count_on_demand_only() {
    let owner = |stage: Stage| {
        stage.with(|stage| {
            stage.environment.security_group = Some(GROUP);
            stage.relation = GroupRelation::OwnerOnly;
        })
    };
    assert_eq!(owner(Stage::licensed()).entitlement(), Entitlement::OnDemandOnly);
    let admin = Stage::new().with(|stage| stage.roles = DYNAMICS_365);
    assert_eq!(owner(admin).entitlement(), Entitlement::OnDemandOnly);
    let global = Stage::new().with(|stage| stage.roles = GLOBAL);
    assert_eq!(
        owner(global).entitlement(),
        Entitlement::Admin,
        "gate 12 lets him through first"
    );
    assert_eq!(
        owner(Stage::new()).entitlement(),
        Entitlement::None,
        "an owner needs a licence as well"
    );
}

#[test]
fn section_4_full_and_admin() {
    let table = format!(
        "none       | create                 | create         | create
         enabled    | keep                   | keep           | keep
         by_sync    | enable                 | enable         | enable
         by_hand    | leave disabled_by_hand | enable         | enable
         on_hold    | leave on_hold          | refuse on_hold | refuse on_hold
         mode_4     | keep                   | keep           | keep
         mode_4_off | enable                 | enable         | enable
         {UNTOUCHED}"
    );
    check("full", &Stage::licensed(), &table);
    for roles in [GLOBAL, POWER_PLATFORM, DYNAMICS_365] {
        check("admin", &Stage::new().with(|stage| stage.roles = roles), &table);
    }
}

#[test]
fn section_4_on_demand_only() {
    let table = format!(
        "none       | skip on_demand_only    | create         | create
         enabled    | keep                   | keep           | keep
         by_sync    | leave on_demand_only   | enable         | enable
         by_hand    | leave disabled_by_hand | enable         | enable
         on_hold    | leave on_hold          | refuse on_hold | refuse on_hold
         mode_4     | keep                   | keep           | keep
         mode_4_off | enable                 | enable         | enable
         {UNTOUCHED}"
    );
    for (name, means) in ON_DEMAND_MEANS {
        check(name, &Stage::new().with(means), &table);
    }
}

#[test]
fn section_4_none() {
    let table = format!(
        "none       | skip unlicensed    | refuse unlicensed  | refuse unlicensed
         enabled    | disable unlicensed | disable unlicensed | disable unlicensed
         by_sync    | leave unlicensed   | refuse unlicensed  | refuse unlicensed
         by_hand    | leave unlicensed   | refuse unlicensed  | refuse unlicensed
         on_hold    | leave unlicensed   | refuse unlicensed  | refuse unlicensed
         mode_4     | keep               | keep               | keep
         mode_4_off | enable             | enable             | enable
         {UNTOUCHED}"
    );
    check("none", &Stage::new(), &table);
}

#[test]
fn section_4_non_interactive_rows_wait_for_a_slot() {
    let stage = Stage::new().with(|stage| {
        stage.non_interactive_slot = false;
        stage.row = row("mode_4_off");
    });
    assert_eq!(stage.outcome(Trigger::Background), "leave non_interactive_cap");
    assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse non_interactive_cap");
    assert_eq!(stage.outcome(Trigger::Refresh), "refuse non_interactive_cap");
    let enabled = stage.clone().with(|stage| stage.row = row("mode_4"));
    assert_eq!(enabled.outcome(Trigger::Background), "keep", "who has a slot keeps it");
    let regular = Stage::licensed().with(|stage| {
        stage.non_interactive_slot = false;
        stage.row = row("by_sync");
    });
    assert_eq!(regular.outcome(Trigger::Background), "enable", "others need none");
    let by_hand = stage.with(|stage| {
        let row = stage.row.as_mut().unwrap();
        row.disabled_by = Some("somebody".to_owned());
        stage.non_interactive_slot = true;
    });
    assert_eq!(by_hand.outcome(Trigger::Background), "leave disabled_by_hand");
}

#[test]
fn section_6_non_interactive_users_have_no_web_access() {
    let web = Trigger::Access(Client::Interactive);
    for state in ["mode_4", "mode_4_off"] {
        let stage = Stage::licensed().with(|stage| stage.row = row(state));
        assert_eq!(stage.outcome(web), "refuse non_interactive", "{state}");
        assert_ne!(
            stage.outcome(Trigger::Access(Client::Api)),
            "refuse non_interactive",
            "{state}"
        );
    }
    let gone = Stage::licensed().with(|stage| {
        stage.row = row("mode_4");
        stage.user().state = DirectoryState::Gone;
    });
    assert_eq!(gone.outcome(web), "disable directory_deleted", "gates come first");
}

#[test]
fn section_4_kinds_of_environment() {
    let of = |kind, state: &str| {
        Stage::licensed().with(|stage| {
            stage.environment.kind = kind;
            stage.environment.creator = Some(USER);
            stage.row = row(state);
        })
    };
    for (kind, background) in [
        (Kind::Production, "create"),
        (Kind::Sandbox, "create"),
        (Kind::Default, "create"),
        (Kind::Developer, "create"),
        (Kind::Trial, "skip on_demand_only"),
        (Kind::Teams, "skip on_demand_only"),
    ] {
        assert_eq!(of(kind, "none").outcome(Trigger::Background), background, "{kind:?}");
        for trigger in ON_DEMAND.into_iter().chain([Trigger::Import]) {
            assert_eq!(of(kind, "none").outcome(trigger), "create", "{kind:?} {trigger:?}");
        }
        assert_eq!(of(kind, "by_sync").outcome(Trigger::Background), "enable", "{kind:?}");
        assert_eq!(of(kind, "enabled").outcome(Trigger::Background), "keep", "{kind:?}");
        let unlicensed = of(kind, "enabled").with(|stage| stage.licences = Licences::default());
        assert_eq!(
            unlicensed.outcome(Trigger::Background),
            "disable unlicensed",
            "{kind:?}"
        );
    }
}

#[test]
fn section_2_agent_users_are_created_on_demand_only() {
    let agent = Stage::licensed().with(|stage| stage.user().is_agent = true);
    assert_eq!(agent.outcome(Trigger::Background), "skip on_demand_only");
    assert_eq!(agent.outcome(Trigger::Api), "create");
    let disabled = agent.with(|stage| stage.row = row("by_sync"));
    assert_eq!(disabled.outcome(Trigger::Background), "enable", "a row is a row");
}

#[test]
fn section_4_refresh_and_diagnostics_never_create() {
    assert!(!Trigger::Refresh.may_create() && !Trigger::Diagnostics.may_create());
    assert!(
        ON_DEMAND
            .into_iter()
            .chain([Trigger::Background, Trigger::Import])
            .all(Trigger::may_create)
    );
}

#[test]
fn section_2_stale_roles_or_skus_disable_nobody_for_group_or_licence() {
    let stale = |change: Event| {
        Stage::new()
            .with(|stage| {
                stage.stale_sources = true;
                stage.row = row("enabled");
            })
            .with(change)
    };
    let unlicensed = stale(|_| {});
    let outside = stale(|stage| {
        stage.licences.full = Some(PLAN);
        stage.environment.security_group = Some(GROUP);
    });
    for stage in [unlicensed, outside] {
        assert_eq!(stage.outcome(Trigger::Background), "leave directory_unavailable");
        assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse directory_unavailable");
        assert!(stage.judge(Trigger::Background).undecided);
    }
    let blocked = stale(|stage| stage.user().account_enabled = Some(false));
    assert_eq!(
        blocked.outcome(Trigger::Background),
        "disable directory_account_disabled"
    );
    let licensed = stale(|stage| stage.licences.full = Some(PLAN));
    assert_eq!(licensed.outcome(Trigger::Background), "keep");
}

#[test]
fn section_4_the_last_system_administrator() {
    let last = |change: Event| {
        Stage::new()
            .with(|stage| {
                stage.last_system_administrator = true;
                stage.row = row("enabled");
            })
            .with(change)
    };
    let unlicensed = last(|_| {});
    assert_eq!(
        unlicensed.outcome(Trigger::Background),
        "leave last_system_administrator"
    );
    assert!(
        unlicensed
            .failed(Trigger::Background)
            .contains(&"last_system_administrator")
    );
    let outside = last(|stage| {
        stage.licences.full = Some(PLAN);
        stage.environment.security_group = Some(GROUP);
    });
    assert_eq!(outside.outcome(Trigger::Background), "leave last_system_administrator");
    let directory: [(&str, Event); 3] = [
        ("directory_deleted", |stage| stage.user().state = DirectoryState::Gone),
        ("directory_soft_deleted", |stage| {
            stage.user().state = DirectoryState::SoftDeleted;
        }),
        ("directory_account_disabled", |stage| {
            stage.user().account_enabled = Some(false);
        }),
    ];
    for (code, change) in directory {
        let stage = last(change);
        assert_eq!(
            stage.outcome(Trigger::Background),
            format!("disable {code}"),
            "carried out"
        );
        assert!(
            stage.failed(Trigger::Background).contains(&"last_system_administrator"),
            "with a finding"
        );
    }
    let kept = last(|stage| stage.licences.full = Some(PLAN));
    assert!(kept.failed(Trigger::Background).is_empty());
}
