//! `rollcall status`: who leads, the latest runs, and the state of each environment.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::CliResult;
use super::output::{print_json, say, sparing_table};
use super::{Context, Output};
use crate::domain::status::{EnvironmentStatus, Leader, RunBrief, Status};

pub async fn run(context: &Context) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let records = context.records_of(&config).await?;
    let status = records.status(config.sync.interval).await?;
    match context.output {
        Output::Json => print_json(&status),
        Output::Table => print(&status),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) {
    let line = |name: &str, text: &str| say!("{name:<13} {text}");
    line("Leader", &leader(status.leader.as_ref()));
    if let Some(run) = &status.running {
        let kind = if run.dry_run { ", a dry run" } else { "" };
        line(
            "Running",
            &format!(
                "run {} ({}{kind}) since {}",
                run.id,
                run.trigger,
                moment(run.started_at, status.at)
            ),
        );
    }
    line("Last run", &ended(status.last_run.as_ref(), status.at));
    line("Last success", &ended(status.last_success.as_ref(), status.at));
    line("Next cycle", &next_cycle(status));
    line("Verified", &verified(status));
    if status.is_stale {
        say!();
        say!("No run has succeeded for three intervals: rows may differ from the directory.");
        say!("`rollcall runs list` shows the runs, `rollcall check` tests what they need.");
    }
    let about_tenant: i64 = status.findings.values().sum();
    if about_tenant > 0 {
        say!();
        say!("Findings about the tenant: {about_tenant}. `rollcall findings` lists them.");
    }
    say!();
    let heading = [
        "ENVIRONMENT",
        "STATE",
        "ENABLED",
        "DISABLED",
        "HELD",
        "NON-INTERACTIVE",
        "FINDINGS",
    ];
    let rows: Vec<Vec<String>> = status.environments.iter().map(cells).collect();
    sparing_table(&heading, &["NON-INTERACTIVE"], &rows);
    if status.environments.iter().any(|one| !one.configured) {
        say!();
        say!("Environments that are left over are not kept up to date: configure them again,");
        say!("or retire them with `rollcall environment retire NAME`.");
    }
    if status.environments.iter().any(|one| one.held > 0) {
        say!();
        say!("Held rows stay enabled until a person decides. `rollcall runs list` shows the");
        say!("runs; then `rollcall runs approve RUN` or `rollcall runs reject RUN`.");
    }
}

fn leader(leader: Option<&Leader>) -> String {
    let Some(leader) = leader else {
        return "none: no daemon syncs now. Start `rollcall serve`.".to_owned();
    };
    // Host, process id and a random id.
    let mut parts = leader.holder.rsplitn(3, ':').skip(1);
    let place = match (parts.next(), parts.next()) {
        (Some(process), Some(host)) => format!("process {process} on {host}"),
        _ => leader.holder.clone(),
    };
    if leader.is_daemon {
        format!("the daemon, {place}")
    } else {
        format!("`rollcall sync`, {place}; no daemon leads")
    }
}

fn ended(run: Option<&RunBrief>, now: DateTime<Utc>) -> String {
    match run {
        Some(RunBrief {
            id,
            outcome: Some(outcome),
            ended_at: Some(at),
            ..
        }) => format!("run {id} ({outcome}), {}", moment(*at, now)),
        _ => "none yet".to_owned(),
    }
}

fn next_cycle(status: &Status) -> String {
    match status.next_cycle_at {
        None => "none: no daemon leads".to_owned(),
        Some(at) if at <= status.at && status.running.is_some() => {
            "as soon as the run in progress has ended".to_owned()
        }
        Some(at) if at <= status.at => "due now".to_owned(),
        Some(at) => format!("about {}", moment(at, status.at)),
    }
}

fn verified(status: &Status) -> String {
    let last = status
        .verified_at
        .map_or("not yet".to_owned(), |at| moment(at, status.at));
    match status.next_verification_at {
        None => last,
        Some(at) if at <= status.at => format!("{last}; the next run verifies"),
        Some(at) => format!("{last}; again {}", moment(at, status.at)),
    }
}

/// A time, and how far it is from now.
fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let time = at.format("%Y-%m-%d %H:%M:%S UTC");
    if at > now {
        format!("{time} (in {})", span(at - now))
    } else {
        format!("{time} ({} ago)", span(now - at))
    }
}

/// A duration in its largest unit.
fn span(duration: TimeDelta) -> String {
    let (seconds, minutes, hours) = (duration.num_seconds(), duration.num_minutes(), duration.num_hours());
    match (seconds, minutes, hours) {
        (..120, ..) => format!("{seconds} s"),
        (_, ..120, _) => format!("{minutes} min"),
        (.., ..48) => format!("{hours} h"),
        _ => format!("{} days", duration.num_days()),
    }
}

fn cells(one: &EnvironmentStatus) -> Vec<String> {
    let findings: i64 = one.findings.values().sum();
    vec![
        one.environment.clone(),
        if one.configured { "configured" } else { "left over" }.to_owned(),
        one.enabled.to_string(),
        one.disabled.to_string(),
        one.held.to_string(),
        match one.non_interactive_cap {
            Some(cap) => format!("{} of {cap}", one.non_interactive),
            None => one.non_interactive.to_string(),
        },
        findings.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_with_its_distance_from_now() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, shown) in [
            (0, "(0 s ago)"),
            (119, "(119 s ago)"),
            (120, "(2 min ago)"),
            (7199, "(119 min ago)"),
            (7200, "(2 h ago)"),
            (2 * 86_400, "(2 days ago)"),
            (-90, "(in 90 s)"),
            (-900, "(in 15 min)"),
        ] {
            let text = moment(now - TimeDelta::seconds(seconds), now);
            assert!(text.ends_with(shown), "{text}: {shown}");
        }
    }
}
