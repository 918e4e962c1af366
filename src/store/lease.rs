//! Who leads: one row with a time limit by the database's clock, and a fencing number that each transaction
//! of a cycle checks, so that a leader that was stopped and woke up late writes nothing.

use std::time::Duration;

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

/// Tries to take the lease, or renews it for its holder.
///
/// # Errors
/// When the database does not answer.
pub async fn acquire(db: &mut Connection, holder: &str, is_daemon: bool) -> StoreResult<Attempt> {
    let seconds = time(is_daemon).as_secs_f64();
    let fence = sqlx::query_scalar!(
        "insert into rollcall.lease as l (name, holder, fence, is_daemon, expires_at)
         values ('cycle', $1, 1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (name) do update set
             holder = excluded.holder, is_daemon = excluded.is_daemon, expires_at = excluded.expires_at,
             fence = l.fence + 1
         where l.expires_at < clock_timestamp()
         returning fence",
        holder,
        is_daemon,
        seconds
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(fence) = fence {
        return Ok(Attempt::Leading(Lease {
            holder: holder.to_owned(),
            fence,
            is_daemon,
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
/// [`StoreError::LeaseLost`] when it is not.
pub async fn check(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    let held = sqlx::query_scalar!(
        "select fence from rollcall.lease where name = 'cycle' and holder = $1 and fence = $2 for share",
        lease.holder,
        lease.fence
    )
    .fetch_optional(db)
    .await?;
    held.map(|_| ()).ok_or(StoreError::LeaseLost)
}
