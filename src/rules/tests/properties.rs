//! What holds for every user in every environment; the properties of plans draw from the same situations.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::domain::directory_user::{DirectoryState, Property, Unknowns};
use crate::domain::environment::{AppPassLapse, GroupNesting};
use crate::domain::licence::{Catalogue, Category, ViralCountsAs};
use crate::rules::Outcome;

pub(crate) const TRIGGERS: [Trigger; 8] = [
    Trigger::Background,
    Trigger::Access(Client::Interactive),
    Trigger::Access(Client::Api),
    Trigger::Api,
    Trigger::AdminAdd,
    Trigger::Import,
    Trigger::Refresh,
    Trigger::Diagnostics,
];

fn any_environment() -> impl Strategy<Value = Environment> {
    (
        prop::sample::select(&Kind::ALL[..]),
        prop::bool::weighted(0.9),
        any::<bool>(),
        prop::sample::select(vec![GroupNesting::Ignore, GroupNesting::OnDemand, GroupNesting::Full]),
        prop::option::of(prop::sample::select(vec![USER, GROUP])),
        0..2_u32,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(kind, has_database, grouped, nesting, creator, passes, keep, pay)| Environment {
                has_database,
                security_group: grouped.then_some(GROUP),
                group_nesting: nesting,
                creator,
                app_pass_capacity: passes,
                app_pass_lapse: if keep {
                    AppPassLapse::Keep
                } else {
                    AppPassLapse::Disable
                },
                pay_as_you_go: pay,
                ..Environment::new("test", kind)
            },
        )
}

/// Mostly somebody whom the first ten gates let through, so that the others are put to the test.
fn any_user() -> impl Strategy<Value = Option<DirectoryUser>> {
    let user = (
        prop_oneof![
            6 => Just(DirectoryState::Present),
            1 => Just(DirectoryState::SoftDeleted),
            1 => Just(DirectoryState::Gone),
        ],
        prop_oneof![8 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)],
        prop::bool::weighted(0.1),
        prop_oneof![
            16 => Just(Some("ada@contoso.example")),
            1 => Just(Some("crmoln@microsoft.com")),
            1 => Just(Some("")),
            1 => Just(None),
        ],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    prop::option::weighted(
        0.95,
        user.prop_map(
            |(state, account_enabled, is_agent, upn, no_account, no_plans)| DirectoryUser {
                id: USER,
                state,
                account_enabled,
                is_agent,
                user_principal_name: upn.map(str::to_owned),
                undecodable: {
                    let mut undecodable = if no_plans {
                        Unknowns::no_plans()
                    } else {
                        Unknowns::default()
                    };
                    undecodable.set(Property::AccountEnabled, no_account);
                    undecodable
                },
                ..DirectoryUser::default()
            },
        ),
    )
}

fn any_row() -> impl Strategy<Value = Option<SystemUser>> {
    let state = prop_oneof![
        prop::sample::select(&STATES[..]),
        prop::sample::select(vec!["none", "enabled", "by_sync", "by_hand"]),
    ];
    (
        state,
        -1..6_i16,
        any::<(bool, bool, bool)>(),
        0..3_i16,
        prop::option::of(-2..2_i64),
        prop::option::of(Just("app_pass".to_owned())),
    )
        .prop_map(
            |(state, mode, (by_customer, setupuser, onhold), azurestate, due, last)| {
                let mut row = row(state)?;
                if (0..6).contains(&mode) {
                    row.accessmode = mode;
                }
                if by_customer {
                    row.accessmode_origin = "customer".to_owned();
                }
                row.setupuser = setupuser;
                row.onhold |= onhold && row.isdisabled;
                row.azurestate = azurestate;
                row.due_at = due.map(|days| now() + chrono::Duration::days(days));
                row.last_entitlement = last.into();
                Some(row)
            },
        )
}

prop_compose! {
    pub(crate) fn any_stage()(
        environment in any_environment(),
        user in any_user(),
        row in any_row(),
        full in any::<bool>(),
        free in any::<bool>(),
        roles in any::<(bool, bool, bool)>(),
        admin in prop::bool::weighted(0.3),
        relation in prop::sample::select(vec![
            GroupRelation::Member, GroupRelation::OwnerOnly, GroupRelation::NestedOnly, GroupRelation::None,
            GroupRelation::Unreadable,
        ]),
        upn_blocked in prop::bool::weighted(0.1),
        tenant_marketing in prop::bool::weighted(0.2),
        slot in any::<bool>(),
        last in prop::bool::weighted(0.1),
        stale_roles in prop::bool::weighted(0.1),
        stale_skus in prop::bool::weighted(0.1),
    ) -> Stage {
        Stage {
            environment, user, row, upn_blocked, tenant_marketing, relation,
            licences: Licences { full: full.then_some(PLAN), free_m365: free.then_some(PLAN) },
            roles: if admin {
                AdminRoles { global: roles.0, power_platform: roles.1, dynamics_365: roles.2 }
            } else {
                AdminRoles::default()
            },
            non_interactive_slot: slot,
            last_system_administrator: last,
            stale_roles,
            stale_skus,
            now: now(),
        }
    }
}

