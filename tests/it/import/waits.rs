//! What an import waits for: a directory that is away, and the hour of a schedule.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use rollcall::simulator::{Effect, Fault, When};
use rollcall::sync::imports::{ImportRequest, JobFilter};
use uuid::Uuid;

use super::roles::with_roles;
use super::{ENV, OPERATOR, crowd, import, made, of, of_everybody, report, results, step, submit, summary, trial};
use crate::world::{World, licensed, open_environment};

/// The directory answers so many look-ups more, and none after them.
fn break_after(world: &World, requests: u64) {
    let when = When::path("/$batch").after(requests);
    world
        .simulator
        .faults()
        .push(Fault::forever(when, Effect::unavailable(None)));
}

#[tokio::test]
async fn while_the_directory_is_away_a_job_is_tried_again_with_growing_pauses_and_then_fails() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let users = crowd(world.tenant(), 2);
    let request = ImportRequest {
        max_retries: Some(2),
        ..of(&users)
    };
    let id = submit(&world, &request).await.id;
    break_after(&world, 0);
    for (attempt, pause) in [(1, 60), (2, 120)] {
        assert_eq!(step(&world).await, Some(id));
        let job = report(&world, id).await.job;
        assert_eq!((job.state.as_str(), job.attempts), ("waiting", attempt));
        let until = job.next_attempt_at.unwrap() - world.clock.now();
        assert_eq!((until + TimeDelta::milliseconds(1)).num_seconds(), pause);
        assert!(job.error.is_some());
        assert_eq!(step(&world).await, None);
        world.advance(until.to_std().unwrap());
    }
    assert_eq!(step(&world).await, Some(id));
    let failed = report(&world, id).await;
    assert_eq!(summary(&failed), ("failed", 0, 0, 0));
    assert!(failed.job.error.is_some() && failed.job.is_given_up());
    assert_eq!(step(&world).await, None);
    world.simulator.faults().clear();
    world.engine.imports().requeue_import(OPERATOR, id).await.unwrap();
    assert_eq!(step(&world).await, Some(id));
    assert_eq!(summary(&report(&world, id).await), ("complete", 2, 0, 0));
    world.end().await;
}

#[tokio::test]
async fn what_was_done_before_the_directory_went_away_stays_done() {
    let world = World::new(vec![with_roles()]).await;
    world.sync_completely().await;
    let users = crowd(world.tenant(), 150);
    let request = ImportRequest {
        max_retries: Some(0),
        roles: vec!["Reader".to_owned()],
        ..of(&users)
    };
    // A batch of a hundred users takes eleven requests.
    break_after(&world, 11);
    let failed = import(&world, &request).await;
    assert_eq!(summary(&failed), ("failed", 100, 0, 0));
    assert_eq!(failed.job.role_results.0[0].granted, 100, "who has a row has the role");
    assert_eq!(results(&world, failed.job.id).await[100..], ["waiting"; 50]);
    assert_eq!(world.rows(ENV).await.len(), 100);
    world.simulator.faults().clear();
    world
        .engine
        .imports()
        .requeue_import(OPERATOR, failed.job.id)
        .await
        .unwrap();
    step(&world).await;
    let complete = report(&world, failed.job.id).await;
    assert_eq!(summary(&complete), ("complete", 150, 0, 0));
    assert_eq!(complete.job.role_results.0[0].granted, 150);
    assert!(made(&world).await.values().all(|times| *times == 1));
    world.end().await;
}

#[tokio::test]
async fn one_user_about_whom_the_directory_says_nothing_is_refused_and_the_job_goes_on() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let users = crowd(world.tenant(), 3);
    let silent = users[1].to_string();
    let broken = Effect::rewrite(move |answer| {
        let responses = answer["responses"].as_array_mut().unwrap();
        for response in responses {
            if response["body"]["id"] == silent.as_str() {
                response["status"] = 403.into();
                response["body"] =
                    serde_json::json!({ "error": { "code": "Authorization_RequestDenied", "message": "" } });
            }
        }
    });
    world
        .simulator
        .faults()
        .push(Fault::forever(When::path("/$batch"), broken));
    let report = import(&world, &of(&users)).await;
    assert_eq!(
        results(&world, report.job.id).await,
        ["created", "directory_unavailable", "created"]
    );
    assert_eq!(summary(&report).0, "ended_with_refusals");
    world.end().await;
}

