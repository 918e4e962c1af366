//! Section 7.4, and what is read on demand: the edge asks the simulated tenant itself, without a database.

use std::time::Duration;

use chrono::TimeDelta;
use rollcall::clock::Clock;
use rollcall::domain::feed::AdminRole;
use rollcall::graph::{Graph, GraphError};
use rollcall::simulator::tenant::GLOBAL_ADMINISTRATOR;
use rollcall::simulator::{Effect, Fault, RetryAfter, Settings, Simulator, When};
use uuid::Uuid;

use crate::world::graph;

const BATCH: &str = "/$batch";

struct Stage {
    simulator: Simulator,
    graph: Graph,
    clock: Clock,
    users: Vec<Uuid>,
    group: Uuid,
}

/// Thirty users; the first is a Global Administrator, and the first two are members of a group.
fn stage() -> Stage {
    let clock = Clock::simulated("2026-03-01T12:00:00Z".parse().unwrap());
    let simulator = Simulator::start(Settings {
        users: 30,
        clock: clock.clone(),
        ..Settings::default()
    })
    .unwrap();
    let tenant = simulator.tenant();
    let users = tenant.user_ids();
    let group = tenant.create_group("Gate");
    tenant.add_members(group, users[..2].iter().copied());
    tenant.assign_role(GLOBAL_ADMINISTRATOR, users[0], "/");
    Stage {
        graph: graph(&simulator, clock.clone()),
        simulator,
        clock,
        users,
        group,
    }
}

impl Stage {
    fn names(&self) -> Vec<String> {
        self.users.iter().map(Uuid::to_string).collect()
    }

    fn batches(&self) -> usize {
        let requests = self.simulator.requests();
        requests.iter().filter(|request| request.endpoint == BATCH).count()
    }

    fn break_with(&self, path: &str, times: u64, effect: Effect) {
        self.simulator
            .faults()
            .push(Fault::times(When::path(path), times, effect));
    }

    /// Everybody is found, with their groups, and so are the administrators.
    async fn assert_found(&self) {
        let found = self.graph.look_up(&self.names(), true, None).await.unwrap();
        assert_eq!(found.users.len(), self.users.len());
        for (at, (found, id)) in found.users.iter().zip(&self.users).enumerate() {
            let found = found.as_ref().unwrap();
            assert_eq!(found.user.value.as_ref().unwrap().id, *id);
            assert!(
                found
                    .user
                    .value
                    .as_ref()
                    .unwrap()
                    .usable_plans
                    .clone()
                    .value()
                    .is_some()
            );
            let groups: &[Uuid] = if at < 2 { &[self.group] } else { &[] };
            assert_eq!(found.groups.value.items, groups);
        }
        let [(role, assignment)] = &found.roles.unwrap().unwrap().value[..] else {
            panic!("one administrator is expected")
        };
        assert_eq!((*role, assignment.principal.id), (AdminRole::Global, self.users[0]));
    }
}

#[tokio::test]
async fn item_7_4_users_and_roles_come_in_as_few_requests_as_it_takes() {
    let stage = stage();
    stage.assert_found().await;
    assert_eq!((stage.batches(), stage.simulator.take_requests().len()), (4, 5));

    let upn = stage
        .simulator
        .tenant()
        .user(stage.users[0])
        .unwrap()
        .user_principal_name
        .unwrap();
    let nobody = [upn, "nobody@contoso.example".to_owned(), Uuid::nil().to_string()];
    let found = stage.graph.look_up(&nobody, true, None).await.unwrap();
    let [first, second, third] = &found.users[..] else {
        panic!("{found:?}")
    };
    assert_eq!(first.as_ref().unwrap().user.value.as_ref().unwrap().id, stage.users[0]);
    assert_eq!(
        first.as_ref().unwrap().groups.value.items,
        [stage.group],
        "a role is no group"
    );
    assert!(second.as_ref().unwrap().user.value.is_none() && third.as_ref().unwrap().user.value.is_none());
    assert_eq!(stage.simulator.requests().len(), 1);
}

#[tokio::test]
async fn item_7_4_parts_and_batches_that_fail_are_repeated() {
    let stage = stage();
    let throttled = || Effect::throttled(Some(RetryAfter::Seconds(5)));
    stage.break_with("/users/{id}/memberOf", 2, throttled());
    stage.break_with("/users/{id}", 1, Effect::error(424, "FailedDependency"));
    stage.break_with(BATCH, 1, throttled());
    stage.assert_found().await;
    assert_eq!(stage.simulator.faults().pending(), 0);

    stage.simulator.revoke_access_tokens();
    stage.assert_found().await;
    stage.break_with("/users/{id}", 1, Effect::unauthorized());
    stage.assert_found().await;
}

#[tokio::test]
async fn item_7_4_without_batches_everything_is_read_alone() {
    for status in [400, 403, 404, 405, 501] {
        let stage = stage();
        stage.break_with(BATCH, 4, Effect::error(status, "BadRequest"));
        stage.assert_found().await;
    }
}

