//! Section 1: what the inputs are worth.

use super::*;
use crate::domain::feed::AdminRole;
use crate::domain::licence::{Catalogue, Category, ViralCountsAs};
use crate::rules::Outcome;

#[test]
fn section_1_each_category_of_plan_and_what_it_entitles_to() {
    use Entitlement::{Full, None, OnDemandOnly};
    let catalogue = Catalogue::builtin();
    let worths = [ViralCountsAs::Full, ViralCountsAs::FreeM365, ViralCountsAs::None];
    for (category, expected) in [
        (Category::Full, [Full, Full, Full]),
        (Category::FreeM365, [OnDemandOnly, OnDemandOnly, OnDemandOnly]),
        (Category::Viral, [Full, OnDemandOnly, None]),
        (Category::AppPass, [None, None, None]),
        (Category::Marketing, [None, None, None]),
        (Category::None, [None, None, None]),
    ] {
        for (viral, expected) in worths.into_iter().zip(expected) {
            for plan in catalogue.plans(category) {
                let stage = Stage::new().with(|stage| stage.licences = catalogue.judge(&[plan], viral));
                assert_eq!(stage.entitlement(), expected, "{category} {plan}, viral as {viral}");
                let islicensed = stage.judge(Trigger::Background).islicensed;
                assert_eq!(islicensed, expected == Full, "{category} {plan}, viral as {viral}");
            }
        }
    }
    let unknown = Stage::new().with(|stage| stage.licences = catalogue.judge(&[PLAN], ViralCountsAs::Full));
    assert_eq!(unknown.entitlement(), None, "an unknown plan is worth nothing");
}

#[test]
fn section_1_what_counts_as_on_demand() {
    for (trigger, on_demand, refresh) in [
        (Trigger::Background, false, false),
        (Trigger::Access(Client::Interactive), true, false),
        (Trigger::Access(Client::Api), true, false),
        (Trigger::Api, true, false),
        (Trigger::AdminAdd, true, false),
        (Trigger::Import, true, false),
        (Trigger::Refresh, false, true),
        (Trigger::Diagnostics, false, true),
    ] {
        let found = (trigger.is_on_demand(), trigger.is_refresh(), trigger.may_create());
        assert_eq!(found, (on_demand, refresh, !refresh), "{trigger:?}");
    }
    for trigger in Trigger::ALL {
        assert_eq!(trigger.as_str().parse(), Ok(trigger));
    }
}

#[test]
fn section_1_each_role_entitles_and_two_of_them_escape_the_group() {
    for (role, expected, escapes) in [
        (AdminRole::Global, GLOBAL, true),
        (AdminRole::PowerPlatform, POWER_PLATFORM, true),
        (AdminRole::Dynamics365, DYNAMICS_365, false),
    ] {
        let mut roles = AdminRoles::default();
        assert!(!roles.any());
        roles.insert(role);
        assert_eq!((roles, roles.any(), roles.escapes_group()), (expected, true, escapes));
    }
}

#[test]
fn section_1_no_group_lets_every_relation_through() {
    for relation in [
        GroupRelation::Member,
        GroupRelation::OwnerOnly,
        GroupRelation::NestedOnly,
        GroupRelation::None,
        GroupRelation::Unreadable,
    ] {
        let stage = Stage::licensed().with(|stage| stage.relation = relation);
        check("no group", &stage, &format!("{PASSED}{UNTOUCHED}"));
    }
}

#[test]
fn section_1_a_changed_name_is_the_same_user() {
    for state in ["enabled", "by_sync", "by_hand", "on_hold", "mode_4", "mode_4_off"] {
        let stage = Stage::licensed().with(|stage| stage.row = row(state));
        let renamed = stage.clone().with(|stage| {
            stage.user().user_principal_name = Some("augusta@contoso.example".to_owned());
            stage.user().mail = Some("augusta@mail.example".to_owned());
        });
        for trigger in Trigger::ALL {
            assert_eq!(renamed.judge(trigger), stage.judge(trigger), "{state} {trigger:?}");
        }
    }
}

#[test]
fn section_1_environments_that_licence_by_themselves() {
    let cases: [(&str, Event); 3] = [
        ("app passes", |stage| stage.environment.app_pass_capacity = 1),
        ("pay-as-you-go", |stage| stage.environment.pay_as_you_go = true),
        ("tenant Marketing", |stage| stage.tenant_marketing = true),
    ];
    for (what, change) in cases {
        let stage = Stage::new().with(change);
        assert_eq!(stage.judge(Trigger::Background).outcome, Outcome::Skip, "{what}");
        assert_eq!(stage.judge(Trigger::Import).outcome, Outcome::Create, "{what}");
        assert!(!stage.judge(Trigger::Api).islicensed, "{what} licenses nobody");
    }
}
