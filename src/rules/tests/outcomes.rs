//! Sections 3 and 4: what entitles, and what becomes of the row.

use super::*;
use crate::domain::directory_user::DirectoryState;
use crate::domain::system_user::LastEntitlement;

const ON_DEMAND_MEANS: [(&str, Event); 4] = [
    ("free plan", |stage| stage.licences.free_m365 = Some(PLAN)),
    ("app pass", |stage| stage.environment.app_pass_capacity = 1),
    ("marketing", |stage| stage.tenant_marketing = true),
    ("pay as you go", |stage| stage.environment.pay_as_you_go = true),
];

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
    let table = format!("{PASSED}{UNTOUCHED}");
    check("full", &Stage::licensed(), &table);
    for roles in [GLOBAL, POWER_PLATFORM, DYNAMICS_365] {
        check("admin", &Stage::new().with(|stage| stage.roles = roles), &table);
    }
}

#[test]
fn section_4_on_demand_only() {
    let table = format!("{RESTRICTED}{UNTOUCHED}");
    for (name, means) in ON_DEMAND_MEANS {
        check(name, &Stage::new().with(means), &table);
    }
}

/// Access mode and setupuser of whoever ends enabled, in every cell of the outcome table.
#[test]
fn section_4_the_modes_of_the_outcome_table() {
    let admin: Event = |stage| stage.roles = DYNAMICS_365;
    let owner: Event = |stage| {
        stage.licences.full = Some(PLAN);
        stage.environment.security_group = Some(GROUP);
        stage.relation = GroupRelation::OwnerOnly;
    };
    let full: Event = |stage| stage.licences.full = Some(PLAN);
    for (what, entitle, expected) in [
        ("full", full, (0, false)),
        ("admin", admin, (1, true)),
        ("on demand", ON_DEMAND_MEANS[0].1, (0, false)),
        ("owner", owner, (0, false)),
    ] {
        for (state, kept) in [
            ("none", None),
            ("enabled", None),
            ("by_sync", None),
            ("by_hand", None),
            ("mode_1", None),
            ("mode_2", Some((2, false))),
            ("mode_4", Some((4, false))),
            ("mode_4_off", Some((4, false))),
        ] {
            let stage = Stage::new().with(entitle).with(|stage| stage.row = row(state));
            for trigger in [Trigger::Background, Trigger::Api, Trigger::Import, Trigger::Refresh] {
                let verdict = stage.judge(trigger);
                if verdict.outcome.ends_enabled() {
                    let found = (verdict.accessmode, verdict.setupuser);
                    assert_eq!(found, kept.unwrap_or(expected), "{what} {state} {trigger:?}");
                }
            }
        }
    }
}

/// Rows of somebody whom nothing entitles; what becomes of enabled ones is the argument.
fn unentitled(enabled: &str) -> String {
    unentitled_told(enabled, "unlicensed")
}

/// The same; what whoever asks is told is the second argument.
fn unentitled_told(enabled: &str, told: &str) -> String {
    format!(
        "none       | skip unlicensed    | refuse {told}  | refuse {told}
         enabled    | {enabled}
         by_sync    | leave unlicensed   | refuse {told}  | refuse {told}
         by_hand    | leave unlicensed   | refuse {told}  | refuse {told}
         on_hold    | leave unlicensed   | refuse {told}  | refuse {told}
         mode_4     | keep               | keep               | keep
         mode_4_off | enable             | enable             | enable
         {UNTOUCHED}"
    )
}

