//! `rollcall check`: the database.

use std::time::Duration;

use super::{Mark, Report, scope};
use crate::cli::error::{CliError, CliResult, exit};
use crate::cli::wire;
use crate::config::Config;
use crate::sync::records::Records;

/// The database itself, then what it tells: its replica, mapped columns, environments that are left over.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let store = match wire::connect(config, wire::Patience::Short).await {
        Ok(store) => store,
        Err(error) => {
            report.add("database", Mark::Failed, error.to_string(), error.exit());
            return;
        }
    };
    let missing = match store.check_tenant(config.tenant.id).await {
        Ok(()) => store.missing_migrations().await,
        Err(error) => Err(error),
    };
    match missing.map_err(CliError::from) {
        Ok(0) => {
            let detail = format!(
                "{} is reachable, migrations applied",
                wire::server().unwrap_or_default()
            );
            report.add("database", Mark::Ok, detail, 0);
            check_replica(config, wire::replica_lag(config, &store).await, report);
            let records = wire::records(config, store.clone());
            check_extra_fields(config, &records, report).await;
            check_left_over(&records, report).await;
            scope::check_verification(config, &records, report).await;
        }
        Ok(missing) => report.add(
            "database",
            Mark::Warning,
            format!(
                "{} is reachable; {missing} migration(s) missing: run `rollcall migrate`, or `serve` will apply them",
                wire::server().unwrap_or_default()
            ),
            0,
        ),
        Err(error) => report.add("database", Mark::Failed, error.to_string(), error.exit()),
    }
    store.close().await;
}

/// The columns that `[[extra_field]]` maps.
async fn check_extra_fields(config: &Config, records: &Records, report: &mut Report) {
    if config.extra_fields.is_empty() {
        return;
    }
    match records.unfit_columns().await {
        Ok(unfit) => {
            for (index, field) in config.extra_fields.iter().enumerate() {
                let what = format!("extra field {}", field.column);
                match unfit.get(&index) {
                    Some(problem) => report.add(&what, Mark::Failed, problem, exit::USAGE),
                    None => report.add(&what, Mark::Ok, format!("takes {}", field.property.name), 0),
                }
            }
        }
        Err(error) => {
            let error = CliError::from(error);
            report.add("extra fields", Mark::Failed, error.to_string(), error.exit());
        }
    }
}

/// Lists are read from the replica; where it cannot be used, from the database itself.
fn check_replica(config: &Config, lag: CliResult<Option<Duration>>, report: &mut Report) {
    let at = config.database.read_at.as_ref().map(wire::address);
    let at = at.unwrap_or_default();
    match lag {
        Ok(None) => {}
        Ok(Some(lag)) => {
            let detail = format!("{at} can be used for lists, {} s behind", lag.as_secs());
            report.add("database.read_url", Mark::Ok, detail, 0);
        }
        Err(error) => {
            let detail = format!("lists are read from database.url, since {at} cannot be used: {error}");
            report.add("database.read_url", Mark::Warning, detail, 0);
        }
    }
}

/// Environments in the database that the configuration lacks.
async fn check_left_over(records: &Records, report: &mut Report) {
    match records.left_over().await {
        Ok(left_over) => {
            for left in left_over {
                let what = format!("environment {}", left.environment);
                report.add(&what, Mark::Warning, format!("left over: {}", left.sentence()), 0);
            }
        }
        Err(error) => {
            let error = CliError::from(error);
            report.add("database", Mark::Failed, error.to_string(), error.exit());
        }
    }
}
