//! What enables and disables a row, and what a disabled one keeps.

use rollcall::domain::environment::Environment;
use rollcall::simulator::tenant::{Profile, User};

use super::{ENV, GROUP, access, ask, disabled, employee, roles, stage};
use crate::on_demand::said;
use crate::world::{guarded_environment, licensed, open_environment};

#[tokio::test]
async fn sign_in_and_licence_and_membership_together_enable_and_without_any_of_them_the_row_is_disabled() {
    let world = stage(vec![guarded_environment(ENV, GROUP)]).await;
    world.tenant().create_group_with_id(GROUP, "Sales");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(GROUP, ada);
    world.sync_completely().await;
    let id = world.row(ENV, ada).await.unwrap().systemuserid;
    let tenant = world.tenant();
    let allow = |is_allowed| tenant.update_user(ada, |user| user.account_enabled = Some(is_allowed));
    for (reason, is_licensed) in [
        ("directory_account_disabled", true),
        ("unlicensed", false),
        ("not_in_security_group", true),
    ] {
        let change = |back: bool| match reason {
            "unlicensed" if back => tenant.give_profile(ada, Profile::E3Sales),
            "unlicensed" => tenant.give_profile(ada, Profile::Unlicensed),
            "not_in_security_group" if back => tenant.add_member(GROUP, ada),
            "not_in_security_group" => tenant.remove_member(GROUP, ada),
            _ => allow(back),
        };
        assert!(change(false));
        world.sync_completely().await;
        let row = world.row(ENV, ada).await.unwrap();
        assert_eq!(row.disabledreason.as_deref(), Some(reason));
        assert_eq!(
            (row.isdisabled, row.systemuserid),
            (true, id),
            "{reason}: kept, not deleted"
        );
        assert_eq!(
            row.islicensed, is_licensed,
            "{reason}: only the licence itself is about the licence"
        );
        assert_eq!(access(&world, ada).await, reason);
        assert!(change(true));
        world.sync_completely().await;
        assert_eq!(disabled(&world, ada).await, None, "{reason}: enabled by the cycle");
    }
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn without_a_licence_a_free_plan_or_the_environment_s_passes_keep_the_row_enabled() {
    let passes = Environment {
        app_pass_capacity: 10,
        ..open_environment("passes")
    };
    let world = stage(vec![open_environment(ENV), passes]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world.tenant().give_profile(ada, Profile::E3);
    world.sync_completely().await;
    assert_eq!(disabled(&world, ada).await, None, "the free plan of Office");
    assert!(
        !world.row(ENV, ada).await.unwrap().islicensed,
        "the licence is free for others"
    );
    world.tenant().give_profile(ada, Profile::Unlicensed);
    world.sync_completely().await;
    assert_eq!(disabled(&world, ada).await.as_deref(), Some("unlicensed"));
    assert!(!world.row("passes", ada).await.unwrap().isdisabled, "an app pass");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_sign_in_enables_the_disabled_row_of_whoever_is_entitled_and_of_nobody_else() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    assert_eq!(said(&world.engine.desk().disable(ask(ENV, &user)).await), "disabled");
    world.assert_settled().await;
    world.tenant().give_profile(ada, Profile::Unlicensed);
    assert_eq!(access(&world, ada).await, "unlicensed");
    assert!(world.row(ENV, ada).await.unwrap().isdisabled);
    world.tenant().give_profile(ada, Profile::E3);
    assert_eq!(
        access(&world, ada).await,
        "enabled",
        "what creates on demand enables, too"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_refresh_reads_the_directory_at_once() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    let promote = |user: &mut User| user.job_title = Some("Countess".to_owned());
    world.tenant().update_user(ada, promote);
    assert_eq!(said(&world.engine.desk().refresh(ask(ENV, &user)).await), "updated");
    let row = world.row(ENV, ada).await.unwrap();
    assert_eq!(row.jobtitle.as_deref(), Some("Countess"));
    world.tenant().give_profile(ada, Profile::Unlicensed);
    assert_eq!(said(&world.engine.desk().refresh(ask(ENV, &user)).await), "disabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn who_is_new_has_no_role_until_somebody_grants_one() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    };
    let world = stage(vec![environment]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert!(roles(&world, ada).await.is_empty());
    let user = ada.to_string();
    let refused = world.engine.desk().grant(ask(ENV, &user), "Salesperson").await;
    assert_eq!(said(&refused), "role_not_found");
    assert_eq!(
        said(&world.engine.desk().grant(ask(ENV, &user), "Basic User").await),
        "updated"
    );
    assert_eq!(roles(&world, ada).await, ["Basic User manual"]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn taking_every_role_away_leaves_the_user_enabled_and_licensed() {
    let environment = Environment {
        roles: vec!["Basic User".to_owned(), "Salesperson".to_owned()],
        ..open_environment(ENV)
    };
    let world = stage(vec![environment]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let user = ada.to_string();
    for role in ["Basic User", "Salesperson"] {
        assert_eq!(said(&world.engine.desk().grant(ask(ENV, &user), role).await), "updated");
    }
    for role in ["Basic User", "Salesperson"] {
        assert_eq!(
            said(&world.engine.desk().revoke(ask(ENV, &user), role).await),
            "updated"
        );
    }
    assert!(roles(&world, ada).await.is_empty());
    world.sync_completely().await;
    let row = world.row(ENV, ada).await.unwrap();
    assert!(!row.isdisabled && row.islicensed, "{row:?}");
    world.end().await;
}

#[tokio::test]
async fn disabled_users_are_given_roles_only_where_the_environment_allows_it() {
    let strict = Environment {
        roles: vec!["Basic User".to_owned()],
        ..open_environment(ENV)
    };
    let mut world = stage(vec![strict]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world.tenant().give_profile(ada, Profile::Unlicensed);
    world.sync_completely().await;
    let user = ada.to_string();
    let granted = world.engine.desk().grant(ask(ENV, &user), "Basic User").await;
    assert_eq!(said(&granted), "user_disabled");
    world.configure(|settings| settings.environments[0].0.allow_role_assignment_on_disabled_users = true);
    let granted = world.engine.desk().grant(ask(ENV, &user), "Basic User").await;
    assert_eq!(said(&granted), "updated");
    assert_eq!(roles(&world, ada).await, ["Basic User manual"]);
    assert!(world.row(ENV, ada).await.unwrap().isdisabled);
    world.end().await;
}

#[tokio::test]
async fn whoever_stops_to_qualify_is_disabled_and_whoever_never_did_has_no_row() {
    let world = stage(vec![open_environment(ENV)]).await;
    let users = ["A", "B", "C"].map(|name| licensed(world.tenant(), name, "Paid"));
    let never = employee(&world, "D", "None", Profile::Unlicensed);
    world.sync_completely().await;
    let before = world.rows(ENV).await;
    world.tenant().give_profile(users[0], Profile::Unlicensed);
    world
        .tenant()
        .update_user(users[1], |user| user.account_enabled = Some(false));
    world.tenant().soft_delete(users[2]);
    world.sync_completely().await;
    let after = world.rows(ENV).await;
    for user in users {
        assert!(after[&user].isdisabled && !before[&user].isdisabled);
        assert_eq!(after[&user].systemuserid, before[&user].systemuserid);
    }
    assert!(!after.contains_key(&never));
    world.assert_settled().await;
    world.end().await;
}
