//! At most seven enabled non-interactive users (rules.md, section 6), whoever writes: the program, several at once,
//! plain SQL.

use rollcall::domain::environment::Environment;
use serde_json::json;
use uuid::Uuid;

use super::{ENV, ask_by, edit, refusal, row, said, stage, stage_of, state, word};
use crate::guard::{allow, block};
use crate::world::{World, licensed, open_environment};

/// Non-interactive users who take every slot under a cap.
pub async fn full_house(cap: u32) -> (World, Vec<Uuid>) {
    let environment = Environment {
        non_interactive_cap: cap,
        ..open_environment(ENV)
    };
    let world = stage_of(environment).await;
    let robots: Vec<Uuid> = (0..cap)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    for robot in &robots {
        assert_eq!(said(&edit(&world, robot, json!({"accessmode": 4})).await), "updated");
    }
    (world, robots)
}

pub async fn taken(world: &World) -> (i64, i64) {
    let counted = world
        .number("select non_interactive_taken::bigint from rollcall.environment_quota where environment = 'production'")
        .await;
    let rows = world
        .number(
            "select count(*) from rollcall.system_user
             where accessmode = 4 and not isdisabled and applicationid is null",
        )
        .await;
    (counted, rows)
}

/// What the database says to another program.
async fn sql_error(world: &World, statement: String) -> String {
    let mut db = world.sql().await;
    match sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut db).await {
        Ok(_) => "done".to_owned(),
        Err(sqlx::Error::Database(error)) => error.constraint().unwrap_or("?").to_owned(),
        Err(error) => panic!("{error}"),
    }
}

const CAP: &str = "system_user_non_interactive_cap";

