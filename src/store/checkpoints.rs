//! How far each source of the directory has been read. A checkpoint commits with the rows it follows.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Connection, StoreResult};
use crate::domain::feed::Link;

/// Where a source stands in its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A full round is under way, or has to begin.
    Full,
    /// The full round has seen its last page; who was not in it has still to be looked up.
    Sweep,
    /// Changes are followed.
    Delta,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sweep => "sweep",
            Self::Delta => "delta",
        }
    }
}

/// One source's checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// `users`, `group:<id>`, `roles` or `skus`.
    pub source: String,
    /// Where it stands.
    pub phase: Phase,
    /// The present or last full round: the moment at which its first page was asked for.
    pub round: i64,
    /// The next page of a round under way.
    pub next_link: Option<Link>,
    /// Where the changes after the last complete round are.
    pub delta_link: Option<Link>,
    /// When the delta link was received.
    pub delta_since: Option<DateTime<Utc>>,
    /// What the delta link was asked with.
    pub fingerprint: String,
    /// False while the object behind the source is gone or may not be read.
    pub readable: bool,
    /// Why what the source removed lately is no evidence by itself, until every environment has been told.
    pub doubt: Option<String>,
    /// The last doubt, once they have, until the source says something beyond doubt.
    pub suspicion: Option<String>,
    /// What a source without a feed said last.
    pub value: Option<Value>,
    /// When everything there was had last been read.
    pub reached_at: Option<DateTime<Utc>>,
}

impl Checkpoint {
    /// A source that was never read.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            phase: Phase::Full,
            round: 0,
            next_link: None,
            delta_link: None,
            delta_since: None,
            fingerprint: String::new(),
            readable: true,
            doubt: None,
            suspicion: None,
            value: None,
            reached_at: None,
        }
    }

    /// The source says something beyond doubt.
    pub fn trust(&mut self) {
        self.doubt = None;
        self.suspicion = None;
    }
}

/// Reads a checkpoint; a source that was never read has a fresh one.
///
/// # Errors
/// When the database does not answer.
pub async fn read(db: &mut Connection, source: &str) -> StoreResult<Checkpoint> {
    let row = sqlx::query!(
        "select phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, suspicion, value,
                reached_at
         from checkpoint where source = $1",
        source
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map_or_else(
        || Checkpoint::new(source),
        |row| Checkpoint {
            source: source.to_owned(),
            phase: match row.phase.as_str() {
                "delta" => Phase::Delta,
                "sweep" => Phase::Sweep,
                _ => Phase::Full,
            },
            round: row.round,
            next_link: row.next_link.map(Link::new),
            delta_link: row.delta_link.map(Link::new),
            delta_since: row.delta_since,
            fingerprint: row.fingerprint,
            readable: row.readable,
            doubt: row.doubt,
            suspicion: row.suspicion,
            value: row.value,
            reached_at: row.reached_at,
        },
    ))
}

/// Writes a checkpoint.
///
/// # Errors
/// When the database does not answer.
pub async fn write(db: &mut Connection, checkpoint: &Checkpoint) -> StoreResult<()> {
    sqlx::query!(
        "insert into checkpoint (
             source, phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, value, reached_at,
             suspicion)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (source) do update set
             phase = excluded.phase, round = excluded.round, next_link = excluded.next_link,
             delta_link = excluded.delta_link, delta_since = excluded.delta_since,
             fingerprint = excluded.fingerprint, readable = excluded.readable, doubt = excluded.doubt,
             value = excluded.value, reached_at = excluded.reached_at, suspicion = excluded.suspicion",
        checkpoint.source,
        checkpoint.phase.as_str(),
        checkpoint.round,
        checkpoint.next_link.as_ref().map(Link::expose),
        checkpoint.delta_link.as_ref().map(Link::expose),
        checkpoint.delta_since,
        checkpoint.fingerprint,
        checkpoint.readable,
        checkpoint.doubt,
        checkpoint.value,
        checkpoint.reached_at,
        checkpoint.suspicion
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The present or last round of a source; keeps others from writing the checkpoint until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_round(db: &mut Connection, source: &str) -> StoreResult<i64> {
    let round = sqlx::query_scalar!("select round from checkpoint where source = $1 for share", source);
    Ok(round.fetch_optional(db).await?.unwrap_or(0))
}

/// Tells every environment of what has come up in doubt, and drops what is beyond doubt by now. What was doubted is read
/// anew from its beginning: a feed of changes would never take back what was wrong.
///
/// # Errors
/// When the database does not answer.
pub async fn tell_doubts(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!(
        "delete from environment_doubt d where not exists (
             select from checkpoint c
             where c.source = d.source and (c.doubt is not null or c.suspicion is not null))"
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into environment_doubt (environment, source, why)
         select name, source, doubt from environment cross join checkpoint where doubt is not null
         on conflict do nothing"
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update checkpoint
         set doubt = null, suspicion = doubt, phase = 'full', next_link = null, delta_link = null
         where doubt is not null"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Tells an environment anew of what is still suspected and was the reason of sets that have expired undecided: their
/// rows are judged anew, and what nobody has confirmed is no better evidence for being old. The source is read from its
/// beginning.
///
/// # Errors
/// When the database does not answer.
pub async fn doubt_again(db: &mut Connection, environment: &str, expired: &[String]) -> StoreResult<()> {
    if !expired.is_empty() {
        sqlx::query!(
            "with again as (
                 update checkpoint set phase = 'full', next_link = null, delta_link = null
                 where suspicion is not null
                   and exists (select from unnest($2::text[]) as e (why) where position(suspicion in why) > 0)
                 returning source, suspicion)
             insert into environment_doubt (environment, source, why) select $1, source, suspicion from again
             on conflict do nothing",
            environment,
            expired
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// The sources that some environments have not been judged by since they came into doubt: environment, source, why.
///
/// # Errors
/// When the database does not answer.
pub async fn doubts(db: &mut Connection, environments: &[String]) -> StoreResult<Vec<(String, String, String)>> {
    Ok(sqlx::query!(
        "select environment, source, why from environment_doubt
         where environment = any($1) order by source, why, environment",
        environments
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| (row.environment, row.source, row.why))
    .collect())
}

/// An environment has been judged with everything in mind that was in doubt for it.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_doubts(db: &mut Connection, environment: &str) -> StoreResult<()> {
    sqlx::query!("delete from environment_doubt where environment = $1", environment)
        .execute(db)
        .await?;
    Ok(())
}

/// Lets the users begin a full round, unless one is under way.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_full_round_of_users(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!("update checkpoint set phase = 'full', next_link = null where source = 'users' and phase = 'delta'")
        .execute(db)
        .await?;
    Ok(())
}

/// Lets every feed begin a full round.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_full_rounds(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!(
        "update checkpoint set phase = 'full', next_link = null, delta_link = null
         where source = 'users' or source like 'group:%'"
    )
    .execute(db)
    .await?;
    Ok(())
}
