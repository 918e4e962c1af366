//! Names are folded by the program alone and stored (rules.md, section 7): whatever the database would make of them,
//! whoever wrote them, whichever version folded them before.

use rollcall::clock::Clock;
use rollcall::domain::schema::Schema;
use rollcall::domain::system_user::SystemUser;
use rollcall::simulator::Simulator;
use rollcall::simulator::cluster::{TestDatabase, test_database};
use rollcall::simulator::tenant::{Profile, User};
use rollcall::store::Store;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::on_demand::{ENV, ask, refusal};
use crate::world::{NO_LIMITS, World, licensed, open_environment, settings, start};

/// How a database may sort and lower-case: by bytes, by Unicode, by the rules of Turkish.
const LOCALES: [&str; 3] = [
    "locale 'C'",
    "locale 'C.UTF-8'",
    "locale 'C.UTF-8' locale_provider icu icu_locale 'tr-TR'",
];

/// An empty database with other options than the server's own.
pub async fn database_with(options: &str) -> TestDatabase {
    let database = test_database("options").await.unwrap();
    let mut server = url::Url::parse(&database.url).unwrap();
    let name = server.path().trim_start_matches('/').to_owned();
    server.set_path("postgres");
    let mut db = PgConnection::connect(server.as_str()).await.unwrap();
    for statement in [
        format!("drop database {name}"),
        format!("create database {name} template template0 {options}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    }
    database
}

async fn world_in(options: &str) -> World {
    rustls::crypto::ring::default_provider().install_default().ok();
    let database = database_with(options).await;
    let store = Store::connect(&database.url, &Schema::default(), 1).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let clock = Clock::simulated(start());
    let simulator = Simulator::start(rollcall::simulator::Settings {
        clock: clock.clone(),
        users: 0,
        ..rollcall::simulator::Settings::default()
    })
    .unwrap();
    let settings = settings(vec![open_environment(ENV)], NO_LIMITS);
    World::over(database, simulator.into(), clock, settings).await
}

fn named(world: &World, name: &str) -> Uuid {
    let id = world.tenant().add_user(User {
        user_principal_name: Some(name.to_owned()),
        ..User::named("Given", "Family")
    });
    world.tenant().give_profile(id, Profile::E5PowerApps);
    id
}

/// Names with their keys, in the order of the bytes; nothing for a key that is not there.
async fn keys(world: &World) -> Vec<String> {
    world
        .strings(
            r#"select concat_ws(' ', domainname, upn_key) from rollcall.system_user
               where upn_key is distinct from 'crmoln@microsoft.com' and upn_key is distinct from 'crmoln2@microsoft.com'
               order by domainname collate "C", upn_key"#,
        )
        .await
}

async fn found(world: &World, name: &str) -> Option<SystemUser> {
    world.engine.records().user(ENV, name).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_3_the_collation_of_the_database_folds_no_name() {
    for options in LOCALES {
        let world = world_in(options).await;
        for name in ["İpek@contoso.example", "ipek@contoso.example", "Éva@contoso.example"] {
            named(&world, name);
        }
        world.sync_completely().await;
        let folded = [
            "ipek@contoso.example ipek@contoso.example",
            "Éva@contoso.example éva@contoso.example",
            "İpek@contoso.example i\u{307}pek@contoso.example",
        ];
        assert_eq!(keys(&world).await, folded, "{options}");
        world.execute("update rollcall.system_user set company = 'X'").await;
        assert_eq!(keys(&world).await, folded, "{options}: a name that stays keeps its key");
        world.sync_completely().await;
        assert!(world.findings().await.is_empty(), "{options}");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_found_by_a_name_that_only_the_database_takes_for_theirs() {
    for options in LOCALES {
        let world = world_in(options).await;
        let irem = named(&world, "İREM@contoso.example");
        let ilk = named(&world, "ILK@contoso.example");
        world.sync_completely().await;
        for other in ["irem@contoso.example", "IREM@contoso.example", "ırem@contoso.example"] {
            let refused = refusal(world.engine.desk().disable(ask(other)).await);
            assert_eq!(refused.code.as_str(), "user_not_found", "{options}: {other}");
        }
        for (own, user) in [("i\u{307}rem@contoso.example", irem), ("ilk@contoso.example", ilk)] {
            world.engine.desk().disable(ask(own)).await.unwrap();
            assert!(world.row(ENV, user).await.unwrap().isdisabled, "{options}: {own}");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_by_another_program_is_folded_in_the_next_cycle_and_waits_while_another_holds_it() {
    let world = world_in(LOCALES[2]).await;
    let insert = |id: u128, name: &str| {
        format!(
            "insert into rollcall.system_user (environment, systemuserid, domainname)
             values ('{ENV}', '{}', '{name}')",
            Uuid::from_u128(id)
        )
    };
    let mut db = world.sql().await;
    for (id, name) in [(1, "NÉWİ@contoso.example"), (2, "néwi\u{307}@contoso.example")] {
        let statement = insert(id, name);
        sqlx::query(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
        assert!(
            found(&world, name)
                .await
                .is_none_or(|row| row.systemuserid != Uuid::from_u128(id))
        );
        world.sync_completely().await;
    }
    let holder = found(&world, "NÉWİ@contoso.example").await.unwrap();
    assert_eq!(holder.systemuserid, Uuid::from_u128(1), "who came first holds it");
    assert_eq!(world.findings().await, [format!("upn_conflict {ENV}")]);
    world.assert_settled().await;
    assert_eq!(
        world.findings().await,
        [format!("upn_conflict {ENV}")],
        "as long as it lasts"
    );

    world
        .execute("delete from rollcall.system_user where systemuserid = '00000000-0000-0000-0000-000000000001'")
        .await;
    world.sync_completely().await;
    let heir = found(&world, "néwi\u{307}@contoso.example").await.unwrap();
    assert_eq!(heir.systemuserid, Uuid::from_u128(2));
    assert!(world.findings().await.is_empty());
    assert_eq!(world.number("select count(*) from rollcall.name_to_fold").await, 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_lost_its_name_to_a_program_can_be_worked_on_and_gets_it_back() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let [ada, bea] = ["Ada", "Bea"].map(|given| licensed(world.tenant(), given, "Lovelace"));
    world.sync_completely().await;
    let before = keys(&world).await;
    world
        .execute(
            "update rollcall.system_user set domainname = 'ADA.lovelace@contoso.example'
             where domainname = 'bea.lovelace@contoso.example'",
        )
        .await;
    let held = world
        .engine
        .desk()
        .hold(ask(&bea.to_string()), "looked into")
        .await
        .unwrap();
    assert!(held.user.unwrap().onhold);
    let holder = found(&world, "ada.lovelace@contoso.example").await.unwrap();
    assert_eq!(holder.azureactivedirectoryobjectid, Some(ada));
    world.sync_completely().await;
    assert_eq!(keys(&world).await, before);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_an_older_version_are_made_anew_once() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let [_, bea] = ["Éva", "Bea"].map(|given| named(&world, &format!("{given}@contoso.example")));
    world.sync_completely().await;
    world.tenant().soft_delete(bea);
    world.sync_completely().await;
    let before = keys(&world).await;
    let mut db = world.sql().await;
    let older = "begin;
        select rollcall.write_as_sync();
        update rollcall.system_user set upn_key = upper(upn_key) where azureactivedirectoryobjectid is not null;
        update rollcall.system_user set unheld_upn_key = null;
        update rollcall.environment set folding = 0;
        commit";
    sqlx::raw_sql(older).execute(&mut db).await.unwrap();
    assert_ne!(keys(&world).await, before);
    assert!(found(&world, "BEA@contoso.example").await.is_none());
    world.sync_completely().await;
    assert_eq!(keys(&world).await, before);
    let deleted = found(&world, "BEA@contoso.example").await.unwrap();
    assert_eq!(
        deleted.azureactivedirectoryobjectid,
        Some(bea),
        "a row that is not live is found too"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_index_takes_stops_nobody() {
    let world = World::new(vec![open_environment(ENV)]).await;
    licensed(world.tenant(), "Ada", "Lovelace");
    world
        .execute(
            "insert into rollcall.system_user (environment, systemuserid, domainname)
             select 'production', gen_random_uuid(), name
             from unnest(array[(select string_agg(chr(19968 + n * 7), '') from generate_series(1, 1024) n), ' ']) name",
        )
        .await;
    world.sync_completely().await;
    assert_eq!(world.rows(ENV).await.len(), 1);
    assert!(world.findings().await.is_empty());
    assert_eq!(world.number("select count(*) from rollcall.name_to_fold").await, 0);
    world.assert_settled().await;
    world.end().await;
}
