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

/// How long a lease lasts without being renewed: whoever is killed is followed in less than five seconds.
const TIME: Duration = Duration::from_millis(4500);

/// Renewed so often, a lease outlasts three seconds in which nothing goes.
const RENEWED_EVERY: Duration = Duration::from_millis(750);

/// A lease that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    holder: String,
    fence: i64,
    server: DateTime<Utc>,
}

impl Lease {
    /// How often its holder renews it.
    #[must_use]
    pub const fn renewed_every(&self) -> Duration {
        RENEWED_EVERY
    }
}

/// What became of an attempt to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadAttempt {
    /// This process leads.
    Leading(Lease),
    /// Another process leads.
    Held {
        /// Whether it is a daemon that answers requests for runs.
        by_daemon: bool,
        /// When it runs out unless it is renewed.
        runs_out_in: Duration,
    },
}

/// The server at the other end of a connection, the same one as long as the connection lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// The time by its clock. A moment later it is a little too early, which makes every lease end sooner, for whoever
    /// gets it, and later, for whoever waits for it.
    pub now: DateTime<Utc>,
    /// When it was started.
    pub started: DateTime<Utc>,
}

impl Server {
    /// Asks it, in a statement of its own: no statement that writes computes a time.
    pub async fn ask(db: &mut Connection) -> StoreResult<Self> {
        Ok(sqlx::query_as!(
            Self,
            r#"select clock_timestamp() as "now!", pg_postmaster_start_time() as "started!""#
        )
        .fetch_one(db)
        .await?)
    }
}

/// Tries to take the lease. Its holder can take it anew at any time, and loses what it had.
pub async fn acquire(db: &mut Connection, holder: &str, is_daemon: bool) -> StoreResult<LeadAttempt> {
    loop {
        let server = Server::ask(db).await?;
        let held = sqlx::query!(
            r#"select is_daemon, expires_at from lease where name = 'cycle' and expires_at >= $1 and holder <> $2"#,
            server.now,
            holder
        )
        .fetch_optional(&mut *db)
        .await?;
        if let Some(held) = held {
            return Ok(LeadAttempt::Held {
                by_daemon: held.is_daemon,
                runs_out_in: (held.expires_at - server.now).to_std().unwrap_or_default(),
            });
        }
        let taken = sqlx::query_scalar!(
            "insert into lease as l (name, holder, fence, is_daemon, expires_at) values ('cycle', $1, 1, $2, $3)
             on conflict (name) do update set
                 holder = excluded.holder, is_daemon = excluded.is_daemon, expires_at = excluded.expires_at,
                 fence = l.fence + 1
             where l.expires_at < $4 or l.holder = excluded.holder
             returning fence",
            holder,
            is_daemon,
            server.now + TIME,
            server.now
        )
        .fetch_optional(&mut *db)
        .await?;
        // None if somebody else was faster.
        if let Some(fence) = taken {
            return Ok(LeadAttempt::Leading(Lease {
                holder: holder.to_owned(),
                fence,
                server: server.started,
            }));
        }
    }
}

/// Prolongs a lease.
///
/// # Errors
/// [`StoreError::LeaseLost`] when somebody else leads by now.
pub async fn renew(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    let now = Server::ask(db).await?.now;
    let renewed = sqlx::query!(
        "update lease set expires_at = $3 where name = 'cycle' and holder = $1 and fence = $2",
        lease.holder,
        lease.fence,
        now + TIME
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
pub async fn release(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    sqlx::query!(
        "update lease set expires_at = '-infinity' where name = 'cycle' and holder = $1 and fence = $2",
        lease.holder,
        lease.fence
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes sure, within a transaction of ours, that the lease is still held until it commits. The server ends the
/// transaction of a holder who is stopped in the middle of it, or whose machine is gone, before the lease has run out:
/// it locks the lease's row.
///
/// # Errors
/// [`StoreError::LeaseLost`] when it is not; [`StoreError::ServerReplaced`] on another server than the one that gave it.
pub async fn check(db: &mut Connection, lease: &Lease) -> StoreResult<()> {
    let present = sqlx::query!(
        r#"select holder = $1 and fence = $2 as "is_held!", pg_postmaster_start_time() as "server!",
                  set_config('idle_in_transaction_session_timeout', '4s', true) as idle,
                  set_config('tcp_user_timeout', '4s', true) as unread
           from lease where name = 'cycle' for share"#,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlasts_a_hiccup_of_three_seconds_and_is_over_in_less_than_five() {
        assert!(RENEWED_EVERY + Duration::from_secs(3) < TIME);
        assert!(TIME < Duration::from_secs(5));
    }
}
