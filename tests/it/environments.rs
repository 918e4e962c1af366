//! Environments come and go (rules.md, section 11; case env-1): one that missed changes is judged whole when it is back.
//! `play` does the same at random, `left_over` shows what is said of one that stays away and `retire` its end.

mod left_over;
mod play;
mod retire;

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::domain::schema::Schema;
use rollcall::domain::system_user::SystemUser;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, Profile, Tenant, TokenDeath, User};
use rollcall::store::Store;
use rollcall::sync::cycle::Request;
use rollcall::sync::desk::Ask;
use rollcall::sync::{Engine, RunOutcome};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment, settings};

pub const STAYS: &str = "production";
pub const LAB: &str = "lab";

/// The group that lets people into the lab, and one within it.
const GATE: Uuid = Uuid::from_u128(0x6a7e);
const INNER: Uuid = Uuid::from_u128(0x1aae);

/// The lab behind its group, which counts nested members.
fn lab() -> Environment {
    Environment {
        group_nesting: GroupNesting::Full,
        ..guarded_environment(LAB, GATE)
    }
}

/// Gives an engine other environments, as a reload does.
pub fn reload(world: &mut World, environments: Vec<Environment>) {
    world.configure(|settings| {
        settings.environments = environments
            .into_iter()
            .map(|environment| (environment, String::new()))
            .collect();
    });
}

/// What a row says to whoever reads it, apart from its key and its times.
fn told(row: SystemUser) -> String {
    let SystemUser {
        azuredeletedon,
        createdon: _,
        modifiedon: _,
        systemuserid: _,
        ..
    } = row.clone();
    format!(
        "{:?}",
        SystemUser {
            environment: String::new(),
            systemuserid: Uuid::nil(),
            azuredeletedon: azuredeletedon.map(|_| crate::world::start()),
            createdon: crate::world::start(),
            modifiedon: crate::world::start(),
            ..row
        }
    )
}

pub async fn table(world: &World, environment: &str) -> BTreeMap<Uuid, String> {
    let rows = world.rows(environment).await;
    rows.into_iter().map(|(id, row)| (id, told(row))).collect()
}

/// A tenant of which the lab misses something of every kind, an engine that has the lab now and then, and one beside it
/// that has it all along.
struct Stage {
    world: World,
    reference: World,
    people: Vec<Uuid>,
}

impl Stage {
    async fn new() -> Self {
        let environments = vec![open_environment(STAYS), lab()];
        let world = World::with(environments, SimulatorSettings::default(), NO_LIMITS).await;
        let tenant = world.tenant();
        without_marketing(tenant);
        tenant.create_group_with_id(GATE, "Lab");
        tenant.create_group_with_id(INNER, "Lab, guests");
        let people: Vec<Uuid> = (0..12)
            .map(|number| licensed(tenant, "User", &format!("Number {number}")))
            .collect();
        tenant.add_members(GATE, people[..10].iter().copied());
        tenant.add_members(GATE, [INNER]);
        tenant.add_members(INNER, people[10..].iter().copied());
        tenant.assign_role(GLOBAL_ADMINISTRATOR, people[11], "/");
        let reference = world.beside().await;
        world.sync_completely().await;
        reference.sync_completely().await;
        assert_eq!(world.rows(LAB).await.len(), 12);
        Self {
            world,
            reference,
            people,
        }
    }

    fn tenant(&self) -> &Arc<Tenant> {
        self.world.tenant()
    }

    /// Both engines run; the one beside has the lab.
    async fn sync(&self) {
        self.world.sync_completely().await;
        self.reference.sync_completely().await;
    }

    /// What happens while the lab is away, in two cycles.
    async fn miss_everything(&self) {
        let (tenant, people) = (self.tenant(), &self.people);
        tenant.update_user(people[1], |user| user.account_enabled = Some(false));
        tenant.give_profile(people[2], Profile::Unlicensed);
        tenant.soft_delete(people[3]);
        tenant.update_user(people[4], |user| {
            user.user_principal_name = Some("married@contoso.example".to_owned());
            user.surname = Some("Married".to_owned());
        });
        tenant.remove_member(GATE, people[5]);
        tenant.remove_member(INNER, people[10]);
        tenant.soft_delete(people[6]);
        self.sync().await;
        let hired = licensed(tenant, "Hired", "Nine");
        tenant.add_member(GATE, hired);
        tenant.purge(people[3]);
        tenant.restore(people[6]);
        tenant.unassign_role(GLOBAL_ADMINISTRATOR, people[11]);
        tenant.assign_role(GLOBAL_ADMINISTRATOR, people[7], "/");
        tenant.give_profile(people[7], Profile::Unlicensed);
        self.sync().await;
    }

    async fn assert_caught_up(&self, name: &str) {
        let (found, expected) = (table(&self.world, name).await, table(&self.reference, LAB).await);
        for (id, row) in &expected {
            assert_eq!(found.get(id), Some(row), "{id}");
        }
        assert_eq!(found.len(), expected.len());
        let disabled = self.world.rows(name).await.into_values().filter(|row| row.isdisabled);
        assert_eq!(disabled.count(), 5, "the play is not an empty one");
        self.world.assert_settled().await;
    }

