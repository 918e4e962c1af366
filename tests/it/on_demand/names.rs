//! Names and the mirror while somebody asks: conflicts, renames that pass on at once, and cycles that agree
//! afterwards (gate 7).

use rollcall::rules::{Client, Trigger};
use rollcall::simulator::{Carrying, Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::desk::Effect as Outcome;
use uuid::Uuid;

use super::{ENV, ask, ask_by, one_user, row, said, stage, state, word};
use crate::world::{NO_LIMITS, World, licensed, open_environment};

fn rename(world: &World, user: Uuid, name: &str) {
    let name = name.to_owned();
    world
        .tenant()
        .update_user(user, |user| user.user_principal_name = Some(name));
}

async fn name(world: &World, user: Uuid) -> String {
    row(world, user).await.domainname.unwrap()
}

#[tokio::test]
async fn a_user_is_added_before_the_cycle_comes_by_and_the_cycle_agrees() {
    let world = stage().await;
    world.sync_completely().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let answer = ask_by(&world, "admin_add", ada).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Created);
    let row = answer.user.unwrap();
    assert_eq!(
        (row.firstname.as_deref(), row.createdby.as_str()),
        (Some("Ada"), "helpdesk")
    );
    assert_eq!(word(&world, "admin_add", ada).await, "unchanged");
    let by_name = world
        .engine
        .desk()
        .access(ask("ADA.Lovelace@contoso.example"), Client::Interactive)
        .await;
    assert_eq!(said(&by_name), "unchanged");
    assert_eq!(word(&world, "access", row.systemuserid).await, "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_asks_twice_at_once_gets_one_row() {
    let world = stage().await;
    world.sync_completely().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace").to_string();
    let desk = world.engine.desk();
    let asking = (0..12).map(|_| desk.add(ask(&ada), Trigger::Api));
    let words: Vec<String> = futures_util::future::join_all(asking).await.iter().map(said).collect();
    assert!(
        words.iter().all(|word| word == "created"),
        "they share one judgement: {words:?}"
    );
    assert_eq!(world.rows(ENV).await.len(), 1);
    let created = "select count(*) from rollcall.system_user_change where operation = 'create' and actor = 'helpdesk'";
    assert_eq!(world.number(created).await, 1);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_name_that_somebody_keeps_is_refused_to_a_newcomer() {
    let (world, ada) = one_user().await;
    // The directory never has a name twice; a row of another program can.
    let bob = licensed(world.tenant(), "Bob", "Builder");
    world
        .execute(
            "insert into rollcall.system_user (environment, systemuserid, domainname)
             values ('production', 'b0b00000-0000-4000-8000-000000000000', 'Bob.Builder@contoso.example')",
        )
        .await;
    // The next cycle folds the name; until then it is nobody's.
    world.sync_completely().await;
    for way in ["access", "api", "admin_add", "import"] {
        assert_eq!(word(&world, way, bob).await, "upn_conflict", "{way}");
    }
    assert_eq!(state(&world, bob).await, "none");
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {bob}")]);
    // Ada cannot have it either; she keeps her name, the rest follows.
    rename(&world, ada, "bob.builder@contoso.example");
    world.tenant().update_user(bob, |user| {
        user.user_principal_name = Some("robert@contoso.example".to_owned());
        user.job_title = Some("Builder".to_owned());
    });
    assert_eq!(word(&world, "refresh", ada).await, "unchanged");
    assert_eq!(name(&world, ada).await, "ada.lovelace@contoso.example");
    assert_eq!(word(&world, "access", bob).await, "created");
    world
        .execute("delete from rollcall.system_user where systemuserid = 'b0b00000-0000-4000-8000-000000000000'")
        .await;
    world.sync_completely().await;
    assert_eq!(name(&world, ada).await, "bob.builder@contoso.example");
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_stub_keeps_its_name_until_it_is_bound() {
    let world = stage().await;
    world.sync_completely().await;
    assert_eq!(word(&world, "stub", "ada.lovelace@contoso.example").await, "created");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    for way in ["access", "admin_add"] {
        assert_eq!(word(&world, way, ada).await, "upn_conflict", "{way}");
        assert_eq!(
            word(&world, way, "ada.lovelace@contoso.example").await,
            "upn_conflict",
            "{way}"
        );
    }
    world.sync_completely().await;
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV} {ada}")]);
    let bound = world
        .engine
        .desk()
        .map(ask("ada.lovelace@contoso.example"), "ada.lovelace@contoso.example")
        .await;
    assert_eq!(said(&bound), "enabled");
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_name_that_passes_from_one_to_another_passes_at_the_moment_of_the_request() {
    let (world, ada) = one_user().await;
    rename(&world, ada, "countess@contoso.example");
    let heir = licensed(world.tenant(), "Ada", "Byron");
    rename(&world, heir, "ada.lovelace@contoso.example");
    assert_eq!(word(&world, "access", heir).await, "created");
    assert_eq!(name(&world, ada).await, "countess@contoso.example");
    assert_eq!(name(&world, heir).await, "ada.lovelace@contoso.example");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn names_that_pass_on_in_a_ring_move_together() {
    let world = stage().await;
    let users: Vec<Uuid> = ["One", "Two", "Three"]
        .iter()
        .map(|given| licensed(world.tenant(), given, "Ring"))
        .collect();
    world.sync_completely().await;
    rename(&world, users[0], "free@contoso.example");
    rename(&world, users[2], "one.ring@contoso.example");
    rename(&world, users[1], "three.ring@contoso.example");
    rename(&world, users[0], "two.ring@contoso.example");
    assert_eq!(word(&world, "refresh", users[0]).await, "updated");
    assert_eq!(name(&world, users[0]).await, "two.ring@contoso.example");
    assert_eq!(name(&world, users[1]).await, "three.ring@contoso.example");
    assert_eq!(name(&world, users[2]).await, "one.ring@contoso.example");
    world.assert_settled().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_name_passes_on_from_somebody_who_is_gone() {
    let (world, ada) = one_user().await;
    world.tenant().soft_delete(ada);
    let heir = licensed(world.tenant(), "Ada", "Byron");
    rename(&world, heir, "ada.lovelace@contoso.example");
    // Nobody has told the mirror that the first Ada is gone: her name is asked about.
    assert_eq!(word(&world, "access", heir).await, "created");
    assert_eq!(name(&world, heir).await, "ada.lovelace@contoso.example");
    assert_eq!(row(&world, ada).await.azurestate, 1, "her row gave the name up");
    world.sync_completely().await;
    // Restored under a name that is taken, she waits.
    world.tenant().restore(ada);
    rename(&world, ada, "ada.lovelace@contoso.example");
    assert_eq!(word(&world, "access", ada).await, "upn_conflict");
    let waiting = row(&world, ada).await;
    assert_eq!((waiting.isdisabled, waiting.azurestate), (true, 1));
    world.end().await;
}

#[tokio::test]
async fn an_old_name_leads_to_whoever_had_it() {
    let (world, ada) = one_user().await;
    rename(&world, ada, "countess@contoso.example");
    let answer = ask_by(&world, "refresh", "ada.lovelace@contoso.example").await.unwrap();
    assert_eq!(answer.outcome, Outcome::Updated);
    assert_eq!(answer.user.unwrap().azureactivedirectoryobjectid, Some(ada));
    assert_eq!(name(&world, ada).await, "countess@contoso.example");
    world.assert_settled().await;
    world.end().await;
}

/// Later pages of the round come after the question, and do not hold the user.
#[tokio::test]
async fn whoever_is_fetched_during_a_full_round_is_not_swept_at_its_end() {
    let simulator = SimulatorSettings {
        page_size: 2,
        listing_page_size: 2,
        ..SimulatorSettings::default()
    };
    let world = World::with(vec![open_environment(ENV)], simulator, NO_LIMITS).await;
    for number in 0..6 {
        licensed(world.tenant(), "User", &number.to_string());
    }
    world.sync_completely().await;
    // The next full round breaks off after its first page.
    world
        .tenant()
        .expire_tokens(rollcall::simulator::tenant::TokenDeath::GoneWithLocation);
    world.simulator.faults().push(Fault::forever(
        When::users().carrying(Carrying::SkipToken),
        Effect::error(500, "x"),
    ));
    world.sync().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    assert_eq!(word(&world, "admin_add", ada).await, "created");
    world.simulator.faults().clear();
    world.simulator.faults().push(Fault::forever(
        When::users(),
        Effect::rewrite(move |page| {
            if let Some(users) = page["value"].as_array_mut() {
                users.retain(|user| user["id"] != ada.to_string());
            }
        }),
    ));
    world.sync_completely().await;
    assert_eq!(state(&world, ada).await, "enabled", "she was seen in this round");
    world.simulator.faults().clear();
    world.assert_settled().await;
    world.end().await;
}
