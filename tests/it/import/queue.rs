//! The queue: who sees a job, how it is stopped and run again, and how workers share it.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::domain::import::JobOutcome;
use rollcall::domain::schema::Schema;
use rollcall::store::Store;
use rollcall::sync::Engine;
use rollcall::sync::imports::{ImportRequest, JobFilter, Viewer};

use super::{ENV, OPERATOR, crowd, import, made, of, report, results, said, step, submit, summary, unlicensed};
use crate::world::{World, graph, licensed, open_environment};

const OWNER: Viewer<'static> = Viewer {
    name: "helpdesk",
    is_operator: false,
};
const OTHER: Viewer<'static> = Viewer {
    name: "somebody",
    is_operator: false,
};

async fn listed(world: &World, viewer: Viewer<'_>) -> Vec<i64> {
    let filter = JobFilter {
        limit: 10,
        ..JobFilter::default()
    };
    let jobs = world.engine.imports().import_jobs(viewer, &filter).await.unwrap();
    jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn a_private_job_is_its_owners_and_the_operators() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let open = submit(&world, &of(&[ada])).await.id;
    let private = ImportRequest {
        private: true,
        ..of(&[ada])
    };
    let private = submit(&world, &private).await.id;
    assert_eq!(listed(&world, OWNER).await, [private, open]);
    assert_eq!(listed(&world, OPERATOR).await, [private, open]);
    assert_eq!(listed(&world, OTHER).await, [open]);
    let engine = &world.engine;
    assert_eq!(said(engine.imports().import_job(OTHER, private).await), "unknown job");
    assert_eq!(
        said(engine.imports().import_items(OTHER, private, None, None, 10).await),
        "unknown job"
    );
    assert_eq!(
        said(engine.imports().cancel_import(OTHER, private).await),
        "unknown job"
    );
    assert_eq!(
        said(engine.imports().requeue_import(OTHER, private).await),
        "unknown job"
    );
    assert_eq!(said(engine.imports().import_job(OTHER, open).await), "done");
    assert_eq!(
        said(engine.imports().import_items(OWNER, private, None, None, 10).await),
        "done"
    );
    assert_eq!(said(engine.imports().cancel_import(OWNER, private).await), "done");
    assert_eq!(said(engine.imports().requeue_import(OPERATOR, private).await), "done");
    world.end().await;
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once_and_requeued_whole() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let users = crowd(world.tenant(), 2);
    let id = submit(&world, &of(&users)).await.id;
    let engine = &world.engine;
    assert_eq!(said(engine.imports().requeue_import(OPERATOR, id).await), "job");
    let cancelled = engine.imports().cancel_import(OPERATOR, id).await.unwrap();
    assert_eq!(
        (cancelled.state.as_str(), cancelled.cancelled_by.as_deref()),
        ("cancelled", Some("root"))
    );
    assert_eq!(said(engine.imports().cancel_import(OPERATOR, id).await), "job");
    assert_eq!(step(&world).await, None);
    engine.imports().requeue_import(OPERATOR, id).await.unwrap();
    assert_eq!(step(&world).await, Some(id));
    assert_eq!(summary(&report(&world, id).await), ("complete", 2, 0, 0));
    assert_eq!(said(engine.imports().requeue_import(OPERATOR, id).await), "job");
    world.end().await;
}

#[tokio::test]
async fn a_job_that_runs_stops_after_the_batch_in_hand_and_goes_on_with_the_rest() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let mut users = crowd(world.tenant(), 150);
    users.insert(0, unlicensed(world.tenant(), "Bob"));
    // Somebody cancels while the first batch is written.
    world
        .execute(
            "create function public.cancel() returns trigger language plpgsql as
                 $$ begin new.cancelled_by := 'somebody'; return new; end $$;
             create trigger cancel before update on rollcall.import_job for each row
                 when (old.created = 0 and new.created > 0) execute function public.cancel()",
        )
        .await;
    let report = import(&world, &of(&users)).await;
    assert_eq!(summary(&report), ("cancelled", 99, 0, 1));
    let waiting = results(&world, report.job.id).await;
    assert_eq!(waiting.iter().filter(|state| *state == "waiting").count(), 51);
    let rows = world.rows(ENV).await;
    world
        .engine
        .imports()
        .requeue_import(OPERATOR, report.job.id)
        .await
        .unwrap();
    assert_eq!(step(&world).await, Some(report.job.id));
    let report = super::report(&world, report.job.id).await;
    assert_eq!(summary(&report), ("ended_with_refusals", 150, 0, 1));
    let after = world.rows(ENV).await;
    assert!(
        rows.iter().all(|(id, row)| after[id] == *row),
        "what is done stays done"
    );
    assert!(made(&world).await.values().all(|times| *times == 1));
    world.end().await;
}