    async fn end(self) {
        self.reference.engine.store.close().await;
        self.world.end().await;
        self.reference.end().await;
    }
}

#[tokio::test]
async fn env_1_an_environment_that_comes_back_with_a_reload_is_as_if_it_had_never_left() {
    let mut stage = Stage::new().await;
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    stage.miss_everything().await;
    let meanwhile = stage.world.rows(LAB).await;
    assert!(meanwhile.values().all(|row| !row.isdisabled), "nobody looks after it");
    reload(&mut stage.world, vec![open_environment(STAYS), lab()]);
    stage.sync().await;
    stage.assert_caught_up(LAB).await;
    stage.end().await;
}

#[tokio::test]
async fn env_1_an_environment_that_comes_back_with_a_restart_is_as_if_it_had_never_left() {
    let mut stage = Stage::new().await;
    for environments in [vec![open_environment(STAYS)], vec![lab(), open_environment(STAYS)]] {
        let store = Store::connect(stage.world.database_url(), &Schema::default(), 5)
            .await
            .unwrap();
        let old = stage.world.engine.clone();
        stage.world.engine = Engine {
            store,
            settings: Arc::new(settings(environments.clone(), NO_LIMITS)),
            cancel: CancellationToken::new(),
            memory: Arc::default(),
            ..old.clone()
        };
        old.store.close().await;
        if environments.len() == 1 {
            stage.miss_everything().await;
        }
    }
    stage.sync().await;
    stage.assert_caught_up(LAB).await;
    stage.end().await;
}

#[tokio::test]
async fn env_1_two_engines_with_other_configurations_tell_each_other_what_they_miss() {
    let mut stage = Stage::new().await;
    let with_lab = stage.world.engine.clone();
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    stage.miss_everything().await;
    // The other has been there all the time, and leads now.
    stage.world.engine = Engine {
        settings: Arc::new(settings(vec![lab()], NO_LIMITS)),
        ..with_lab
    };
    stage
        .tenant()
        .update_user(stage.people[8], |user| user.city = Some("Oslo".to_owned()));
    stage.sync().await;
    stage.assert_caught_up(LAB).await;
    // And the first has not been told of what the second pulled.
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    stage.world.sync_completely().await;
    assert_eq!(table(&stage.world, STAYS).await, table(&stage.reference, STAYS).await);
    stage.end().await;
}

#[tokio::test]
async fn env_1_an_environment_that_was_not_chosen_catches_up_when_it_is() {
    let stage = Stage::new().await;
    let only = |name: &str| Request {
        environments: vec![name.to_owned()],
        ..Request::default()
    };
    let (tenant, people) = (stage.tenant(), &stage.people);
    for user in &people[..4] {
        tenant.update_user(*user, |user| user.account_enabled = Some(false));
        stage.world.run(only(STAYS)).await.unwrap();
    }
    tenant.remove_member(GATE, people[5]);
    stage.world.run(only(STAYS)).await.unwrap();
    stage.world.run(only(LAB)).await.unwrap();
    stage.reference.sync_completely().await;
    assert_eq!(table(&stage.world, LAB).await, table(&stage.reference, LAB).await);
    stage.end().await;
}

#[tokio::test]
async fn env_1_a_renamed_environment_starts_whole_and_leaves_the_rows_of_the_old_name() {
    let mut stage = Stage::new().await;
    let before = table(&stage.world, LAB).await;
    reload(
        &mut stage.world,
        vec![
            open_environment(STAYS),
            Environment {
                name: "laboratory".to_owned(),
                ..lab()
            },
        ],
    );
    stage
        .tenant()
        .update_user(stage.people[1], |user| user.account_enabled = Some(false));
    let report = stage.world.sync_completely().await;
    assert_eq!(report.environments[1].created, 11);
    assert_eq!(table(&stage.world, LAB).await, before);
    let left: Vec<(&str, i64)> = report
        .left_over
        .iter()
        .map(|left| (left.environment.as_str(), left.enabled))
        .collect();
    assert_eq!(left, [(LAB, 12)]);
    // Its old name is given back to it.
    reload(&mut stage.world, vec![open_environment(STAYS), lab()]);
    stage.sync().await;
    assert_eq!(table(&stage.world, LAB).await, table(&stage.reference, LAB).await);
    stage.end().await;
}

#[tokio::test]
async fn env_1_links_that_have_died_meanwhile_and_a_round_begun_elsewhere_lose_nobody() {
    let mut stage = Stage::new().await;
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    stage.miss_everything().await;
    stage.tenant().expire_tokens(TokenDeath::Gone);
    stage
        .world
        .run(Request {
            full: true,
            ..Request::default()
        })
        .await
        .unwrap();
    reload(&mut stage.world, vec![open_environment(STAYS), lab()]);
    stage.sync().await;
    stage.assert_caught_up(LAB).await;
    stage.end().await;
}

