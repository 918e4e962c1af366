//! The environments of the plays, and how their configuration changes between cycles.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::domain::environment::{AppPassLapse, Environment, GroupNesting, Kind};
use rollcall::domain::field::{Field, Policy};
use rollcall::domain::licence::ViralCountsAs;
use rollcall::simulator::tenant::{LARGE_GROUP, SMALL_GROUP};
use rollcall::sync::Settings;
use uuid::Uuid;

/// Changes something and tells what.
pub type Change = fn(&mut Settings, &[Uuid], &mut StdRng) -> String;

/// Two environments that differ in every setting.
pub fn opposites() -> Vec<Environment> {
    let guarded = Environment {
        security_group: Some(LARGE_GROUP),
        group_nesting: GroupNesting::Ignore,
        non_interactive_cap: 3,
        ..Environment::new("guarded", Kind::Production)
    };
    let mut open = Environment {
        // Everybody may come, until a group is set.
        group_nesting: GroupNesting::Full,
        non_interactive_cap: 7,
        app_pass_capacity: 25,
        app_pass_grace: Duration::from_hours(12),
        ..Environment::new("open", Kind::Sandbox)
    };
    for (field, policy) in [
        (Field::FullName, Policy::Always),
        (Field::JobTitle, Policy::UntilEdited),
        (Field::InternalEmailAddress, Policy::Always),
        (Field::Telephone1, Policy::OnCreate),
        (Field::MobilePhone, Policy::Never),
        (Field::FirstName, Policy::UntilEdited),
        (Field::City, Policy::OnCreate),
    ] {
        open.policies.set(field, policy).unwrap();
    }
    vec![guarded, open]
}

/// One environment that begins as any and becomes every other kind in time.
pub fn of_every_kind() -> Vec<Environment> {
    vec![Environment {
        app_pass_capacity: 1,
        app_pass_grace: Duration::from_hours(12),
        ..Environment::new("changing", Kind::Sandbox)
    }]
}

/// What may be decided of the two opposites.
pub fn change_of_an_opposite(settings: &mut Settings, _: &[Uuid], dice: &mut StdRng) -> String {
    let open = &mut settings.environments[1].0;
    match dice.random_range(0..10) {
        0..3 => {
            open.app_pass_capacity = 25 - open.app_pass_capacity;
            format!("app_pass_capacity is {}", open.app_pass_capacity)
        }
        3..5 => {
            open.pay_as_you_go = !open.pay_as_you_go;
            format!("pay_as_you_go is {}", open.pay_as_you_go)
        }
        5 => {
            open.app_pass_lapse = match open.app_pass_lapse {
                AppPassLapse::Disable => AppPassLapse::Keep,
                AppPassLapse::Keep => AppPassLapse::Disable,
            };
            format!("app_pass_lapse is {:?}", open.app_pass_lapse)
        }
        6..8 => {
            open.security_group = *[None, Some(SMALL_GROUP), Some(LARGE_GROUP)].choose(dice).unwrap();
            open.group_nesting = *[GroupNesting::Full, GroupNesting::OnDemand].choose(dice).unwrap();
            format!("the group is {:?} with {:?}", open.security_group, open.group_nesting)
        }
        8 => {
            let guarded = &mut settings.environments[0].0;
            guarded.non_interactive_cap = dice.random_range(1..6);
            format!("non_interactive_cap is {}", guarded.non_interactive_cap)
        }
        _ => change_of_licences(settings, dice),
    }
}

/// Which of the two opposites there are: one of them, or both.
pub fn come_and_go(settings: &mut Settings, _: &[Uuid], dice: &mut StdRng) -> String {
    let mut there = opposites();
    match dice.random_range(0..3) {
        0 => drop(there.remove(0)),
        1 => drop(there.remove(1)),
        _ => {}
    }
    settings.environments = there
        .into_iter()
        .map(|environment| (environment, String::new()))
        .collect();
    format!("there are {:?}", settings.names())
}

/// What may be decided of the environment that becomes every kind.
pub fn change_of_kind(settings: &mut Settings, people: &[Uuid], dice: &mut StdRng) -> String {
    if dice.random_ratio(1, 6) {
        return change_of_licences(settings, dice);
    }
    let environment = &mut settings.environments[0].0;
    environment.kind = *Kind::ALL.choose(dice).unwrap();
    environment.has_database = dice.random_ratio(9, 10);
    environment.app_pass_capacity = dice.random_range(0..2);
    environment.pay_as_you_go = dice.random_ratio(1, 4);
    environment.group_nesting = *[GroupNesting::Ignore, GroupNesting::OnDemand, GroupNesting::Full]
        .choose(dice)
        .unwrap();
    environment.creator = None;
    environment.security_group = *[None, Some(LARGE_GROUP), Some(SMALL_GROUP)].choose(dice).unwrap();
    // "`default` and `developer` environments may not have one" (section 1)
    if matches!(environment.kind, Kind::Default | Kind::Developer) {
        environment.security_group = None;
    }
    if environment.kind == Kind::Developer {
        environment.creator = people.choose(dice).copied();
    }
    format!("{environment:?}")
}

fn change_of_licences(settings: &mut Settings, dice: &mut StdRng) -> String {
    settings.viral_counts_as = *[ViralCountsAs::Full, ViralCountsAs::FreeM365, ViralCountsAs::None]
        .choose(dice)
        .unwrap();
    format!("viral_counts_as is {}", settings.viral_counts_as)
}