#[test]
fn section_4_none() {
    let table = unentitled("disable unlicensed | disable unlicensed | disable unlicensed");
    check("none", &Stage::new(), &table);
    let owner = Stage::new().with(|stage| {
        stage.environment.security_group = Some(GROUP);
        stage.relation = GroupRelation::OwnerOnly;
    });
    check("an owner needs a licence as well", &owner, &table);
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
    let table = format!(
        "{PASSED}{UNTOUCHED}
         mode_4_off | leave non_interactive_cap | refuse non_interactive_cap | refuse non_interactive_cap"
    );
    let full_house = Stage::licensed().with(|stage| stage.non_interactive_slot = false);
    check("no slot", &full_house, &table);
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
fn section_4_trials_and_teams_create_on_demand_and_judge_rows_like_others() {
    for kind in Kind::ALL {
        let narrow = matches!(kind, Kind::Trial | Kind::Teams);
        let none = if narrow {
            "\nnone | skip on_demand_only | create | create"
        } else {
            ""
        };
        let of = |stage: Stage| {
            stage.with(|stage| {
                stage.environment.kind = kind;
                stage.environment.creator = Some(USER);
            })
        };
        let what = kind.as_str();
        check(what, &of(Stage::licensed()), &format!("{PASSED}{UNTOUCHED}{none}"));
        let admin = Stage::new().with(|stage| stage.roles = GLOBAL);
        check(what, &of(admin), &format!("{PASSED}{UNTOUCHED}{none}"));
        let free = Stage::new().with(ON_DEMAND_MEANS[0].1);
        check(what, &of(free), &format!("{RESTRICTED}{UNTOUCHED}"));
    }
}

#[test]
fn section_2_agent_users_are_created_on_demand_only() {
    let agent = Stage::licensed().with(|stage| stage.user().is_agent = true);
    let table = format!("{PASSED}{UNTOUCHED}\nnone | skip on_demand_only | create | create");
    check("agent", &agent, &table);
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
fn section_2_a_source_that_could_not_be_read_holds_only_verdicts_that_read_it() {
    let situations: [(&str, Event); 7] = [
        ("unlicensed", |_| {}),
        ("app passes gone", |stage| {
            let row = stage.row.as_mut().unwrap();
            row.last_entitlement = LastEntitlement::AppPass;
            row.due_at = Some(now());
        }),
        ("outside the group", |stage| {
            stage.licences.full = Some(PLAN);
            stage.environment.security_group = Some(GROUP);
        }),
        ("blocked", |stage| stage.user().account_enabled = Some(false)),
        ("gone", |stage| stage.user().state = DirectoryState::Gone),
        ("deleted", |stage| stage.user().state = DirectoryState::SoftDeleted),
        ("licensed", |stage| stage.licences.full = Some(PLAN)),
    ];
    let held = "leave directory_unavailable";
    let group = "disable not_in_security_group";
    let directory = [
        "disable directory_account_disabled",
        "disable directory_deleted",
        "disable directory_soft_deleted",
        "keep",
    ];
    for (stale_roles, stale_skus, by_rule) in [
        (
            false,
            false,
            ["disable unlicensed", "disable app_pass_exhausted", group],
        ),
        (true, false, [held; 3]),
        (false, true, [held, held, group]),
        (true, true, [held; 3]),
    ] {
        let expected = by_rule.into_iter().chain(directory);
        for ((what, change), expected) in situations.into_iter().zip(expected) {
            let stage = Stage::new()
                .with(|stage| {
                    stage.row = row("enabled");
                    (stage.stale_roles, stage.stale_skus) = (stale_roles, stale_skus);
                })
                .with(change);
            let found = stage.outcome(Trigger::Background);
            assert_eq!(found, expected, "{what}, roles {stale_roles}, SKUs {stale_skus}");
        }
    }
}

#[test]
fn section_2_stale_roles_disable_and_refuse_nobody_for_group_or_licence() {
    let stale = |change: Event| {
        Stage::new()
            .with(|stage| {
                stage.stale_roles = true;
                stage.row = row("enabled");
            })
            .with(change)
    };
    let unlicensed = stale(|_| {});
    let outside = stale(|stage| {
        stage.licences.full = Some(PLAN);
        stage.environment.security_group = Some(GROUP);
    });
    let doubt = "leave directory_unavailable | refuse directory_unavailable | refuse directory_unavailable";
    check("stale", &unlicensed, &unentitled_told(doubt, "directory_unavailable"));
    for stage in [unlicensed, outside] {
        assert_eq!(stage.outcome(Trigger::Background), "leave directory_unavailable");
        assert_eq!(stage.outcome(Trigger::AdminAdd), "refuse directory_unavailable");
        assert!(stage.judge(Trigger::Background).undecided);
    }
    let nobody = stale(|stage| stage.row = None);
    let blocked_nobody = stale(|stage| {
        stage.row = None;
        stage.user().account_enabled = Some(false);
    });
    for trigger in [Trigger::AdminAdd, Trigger::Import] {
        assert_eq!(nobody.outcome(trigger), "refuse directory_unavailable");
        assert_eq!(blocked_nobody.outcome(trigger), "refuse directory_account_disabled");
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
    let kept = "leave last_system_administrator | refuse last_system_administrator | refuse last_system_administrator";
    check("the last one", &unlicensed, &unentitled(kept));
    let lapsed = last(|stage| {
        let row = stage.row.as_mut().unwrap();
        row.last_entitlement = LastEntitlement::AppPass;
        row.due_at = Some(now());
    });
    assert_eq!(lapsed.outcome(Trigger::Background), "leave last_system_administrator");
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
        for trigger in ON_DEMAND.into_iter().chain([Trigger::Refresh, Trigger::Diagnostics]) {
            assert_eq!(stage.outcome(trigger), format!("disable {code}"), "{trigger:?}");
        }
    }
    let kept = last(|stage| stage.licences.full = Some(PLAN));
    assert!(kept.failed(Trigger::Background).is_empty());
}
