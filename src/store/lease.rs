//! Leader election: one row with an expiry by the database's clock, and a fencing number. Each transaction of a cycle
//! checks the number, so that a leader that was suspended and resumes late writes nothing.
//!
//! A lease is valid only on the server that gave it. A promoted replica may lack the last commits of its predecessor,
//! and the state that a run remembers may be wrong there. Such a run must stop, or it would write a checkpoint beyond
//! lost rows. Fencing numbers may repeat there, too. The start time identifies a server.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Connection, StoreError, StoreResult};

/// How long a lease lasts without renewal: a killed leader is replaced within five seconds.
const TIME: Duration = Duration::from_millis(4500);

/// Renewed this often, a lease survives an outage of three seconds.
const RENEWED_EVERY: Duration = Duration::from_millis(750);

/// A lease that this process has taken.
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

/// The result of an attempt to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadAttempt {
    /// This process leads.
    Leading(Lease),
    /// Another process leads.
    Held {
        /// Whether it is a daemon that answers requests for runs.
        by_daemon: bool,
        /// When the lease expires unless it is renewed.
        runs_out_in: Duration,
    },
}

/// The server at the other end of a connection; it stays the same as long as the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// The server's time. It is slightly early a moment later, so each lease ends sooner for its holder, and later for
    /// a process that waits for it.
    pub now: DateTime<Utc>,
    /// When the server was started.
    pub started: DateTime<Utc>,
}

impl Server {
    /// Asks the server, in a statement of its own: no statement that writes computes a time.
    pub async fn ask(db: &mut Connection) -> StoreResult<Self> {
        Ok(sqlx::query_as!(
            Self,
            r#"select clock_timestamp() as "now!", pg_postmaster_start_time() as "started!""#
        )
        .fetch_one(db)
        .await?)
    }
}

/// Tries to take the lease. Its holder can take it again at any time, and loses the old one.
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
        // None if another process was faster.
        if let Some(fence) = taken {
            return Ok(LeadAttempt::Leading(Lease {
                holder: holder.to_owned(),
                fence,
                server: server.started,
            }));
        }
    }
}

/// Renews a lease.
///
/// # Errors
/// [`StoreError::LeaseLost`] when another process leads.
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

/// Releases a lease, so that another process can lead at once.
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

/// Ensures, within a transaction, that the lease is held until commit: it locks the lease's row. If the holder is
/// suspended or its machine is lost, the server ends the transaction before the lease expires.
///
/// # Errors
/// [`StoreError::LeaseLost`] when it is not held; [`StoreError::ServerReplaced`] on another server than the one that
/// gave it.
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
