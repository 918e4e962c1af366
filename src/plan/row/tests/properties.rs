//! Planning again after applying is empty, whatever the user, the row and the environment are.

use proptest::prelude::*;

use super::*;
use crate::domain::field::Policies;

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![
        "[ a-z@.é]{0,12}",
        "[a-z]{1,8}@[a-z]{1,8}",
        Just("ö".repeat(1100)),
        Just("  ".to_owned()),
    ])
}

fn any_user() -> impl Strategy<Value = DirectoryUser> {
    (
        prop::sample::select(vec![
            DirectoryState::Present,
            DirectoryState::Present,
            DirectoryState::SoftDeleted,
            DirectoryState::Gone,
        ]),
        prop::sample::select(vec![Some(true), Some(true), Some(false), None]),
        prop::collection::vec(any_text(), 13),
        any::<bool>(),
    )
        .prop_map(|(state, account_enabled, mut texts, agent)| {
            let mut text = || texts.pop().flatten();
            DirectoryUser {
                id: USER,
                state,
                account_enabled,
                is_agent: agent,
                user_principal_name: text(),
                display_name: text(),
                given_name: text(),
                surname: text(),
                job_title: text(),
                mail: text(),
                business_phone: text(),
                mobile_phone: text(),
                street_address: text(),
                city: text(),
                state_or_province: text(),
                postal_code: text(),
                country: text(),
                ..DirectoryUser::default()
            }
        })
}

fn any_policies() -> impl Strategy<Value = Policies> {
    let policy = prop::sample::select(vec![
        Policy::Always,
        Policy::OnCreate,
        Policy::UntilEdited,
        Policy::Never,
    ]);
    prop::collection::vec(policy, 14).prop_map(|chosen| {
        let mut policies = Policies::default();
        for (field, policy) in Field::ALL.into_iter().zip(chosen) {
            // The two columns that identify refuse most of them.
            let _ = policies.set(field, policy);
        }
        policies
    })
}

fn any_row() -> impl Strategy<Value = Option<SystemUser>> {
    let row = (
        prop::sample::select(vec!["", "sync", "somebody"]),
        0..6_i16,
        any::<(bool, bool, bool)>(),
        0..3_i16,
        prop::sample::select(vec!["unlicensed", "app_pass_exhausted", "not_in_security_group"]),
        prop::option::of(Just("app_pass".to_owned())),
        prop::option::of(-2..2_i64),
        prop::collection::vec(prop::sample::select(&Field::ALL[..]), 0..4),
    );
    prop::option::weighted(
        0.7,
        row.prop_map(|(by, mode, (customer, setup, hold), state, reason, last, due, owned)| {
            let mut row = SystemUser::example(Some(USER));
            if !by.is_empty() {
                row = row.disabled(by, reason);
                row.onhold = hold && by == "somebody";
            }
            row.accessmode = mode;
            row.setupuser = setup;
            if customer {
                row.accessmode_origin = "customer".to_owned();
            }
            row.azurestate = state;
            row.azuredeletedon = (state > 0).then(now);
            row.last_entitlement = last.into();
            row.due_at = due.map(|days| now() + chrono::Duration::days(days));
            row.customer_owned = owned.iter().map(|field| field.column().to_owned()).collect();
            row
        }),
    )
}

prop_compose! {
    fn any_stage()(
        user in any_user(),
        row in any_row(),
        policies in any_policies(),
        licensed in any::<bool>(),
        roles in any::<(bool, bool)>(),
        relation in prop::sample::select(vec![
            GroupRelation::Member, GroupRelation::OwnerOnly, GroupRelation::None, GroupRelation::Unreadable,
        ]),
        grouped in any::<bool>(),
        passes in 0..2_u32,
        kind in prop::sample::select(&Kind::ALL[..]),
        on_demand in any::<bool>(),
        (keeps_name, slot, apply) in any::<(bool, bool, bool)>(),
    ) -> Stage {
        let mut environment = Environment::new("test", kind);
        environment.policies = policies;
        environment.security_group = grouped.then_some(PLAN);
        environment.app_pass_capacity = passes;
        Stage {
            environment, user, licensed, relation, row, keeps_name, slot,
            roles: AdminRoles { global: roles.0, power_platform: false, dynamics_365: roles.1 },
            trigger: if on_demand { Trigger::AdminAdd } else { Trigger::Background },
            removals: if apply { RemovalMode::Apply } else { RemovalMode::Collect },
            now: now(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn planning_again_after_applying_is_empty(mut stage in any_stage()) {
        stage.apply();
        // A later cycle plans as the cycle does, and at another time.
        let again = stage.plan();
        prop_assert_eq!(&again.change, &None);
        stage.trigger = Trigger::Background;
        stage.apply();
        stage.now += chrono::Duration::minutes(15);
        prop_assert_eq!(&stage.plan().change, &None);
    }

    #[test]
    fn a_change_names_exactly_what_differs(stage in any_stage()) {
        let Some(change) = stage.plan().change else { return Ok(()) };
        for field in &change.fields {
            prop_assert_ne!(&field.old, &field.new);
        }
        if let Some(row) = &stage.row {
            prop_assert_eq!(change.after.modifiedon != row.modifiedon, !change.fields.is_empty());
            prop_assert_eq!(&change.after.createdon, &row.createdon);
            prop_assert_eq!(&change.after.customer_owned, &row.customer_owned);
            prop_assert_eq!(change.after.systemuserid, row.systemuserid);
        }
    }

    #[test]
    fn every_value_fits_its_column(stage in any_stage()) {
        let Some(change) = stage.plan().change else { return Ok(()) };
        for field in Field::ALL {
            if let Some(text) = change.after.text(field) {
                prop_assert!(text.chars().count() <= field.max_characters(), "{}", field);
            }
        }
    }

    #[test]
    fn a_waiting_removal_touches_neither_state_nor_mode(mut stage in any_stage()) {
        stage.removals = RemovalMode::Collect;
        let plan = stage.plan();
        if let (Some(_), Some(change), Some(row)) = (plan.removal, plan.change, &stage.row) {
            prop_assert_eq!(change.after.isdisabled, row.isdisabled);
            prop_assert_eq!(&change.after.disabledreason, &row.disabledreason);
            prop_assert_eq!(&change.after.disabled_by, &row.disabled_by);
            prop_assert_eq!(change.after.accessmode, row.accessmode);
        }
    }
}
