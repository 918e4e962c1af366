//! Who leads: one row with a time limit by the database's clock, and a fencing number that each transaction
//! of a cycle checks, so that a leader that was stopped and woke up late writes nothing.
//!
//! A lease is worth something only on the server that gave it. A replica that was promoted may lack the last commits
//! of the server it replaces, and what a run remembers of them is not true there: such a run must not go on, or it
//! would write a checkpoint beyond rows that are gone. Fencing numbers may come again there, too. Servers are told
//! apart by when they were started.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Connection, StoreError, StoreResult};

/// How long a daemon's lease lasts without being renewed, and that of a single run in the foreground, whose
/// process may be killed with nobody to take over.
const DAEMON_TIME: Duration = Duration::from_secs(10);
const FOREGROUND_TIME: Duration = Duration::from_secs(6);

/// A lease that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    holder: String,
    fence: i64,
    is_daemon: bool,
    server: DateTime<Utc>,
}

impl Lease {
    /// How long it lasts without being renewed.
    #[must_use]
    pub fn time(&self) -> Duration {
        time(self.is_daemon)
    }
}

fn time(is_daemon: bool) -> Duration {
    if is_daemon { DAEMON_TIME } else { FOREGROUND_TIME }
}

/// What became of an attempt to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// This process leads.
    Leading(Lease),
    /// Another process leads.
    Held {
        /// Whether it is a daemon that answers requests for runs.
        by_daemon: bool,
    },
}

/// Tries to take the lease. Its holder can take it anew at any time, and loses what it had.
///
/// # Errors
/// When the database does not answer.
pub async fn acquire(db: &mut Connection, holder: &str, is_daemon: bool) -> StoreResult<Attempt> {
    let seconds = time(is_daemon).as_secs_f64();
    let taken = sqlx::query!(
        r#"insert into rollcall.lease as l (name, holder, fence, is_daemon, expires_at)
         values ('cycle', $1, 1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (name) do update set
             holder = excluded.holder, is_daemon = excluded.is_daemon, expires_at = excluded.expires_at,
             fence = l.fence + 1
         where l.expires_at < clock_timestamp() or l.holder = excluded.holder
         returning fence, pg_postmaster_start_time() as "server!""#,
        holder,
        is_daemon,
        seconds
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(taken) = taken {
        return Ok(Attempt::Leading(Lease {
            holder: holder.to_owned(),
            fence: taken.fence,
            is_daemon,
            server: taken.server,
        }));
    }
    let by_daemon = sqlx::query_scalar!("select is_daemon from rollcall.lease where name = 'cycle'")
        .fetch_optional(db)
        .await?
        .unwrap_or(false);
    Ok(Attempt::Held { by_daemon })
}

/// Prolongs a lease.
///
/// # Errors
/// [`StoreError::LeaseLost`] when somebody else leads by now.
pub async fn renew(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    let renewed = sqlx::query!(
        "update rollcall.lease set expires_at = clock_timestamp() + make_interval(secs => $3)
         where name = 'cycle' and holder = $1 and fence = $2",
        lease.holder,
        lease.fence,
        lease.time().as_secs_f64()
    )
    .execute(db)
    .await?;
    if renewed.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::LeaseLost)
    }
}

/// Gives a lease back, so that another process can lead at once.
///
/// # Errors
/// When the database does not answer.
pub async fn release(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    sqlx::query!(
        "update rollcall.lease set expires_at = '-infinity' where name = 'cycle' and holder = $1 and fence = $2",
        lease.holder,
        lease.fence
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes sure, within a transaction of ours, that the lease is still held until it commits.
///
/// # Errors
/// [`StoreError::LeaseLost`] when it is not; [`StoreError::ServerReplaced`] on another server than the one that gave it.
pub async fn check(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    let present = sqlx::query!(
        r#"select holder = $1 and fence = $2 as "is_held!", pg_postmaster_start_time() as "server!"
           from rollcall.lease where name = 'cycle' for share"#,
        lease.holder,
        lease.fence
    )
    .fetch_optional(db)
    .await?;
    match present {
        Some(present) if present.server != lease.server => Err(StoreError::ServerReplaced),
        Some(present) if present.is_held => Ok(()),
        _ => Err(StoreError::LeaseLost),
    }
}