#[tokio::test]
async fn item_7_4_many_groups_are_read_to_their_end() {
    let stage = stage();
    let tenant = stage.simulator.tenant();
    for number in 0..230 {
        tenant.add_member(tenant.create_group(&format!("Group {number}")), stage.users[0]);
    }
    let found = stage.graph.look_up(&stage.names()[..2], false, None).await.unwrap();
    assert_eq!(found.users[0].as_ref().unwrap().groups.value.items.len(), 231);
    assert_eq!(found.users[1].as_ref().unwrap().groups.value.items, [stage.group]);

    let stranger = Simulator::start(Settings::default()).unwrap();
    stage.break_with(
        "/users/{id}/memberOf",
        1,
        Effect::ForeignNextLink(stranger.root().to_owned()),
    );
    let found = stage.graph.look_up(&stage.names()[..1], false, None).await.unwrap();
    assert!(matches!(found.users[0], Err(GraphError::ForeignLink { .. })));
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn somebody_who_waits_is_not_kept_waiting() {
    let stage = stage();
    let began = stage.clock.now();
    let graph = stage.graph.for_someone_waiting();
    let _ = stage.simulator.take_requests();
    stage.break_with(BATCH, 9, Effect::throttled(Some(RetryAfter::Seconds(4))));
    let error = graph.look_up(&stage.names()[..1], true, None).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(4)));
    assert_eq!(stage.clock.now() - began, TimeDelta::seconds(8));
    let batches = stage.simulator.requests();
    let batches: Vec<_> = batches.iter().filter(|request| request.endpoint == BATCH).collect();
    assert_eq!(batches.len(), 3);
    assert!(
        batches
            .iter()
            .all(|request| request.priority.as_deref() == Some("normal"))
    );
}

#[tokio::test]
async fn deleted_users_and_applications_are_read_by_their_id() {
    let stage = stage();
    let (deleted, live) = (stage.users[3], stage.users[4]);
    stage.simulator.tenant().soft_delete(deleted);
    for listed in [false, true] {
        if listed {
            stage.break_with("/directory/deletedItems/{id}", 2, Effect::error(501, "NotImplemented"));
        }
        let found = stage.graph.deleted_user(deleted).await.unwrap().unwrap();
        assert_eq!(found.id, deleted);
        assert_eq!(found.deleted_at, Some(stage.clock.now()));
        assert_eq!(stage.graph.deleted_user(live).await.unwrap(), None);
    }

    let (object_id, app_id) = stage.simulator.tenant().add_service_principal("Billing");
    let error = stage.graph.service_principal(app_id).await.unwrap_err();
    assert!(error.remedy().unwrap().contains("Application.Read.All"));
    stage.simulator.configure(|settings| {
        settings.permissions.insert("Application.Read.All".to_owned());
    });
    let found = stage.graph.service_principal(app_id).await.unwrap().unwrap();
    assert_eq!((found.object_id, found.app_id), (object_id, app_id));
    assert_eq!(found.display_name.as_deref(), Some("Billing"));
    assert_eq!(stage.graph.service_principal(live).await.unwrap(), None);
}

#[tokio::test]
async fn owners_come_with_the_users_and_groups_are_asked_what_they_are_in() {
    let stage = stage();
    let tenant = stage.simulator.tenant();
    tenant.add_owner(stage.group, stage.users[5]);
    let _ = stage.simulator.take_requests();
    let found = stage
        .graph
        .look_up(&stage.names()[..1], true, Some(stage.group))
        .await
        .unwrap();
    let owners = found.owners.unwrap().unwrap().value;
    assert_eq!(
        owners.items.iter().map(|owner| owner.id).collect::<Vec<_>>(),
        [stage.users[5]]
    );
    assert_eq!(stage.batches(), 1);
    let unknown = stage.graph.look_up(&stage.names()[..1], true, Some(Uuid::nil())).await;
    assert!(matches!(
        unknown.unwrap().owners,
        Some(Err(GraphError::NotFound { .. }))
    ));

    let mut groups = vec![stage.group, Uuid::nil()];
    for number in 0..40 {
        let outer = tenant.create_group(&format!("Outer {number}"));
        tenant.add_member(outer, stage.group);
        groups.push(outer);
    }
    tenant.assign_role(GLOBAL_ADMINISTRATOR, stage.group, "/");
    let _ = stage.simulator.take_requests();
    let found = stage.graph.groups_of_groups(&groups).await.unwrap();
    assert_eq!(stage.batches(), 3);
    assert_eq!(
        found[0].as_ref().unwrap().value.items,
        groups[2..],
        "a role is no group"
    );
    assert!(matches!(found[1], Err(GraphError::NotFound { .. })));
    assert!(
        found[2..]
            .iter()
            .all(|group| group.as_ref().unwrap().value.items.is_empty())
    );
}