/// All jobs, oldest first: number, state, the job whose run it is.
async fn jobs(world: &World) -> Vec<(i64, String, Option<i64>)> {
    let filter = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    let jobs = world.engine.imports().import_jobs(OPERATOR, &filter).await.unwrap();
    let line = |job: rollcall::domain::import::Job| (job.id, job.state.to_string(), job.scheduled_by);
    jobs.into_iter().rev().map(line).collect()
}

#[tokio::test]
async fn a_scheduled_job_makes_a_run_at_each_due_time_and_one_for_all_it_missed() {
    let world = World::new(vec![trial()]).await;
    world.sync_completely().await;
    let request = ImportRequest {
        schedule: Some("30 2 * * *".to_owned()),
        batch_group: Some("nightly".to_owned()),
        ..of_everybody()
    };
    let scheduled = submit(&world, &request).await;
    let due = Utc.with_ymd_and_hms(2026, 3, 3, 2, 30, 0).unwrap();
    assert_eq!(scheduled.next_run_at, Some(due));
    assert!(scheduled.background);
    assert_eq!(step(&world).await, None);
    let at_night = async |hours: u64| {
        world.advance(Duration::from_hours(hours));
        crowd(world.tenant(), 1);
        world.sync_completely().await;
    };
    at_night(19).await;
    let first = step(&world).await.unwrap();
    assert_eq!(summary(&report(&world, first).await), ("complete", 1, 0, 0));
    assert_eq!(step(&world).await, None);
    at_night(24 * 4).await;
    let second = step(&world).await.unwrap();
    assert_eq!(summary(&report(&world, second).await), ("complete", 1, 0, 0));
    assert_eq!(step(&world).await, None, "four nights were missed and are made up once");
    let next = report(&world, scheduled.id).await.job.next_run_at.unwrap();
    assert_eq!(next, Utc.with_ymd_and_hms(2026, 3, 8, 2, 30, 0).unwrap());
    world
        .engine
        .imports()
        .cancel_import(OPERATOR, scheduled.id)
        .await
        .unwrap();
    at_night(24).await;
    assert_eq!(step(&world).await, None);
    world
        .engine
        .imports()
        .requeue_import(OPERATOR, scheduled.id)
        .await
        .unwrap();
    at_night(24).await;
    let third = step(&world).await.unwrap();
    let run = |id| (id, "ended".to_owned(), Some(scheduled.id));
    let template = (scheduled.id, "waiting".to_owned(), None);
    assert_eq!(jobs(&world).await, [template, run(first), run(second), run(third)]);
    world.end().await;
}

#[tokio::test]
async fn a_run_of_a_schedule_has_the_users_and_roles_selected_and_waits_for_the_one_before() {
    let world = World::new(vec![with_roles()]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let request = ImportRequest {
        schedule: Some("0 * * * *".to_owned()),
        max_retries: Some(5),
        roles: vec!["Reader".to_owned()],
        ..of(&[ada, Uuid::from_u128(0x6060)])
    };
    let scheduled = submit(&world, &request).await;
    break_after(&world, 0);
    world.advance(Duration::from_hours(1));
    let run = step(&world).await.unwrap();
    assert_eq!(report(&world, run).await.job.state.as_str(), "waiting");
    // The next hour comes while the run still waits for the directory: no second run piles up behind it.
    world
        .execute(
            "update rollcall.import_job set next_attempt_at = '2026-03-03 00:00+00' where scheduled_by is not null",
        )
        .await;
    world.advance(Duration::from_hours(2));
    assert_eq!(step(&world).await, None);
    assert_eq!(jobs(&world).await.len(), 2);
    world.simulator.faults().clear();
    world.advance(Duration::from_hours(24));
    assert_eq!(step(&world).await, Some(run));
    assert_eq!(results(&world, run).await, ["created", "user_not_found"]);
    let next = step(&world).await.unwrap();
    assert_eq!(results(&world, next).await, ["already_present", "user_not_found"]);
    let next = report(&world, next).await.job;
    assert_eq!(next.scheduled_by, Some(scheduled.id));
    assert_eq!((next.role_results.0.len(), next.role_results.0[0].granted), (1, 1));
    world.end().await;
}
