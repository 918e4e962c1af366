//! Imports of everybody: from the mirror where it is fresh, from the directory where it is not.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::domain::import::{ItemState, JobOutcome};
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::Profile;
use uuid::Uuid;

use super::{
    ENV, crowd, import, items, made, of, of_everybody, report, results, step, submit, summary, trial, unlicensed,
};
use crate::world::{NO_LIMITS, World, open_environment};

#[tokio::test]
async fn everybody_without_a_row_is_judged_once_and_the_directory_is_left_alone() {
    let simulator = SimulatorSettings {
        users: 700,
        ..SimulatorSettings::default()
    };
    let world = World::with(vec![trial()], simulator, NO_LIMITS).await;
    world.tenant().furnish();
    world.sync_completely().await;
    assert!(world.rows(ENV).await.is_empty());
    let candidates = world
        .strings("select id::text from rollcall.directory_user where state = 0 and not is_agent")
        .await;
    let _ = world.simulator.take_requests();
    let report = import(&world, &of_everybody()).await;
    assert!(world.simulator.take_requests().is_empty());
    let job = &report.job;
    let items = items(&world, job.id).await;
    let asked: BTreeSet<String> = items.iter().map(|item| item.given.clone()).collect();
    assert_eq!(asked, candidates.into_iter().collect::<BTreeSet<_>>());
    assert_eq!(asked.len(), items.len(), "everybody once");
    let rows = world.rows(ENV).await;
    assert_eq!(usize::try_from(job.created).unwrap(), rows.len());
    assert!(
        job.created > 100 && job.refused > 10 && job.already_present == 0,
        "{job:?}"
    );
    assert_eq!(job.total, job.created + job.refused);
    assert_eq!(summary(&report).0, "ended_with_refusals");
    let refused: i64 = report.refused_by_code.iter().map(|one| one.count).sum();
    assert_eq!(refused, i64::from(job.refused));
    for item in items.iter().filter(|item| item.state == ItemState::Created) {
        let row = &rows[&item.object_id.unwrap()];
        assert_eq!(Some(row.systemuserid), item.systemuserid);
        assert_eq!(row.company.as_deref(), Some("USMF"));
    }
    world.sync_completely().await;
    world.assert_settled().await;
    assert!(made(&world).await.values().all(|times| *times == 1));
    world.end().await;
}

#[tokio::test]
async fn a_mirror_that_is_old_is_not_believed() {
    let world = World::new(vec![trial()]).await;
    let users = crowd(world.tenant(), 3);
    world.sync_completely().await;
    world.tenant().give_profile(users[1], Profile::Unlicensed);
    world.tenant().soft_delete(users[2]);
    world.advance(Duration::from_hours(3));
    let report = import(&world, &of_everybody()).await;
    let mut results = results(&world, report.job.id).await;
    results.sort();
    assert_eq!(results, ["created", "unlicensed", "user_soft_deleted"]);
    assert!(world.row(ENV, users[0]).await.is_some());
    world.end().await;
}

#[tokio::test]
async fn before_the_directory_was_ever_read_an_import_of_everybody_waits() {
    let world = World::new(vec![trial()]).await;
    crowd(world.tenant(), 2);
    let job = submit(&world, &of_everybody()).await;
    assert_eq!(step(&world).await, Some(job.id));
    let waiting = report(&world, job.id).await.job;
    assert_eq!((waiting.state.as_str(), waiting.attempts), ("waiting", 1));
    assert!(waiting.error.unwrap().contains("first cycle"));
    assert_eq!(step(&world).await, None);
    world.sync_completely().await;
    world.advance(Duration::from_mins(2));
    assert_eq!(step(&world).await, Some(job.id));
    assert_eq!(summary(&report(&world, job.id).await), ("complete", 2, 0, 0));
    world.end().await;
}

#[tokio::test]
async fn whoever_was_refused_is_looked_up_in_the_directory_and_judged_again_and_nobody_else() {
    let world = World::new(vec![trial()]).await;
    crowd(world.tenant(), 2);
    let bob = unlicensed(world.tenant(), "Bob");
    world.sync_completely().await;
    let report = import(&world, &of_everybody()).await;
    let id = report.job.id;
    assert_eq!(summary(&report), ("ended_with_refusals", 2, 0, 1));
    // The mirror is fresh, and knows nothing of this: the directory is asked.
    world.tenant().give_profile(bob, Profile::E3Sales);
    world
        .engine
        .imports()
        .requeue_import(super::OPERATOR, id)
        .await
        .unwrap();
    assert_eq!(step(&world).await, Some(id));
    let report = super::report(&world, id).await;
    assert_eq!(summary(&report), ("complete", 3, 0, 0));
    assert!(made(&world).await.values().all(|times| *times == 1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_beside_a_running_cycle_makes_every_row_once() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let users = crowd(world.tenant(), 300);
    let everybody = submit(&world, &of_everybody()).await;
    let selected = submit(&world, &of(&users)).await;
    let work = async {
        for _ in 0..2 {
            step(&world).await;
        }
    };
    let cycles = async {
        world.sync_completely().await;
        world.sync_completely().await;
    };
    tokio::join!(work, cycles);
    let made = made(&world).await;
    assert_eq!(made.len(), 300);
    assert!(made.values().all(|times| *times == 1));
    let job = report(&world, selected.id).await.job;
    assert_eq!((job.created + job.already_present, job.refused), (300, 0));
    let job = report(&world, everybody.id).await.job;
    assert_eq!(job.outcome, Some(JobOutcome::Complete));
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn candidates_are_those_without_a_row_page_by_page() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    crowd(tenant, 2);
    let mut left: Vec<Uuid> = ["Anna", "Bert", "Cleo"]
        .into_iter()
        .map(|given| unlicensed(tenant, given))
        .collect();
    let deleted = unlicensed(tenant, "Deleted");
    world.sync_completely().await;
    tenant.soft_delete(deleted);
    world.sync_completely().await;
    let engine = &world.engine;
    let ids = |found: &[rollcall::domain::import::Candidate]| -> Vec<Uuid> { found.iter().map(|one| one.id).collect() };
    let first = engine.imports().candidates(ENV, None, None, 2).await.unwrap();
    let rest = engine
        .imports()
        .candidates(ENV, None, Some(first[1].id), 2)
        .await
        .unwrap();
    let mut found = ids(&first);
    found.extend(ids(&rest));
    left.sort();
    assert_eq!(found, left);
    let by_text = engine.imports().candidates(ENV, Some("BERT"), None, 10).await.unwrap();
    assert_eq!(by_text.len(), 1);
    assert_eq!(by_text[0].display_name.as_deref(), Some("Bert Nobody"));
    assert!(
        engine
            .imports()
            .candidates(ENV, Some("100%"), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    world.end().await;
}