#[tokio::test]
async fn the_eighth_is_refused_and_told_who_the_seven_are() {
    let (world, robots) = full_house(7).await;
    let eighth = licensed(world.tenant(), "Robot", "Eighth");
    assert_eq!(word(&world, "admin_add", eighth).await, "created");
    let refused = refusal(edit(&world, eighth, json!({"accessmode": 4, "company": "Contoso"})).await);
    assert_eq!(refused.code.as_str(), "non_interactive_cap");
    for number in 0..7 {
        let name = format!("robot.{number}@contoso.example");
        assert!(refused.detail.contains(&name), "{}", refused.detail);
    }
    let unchanged = row(&world, eighth).await;
    assert_eq!((unchanged.accessmode, unchanged.company), (0, None), "all or nothing");
    // Who is one of the seven stays one.
    assert_eq!(
        said(&edit(&world, robots[0], json!({"accessmode": 4})).await),
        "unchanged"
    );
    // One leaves, by mode or by being disabled, and the next comes in.
    assert_eq!(
        said(&edit(&world, robots[0], json!({"accessmode": 0})).await),
        "updated"
    );
    assert_eq!(said(&edit(&world, eighth, json!({"accessmode": 4})).await), "updated");
    assert_eq!(taken(&world).await, (7, 7));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn every_enable_needs_a_slot_and_the_refusal_names_who_has_them() {
    let (world, robots) = full_house(7).await;
    assert_eq!(word(&world, "disable", robots[0]).await, "disabled");
    let late = licensed(world.tenant(), "Late", "Robot");
    assert_eq!(word(&world, "admin_add", late).await, "created");
    assert_eq!(said(&edit(&world, late, json!({"accessmode": 4})).await), "updated");
    for way in ["access by a program", "api", "admin_add", "enable"] {
        let refused = refusal(ask_by(&world, way, robots[0]).await);
        assert_eq!(refused.code.as_str(), "non_interactive_cap", "{way}");
        for name in ["late.robot@contoso.example", "robot.6@contoso.example"] {
            assert!(refused.detail.contains(name), "{way}: {}", refused.detail);
        }
        assert!(!refused.detail.contains("robot.0@"), "{}", refused.detail);
    }
    assert_eq!(word(&world, "refresh", robots[0]).await, "unchanged");
    assert_eq!(state(&world, robots[0]).await, "disabled_by_hand by helpdesk");
    assert_eq!(word(&world, "disable", late).await, "disabled");
    assert_eq!(word(&world, "enable", robots[0]).await, "enabled");
    assert_eq!(taken(&world).await, (7, 7));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_non_interactive_user_needs_no_licence_and_has_no_web_access() {
    let (world, robots) = full_house(2).await;
    let robot = robots[0];
    super::entitle(&world, robot, "none");
    assert_eq!(word(&world, "access", robot).await, "non_interactive");
    for way in ["access by a program", "api", "admin_add", "import", "refresh"] {
        let said = word(&world, way, robot).await;
        assert!(said == "unchanged" || said == "updated", "{way}: {said}");
    }
    assert_eq!(state(&world, robot).await, "enabled");
    assert_eq!(row(&world, robot).await.accessmode, 4);
    // Disabled by the sync, it comes back in the same ways, and not through the web.
    block(&world, &[robot]);
    world.sync_completely().await;
    allow(&world, &[robot]);
    assert_eq!(word(&world, "access", robot).await, "non_interactive");
    assert_eq!(state(&world, robot).await, "directory_account_disabled by sync");
    assert_eq!(word(&world, "access by a program", robot).await, "enabled");
    // A non-interactive user whom the sync has disabled and the background finds a slot for.
    block(&world, &[robot]);
    world.sync_completely().await;
    allow(&world, &[robot]);
    world.sync_completely().await;
    assert_eq!(state(&world, robot).await, "enabled");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_database_itself_refuses_the_eighth() {
    let (world, robots) = full_house(7).await;
    let eighth = licensed(world.tenant(), "Robot", "Eighth");
    assert_eq!(word(&world, "admin_add", eighth).await, "created");
    let by_mode =
        format!("update rollcall.system_user set accessmode = 4 where azureactivedirectoryobjectid = '{eighth}'");
    assert_eq!(sql_error(&world, by_mode.clone()).await, CAP);
    let insert = "insert into rollcall.system_user (environment, systemuserid, accessmode)
                  values ('production', gen_random_uuid(), 4)";
    assert_eq!(sql_error(&world, insert.to_owned()).await, CAP);
    // While it is disabled it takes nothing; enabling it does.
    assert_eq!(word(&world, "disable", eighth).await, "disabled");
    assert_eq!(sql_error(&world, by_mode).await, "done");
    let enable =
        format!("update rollcall.system_user set isdisabled = false where azureactivedirectoryobjectid = '{eighth}'");
    assert_eq!(sql_error(&world, enable.clone()).await, CAP);
    // Two of which one leaves and one comes, in one statement.
    let swap = format!(
        "update rollcall.system_user set isdisabled = azureactivedirectoryobjectid = '{}'
         where azureactivedirectoryobjectid in ('{}', '{eighth}')",
        robots[0], robots[0]
    );
    let swapped = sql_error(&world, swap).await;
    assert!(swapped == "done" || swapped == CAP, "{swapped}");
    // A row that goes makes room.
    let delete = format!(
        "delete from rollcall.system_user where azureactivedirectoryobjectid = '{}'",
        robots[1]
    );
    assert_eq!(sql_error(&world, delete).await, "done");
    assert_eq!(sql_error(&world, enable).await, "done");
    let (counted, rows) = taken(&world).await;
    assert_eq!(counted, rows);
    assert!(rows <= 7);
    world.end().await;
}

#[tokio::test]
async fn the_cap_of_the_configuration_is_the_database_s() {
    let (mut world, robots) = full_house(3).await;
    let fourth = licensed(world.tenant(), "Robot", "Fourth");
    assert_eq!(word(&world, "admin_add", fourth).await, "created");
    let sql = format!("update rollcall.system_user set accessmode = 4 where azureactivedirectoryobjectid = '{fourth}'");
    assert_eq!(sql_error(&world, sql.clone()).await, CAP);
    assert_eq!(
        said(&edit(&world, fourth, json!({"accessmode": 4})).await),
        "non_interactive_cap"
    );
    // A smaller one turns nobody out, and lets nobody in.
    world.configure(|settings| settings.environments[0].0.non_interactive_cap = 1);
    world.sync_completely().await;
    for robot in &robots {
        assert_eq!(state(&world, *robot).await, "enabled");
    }
    assert_eq!(word(&world, "disable", robots[0]).await, "disabled");
    assert_eq!(word(&world, "enable", robots[0]).await, "non_interactive_cap");
    // A larger one is told to the database by the next cycle, or by the next request.
    world.configure(|settings| settings.environments[0].0.non_interactive_cap = 4);
    assert_eq!(word(&world, "enable", robots[0]).await, "enabled");
    assert_eq!(sql_error(&world, sql).await, "done");
    assert_eq!(taken(&world).await, (4, 4));
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_cap_of_none_allows_none() {
    let world = stage_of(Environment {
        non_interactive_cap: 0,
        ..open_environment(ENV)
    })
    .await;
    let robot = licensed(world.tenant(), "Robot", "First");
    assert_eq!(word(&world, "admin_add", robot).await, "created", "before any cycle");
    assert_eq!(
        said(&edit(&world, robot, json!({"accessmode": 4})).await),
        "non_interactive_cap"
    );
    world.end().await;
}

/// Who gets the seven differs from round to round; how many never does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_who_want_it_at_once_seven_get_it() {
    let world = stage().await;
    let users: Vec<Uuid> = (0..100)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    for round in 0..3 {
        let wanting = users.iter().map(|user| edit(&world, user, json!({"accessmode": 4})));
        let mut words: Vec<String> = futures_util::future::join_all(wanting).await.iter().map(said).collect();
        words.sort();
        let refused = words.iter().filter(|word| *word == "non_interactive_cap").count();
        let updated = words.iter().filter(|word| *word == "updated").count();
        assert_eq!((updated, refused), (7, 93), "round {round}: {words:?}");
        assert_eq!(taken(&world).await, (7, 7));
        for user in &users {
            if row(&world, *user).await.accessmode == 4 {
                assert_eq!(said(&edit(&world, user, json!({"accessmode": 0})).await), "updated");
            }
        }
        assert_eq!(taken(&world).await, (0, 0));
    }
    world.end().await;
}

/// Some change the mode, some enable, some write by plain SQL, and a cycle runs meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_a_slot_at_once_fills_seven() {
    let world = stage().await;
    let users: Vec<Uuid> = (0..30)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    for user in &users[..10] {
        assert_eq!(word(&world, "disable", user).await, "disabled");
        assert_eq!(said(&edit(&world, user, json!({"accessmode": 4})).await), "updated");
    }
    let enabling = async {
        let all = users[..10].iter().map(|user| ask_by(&world, "enable", user));
        futures_util::future::join_all(all)
            .await
            .iter()
            .map(said)
            .collect::<Vec<_>>()
    };
    let changing = async {
        let all = users[10..20]
            .iter()
            .map(|user| edit(&world, user, json!({"accessmode": 4})));
        futures_util::future::join_all(all)
            .await
            .iter()
            .map(said)
            .collect::<Vec<_>>()
    };
    let writing = async {
        let all = users[20..].iter().map(|user| {
            let sql =
                format!("update rollcall.system_user set accessmode = 4 where azureactivedirectoryobjectid = '{user}'");
            sql_error(&world, sql)
        });
        futures_util::future::join_all(all).await
    };
    let (enabled, changed, written, _) = tokio::join!(enabling, changing, writing, world.sync());
    let won = |words: &[String], word: &str| words.iter().filter(|said| *said == word).count();
    assert_eq!(
        won(&enabled, "enabled") + won(&changed, "updated") + won(&written, "done"),
        7,
        "{enabled:?} {changed:?} {written:?}"
    );
    for (words, word) in [(&enabled, "enabled"), (&changed, "updated")] {
        let others = words.iter().filter(|said| *said != word);
        assert!(others.clone().all(|said| said == "non_interactive_cap"), "{words:?}");
    }
    assert!(written.iter().all(|said| said == "done" || said == CAP), "{written:?}");
    assert_eq!(taken(&world).await, (7, 7));
    world.sync_completely().await;
    assert_eq!(taken(&world).await, (7, 7));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_mode_that_a_person_set_stays_until_it_is_handed_back() {
    let (world, ada) = super::one_user().await;
    assert_eq!(said(&edit(&world, ada, json!({"accessmode": 1})).await), "updated");
    let set = row(&world, ada).await;
    assert_eq!((set.accessmode, set.accessmode_origin.as_str()), (1, "customer"));
    world.sync_completely().await;
    assert_eq!(word(&world, "access", ada).await, "unchanged");
    assert_eq!(row(&world, ada).await.accessmode, 1);
    world.assert_settled().await;
    let user = ada.to_string();
    let own = world
        .engine
        .desk()
        .own(super::ask(&user), &["accessmode".to_owned()], false)
        .await;
    assert_eq!(said(&own), "updated");
    world.sync_completely().await;
    let back = row(&world, ada).await;
    assert_eq!((back.accessmode, back.accessmode_origin.as_str()), (0, "sync"));
    world.assert_settled().await;
    world.end().await;
}
