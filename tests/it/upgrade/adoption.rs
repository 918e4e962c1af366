//! Customers may own columns whose names a later version takes.

use rollcall::domain::schema::Schema;
use rollcall::simulator::cluster::test_database;
use rollcall::store::{Store, StoreError};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{migrations, strings};
use crate::binary::Installation;
use rollcall::simulator::{Settings, Simulator};

/// The number of migrations before the one that adds the columns of the profile.
fn before_the_profile() -> usize {
    let at = migrations()
        .iter()
        .position(|it| it.description.contains("business units"));
    at.unwrap()
}

#[tokio::test]
async fn a_customer_s_column_of_the_same_type_is_adopted_and_any_other_is_refused_before_anything_changes() {
    let earlier = Migrator::with_migrations(migrations()[..before_the_profile()].to_vec());
    for (columns, refused) in [
        ("title text, employeeid text, positionid uuid", None),
        ("title integer", Some("title (integer)")),
        (
            "nickname varchar(20), middlename text",
            Some("nickname (character varying(20))"),
        ),
        ("businessunitid text", Some("businessunitid (text)")),
        (
            "employeeid text not null default '0'",
            Some("employeeid (text, not null)"),
        ),
        (
            "title text generated always as (lower(jobtitle)) stored, positionid bigint",
            Some("positionid (bigint), title (text, computed)"),
        ),
    ] {
        let database = test_database("adoption").await.unwrap();
        let store = Store::connect(&database.url, &Schema::default(), 2).await.unwrap();
        store.apply(&earlier).await.unwrap();
        let added = columns.split(", ").map(|column| format!("add column {column}"));
        let added = added.collect::<Vec<_>>().join(", ");
        let mut db = PgConnection::connect(&database.url).await.unwrap();
        for statement in [
            format!("alter table rollcall.system_user {added}"),
            "insert into rollcall.system_user (environment, systemuserid) values ('production', gen_random_uuid())"
                .to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
        }
        if refused.is_none() {
            let values = "update rollcall.system_user set title = 'Dr', employeeid = '4711'";
            sqlx::query(values).execute(&mut db).await.unwrap();
        }
        let migrated = store.migrate().await;
        let there = "select to_regclass('rollcall.business_unit') is not null";
        let is_there: bool = sqlx::query_scalar(there).fetch_one(&mut db).await.unwrap();
        assert_eq!(is_there, refused.is_none(), "{columns}");
        match refused {
            None => {
                migrated.unwrap();
                let kept = "select title || ' ' || employeeid from rollcall.system_user".to_owned();
                assert_eq!(strings(&database.url, kept).await, ["Dr 4711"]);
            }
            Some(named) => {
                let error = migrated.unwrap_err();
                assert!(matches!(error, StoreError::Migrate(_)), "{error:?}");
                let simulator = Simulator::start(Settings::default()).unwrap();
                let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n";
                let said = Installation::new(&simulator, &database.url, environments)
                    .run("migrate")
                    .await;
                assert_ne!(said.code, Some(0), "{said:?}");
                let line = said.one_line();
                assert!(line.contains(named) && line.contains("another name"), "{line}");
            }
        }
        db.close().await.unwrap();
        store.close().await;
        database.drop_database().await.unwrap();
    }
}