/// Whether there is a row and it is enabled, once the verdict has been applied: 0 no row, 1 disabled, 2 enabled.
fn standing(stage: &Stage, trigger: Trigger) -> u8 {
    let verdict = stage.judge(trigger);
    match (verdict.outcome, &stage.row) {
        (Outcome::Create, _) if trigger.may_create() => 2,
        (Outcome::Enable | Outcome::Keep, _) => 2,
        (_, None) => 0,
        (Outcome::Disable, _) => 1,
        (_, Some(row)) => 1 + u8::from(!row.isdisabled),
    }
}

/// Everything but plans that can be taken away from a user, each by itself.
const LOSSES: [(&str, Event); 15] = [
    ("global", |stage| stage.roles.global = false),
    ("power platform", |stage| stage.roles.power_platform = false),
    ("dynamics 365", |stage| stage.roles.dynamics_365 = false),
    ("marketing", |stage| stage.tenant_marketing = false),
    ("app pass", |stage| stage.environment.app_pass_capacity = 0),
    ("pay as you go", |stage| stage.environment.pay_as_you_go = false),
    ("membership, an owner", |stage| {
        leave_group(stage, &[GroupRelation::Member], GroupRelation::OwnerOnly);
    }),
    ("membership, nested", |stage| {
        leave_group(stage, &[GroupRelation::Member], GroupRelation::NestedOnly);
    }),
    ("ownership", |stage| {
        leave_group(stage, &[GroupRelation::OwnerOnly], GroupRelation::None);
    }),
    ("nesting", |stage| {
        leave_group(stage, &[GroupRelation::NestedOnly], GroupRelation::None);
    }),
    ("every relation", |stage| {
        let all = [
            GroupRelation::Member,
            GroupRelation::OwnerOnly,
            GroupRelation::NestedOnly,
        ];
        leave_group(stage, &all, GroupRelation::None);
    }),
    ("account", |stage| {
        if let Some(user) = &mut stage.user
            && user.account_enabled == Some(true)
        {
            user.account_enabled = Some(false);
        }
    }),
    ("presence", |stage| {
        if let Some(user) = &mut stage.user
            && user.state == DirectoryState::Present
        {
            user.state = DirectoryState::SoftDeleted;
        }
    }),
    ("presence for good", |stage| {
        if let Some(user) = &mut stage.user {
            user.state = DirectoryState::Gone;
        }
    }),
    ("slot", |stage| stage.non_interactive_slot = false),
];

