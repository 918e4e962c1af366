//! Security roles that a job grants to its users before it ends.

use rollcall::domain::environment::Environment;
use rollcall::sync::imports::ImportRequest;

use super::{ENV, OPERATOR, crowd, import, of, report, step, summary};
use crate::world::{World, open_environment};

/// An environment that has roles to grant.
pub fn with_roles() -> Environment {
    Environment {
        roles: vec!["Reader".to_owned(), "Writer".to_owned()],
        ..open_environment(ENV)
    }
}

/// A world, and an import of two users who are to get both roles.
async fn stage() -> (World, ImportRequest) {
    let world = World::new(vec![with_roles()]).await;
    let request = ImportRequest {
        roles: vec!["Reader".to_owned(), " Writer ".to_owned(), "Reader".to_owned()],
        background: true,
        ..of(&crowd(world.tenant(), 2))
    };
    (world, request)
}

/// How often each role was granted, by the change log.
async fn granted(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat(fields #>> '{role,1}', ' ', count(*), ' by ', actor) from rollcall.system_user_change
             where operation = 'grant' group by fields #>> '{role,1}', actor order by 1",
        )
        .await
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_grants_roles_stops_and_grants_the_rest_when_it_is_requeued() {
    let (world, request) = stage().await;
    world
        .execute(
            "create function public.cancel() returns trigger language plpgsql as
                 $$ begin update rollcall.import_job set cancelled_by = 'somebody'; return null; end $$;
             create trigger cancel after insert on rollcall.system_user_role for each row
                 execute function public.cancel()",
        )
        .await;
    let cancelled = import(&world, &request).await;
    assert_eq!(summary(&cancelled), ("cancelled", 2, 0, 0));
    assert_eq!(granted(&world).await, ["Reader 2 by helpdesk"]);
    world.execute("drop trigger cancel on rollcall.system_user_role").await;
    let id = cancelled.job.id;
    world.engine.imports().requeue_import(OPERATOR, id).await.unwrap();
    assert_eq!(step(&world).await, Some(id));
    let complete = report(&world, id).await;
    assert_eq!(summary(&complete), ("complete", 2, 0, 0));
    assert_eq!(complete.created_without_role, 0);
    let results = complete.job.role_results.0.iter();
    let results: Vec<_> = results.map(|one| (one.role.as_str(), one.granted)).collect();
    assert_eq!(results, [("Reader", 2), ("Writer", 2)]);
    assert_eq!(
        granted(&world).await,
        ["Reader 2 by helpdesk", "Writer 2 by helpdesk"],
        "nothing is granted twice"
    );
    world.end().await;
}

#[tokio::test]
async fn a_job_fails_where_the_environment_has_lost_its_role_and_says_so() {
    let (world, request) = stage().await;
    let id = super::submit(&world, &request).await.id;
    world
        .execute("update rollcall.import_job set roles = '{Reader, Emperor}'")
        .await;
    assert_eq!(step(&world).await, Some(id));
    let failed = report(&world, id).await;
    assert_eq!(summary(&failed), ("failed", 2, 0, 0));
    let problem = failed.job.error.unwrap();
    assert!(
        problem.contains("has no security role `Emperor`; it has Reader, Writer"),
        "{problem}"
    );
    world.execute("update rollcall.import_job set roles = '{Reader}'").await;
    world.engine.imports().requeue_import(OPERATOR, id).await.unwrap();
    assert_eq!(step(&world).await, Some(id));
    assert_eq!(summary(&report(&world, id).await), ("complete", 2, 0, 0));
    world.end().await;
}