#[tokio::test]
async fn a_claim_that_runs_out_lets_another_worker_go_on_and_the_first_writes_nothing_more() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let users = crowd(world.tenant(), 150);
    // Another worker takes the job over right after the first batch.
    world
        .execute(
            "create function public.take_over() returns trigger language plpgsql as
                 $$ begin new.fence := new.fence + 1; return new; end $$;
             create trigger take_over before update on rollcall.import_job for each row
                 when (old.created = 0 and new.created > 0) execute function public.take_over()",
        )
        .await;
    let report = import(&world, &of(&users)).await;
    assert_eq!(summary(&report), ("running", 100, 0, 0));
    assert_eq!(step(&world).await, None, "its claim lasts");
    world
        .execute("update rollcall.import_job set claim_expires_at = '-infinity'")
        .await;
    assert_eq!(step(&world).await, Some(report.job.id));
    assert_eq!(
        summary(&super::report(&world, report.job.id).await),
        ("complete", 150, 0, 0)
    );
    assert_eq!(made(&world).await.len(), 150);
    world.end().await;
}

#[tokio::test]
async fn jobs_of_one_group_run_one_after_another_and_groups_beside_each_other() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let in_group = |group: &str| ImportRequest {
        batch_group: Some(group.to_owned()),
        ..of(&[ada])
    };
    let mut jobs = Vec::new();
    for group in ["blue", "blue", "red"] {
        jobs.push(submit(&world, &in_group(group)).await.id);
    }
    // The first of the blue ones waits for the directory.
    world
        .execute("update rollcall.import_job set next_attempt_at = '2026-03-02 09:00+00' where id = 1")
        .await;
    assert_eq!(step(&world).await, Some(jobs[2]));
    assert_eq!(step(&world).await, None);
    world.advance(Duration::from_hours(2));
    assert_eq!(step(&world).await, Some(jobs[0]));
    assert_eq!(step(&world).await, Some(jobs[1]));
    // Whoever waits for a job works at those that stand before it, too, and at no others.
    let mut more = Vec::new();
    for group in ["red", "blue", "blue"] {
        more.push(submit(&world, &in_group(group)).await.id);
    }
    let done = world.engine.imports().finish_import(more[2], "terminal").await.unwrap();
    assert_eq!(done.outcome, Some(JobOutcome::Complete));
    assert!(report(&world, more[1]).await.job.is_over());
    assert_eq!(report(&world, more[0]).await.job.state.as_str(), "waiting");
    world.end().await;
}

/// Another worker with connections of its own.
async fn colleague(world: &World) -> Engine {
    Engine {
        graph: graph(&world.simulator, world.clock.clone()),
        store: Store::connect(world.database_url(), &Schema::default(), 3)
            .await
            .unwrap(),
        ..world.engine.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_queue_and_do_nothing_twice() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let users = crowd(world.tenant(), 120);
    let mut jobs = BTreeSet::new();
    for number in 0..8 {
        let request = ImportRequest {
            batch_group: (number % 2 == 0).then(|| format!("group-{}", number % 3)),
            ..of(&users[number * 10..number * 10 + 50])
        };
        jobs.insert(submit(&world, &request).await.id);
    }
    let other = colleague(&world).await;
    let work = async |engine: &Engine, name: &str| {
        let mut taken = Vec::new();
        while let Some(job) = engine.imports().run_next_import(name).await.unwrap() {
            taken.push(job);
        }
        taken
    };
    let (mut taken, theirs) = tokio::join!(work(&world.engine, "one"), work(&other, "two"));
    taken.extend(theirs);
    // A group may have kept its next job from whoever came by last.
    taken.extend(work(&world.engine, "one").await);
    assert_eq!(taken.len(), 8, "{taken:?}");
    assert_eq!(taken.iter().copied().collect::<BTreeSet<_>>(), jobs);
    let mut created = 0;
    for job in jobs {
        let job = report(&world, job).await.job;
        assert_eq!((job.outcome, job.done()), (Some(JobOutcome::Complete), 50));
        created += job.created;
    }
    assert_eq!(created, 120);
    let made = made(&world).await;
    assert!(made.len() == 120 && made.values().all(|times| *times == 1));
    assert_eq!(world.number("select max(fence) from rollcall.import_job").await, 1);
    other.store.close().await;
    world.end().await;
}

#[tokio::test]
async fn a_job_is_kept_for_a_month_and_a_critical_one_for_good() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    import(&world, &of(&[ada])).await;
    let critical = ImportRequest {
        critical: true,
        ..of(&[ada])
    };
    let critical = import(&world, &critical).await.job.id;
    world.advance(Duration::from_hours(29 * 24));
    assert_eq!(world.engine.imports().purge_imports().await.unwrap(), 0);
    world.advance(Duration::from_hours(2 * 24));
    let open = submit(&world, &of(&[ada])).await.id;
    assert_eq!(world.engine.imports().purge_imports().await.unwrap(), 1);
    assert_eq!(listed(&world, OPERATOR).await, [open, critical]);
    assert_eq!(world.number("select count(*) from rollcall.import_item").await, 2);
    world.end().await;
}
