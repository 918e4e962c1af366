//! How far each source of the directory has been read, as a [`Checkpoint`]. A checkpoint commits with its rows. This
//! module computes nothing: it reads a state and writes one that was stepped.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Connection, StoreError, StoreResult};
use crate::domain::doubt::Doubt;
use crate::domain::feed::checkpoint::{Checkpoint, Input, PageStats, State, Verification, VerificationStep};
use crate::domain::feed::{Link, Moment};
use crate::domain::source::Source;

/// A source's row.
struct CheckpointRow {
    source: String,
    phase: String,
    round: i64,
    next_link: Option<String>,
    delta_link: Option<String>,
    delta_since: Option<DateTime<Utc>>,
    fingerprint: String,
    readable: bool,
    doubt: Option<String>,
    suspicion: Option<String>,
    value: Option<Value>,
    reached_at: Option<DateTime<Utc>>,
}

impl CheckpointRow {
    fn read(self, source: Source) -> Checkpoint {
        let (feed, value) = if source.is_feed() {
            let feed = self.value.and_then(|value| serde_json::from_value(value).ok());
            (feed.unwrap_or_default(), None)
        } else {
            (FeedValue::default(), self.value)
        };
        let (next, link) = (self.next_link.map(Link::new), self.delta_link.map(Link::new));
        let state = match (self.phase.as_str(), next, link, feed.listing) {
            ("full", None, Some(changes), Some(Listing::Gathering)) => State::Gathering { changes },
            ("full", None, Some(changes), Some(Listing::Reading(page))) => State::Listing {
                next: page.map(Link::new),
                changes,
            },
            ("full", None, Some(link), Some(Listing::Ended(page))) => State::Following {
                link,
                next: page.map(Link::new),
                unswept: true,
            },
            ("full", next, Some(changes), None) if source != Source::Users => State::Listing { next, changes },
            // A walk does not use changes from before it began.
            ("full", Some(next), _, None) if source == Source::Users => State::Walk { next },
            ("full", ..) | (_, _, None, _) => State::Begin,
            (phase, next, Some(link), _) => State::Following {
                link,
                next,
                unswept: phase == "sweep",
            },
        };
        let parse = |text: Option<String>| text.and_then(|text| text.parse::<Doubt>().ok());
        Checkpoint {
            source,
            state,
            seen: feed.seen,
            round: Moment(self.round),
            delta_since: self.delta_since,
            selection: self.fingerprint,
            readable: self.readable,
            doubt: parse(self.doubt),
            suspicion: parse(self.suspicion),
            value,
            reached_at: self.reached_at,
            verification: feed.verification,
        }
    }
}

/// The value of a feed: its statistics, and where a listing of users stands. The version before walks through the feed
/// and takes absence for a deletion, so its columns say that a round must begin; whatever it writes replaces this.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct FeedValue {
    #[serde(flatten)]
    seen: PageStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    listing: Option<Listing>,
    verification: Verification,
}

/// The population, a listing of users, and the changes since it began, the latter two with the page to continue with.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Listing {
    Gathering,
    Reading(Option<String>),
    Ended(Option<String>),
}

/// Reads a checkpoint; a source that was never read has a new one.
pub async fn read(db: &mut Connection, source: Source) -> StoreResult<Checkpoint> {
    let mut checkpoints = read_all(db, &[source]).await?;
    checkpoints.pop().ok_or(StoreError::Inconsistent("a checkpoint"))
}

/// Reads the checkpoints of some sources, in their order.
pub async fn read_all(db: &mut Connection, sources: &[Source]) -> StoreResult<Vec<Checkpoint>> {
    let names: Vec<String> = sources.iter().map(Source::to_string).collect();
    let rows = sqlx::query_as!(
        CheckpointRow,
        "select source, phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, suspicion, value,
                reached_at
         from checkpoint where source = any($1)",
        &names
    )
    .fetch_all(db)
    .await?;
    let mut known: HashMap<String, CheckpointRow> = rows.into_iter().map(|row| (row.source.clone(), row)).collect();
    let checkpoints = sources
        .iter()
        .zip(names)
        .map(|(source, name)| match known.remove(&name) {
            Some(row) => row.read(*source),
            None => Checkpoint::new(*source),
        });
    Ok(checkpoints.collect())
}

