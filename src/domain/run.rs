//! Records of runs: the runs, their changes, and findings for an operator.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::drift::RunVerification;
use super::word::words;

/// One run.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// What started it: `interval`, `sync`.
    pub trigger: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The environments it evaluated.
    pub environments: Vec<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `complete`, `incomplete`, `held` or `failed`; none while it runs.
    pub outcome: Option<String>,
    /// Its counts, by environment.
    #[schema(value_type = Object)]
    pub counts: Value,
    /// Its problems, one sentence each.
    pub problems: Vec<String>,
    /// Environments that were in the database but not in its configuration.
    #[schema(value_type = Vec<LeftOver>)]
    pub left_over: Value,
    /// What its verification of the mirror found; none if it did not verify.
    #[schema(value_type = Option<RunVerification>)]
    pub verification: Option<Value>,
}

/// One line of a run's changes; of a dry run, of the changes that it would make.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RunLine {
    /// Its number.
    pub id: i64,
    /// The time of the change; of a dry run, the time at which the run began.
    pub at: DateTime<Utc>,
    /// The environment.
    pub environment: String,
    /// The row; in a dry run, a new one where it would be created.
    pub systemuserid: Uuid,
    /// The directory user, if there is one.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// The row's name now.
    pub domainname: Option<String>,
    /// The operation; a dry run shows `grant` and `revoke` of a security role too.
    pub operation: String,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Whether the guard would hold it; dry runs only.
    pub held: bool,
    /// Column → [old, new].
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// A change that a dry run would make.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    /// The row; a new one where it would be created.
    pub systemuserid: Uuid,
    /// The directory user, if there is one.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// The user principal name.
    pub domainname: Option<String>,
    /// `create`, `update`, `enable`, `disable`; `grant` and `revoke` of a security role.
    pub operation: &'static str,
    /// The role that is granted or revoked.
    pub role: Option<String>,
    /// The rule behind it.
    pub reason: Option<&'static str>,
    /// Whether the guard would hold it.
    pub held: bool,
    /// Column → [old, new].
    pub fields: Value,
}

words! {
    /// What a run is doing.
    pub enum Phase {
        /// Reads the directory; counts entries.
        Reading "reading"
        /// Verifies the mirror; counts the entries listed and those looked up.
        Verifying "verifying"
        /// Evaluates the users of an environment.
        Evaluating "evaluating"
        /// Disables rows of an environment, or holds their removal.
        Removing "removing"
    }
}

/// How far a run in progress is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunProgress {
    /// `reading` the directory, `verifying` the mirror, `evaluating` users, `removing` those who no longer qualify.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// The environment, once the directory is read, unless several are evaluated together.
    pub environment: Option<String>,
    /// Entries read, or users done.
    pub done: i64,
    /// The expected number, if it is known.
    pub total: Option<i64>,
    /// When the phase began.
    pub began_at: DateTime<Utc>,
    /// The time of this report.
    pub at: DateTime<Utc>,
}

impl RunProgress {
    /// Entries or users a second; none before a second is over.
    #[must_use]
    pub fn rate(&self) -> Option<i64> {
        let seconds = (self.at - self.began_at).num_seconds();
        (seconds > 0).then(|| self.done / seconds)
    }

    /// The time left at this rate, if the total is known.
    #[must_use]
    pub fn seconds_left(&self) -> Option<i64> {
        let rate = self.rate().filter(|rate| *rate > 0)?;
        Some((self.total? - self.done).max(0) / rate)
    }
}

impl std::fmt::Display for RunProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = match (&self.environment, self.phase) {
            (Some(environment), _) => environment,
            (None, Phase::Reading) => "the directory",
            (None, Phase::Verifying) => "the mirror",
            (None, Phase::Evaluating | Phase::Removing) => "users of several environments",
        };
        write!(f, "{} {about}: {}", self.phase.as_str(), self.done)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        if matches!(self.phase, Phase::Reading | Phase::Verifying) {
            f.write_str(" entries")?;
        }
        if let Some(rate) = self.rate() {
            write!(f, ", {rate}/s")?;
        }
        match self.seconds_left() {
            None => Ok(()),
            Some(left @ ..60) => write!(f, ", {left} s left"),
            Some(left) => write!(f, ", {} min left", left.div_euclid(60) + 1),
        }
    }
}

/// One line of a row's history.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChangeLine {
    /// Its number.
    pub id: i64,
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// The run, if there was one.
    pub run_id: Option<i64>,
    /// The actor.
    pub actor: String,
    /// The operation.
    pub operation: String,
    /// The rule behind it.
    pub reason: Option<String>,
    /// Column → [old, new].
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// An open finding.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OpenFinding {
    /// Its number.
    pub id: i64,
    /// The code.
    pub code: String,
    /// `critical` if an environment is left, or would be left, without a System Administrator; otherwise `warning`.
    pub severity: String,
    /// The environment; none if it is about the tenant.
    pub environment: Option<String>,
    /// The directory user, if it is about one.
    pub azureactivedirectoryobjectid: Option<Uuid>,
    /// One sentence.
    pub detail: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

/// An environment that has rows in the database, is not in the configuration and has not been retired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftOver {
    /// The environment.
    pub environment: String,
    /// Its enabled rows, which are no longer kept up to date.
    pub enabled: i64,
    /// Rows whose removal was held when it left the configuration, and which no one can decide.
    pub held: i64,
}

impl LeftOver {
    /// One sentence with what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            environment, enabled, ..
        } = self;
        format!(
            "environment {environment} is in the database but not in this configuration: its {enabled} enabled rows are \
             not kept true. Configure it again, or take leave of it with `rollcall environment retire {environment}`."
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, TimeZone};

    use super::*;

    #[test]
    fn progress_is_one_line_with_rate_and_time_left() {
        let began_at = Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap();
        let line = |phase, environment: Option<&str>, done, total, seconds| {
            let progress = RunProgress {
                phase,
                environment: environment.map(str::to_owned),
                done,
                total,
                began_at,
                at: began_at + Duration::seconds(seconds),
            };
            progress.to_string()
        };
        assert_eq!(
            line(Phase::Reading, None, 0, None, 0),
            "reading the directory: 0 entries"
        );
        assert_eq!(
            line(Phase::Reading, None, 5000, None, 2),
            "reading the directory: 5000 entries, 2500/s"
        );
        let evaluating = |done, seconds| line(Phase::Evaluating, Some("production"), done, Some(9000), seconds);
        assert_eq!(evaluating(0, 5), "evaluating production: 0 of 9000, 0/s");
        assert_eq!(
            evaluating(3000, 10),
            "evaluating production: 3000 of 9000, 300/s, 20 s left"
        );
        assert_eq!(
            evaluating(1000, 100),
            "evaluating production: 1000 of 9000, 10/s, 14 min left"
        );
        assert_eq!(
            evaluating(9500, 100),
            "evaluating production: 9500 of 9000, 95/s, 0 s left"
        );
    }
}
