//! A look-up and the pages of a run cross.

use rollcall::rules::Trigger;
use rollcall::simulator::{Carrying, Effect, Fault, Gate, When};

use super::{GROUP, assert_mirrors_the_population, small_stage};
use crate::on_demand::{ENV, ask};
use crate::world::licensed;

/// What a page drops, a look-up that was asked before the page must not replace.
#[tokio::test]
async fn a_user_blocked_between_a_look_up_and_a_page_that_drops_the_user_is_not_enabled() {
    let world = small_stage().await;
    let tenant = world.tenant();
    let user = licensed(tenant, "Race", "Condition");
    world.sync_completely().await;
    tenant.add_member(GROUP, user);
    // The look-up is answered; then the user is blocked, and a whole run passes before the answer arrives.
    let gate = Gate::default();
    let held = Fault::once(When::endpoint("/$batch"), Effect::Hold(gate.clone()));
    world.simulator.faults().push(held);
    let desk = world.engine.desk();
    let name = user.to_string();
    let look_up = async { desk.add(ask(&name), Trigger::AdminAdd).await };
    let block = async {
        gate.asked().await;
        gate.answer().await;
        world
            .tenant()
            .update_user(user, |user| user.account_enabled = Some(false));
        world.tenant().remove_member(GROUP, user);
        world.sync_completely().await;
        gate.send();
    };
    let (answer, ()) = tokio::join!(look_up, block);
    assert!(answer.is_err(), "{answer:?}");
    assert!(world.row(ENV, user).await.is_none_or(|row| row.isdisabled));
    world.sync_completely().await;
    assert_mirrors_the_population(&world, "afterwards").await;
    world.assert_settled().await;
    world.end().await;
}

/// What a look-up has stored, a page that was asked for later must not drop unseen.
#[tokio::test]
async fn a_user_blocked_between_a_look_up_and_a_page_under_way_is_disabled_by_the_same_run() {
    let world = small_stage().await;
    let tenant = world.tenant();
    let user = licensed(tenant, "Race", "Condition");
    world.sync_completely().await;
    let gate = Gate::default();
    let changes = When::path("/users/delta").carrying(Carrying::DeltaToken);
    world
        .simulator
        .faults()
        .push(Fault::once(changes, Effect::Hold(gate.clone())));
    let meanwhile = async {
        // The run has read the groups, and knows which users it follows.
        gate.asked().await;
        tenant.add_member(GROUP, user);
        let name = user.to_string();
        let answer = world.engine.desk().add(ask(&name), Trigger::AdminAdd).await;
        assert!(answer.is_ok(), "{answer:?}");
        tenant.update_user(user, |user| user.account_enabled = Some(false));
        gate.answer().await;
        gate.send();
    };
    tokio::join!(world.sync_completely(), meanwhile);
    let row = world.row(ENV, user).await.unwrap();
    assert_eq!(row.disabledreason.as_deref(), Some("directory_account_disabled"));
    assert_mirrors_the_population(&world, "afterwards").await;
    world.assert_settled().await;
    world.end().await;
}
