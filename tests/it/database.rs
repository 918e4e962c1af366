//! PostgreSQL goes away, comes back, hangs, refuses, runs full: what the store makes of it.

use rollcall::store::Store;
use sqlx::{Connection, PgConnection};

use crate::proxy::{Proxy, Side};
use crate::world::migrated_database;

#[tokio::test]
async fn a_commit_that_breaks_on_its_way_is_lost_and_one_that_breaks_on_its_way_back_is_not() {
    let database = migrated_database().await;
    for (side, found) in [(Side::Before, 0_i64), (Side::After, 1)] {
        let proxy = Proxy::before(&database.url).await;
        let store = Store::connect(proxy.url(), 2).await.unwrap();
        proxy.break_at(Some((2, side)));
        for committed in [true, false, true] {
            let mut tx = store.begin().await.unwrap();
            sqlx::query("delete from rollcall.directory_returned")
                .execute(&mut *tx)
                .await
                .unwrap();
            if !committed {
                sqlx::query("insert into rollcall.directory_returned values (gen_random_uuid())")
                    .execute(&mut *tx)
                    .await
                    .unwrap();
            }
            assert_eq!(tx.commit().await.is_ok(), committed);
            let mut db = PgConnection::connect(&database.url).await.unwrap();
            let rows: i64 = sqlx::query_scalar("select count(*) from rollcall.directory_returned")
                .fetch_one(&mut db)
                .await
                .unwrap();
            assert_eq!(rows, if committed { 0 } else { found });
        }
        assert!(proxy.broke());
        assert_eq!(proxy.commits(), 3);
        store.close().await;
    }
    database.drop_database().await.unwrap();
}
