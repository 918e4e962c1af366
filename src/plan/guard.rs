//! The guard: how many removals a run may make without a person's approval (rules.md, section 11). Pure.

/// Below this many enabled rows a percentage is meaningless.
const PERCENT_COUNTS_FROM: i64 = 20;

/// The configured limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Disables by rule in 24 hours, per environment.
    pub max_disables: u32,
    /// The same as a percentage of the rows enabled when the run began.
    pub max_disable_percent: f64,
}

impl Limits {
    /// The number of enabled rows from which the percentage allows a sum of removals; no more need be counted.
    #[must_use]
    pub fn enough_rows(self, sum: i64) -> i64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "row counts are far below 2^52, and what is more saturates"
        )]
        let rows = (sum as f64 * 100.0 / self.max_disable_percent).ceil() as i64;
        rows.max(PERCENT_COUNTS_FROM).saturating_add(1)
    }
}

/// The guard's input for one environment and one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Removals this run wants to make.
    pub wanted: i64,
    /// Disables by rule within the last 24 hours.
    pub recent: i64,
    /// Rows with an object id that were enabled when the run began.
    pub enabled_at_start: i64,
}

/// Whether the removals are allowed.
///
/// # Errors
/// Why not, in one sentence, when a limit would be exceeded.
pub fn admit(limits: Limits, load: Load) -> Result<(), String> {
    let sum = load.wanted + load.recent;
    if load.wanted == 0 {
        return Ok(());
    }
    if sum > i64::from(limits.max_disables) {
        return Err(format!(
            "{} removals and {} within the last 24 hours exceed max_disables = {}",
            load.wanted, load.recent, limits.max_disables
        ));
    }
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    let percent = sum as f64 * 100.0 / load.enabled_at_start.max(1) as f64;
    if load.enabled_at_start >= PERCENT_COUNTS_FROM && percent > limits.max_disable_percent {
        return Err(format!(
            "{} removals and {} within the last 24 hours are {percent:.1} % of {} enabled rows, more than max_disable_percent = {}",
            load.wanted, load.recent, load.enabled_at_start, limits.max_disable_percent
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_as_are_enough_let_a_sum_through() {
        for max_disable_percent in [0.1, 3.3, 10.0, 100.0] {
            let limits = Limits {
                max_disables: u32::MAX,
                max_disable_percent,
            };
            for wanted in [1, 7, 30, 1_000_000] {
                let load = Load {
                    wanted,
                    recent: 0,
                    enabled_at_start: limits.enough_rows(wanted),
                };
                assert_eq!(admit(limits, load), Ok(()), "{max_disable_percent} % of {load:?}");
            }
        }
    }

    #[test]
    fn limits_are_met_exactly_and_exceeded_by_one() {
        let limits = Limits {
            max_disables: 100,
            max_disable_percent: 10.0,
        };
        let admits = |wanted, recent, enabled_at_start| {
            admit(
                limits,
                Load {
                    wanted,
                    recent,
                    enabled_at_start,
                },
            )
            .is_ok()
        };
        assert!(admits(100, 0, 1000));
        assert!(!admits(101, 0, 100_000));
        assert!(!admits(60, 41, 100_000), "the last 24 hours count");
        assert!(admits(10, 0, 100));
        assert!(!admits(11, 0, 100));
        assert!(admits(19, 0, 19), "below 20 rows only the number counts");
        assert!(!admits(3, 0, 20));
        assert!(admits(0, 500, 20), "nothing wanted, nothing held");
    }
}