#[tokio::test]
async fn env_1_what_was_heard_on_demand_reaches_environments_of_other_processes() {
    let stage = Stage::new().await;
    let elsewhere = Engine {
        settings: Arc::new(settings(vec![open_environment(STAYS)], NO_LIMITS)),
        ..stage.world.engine.clone()
    };
    let (tenant, people) = (stage.tenant(), &stage.people);
    tenant.update_user(people[1], |user| user.account_enabled = Some(false));
    tenant.soft_delete(people[2]);
    tenant.purge(people[2]);
    for user in &people[1..3] {
        let user = user.to_string();
        let ask = Ask {
            environment: STAYS,
            user: &user,
            actor: "test",
        };
        let _ = elsewhere.desk().refresh(ask).await;
    }
    assert!(stage.world.row(STAYS, people[1]).await.unwrap().isdisabled);
    // The engine that leads hears of them as of nothing new.
    stage.sync().await;
    assert_eq!(table(&stage.world, LAB).await, table(&stage.reference, LAB).await);
    stage.end().await;
}

#[tokio::test]
async fn who_is_pending_in_an_environment_that_is_away_is_forgotten_and_judged_with_everybody() {
    let mut stage = Stage::new().await;
    let waiting = "select count(*) from rollcall.pending where environment = 'lab'";
    let epoch = "select epoch - judged_epoch from rollcall.environment where name = 'lab'";
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    for number in 0..3 {
        stage.tenant().add_user(User::named("Visitor", &number.to_string()));
        stage
            .world
            .execute(
                "update rollcall.system_user set jobtitle = coalesce(jobtitle, '') || 'x'
                 where environment = 'lab'",
            )
            .await;
        assert!(stage.world.number(waiting).await > 0);
        stage.world.sync_completely().await;
        assert_eq!(stage.world.number(waiting).await, 0);
        assert_eq!(stage.world.number(epoch).await, 1, "it is asked for once");
    }
    reload(&mut stage.world, vec![open_environment(STAYS), lab()]);
    stage.sync().await;
    assert_eq!(table(&stage.world, LAB).await, table(&stage.reference, LAB).await);
    stage.end().await;
}

#[tokio::test]
async fn an_environment_that_left_in_the_middle_of_a_walk_is_walked_from_its_beginning() {
    let mut stage = Stage::new().await;
    stage
        .world
        .execute(
            "update rollcall.environment set epoch = epoch + 1, walk_epoch = epoch + 1,
                 walk_after = 'ffffffff-0000-0000-0000-000000000000' where name = 'lab'",
        )
        .await;
    reload(&mut stage.world, vec![open_environment(STAYS)]);
    stage.miss_everything().await;
    reload(&mut stage.world, vec![open_environment(STAYS), lab()]);
    stage.sync().await;
    stage.assert_caught_up(LAB).await;
    stage.end().await;
}

#[tokio::test]
async fn a_doubt_reaches_an_environment_that_was_away_or_not_chosen_when_it_came_up() {
    for chosen in [false, true] {
        let mut stage = Stage::new().await;
        // Both are let in by one group, whose listing comes back empty.
        let both = || vec![guarded_environment(STAYS, GATE), lab()];
        reload(&mut stage.world, both());
        stage.world.sync_completely().await;
        let others = Request {
            environments: if chosen { vec![STAYS.to_owned()] } else { Vec::new() },
            ..Request::default()
        };
        if !chosen {
            reload(&mut stage.world, vec![guarded_environment(STAYS, GATE)]);
        }
        for user in &stage.people[..10] {
            stage.tenant().remove_member(GATE, *user);
        }
        stage.tenant().remove_member(GATE, INNER);
        stage.tenant().expire_tokens(TokenDeath::Gone);
        let report = stage.world.run(others.clone()).await.unwrap();
        // All but the administrator.
        assert_eq!(
            (report.outcome, report.environments[0].held),
            (RunOutcome::Incomplete, 10)
        );
        let report = stage.world.run(others).await.unwrap();
        assert_eq!(
            report.outcome,
            RunOutcome::Complete,
            "it has been judged by: {:?}",
            report.problems
        );

        reload(&mut stage.world, both());
        let report = stage.world.sync().await;
        assert_eq!(report.outcome, RunOutcome::Incomplete, "{:?}", report.problems);
        let counts = &report.environments[1];
        assert_eq!((counts.held, counts.disabled), (11, 0), "chosen: {chosen}");
        stage.world.sync_completely().await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_doubt_is_over_for_everybody_once_the_source_is_beyond_doubt() {
    let mut stage = Stage::new().await;
    let both = || vec![guarded_environment(STAYS, GATE), lab()];
    reload(&mut stage.world, both());
    stage.world.sync_completely().await;
    reload(&mut stage.world, vec![guarded_environment(STAYS, GATE)]);
    for user in &stage.people[..10] {
        stage.tenant().remove_member(GATE, *user);
    }
    stage.tenant().remove_member(GATE, INNER);
    stage.tenant().expire_tokens(TokenDeath::Gone);
    stage.world.sync().await;
    stage.tenant().add_members(GATE, stage.people[..9].iter().copied());
    stage.world.sync().await;
    reload(&mut stage.world, both());
    let report = stage.world.sync_completely().await;
    assert_eq!(report.environments[1].disabled, 2, "whoever really left");
    stage.end().await;
}
