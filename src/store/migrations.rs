//! Applies the migrations, while an older version of this program may still serve from the same database.
//!
//! `migrations/README.md` says what a migration may contain. This module keeps other processes serving. No migration
//! waits long for a lock, since everyone behind it in the queue waits as long: it gives up, lets the others through,
//! and retries. A program older than the schema applies nothing and works. A schema with diverging migrations is never
//! changed.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Postgres, SqlSafeStr};

use super::{Store, StoreError, StoreResult};
use crate::domain::schema::Schema;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The longest time that a migration blocks others. It is below PostgreSQL's one-second `deadlock_timeout`: in a
/// deadlock the migration gives up, never the serving process.
const IMPATIENT: &str = "set lock_timeout = '500ms'";
/// Files without a transaction build indexes concurrently: they block nobody, and giving up would leave an invalid
/// index.
const PATIENT: &str = "set lock_timeout = 0";
/// The duration of a migration depends on the size of its tables.
const UNHURRIED: &str = "set statement_timeout = 0";
/// The pause that lets queued processes through.
const PAUSE: &str = "select pg_sleep(1)";
/// Attempts for each migration: five minutes in all.
const ATTEMPTS: u32 = 200;

/// How the applied migrations compare with those of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// This program's migrations that are not applied yet.
    pub missing: usize,
    /// Applied migrations that this program does not know, from a newer one.
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

    /// Applies migrations other than the program's own, for tests of upgrades.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn apply(&self, migrations: &Migrator) -> StoreResult<()> {
        // A separate session, which ends with its settings and locks.
        let mut session = self.pool.acquire().await?.detach();
        let applied = apply(&mut session, &self.schema, migrations).await;
        session.close().await.ok();
        applied
    }

    /// The number of missing migrations; 0 means up to date.
    ///
    /// # Errors
    /// As [`Self::applied_migrations`].
    pub async fn missing_migrations(&self) -> StoreResult<usize> {
        Ok(self.applied_migrations().await?.missing)
    }

    /// How the schema compares with this program.
    ///
    /// # Errors
    /// [`StoreError::Altered`] when other files of the same numbers made it, or when the database does not answer.
    pub async fn applied_migrations(&self) -> StoreResult<Applied> {
        let applied = versions(&mut self.read().await?, &self.schema, &MIGRATIONS).await?;
        let known: BTreeSet<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        Ok(Applied {
            missing: known.difference(&applied).count(),
            unknown: applied.difference(&known).count(),
        })
    }
}

/// The applied migrations, including those of a newer program; an error if one came from another file than ours.
async fn versions<C>(db: &mut C, schema: &Schema, ours: &Migrator) -> StoreResult<BTreeSet<i64>>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    // With the schema's name, so that the server says if this user may not use the schema.
    let present = sqlx::query_scalar!(
        r#"select to_regclass($1 || '._sqlx_migrations') is not null as "present!""#,
        schema.as_str()
    )
    .fetch_one(&mut *db)
    .await?;
    if !present {
        return Ok(BTreeSet::new());
    }
    // The table is sqlx's own and does not exist while our queries are checked.
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

/// A migration rewritten for a schema. Its file names the default schema; the checksum stays that of the file.
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
    let applied = versions(&mut *db, schema, migrations).await?;
    let known: Vec<Migration> = migrations
        .iter()
        .map(|migration| written_for(schema, migration))
        .collect();
    let newest = known
        .iter()
        .rposition(|migration| !applied.contains(&migration.version));
    // A runtime role without the right to create tables can still start on an up-to-date schema.
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
        // Nobody waits for a schema that does not exist, except to create it.
        db.execute(PATIENT).await?;
        let create = format!("create schema if not exists {schema}");
        let created = db.execute(AssertSqlSafe(create)).await;
        created.map_err(|error| StoreError::of_migration(error).unwrap_or_else(StoreError::from))?;
    }
    for (place, migration) in known.iter().enumerate().take(newest + 1) {
        if !applied.contains(&migration.version) {
            let mut up_to_here = Migrator::with_migrations(known[..=place].to_vec());
            // Another process may have applied more.
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

/// Blocks other migrations of the same schema until the session ends. sqlx's lock is one for the whole database, and
/// waits in a statement; meanwhile its holder could not build an index concurrently in any schema.
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

/// Whether a lock of another session blocked a migration, so that only a retry helps.
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