fn leave_group(stage: &mut Stage, from: &[GroupRelation], to: GroupRelation) {
    if from.contains(&stage.relation) {
        stage.relation = to;
    }
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

/// The plan of each category that stands for it.
static PLANS: LazyLock<Vec<Uuid>> = LazyLock::new(|| {
    let first = |category| CATALOGUE.plans(category).next().unwrap();
    Category::ALL.into_iter().map(first).collect()
});

prop_compose! {
    /// A user with some plans, and the worth of viral ones.
    fn any_licensee()(
        stage in any_stage(),
        plans in prop::sample::subsequence(PLANS.clone(), 0..=PLANS.len()),
        viral in prop::sample::select(vec![ViralCountsAs::Full, ViralCountsAs::FreeM365, ViralCountsAs::None]),
    ) -> (Stage, Vec<Uuid>, ViralCountsAs) {
        (stage.with(|stage| stage.licences = CATALOGUE.judge(&plans, viral)), plans, viral)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn evaluation_is_total_and_deterministic(stage in any_stage()) {
        for trigger in TRIGGERS {
            let verdict = stage.judge(trigger);
            prop_assert_eq!(&verdict, &stage.judge(trigger));
            match verdict.outcome {
                Outcome::Create | Outcome::Skip => prop_assert!(stage.row.is_none()),
                Outcome::Enable => prop_assert!(stage.row.as_ref().is_some_and(|row| row.isdisabled && !row.onhold)),
                Outcome::Keep | Outcome::Disable => {
                    prop_assert!(stage.row.as_ref().is_some_and(|row| !row.isdisabled));
                }
                Outcome::Leave | Outcome::Refuse => {}
            }
            match verdict.outcome {
                Outcome::Create | Outcome::Enable | Outcome::Keep => prop_assert_eq!(verdict.code, None),
                Outcome::Leave if trigger == Trigger::Import => prop_assert_eq!(verdict.code, None),
                Outcome::Disable | Outcome::Leave | Outcome::Skip | Outcome::Refuse => {
                    prop_assert!(verdict.code.is_some(), "{:?}", verdict);
                }
            }
            if trigger == Trigger::Background {
                prop_assert_ne!(verdict.outcome, Outcome::Refuse);
            } else {
                prop_assert_ne!(verdict.outcome, Outcome::Skip);
            }
        }
    }

    #[test]
    fn background_creates_only_for_full_and_admin(stage in any_stage()) {
        let verdict = stage.judge(Trigger::Background);
        if verdict.outcome == Outcome::Create {
            prop_assert!(matches!(verdict.entitlement, Entitlement::Full | Entitlement::Admin));
            prop_assert!(!matches!(stage.environment.kind, Kind::Trial | Kind::Teams));
        }
        if verdict.entitlement == Entitlement::OnDemandOnly {
            prop_assert_ne!(verdict.outcome, Outcome::Create);
            prop_assert_ne!(verdict.outcome, Outcome::Enable);
        }
    }

    #[test]
    fn nothing_touches_a_reserved_row(mut stage in any_stage(), name in prop::sample::select(vec![
        "crmoln@microsoft.com", "crmoln2@microsoft.com", "SYSTEM", "Integration", "sync",
    ])) {
        let mut reserved = row("reserved").unwrap();
        reserved.domainname = Some(name.to_owned());
        stage.row = Some(reserved);
        for trigger in TRIGGERS {
            let verdict = stage.judge(trigger);
            prop_assert!(matches!(verdict.outcome, Outcome::Leave | Outcome::Refuse));
            prop_assert!(!verdict.follow);
        }
    }

    #[test]
    fn application_users_stubs_and_deleted_rows_are_left_alone(
        mut stage in any_stage(), state in prop::sample::select(vec!["application", "stub", "deleted"]),
    ) {
        stage.row = row(state);
        for trigger in TRIGGERS {
            let verdict = stage.judge(trigger);
            prop_assert!(matches!(verdict.outcome, Outcome::Leave | Outcome::Refuse));
            prop_assert!(!verdict.follow);
        }
    }

    #[test]
    fn losing_a_plan_never_makes_the_outcome_more_permissive((stage, plans, viral) in any_licensee()) {
        for lost in &plans {
            let rest: Vec<Uuid> = plans.iter().copied().filter(|plan| plan != lost).collect();
            let poorer = stage.clone().with(|stage| stage.licences = CATALOGUE.judge(&rest, viral));
            let category = CATALOGUE.category(*lost);
            for trigger in TRIGGERS {
                prop_assert!(
                    standing(&poorer, trigger) <= standing(&stage, trigger),
                    "{} on {:?}: {} after {}", category, trigger, poorer.outcome(trigger), stage.outcome(trigger)
                );
                if matches!(category, Category::AppPass | Category::Marketing | Category::None) {
                    prop_assert_eq!(poorer.judge(trigger), stage.judge(trigger), "{} is worth something", category);
                }
            }
        }
    }

    #[test]
    fn losing_anything_else_never_makes_the_outcome_more_permissive(stage in any_stage()) {
        for (what, lose) in LOSSES {
            let poorer = stage.clone().with(lose);
            for trigger in TRIGGERS {
                prop_assert!(
                    standing(&poorer, trigger) <= standing(&stage, trigger),
                    "{} on {:?}: {} after {}", what, trigger, poorer.outcome(trigger), stage.outcome(trigger)
                );
            }
        }
    }

    /// Gate 11 leaves the row of somebody who is not the creator, even one that would lose access otherwise: what
    /// is left alone is not enabled where it was not.
    #[test]
    fn losing_the_environment_never_makes_the_outcome_more_permissive_than_the_row_was(mut stage in any_stage()) {
        stage.environment.kind = Kind::Developer;
        stage.environment.creator = Some(USER);
        for other in [None, Some(GROUP)] {
            let poorer = stage.clone().with(|stage| stage.environment.creator = other);
            for trigger in TRIGGERS {
                let before = stage.row.as_ref().map_or(0, |row| 1 + u8::from(!row.isdisabled));
                prop_assert!(
                    standing(&poorer, trigger) <= standing(&stage, trigger).max(before),
                    "{:?}: {} after {}", trigger, poorer.outcome(trigger), stage.outcome(trigger)
                );
                let stops = [Outcome::Create, Outcome::Enable];
                prop_assert!(!stops.contains(&poorer.judge(trigger).outcome), "{:?}", trigger);
            }
        }
    }

    #[test]
    fn a_failed_look_up_disables_nobody(mut stage in any_stage()) {
        stage.user = None;
        for trigger in TRIGGERS {
            prop_assert_ne!(stage.judge(trigger).outcome, Outcome::Disable);
        }
    }

    #[test]
    fn access_mode_changes_only_between_0_and_1_and_only_for_the_sync(stage in any_stage()) {
        let verdict = stage.judge(Trigger::Background);
        if let Some(row) = &stage.row
            && (row.accessmode > 1 || row.accessmode_origin == "customer")
        {
            prop_assert_eq!((verdict.accessmode, verdict.setupuser), (row.accessmode, row.setupuser));
        } else {
            prop_assert!(verdict.accessmode == 0 && !verdict.setupuser || verdict.accessmode == 1 && verdict.setupuser);
        }
    }
}
