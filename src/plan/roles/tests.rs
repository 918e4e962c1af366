//! Section 8 of the rules as a table.

use super::*;

const PLAN: Uuid = Uuid::from_u128(0x9a);
const OTHER: Uuid = Uuid::from_u128(0x9b);
const SALES: &str = "Sales Rep";

fn environment(kind: Kind) -> Environment {
    Environment {
        roles: [SYSTEM_ADMINISTRATOR, BASIC_USER, ENVIRONMENT_MAKER, SALES]
            .map(str::to_owned)
            .to_vec(),
        license_roles: vec![
            (PLAN, SALES.to_owned()),
            (OTHER, SALES.to_owned()),
            (OTHER, SYSTEM_ADMINISTRATOR.to_owned()),
        ],
        ..Environment::new("test", kind)
    }
}

fn user(plans: &[Uuid]) -> DirectoryUser {
    DirectoryUser {
        usable_plans: plans.to_vec(),
        ..DirectoryUser::default()
    }
}

fn held(role: &str, provenance: Provenance) -> Assignment {
    Assignment {
        systemuserid: Uuid::from_u128(0xab),
        role: role.to_owned(),
        provenance,
        team: None,
        revoked: false,
    }
}

fn taken_away(role: &str) -> Assignment {
    Assignment {
        revoked: true,
        ..held(role, Provenance::License)
    }
}

/// What is done, as `+role` and `-role`.
fn planned(environment: &Environment, plans: &[Uuid], is_new: bool, held: &[Assignment]) -> Vec<String> {
    let row = SystemUser::example(Some(Uuid::from_u128(0x0a)));
    plan_roles(environment, &user(plans), &row, is_new, held, false)
        .changes
        .iter()
        .map(|change| format!("{}{}", if change.is_granted { '+' } else { '-' }, change.role))
        .collect()
}

/// What it shows, the user's plans, the assignments held, what is done.
type Cell<'a> = (&'a str, &'a [Uuid], &'a [Assignment], &'a [&'a str]);

#[test]
fn section_8_roles_of_a_plan_come_and_go_with_it() {
    let place = environment(Kind::Production);
    let own = |role| held(role, Provenance::License);
    let table: &[Cell<'_>] = &[
        ("no plan, nothing", &[], &[], &[]),
        ("a plan gives its role", &[PLAN], &[], &["+Sales Rep"]),
        (
            "two plans give it once",
            &[PLAN, OTHER],
            &[],
            &["+Sales Rep", "+System Administrator"],
        ),
        ("it is given once", &[PLAN], &[own(SALES)], &[]),
        ("it goes with the plan", &[], &[own(SALES)], &["-Sales Rep"]),
        (
            "it stays while another plan gives it",
            &[OTHER],
            &[own(SALES), own(SYSTEM_ADMINISTRATOR)],
            &[],
        ),
        (
            "a role given by hand is not the sync's",
            &[],
            &[held(SALES, Provenance::Manual)],
            &[],
        ),
        (
            "nor one of an import, nor a default one",
            &[],
            &[held(SALES, Provenance::Import), held(BASIC_USER, Provenance::Default)],
            &[],
        ),
        (
            "the sync's comes beside the one given by hand",
            &[PLAN],
            &[held(SALES, Provenance::Manual)],
            &["+Sales Rep"],
        ),
        (
            "and goes without it",
            &[],
            &[held(SALES, Provenance::Manual), own(SALES)],
            &["-Sales Rep"],
        ),
        (
            "what a person took away does not come back",
            &[PLAN],
            &[taken_away(SALES)],
            &[],
        ),
        (
            "until the plan has gone once",
            &[],
            &[taken_away(SALES)],
            &["-Sales Rep"],
        ),
        (
            "a role that no plan gives any more goes",
            &[PLAN],
            &[own(SALES), own("Old Role")],
            &["-Old Role"],
        ),
    ];
    for (name, plans, held, expected) in table {
        assert_eq!(planned(&place, plans, false, held), *expected, "{name}");
    }
}

#[test]
fn section_8_where_and_when_plans_give_roles() {
    for kind in Kind::ALL {
        let manages = !matches!(kind, Kind::Teams | Kind::Trial | Kind::Developer);
        let given = planned(&environment(kind), &[PLAN], false, &[]);
        assert_eq!(!given.is_empty(), manages, "{}", kind.as_str());
        let taken = planned(&environment(kind), &[], false, &[held(SALES, Provenance::License)]);
        assert_eq!(!taken.is_empty(), manages, "{}", kind.as_str());
    }
    let off = Environment {
        license_role_management: false,
        ..environment(Kind::Production)
    };
    assert!(
        planned(&off, &[PLAN], false, &[]).is_empty(),
        "switched off, nothing is given"
    );
    assert!(
        planned(&off, &[], false, &[held(SALES, Provenance::License)]).is_empty(),
        "nor taken: it can be switched on again"
    );
    let place = environment(Kind::Production);
    for state in [DirectoryState::SoftDeleted, DirectoryState::Gone] {
        let row = SystemUser::example(Some(Uuid::from_u128(0x0a)));
        let gone = DirectoryUser { state, ..user(&[]) };
        let plan = plan_roles(&place, &gone, &row, false, &[held(SALES, Provenance::License)], false);
        assert_eq!(plan, RolePlan::default(), "a deleted user's row keeps its roles");
    }
}

#[test]
fn section_8_created_users_get_roles_in_default_environments_only() {
    for kind in Kind::ALL {
        let expected: &[&str] = if kind == Kind::Default {
            &["+Basic User", "+Environment Maker"]
        } else {
            &[]
        };
        assert_eq!(
            planned(&environment(kind), &[], true, &[]),
            expected,
            "{}",
            kind.as_str()
        );
        assert!(
            planned(&environment(kind), &[], false, &[]).is_empty(),
            "later they are not given again"
        );
    }
    let lacking = Environment {
        roles: vec![BASIC_USER.to_owned()],
        ..environment(Kind::Default)
    };
    assert_eq!(planned(&lacking, &[], true, &[]), ["+Basic User"], "a role must exist");
}

#[test]
fn section_8_the_last_system_administrator_keeps_the_role() {
    let place = environment(Kind::Production);
    let row = SystemUser::example(Some(Uuid::from_u128(0x0a)));
    let own = held(SYSTEM_ADMINISTRATOR, Provenance::License);
    let plan = |held: &[Assignment], last| plan_roles(&place, &user(&[]), &row, false, held, last);
    assert!(plan(std::slice::from_ref(&own), true).keeps_last_administrator);
    assert!(plan(std::slice::from_ref(&own), true).changes.is_empty());
    assert_eq!(
        plan(std::slice::from_ref(&own), false).changes.len(),
        1,
        "others have it"
    );
    let also_by_hand = [own.clone(), held(SYSTEM_ADMINISTRATOR, Provenance::Manual)];
    assert!(
        !plan(&also_by_hand, true).keeps_last_administrator,
        "it is held by hand, too"
    );
    assert_eq!(plan(&also_by_hand, true).changes, [RoleChange::take(&own)]);
}

#[test]
fn section_6_a_stub_gets_salesperson_or_basic_user() {
    let with = |roles: &[&str]| Environment {
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        ..Environment::new("test", Kind::Production)
    };
    assert_eq!(stub_role(&with(&[BASIC_USER, SALESPERSON])), Some(SALESPERSON));
    assert_eq!(stub_role(&with(&[BASIC_USER])), Some(BASIC_USER));
    assert_eq!(stub_role(&with(&[])), None);
}
