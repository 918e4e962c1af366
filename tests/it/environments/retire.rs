//! Taking leave of an environment (rules.md, section 11): `rollcall environment retire`.

use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, Profile};
use rollcall::store::serving;
use rollcall::sync::guard::retire::Retired;
use rollcall::sync::{Failure, GuardError, RunOutcome};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{LAB, STAYS, reload};
use crate::binary::Installation;
use crate::daemon::Daemon;
use crate::guard::{limits, without_marketing};
use crate::world::{World, licensed, open_environment};

/// Users with rows in both environments, of which one has gone since.
async fn left(users: usize) -> (World, Vec<Uuid>) {
    let both = vec![open_environment(STAYS), open_environment(LAB)];
    let mut world = World::with(both, SimulatorSettings::default(), limits(1, 100.0)).await;
    without_marketing(world.tenant());
    let users = (0..users)
        .map(|number| licensed(world.tenant(), "User", &number.to_string()))
        .collect();
    world.sync_completely().await;
    reload(&mut world, vec![open_environment(STAYS)]);
    (world, users)
}

fn come_back(world: &mut World) {
    reload(world, vec![open_environment(STAYS), open_environment(LAB)]);
}

/// How many rows of an environment have each reason and whoever disabled them.
async fn states(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat_ws(' ', count(*), disabledreason, disabled_by) from rollcall.system_user
             where environment = 'lab' and azureactivedirectoryobjectid is not null
             group by disabledreason, disabled_by order by disabledreason nulls first",
        )
        .await
}

async fn retire(world: &World) -> Result<Retired, GuardError> {
    world.engine.guard().retire(LAB, "grace", false, |_| {}).await
}

#[tokio::test]
async fn every_row_is_disabled_outside_the_guard_and_the_refusals_and_comes_back_if_it_is_entitled() {
    let (mut world, users) = left(8).await;
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, users[0], "/");
    world.sync_completely().await;
    world
        .execute(
            "update rollcall.system_user set accessmode = 4 where environment = 'lab' and lastname = '1';
             update rollcall.system_user set isdisabled = true where environment = 'lab' and lastname = '2';
             insert into rollcall.system_user_role (environment, systemuserid, role)
             select environment, systemuserid, 'System Administrator' from rollcall.system_user
             where environment = 'lab' and lastname = '0'",
        )
        .await;
    let by_hand = world.strings("select session_user::text").await.pop().unwrap();
    assert_eq!(
        retire(&world).await.unwrap(),
        Retired {
            disabled: 7,
            refused: 0
        }
    );
    assert_eq!(
        states(&world).await,
        [
            format!("1 disabled_by_hand {by_hand}"),
            "7 environment_retired grace".to_owned()
        ]
    );
    let lines = world
        .strings(
            "select distinct concat_ws(' ', operation, reason, actor, by_rule, fields -> 'isdisabled', run_id)
             from rollcall.system_user_change where environment = 'lab' and reason is not null",
        )
        .await;
    assert_eq!(lines, ["disable environment_retired grace f [false, true]"]);
    let placeholders = "select count(*) from rollcall.system_user where environment = 'lab' and not isdisabled";
    assert_eq!(world.number(placeholders).await, 2, "nobody's to edit");
    let taken = "select non_interactive_taken::bigint from rollcall.environment_quota where environment = 'lab'";
    assert_eq!(world.number(taken).await, 0);
    let counted = "select (select enabled_rows from rollcall.environment where name = 'lab')
        + (select coalesce(sum(delta), 0) from rollcall.enabled_delta where environment = 'lab')::bigint";
    assert_eq!(world.number(counted).await, 0, "the guard's count is kept");
    let report = world.sync_completely().await;
    assert!(report.left_over.is_empty(), "nobody names it any more");

    // It comes back, and one of them has lost what entitled it.
    world.tenant().give_profile(users[3], Profile::Unlicensed);
    come_back(&mut world);
    let report = world.sync().await;
    assert_eq!(
        (report.outcome, report.environments[1].enabled),
        (RunOutcome::Complete, 6),
        "{report:?}"
    );
    assert_eq!(
        states(&world).await,
        [
            "6".to_owned(),
            format!("1 disabled_by_hand {by_hand}"),
            "1 unlicensed sync".to_owned()
        ]
    );
    world.tenant().give_profile(users[3], Profile::E5PowerApps);
    assert_eq!(world.sync_completely().await.environments[1].enabled, 1);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn keep_only_closes_it_and_it_starts_whole_when_it_comes_back() {
    let (mut world, users) = left(3).await;
    world.engine.guard().retire(LAB, "grace", true, |_| {}).await.unwrap();
    assert_eq!(states(&world).await, ["3"]);
    world
        .tenant()
        .update_user(users[0], |user| user.account_enabled = Some(false));
    assert!(world.sync_completely().await.left_over.is_empty());
    assert!(world.findings().await.is_empty());
    come_back(&mut world);
    world.sync_completely().await;
    assert_eq!(states(&world).await, ["2", "1 directory_account_disabled sync"]);
    world.end().await;
}

