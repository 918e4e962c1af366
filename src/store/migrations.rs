//! Applying the migrations, while an older version of this program may still serve from the same database.
//!
//! What a migration may contain is said in `migrations/README.md`. Here is what keeps the others serving: no migration
//! waits long for a lock, since whoever comes after it in the queue waits as long; it gives up, lets the others
//! through, and tries again. A program that is older than the schema applies nothing and works. Never applies anything
//! to a schema that went another way.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Postgres, SqlSafeStr};

use super::{Store, StoreError, StoreResult};
use crate::domain::schema::Schema;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The longest that everybody else waits behind a migration. Less than the second after which PostgreSQL looks for
/// deadlocks: of two who wait for each other it is then the migration that steps back, never the one who serves.
const IMPATIENT: &str = "set lock_timeout = '500ms'";
/// Files without a transaction build indexes concurrently: nobody waits for them, and giving up would leave half of one.
const PATIENT: &str = "set lock_timeout = 0";
/// A migration takes as long as its tables are large.
const UNHURRIED: &str = "set statement_timeout = 0";
/// The pause that lets through whoever stood in the queue.
const PAUSE: &str = "select pg_sleep(1)";
/// Attempts for each migration: five minutes of them.
const ATTEMPTS: u32 = 200;

/// What the database has and this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Migrations of this program that are not applied yet.
    pub missing: usize,
    /// Applied migrations that this program does not know: a newer one's.
    pub unknown: usize,
}

impl Store {
    /// Applies the migrations; safe to repeat and to run from several processes.
    ///
    /// # Errors
    /// When the database does not answer or refuses, or stays locked.
    pub async fn migrate(&self) -> StoreResult<()> {
        self.apply(&MIGRATIONS).await
    }

    /// Applies other migrations than the program's own, for tests of upgrades.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn apply(&self, migrations: &Migrator) -> StoreResult<()> {
        // A session of its own, which ends with its settings and its locks.
        let mut session = self.pool.acquire().await?.detach();
        let applied = apply(&mut session, &self.schema, migrations).await;
        session.close().await.ok();
        applied
    }

    /// How many migrations are missing; 0 means up to date.
    ///
    /// # Errors
    /// As [`Self::applied_migrations`].
    pub async fn missing_migrations(&self) -> StoreResult<usize> {
        Ok(self.applied_migrations().await?.missing)
    }

    /// How the schema compares with this program.
    ///
    /// # Errors
    /// [`StoreError::Altered`] when it was made by other files of the same numbers, or when the database does not answer.
    pub async fn applied_migrations(&self) -> StoreResult<Applied> {
        let applied = versions(&mut self.read().await?, &MIGRATIONS).await?;
        let known: BTreeSet<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        Ok(Applied {
            missing: known.difference(&applied).count(),
            unknown: applied.difference(&known).count(),
        })
    }
}

/// The migrations that the database has, those of a newer program too; none of them by another file than ours.
async fn versions<C>(db: &mut C, ours: &Migrator) -> StoreResult<BTreeSet<i64>>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let present = sqlx::query_scalar!("select to_regclass('_sqlx_migrations') is not null as \"present!\"")
        .fetch_one(&mut *db)
        .await?;
    if !present {
        return Ok(BTreeSet::new());
    }
    // The table is sqlx's own and not there while our queries are checked.
    let applied = sqlx::query_as("select version, checksum from _sqlx_migrations where success");
    let applied: BTreeMap<i64, Vec<u8>> = applied.fetch_all(db).await?.into_iter().collect();
    let is_altered = |ours: &&Migration| {
        let applied = applied.get(&ours.version);
        applied.is_some_and(|checksum| *checksum != *ours.checksum)
    };
    let altered: Vec<i64> = ours.iter().filter(is_altered).map(|ours| ours.version).collect();
    if !altered.is_empty() {
        return Err(StoreError::Altered(altered));
    }
    Ok(applied.into_keys().collect())
}

/// A migration written out for a schema. Its file names the default one, and its checksum is that of the file.
fn written_for(schema: &Schema, migration: &Migration) -> Migration {
    let sql = migration
        .sql
        .as_str()
        .replace(Schema::default().as_str(), schema.as_str());
    Migration {
        sql: AssertSqlSafe(sql).into_sql_str(),
        ..migration.clone()
    }
}

async fn apply(db: &mut PgConnection, schema: &Schema, migrations: &Migrator) -> StoreResult<()> {
    let applied = versions(&mut *db, migrations).await?;
    let known: Vec<Migration> = migrations
        .iter()
        .map(|migration| written_for(schema, migration))
        .collect();
    let newest = known
        .iter()
        .rposition(|migration| !applied.contains(&migration.version));
    // A runtime role that may not create tables can still start on an up-to-date schema.
    let Some(newest) = newest else { return Ok(()) };
    if let Some(unknown) = applied
        .iter()
        .find(|version| known.iter().all(|known| known.version != **version))
    {
        return Err(MigrateError::VersionMissing(*unknown).into());
    }
    let present = sqlx::query_scalar!(
        r#"select to_regnamespace($1) is not null as "present!""#,
        schema.as_str()
    )
    .fetch_one(&mut *db)
    .await?;
    db.execute(UNHURRIED).await?;
    lock(db, schema).await?;
    if !present {
        // Nobody else waits for a schema that is not there, unless to make it.
        db.execute(PATIENT).await?;
        let create = format!("create schema if not exists {schema}");
        db.execute(AssertSqlSafe(create)).await?;
    }
    for (place, migration) in known.iter().enumerate().take(newest + 1) {
        if !applied.contains(&migration.version) {
            let mut up_to_here = Migrator::with_migrations(known[..=place].to_vec());
            // Another process may be further by now.
            up_to_here.set_ignore_missing(true);
            up_to_here.set_locking(false);
            db.execute(if migration.no_tx { PATIENT } else { IMPATIENT }).await?;
            apply_persistently(db, &up_to_here).await?;
        }
    }
    Ok(())
}

async fn apply_persistently(db: &mut PgConnection, migrations: &Migrator) -> StoreResult<()> {
    for _ in 1..ATTEMPTS {
        match migrations.run(&mut *db).await {
            Err(error) if is_locked_out(&error) => {
                tracing::warn!("a migration waits for a table that is in use; it is tried again");
                db.execute(PAUSE).await?;
            }
            applied => return applied.map_err(StoreError::from),
        }
    }
    Ok(migrations.run(&mut *db).await?)
}

/// Keeps whoever else would migrate the same schema waiting until the session ends. sqlx has one lock for the whole
/// database and waits in a statement for it; meanwhile whoever has it could build no index concurrently, in any schema.
async fn lock(db: &mut PgConnection, schema: &Schema) -> StoreResult<()> {
    while !sqlx::query_scalar!(
        r#"select pg_try_advisory_lock(hashtextextended('migrations of ' || $1, 0)) as "is_ours!""#,
        schema.as_str()
    )
    .fetch_one(&mut *db)
    .await?
    {
        db.execute(PAUSE).await?;
    }
    Ok(())
}

/// Whether somebody else held what a migration needed, so that trying again is all that helps.
fn is_locked_out(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let said = error.as_database_error();
    // lock not available, deadlock
    said.is_some_and(|said| {
        said.code()
            .is_some_and(|code| ["55P03", "40P01"].contains(&code.as_ref()))
    })
}