/// Reads the checkpoints of every source, or only of those in doubt, and locks them until the transaction ends.
async fn lock_all(db: &mut Connection, in_doubt: bool) -> StoreResult<Vec<Checkpoint>> {
    let rows = sqlx::query_as!(
        CheckpointRow,
        "select source, phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, suspicion, value,
                reached_at
         from checkpoint where not $1 or doubt is not null or suspicion is not null order by source for update",
        in_doubt
    )
    .fetch_all(db)
    .await?;
    let known = rows.into_iter().filter_map(|row| Some((row.source.parse().ok()?, row)));
    Ok(known.map(|(source, row)| row.read(source)).collect())
}

/// Writes checkpoints.
pub async fn write(db: &mut Connection, checkpoints: &[Checkpoint]) -> StoreResult<()> {
    let rows: Vec<Value> = checkpoints.iter().map(row).collect();
    sqlx::query!(
        "insert into checkpoint (
             source, phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, value, reached_at,
             suspicion)
         select source, phase, round, next_link, delta_link, delta_since, fingerprint, readable, doubt, value, reached_at,
                suspicion
         from jsonb_populate_recordset(null::checkpoint, $1) order by source
         on conflict (source) do update set
             phase = excluded.phase, round = excluded.round, next_link = excluded.next_link,
             delta_link = excluded.delta_link, delta_since = excluded.delta_since,
             fingerprint = excluded.fingerprint, readable = excluded.readable, doubt = excluded.doubt,
             value = excluded.value, reached_at = excluded.reached_at, suspicion = excluded.suspicion",
        Value::Array(rows)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A checkpoint as its row, by column.
fn row(checkpoint: &Checkpoint) -> Value {
    let is_users = checkpoint.source == Source::Users;
    let stored = |page: &Option<Link>| page.as_ref().map(|page| page.expose().to_owned());
    let mut listing = None;
    let (phase, next, link) = match &checkpoint.state {
        State::Begin => ("full", None, None),
        State::Walk { next } => ("full", Some(next), None),
        State::Gathering { changes } => {
            listing = Some(Listing::Gathering);
            ("full", None, Some(changes))
        }
        State::Listing { next, changes } if is_users => {
            listing = Some(Listing::Reading(stored(next)));
            ("full", None, Some(changes))
        }
        State::Listing { next, changes } => ("full", next.as_ref(), Some(changes)),
        State::Following {
            link,
            next,
            unswept: true,
        } if is_users => {
            listing = Some(Listing::Ended(stored(next)));
            ("full", None, Some(link))
        }
        State::Following { link, next, unswept } => {
            let phase = if *unswept { "sweep" } else { "delta" };
            (phase, next.as_ref(), Some(link))
        }
    };
    let value = if checkpoint.source.is_feed() {
        Some(json!(FeedValue {
            seen: checkpoint.seen,
            listing,
            verification: checkpoint.verification.clone(),
        }))
    } else {
        checkpoint.value.clone()
    };
    json!({
        "source": checkpoint.source.to_string(),
        "phase": phase,
        "round": checkpoint.round.0,
        "next_link": next.map(Link::expose),
        "delta_link": link.map(Link::expose),
        "delta_since": checkpoint.delta_since,
        "fingerprint": checkpoint.selection,
        "readable": checkpoint.readable,
        "doubt": checkpoint.doubt.as_ref().map(Doubt::to_string),
        "value": value,
        "reached_at": checkpoint.reached_at,
        "suspicion": checkpoint.suspicion.as_ref().map(Doubt::to_string),
    })
}

/// The current or last round of a source; locks the checkpoint until the transaction ends.
pub async fn lock_round(db: &mut Connection, source: Source) -> StoreResult<Moment> {
    let round = sqlx::query_scalar!(
        "select round from checkpoint where source = $1 for share",
        source.to_string()
    );
    Ok(Moment(round.fetch_optional(db).await?.unwrap_or(0)))
}

/// Locks the checkpoint of a source until the transaction ends: no look-up of a user whom the mirror does not have is
/// stored meanwhile.
pub async fn lock(db: &mut Connection, source: Source) -> StoreResult<()> {
    sqlx::query!(
        "select source from checkpoint where source = $1 for update",
        source.to_string()
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Steps a checkpoint and writes it.
pub async fn step(db: &mut Connection, checkpoint: Checkpoint, input: Input) -> StoreResult<()> {
    let (checkpoint, _) = checkpoint.step(input);
    write(db, &[checkpoint]).await
}

/// Reports new doubts to every environment, and deletes those that are settled.
pub async fn tell_doubts(db: &mut Connection) -> StoreResult<()> {
    sqlx::query!(
        "delete from environment_doubt d where not exists (
             select from checkpoint c
             where c.source = d.source and (c.doubt is not null or c.suspicion is not null))"
    )
    .execute(&mut *db)
    .await?;
    for checkpoint in lock_all(&mut *db, true).await? {
        if let Some(doubt) = &checkpoint.doubt {
            tell(&mut *db, None, checkpoint.source, doubt).await?;
            step(&mut *db, checkpoint, Input::DoubtTold).await?;
        }
    }
    Ok(())
}

/// Reports to an environment again each doubt that still stands and that caused held sets which expired undecided.
/// Their rows are re-evaluated: an unconfirmed doubt is no better evidence for being old. The source is read from its
/// beginning.
pub async fn doubt_again(db: &mut Connection, environment: &str, expired: &[Doubt]) -> StoreResult<()> {
    if expired.is_empty() {
        return Ok(());
    }
    for checkpoint in lock_all(&mut *db, true).await? {
        if let Some(doubt) = checkpoint.suspicion.as_ref().filter(|doubt| expired.contains(doubt)) {
            tell(&mut *db, Some(environment), checkpoint.source, doubt).await?;
            step(&mut *db, checkpoint, Input::Renew).await?;
        }
    }
    Ok(())
}

/// Reports a doubt to one environment, or to all.
async fn tell(db: &mut Connection, environment: Option<&str>, source: Source, doubt: &Doubt) -> StoreResult<()> {
    sqlx::query!(
        "insert into environment_doubt (environment, source, why)
         select name, $2, $3 from environment where $1::text is null or name = $1
         on conflict do nothing",
        environment,
        source.to_string(),
        doubt.to_string()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The doubts that some environments have not been evaluated with yet: environment, source, reason.
pub async fn doubts(db: &mut Connection, environments: &[String]) -> StoreResult<Vec<(String, Source, Doubt)>> {
    let rows = sqlx::query!(
        "select environment, source, why from environment_doubt
         where environment = any($1) order by source, why, environment",
        environments
    )
    .fetch_all(db)
    .await?;
    let doubts = rows
        .into_iter()
        .filter_map(|row| Some((row.environment, row.source.parse().ok()?, row.why.parse().ok()?)));
    Ok(doubts.collect())
}

/// Records that an environment has been evaluated with all of its doubts.
pub async fn settle_doubts(db: &mut Connection, environments: &[String]) -> StoreResult<()> {
    sqlx::query!(
        "delete from environment_doubt where environment = any($1)",
        environments
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes the next run, or the current one, verify every feed.
pub async fn verify_all(db: &mut Connection) -> StoreResult<()> {
    for checkpoint in lock_all(&mut *db, false).await? {
        if checkpoint.source.is_feed() {
            step(&mut *db, checkpoint, Input::Verification(VerificationStep::Request)).await?;
        }
    }
    Ok(())
}