#[tokio::test]
async fn it_is_refused_while_it_is_configured_or_served_and_a_process_that_is_gone_is_forgotten() {
    let (mut world, _) = left(3).await;
    let serve = async |environments: &[&str]| {
        let environments: Vec<String> = environments.iter().map(|&name| name.to_owned()).collect();
        let mut db = world.engine.store.read().await.unwrap();
        serving::announce(&mut db, "elsewhere:1", &environments).await.unwrap();
    };
    let served = |result: Result<Retired, GuardError>| match result {
        Err(GuardError::EnvironmentInUse { served_by, .. }) => served_by,
        other => panic!("{other:?}"),
    };
    serve(&[STAYS, LAB]).await;
    assert_eq!(served(retire(&world).await).as_deref(), Some("elsewhere:1"));
    // It says itself that it serves it no more, or has not been heard of for a while.
    serve(&[STAYS]).await;
    assert_eq!(world.engine.guard().leaving(LAB).await.unwrap().enabled, 3);
    serve(&[LAB]).await;
    world
        .execute("update rollcall.serving set expires_at = expires_at - interval '31 s'")
        .await;
    assert_eq!(retire(&world).await.unwrap().disabled, 3);
    come_back(&mut world);
    assert_eq!(served(retire(&world).await), None, "the configuration has it");
    let unknown = world.engine.guard().retire("mars", "grace", false, |_| {}).await;
    assert!(matches!(unknown, Err(GuardError::UnknownEnvironment(_))));
    world.end().await;
}

#[tokio::test]
async fn one_that_is_broken_off_goes_on_and_a_row_that_is_refused_keeps_nobody_else() {
    let (mut world, _) = left(9).await;
    world.configure(|settings| settings.max_batch = 2);
    let cancel = world.engine.cancel.clone();
    let guard = world.engine.guard();
    let broken_off = guard.retire(LAB, "grace", false, |done| {
        if done == 4 {
            cancel.cancel();
        }
    });
    assert!(matches!(broken_off.await, Err(GuardError::Failed(Failure::Cancelled))));
    assert_eq!(states(&world).await, ["5", "4 environment_retired grace"]);
    world.engine.cancel = tokio_util::sync::CancellationToken::new();
    world
        .execute(
            "create function public.keep() returns trigger language plpgsql as $$
             declare last uuid := (select max(systemuserid::text)::uuid from rollcall.system_user where environment = 'lab'
                                   and azureactivedirectoryobjectid is not null);
             begin
                 if new.isdisabled and new.systemuserid = last then raise exception 'this one stays'; end if;
                 return new;
             end $$;
             create trigger keep before update on rollcall.system_user for each row execute function public.keep()",
        )
        .await;
    assert_eq!(
        retire(&world).await.unwrap(),
        Retired {
            disabled: 4,
            refused: 1
        }
    );
    assert_eq!(
        world.sync_completely().await.left_over[0].enabled,
        1,
        "it is not left yet"
    );
    world.execute("drop trigger keep on rollcall.system_user").await;
    assert_eq!(
        retire(&world).await.unwrap(),
        Retired {
            disabled: 1,
            refused: 0
        }
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_the_counts_wants_yes_and_is_refused_with_6_while_a_daemon_serves_it() {
    let (world, _) = left(3).await;
    let production = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
    let lab = "\n[[environment]]\nname = \"lab\"\nkind = \"sandbox\"\n";
    let with_lab = Installation::new(&world.simulator, world.database_url(), &format!("{production}{lab}"));
    let without = Installation::new(&world.simulator, world.database_url(), production);
    let said = with_lab.run("environment retire lab --yes").await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.one_line().ends_with("(environment_configured)"), "{said:?}");
    crate::world::hand_over(&world.engine, &world.lease).await;
    let daemon = Daemon::start(&with_lab);
    daemon.becomes_ready().await;
    let said = without.run("environment retire lab --yes").await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.one_line().ends_with("(environment_served)"), "{said:?}");
    daemon.stop().await;

    let said = without.run("environment retire mars --yes").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let said = without.run("environment retire lab").await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stdout
            .starts_with("lab has 3 enabled rows, 0 disabled ones, and 0 whose removal is held."),
        "{said:?}"
    );
    assert!(said.stderr.contains("--yes"), "{said:?}");
    assert_eq!(states(&world).await, ["3"]);
    let said = without.run("environment retire lab --yes --output json").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.json(),
        json!({"environment": "lab", "enabled": 3, "held": 0, "disabled": 3, "refused": 0, "kept": false, "retired": true})
    );
    assert_eq!(states(&world).await, ["3 environment_retired tester"]);
    let listed: Value = without.run("environment list --output json").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    world.end().await;
}
