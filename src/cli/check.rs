//! `rollcall check`: tests everything that a run needs, one line each, with the remedy for each failure.

mod database;
mod scope;

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::error::{CliResult, exit};
use super::output::{print_json, say, sentences};
use super::{Context, Output, wire};
use crate::clock::Clock;
use crate::config::{Config, Credential};
use crate::domain::feed::{AdminRole, SubscribedSku};
use crate::domain::licence::Category;
use crate::graph::{ALARMING_SKEW, CertificateFacts, Graph, GraphError, certificate_facts, describe, permissions};

/// A certificate that ends within this time is to be renewed.
const RENEW_WITHIN: TimeDelta = TimeDelta::days(30);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    Warning,
    Failed,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

struct Line {
    what: String,
    mark: Mark,
    detail: String,
    /// The exit code if this line failed.
    exit: u8,
}

#[derive(Default)]
struct Report {
    lines: Vec<Line>,
}

impl Report {
    fn add(&mut self, what: &str, mark: Mark, detail: impl Into<String>, exit: u8) {
        self.lines.push(Line {
            what: what.to_owned(),
            mark,
            detail: detail.into(),
            exit,
        });
    }

    fn graph<T>(&mut self, what: &str, result: Result<T, GraphError>, good: impl FnOnce(&T) -> String) -> Option<T> {
        match result {
            Ok(value) => {
                self.add(what, Mark::Ok, good(&value), 0);
                Some(value)
            }
            Err(error) => {
                self.add(what, Mark::Failed, describe(&error), exit::DIRECTORY);
                None
            }
        }
    }
}

pub async fn run(context: &Context) -> CliResult<ExitCode> {
    let config = wire::load(&context.config)?;
    context.start_logs(None, true)?;
    let mut report = Report::default();
    report.add("configuration", Mark::Ok, config.file.display().to_string(), 0);
    for warning in &config.warnings {
        report.add("configuration", Mark::Warning, warning, 0);
    }
    check_certificate(&config, &mut report);
    database::check(&config, &mut report).await;
    let mut skus = Vec::new();
    match wire::graph(&config, CancellationToken::new(), wire::Patience::Short) {
        Err(error) => report.add("token", Mark::Failed, error.to_string(), exit::USAGE),
        Ok(graph) => {
            let expiry = report.graph("token", graph.check_token().await, |at| {
                format!(
                    "issued by {}, valid until {}",
                    issuer(&config),
                    at.format("%H:%M:%S UTC")
                )
            });
            check_clock(&graph, &mut report);
            if expiry.is_some() {
                check_excess(&graph, &mut report).await;
                skus = check_graph(&config, &graph, &mut report).await;
            }
        }
    }
    print(context, &config, &report, &skus);
    let worst = report
        .lines
        .iter()
        .find(|line| line.mark == Mark::Failed)
        .map_or(0, |line| line.exit);
    Ok(ExitCode::from(worst))
}

/// Who issues tokens: the authority, or the machine itself.
fn issuer(config: &Config) -> &str {
    match config.tenant.credential {
        Credential::ManagedIdentity { .. } => "this machine's identity service",
        _ => config.tenant.authority.host_str().unwrap_or_default(),
    }
}

/// The certificate as far as it can be judged here; Entra has the last word.
fn check_certificate(config: &Config, report: &mut Report) {
    if let Some(facts) = certificate_facts(&config.tenant.credential) {
        let (mark, detail) = certificate_line(facts, Clock::system().now());
        report.add("certificate", mark, detail, 0);
    }
}

fn certificate_line(facts: CertificateFacts, now: DateTime<Utc>) -> (Mark, String) {
    let remedy = "make a new one, register it with the application, and name its files here";
    let Some(end) = facts.not_after else {
        return (Mark::Warning, format!("its end cannot be read: {remedy}"));
    };
    let (left, day) = (end - now, end.format("%Y-%m-%d"));
    let (mark, detail) = match () {
        () if !facts.fits_key => (
            Mark::Warning,
            "it does not belong to the key: name the two files that were made together".to_owned(),
        ),
        () if left < TimeDelta::zero() => (Mark::Warning, format!("it has expired on {day}: {remedy}")),
        () if left < RENEW_WITHIN => (
            Mark::Warning,
            format!("it expires on {day}, in {} days: {remedy}", left.num_days()),
        ),
        () => (Mark::Ok, format!("belongs to the key, valid until {day}")),
    };
    (mark, detail)
}

/// Permissions beyond those of graph.md, section 8: whoever steals the credential has them too.
async fn check_excess(graph: &Graph, report: &mut Report) {
    let Ok(Some(granted)) = graph.granted_permissions().await else {
        return;
    };
    let needed = permissions();
    let excess: Vec<&str> = granted
        .iter()
        .map(String::as_str)
        .filter(|one| !needed.contains(one))
        .collect();
    if excess.is_empty() {
        report.add("permissions", Mark::Ok, "none that is not needed", 0);
        return;
    }
    let detail = format!(
        "granted and not needed: {}; remove them from the application",
        excess.join(", ")
    );
    report.add("permissions", Mark::Warning, detail, 0);
}

/// A clock that is far off makes tokens and assertions look expired.
fn check_clock(graph: &Graph, report: &mut Report) {
    let Some(ahead) = graph.clock_skew() else { return };
    let seconds = ahead.num_seconds();
    if ahead.abs() < ALARMING_SKEW {
        let detail = format!("{} s from the directory's", seconds.abs());
        report.add("clock", Mark::Ok, detail, 0);
        return;
    }
    let side = if seconds > 0 { "ahead of" } else { "behind" };
    let detail = format!(
        "this machine's clock is {} {side} the directory's: set it, or let NTP do so",
        humantime::format_duration(std::time::Duration::from_secs(seconds.unsigned_abs()))
    );
    report.add("clock", Mark::Warning, detail, 0);
}

async fn check_graph(config: &Config, graph: &Graph, report: &mut Report) -> Vec<SubscribedSku> {
    let host = config.tenant.graph_root.host_str().unwrap_or_default();
    let sample = report.graph("users (User.Read.All)", graph.sample_user().await, |user| match user {
        Some(_) => format!("readable at {host}"),
        None => format!("readable at {host}; the tenant has no users"),
    });
    if let Some(Some(user)) = sample
        && user.account_enabled.value().is_none()
    {
        report.add(
            "users (User.Read.All)",
            Mark::Failed,
            "users come without accountEnabled: grant the application permission User.Read.All and give admin consent",
            exit::DIRECTORY,
        );
    }
    for environment in &config.environments {
        let name = format!("environment {}", environment.name);
        let Some(group) = environment.security_group else {
            report.add(&name, Mark::Ok, "no security group: everybody passes that gate", 0);
            continue;
        };
        match graph.group_members(group, None).await {
            Ok(page) => {
                let more = if page.items.is_empty() {
                    ", which has no members: nobody will get a row"
                } else {
                    ""
                };
                let mark = if page.items.is_empty() { Mark::Warning } else { Mark::Ok };
                report.add(&name, mark, format!("security group {group} is readable{more}"), 0);
                // Whatever else keeps this question from an answer shows above.
                if let Ok(false) = graph.can_be_gate(group).await {
                    let detail = format!(
                        "{group} is neither a security group nor a Microsoft 365 group, and so no gate for Dataverse: \
                         choose another group in security_group"
                    );
                    report.add(&name, Mark::Warning, detail, 0);
                }
            }
            Err(GraphError::NotFound { .. }) => report.add(
                &name,
                Mark::Failed,
                format!("the security group {group} does not exist: correct security_group, or restore the group"),
                exit::DIRECTORY,
            ),
            Err(error) => report.add(&name, Mark::Failed, describe(&error), exit::DIRECTORY),
        }
    }
    scope::check(config, graph, report).await;
    report.graph(
        "roles (RoleManagement.Read.Directory)",
        graph.role_assignments(AdminRole::Global).await,
        |assignments| {
            format!(
                "readable; {} assignments of Global Administrator",
                assignments.value.items.len()
            )
        },
    );
    report.graph("deleted users (User.Read.All)", graph.deleted_users().await, |users| {
        format!("readable; {} users can be restored", users.items.len())
    });
    check_applications(config, graph, report).await;
    report
        .graph(
            "licences (LicenseAssignment.Read.All)",
            graph.subscribed_skus().await,
            |skus| format!("readable; {} SKUs", skus.items.len()),
        )
        .map(|skus| skus.items)
        .unwrap_or_default()
}

/// Needed only to create application users; the rest works without it. Looks up our own application.
async fn check_applications(config: &Config, graph: &Graph, report: &mut Report) {
    let what = "applications (Application.Read.All)";
    match graph.service_principal(config.tenant.client_id).await {
        Err(error @ GraphError::Forbidden { .. }) => report.add(
            what,
            Mark::Warning,
            format!("application users cannot be created: {}", describe(&error)),
            0,
        ),
        result => {
            report.graph(what, result, |_| "readable".to_owned());
        }
    }
}

/// Each SKU with its plans by category; plans without a category are only counted.
fn sku_rows(config: &Config, skus: &[SubscribedSku]) -> Vec<Vec<String>> {
    skus.iter()
        .map(|sku| {
            let mut plans: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            let mut none = 0;
            for (plan, name) in &sku.plans {
                match config.catalogue.category(*plan) {
                    Category::None => none += 1,
                    category => plans.entry(category.as_str()).or_default().push(name),
                }
            }
            let mut counted: Vec<String> = plans
                .iter()
                .map(|(category, names)| format!("{category}: {}", names.join(", ")))
                .collect();
            counted.push(format!("none: {none} {}", if none == 1 { "plan" } else { "plans" }));
            let state = if sku.usable { "usable" } else { "not usable" };
            vec![sku.part_number.clone(), state.to_owned(), counted.join("; ")]
        })
        .collect()
}

fn print(context: &Context, config: &Config, report: &Report, skus: &[SubscribedSku]) {
    if context.output == Output::Json {
        let checks: Vec<_> = report
            .lines
            .iter()
            .map(|line| json!({ "check": line.what, "status": line.mark.as_str(), "detail": line.detail }))
            .collect();
        let skus: Vec<_> = skus
            .iter()
            .map(|sku| {
                let plans: Vec<_> = sku
                    .plans
                    .iter()
                    .map(|(id, name)| json!({ "id": id, "name": name, "category": config.catalogue.category(*id).as_str() }))
                    .collect();
                json!({ "sku": sku.part_number, "id": sku.sku_id, "usable": sku.usable, "plans": plans })
            })
            .collect();
        print_json(&json!({ "checks": checks, "skus": skus }));
        return;
    }
    let rows: Vec<Vec<String>> = report
        .lines
        .iter()
        .map(|line| vec![line.mark.as_str().to_owned(), line.what.clone(), line.detail.clone()])
        .collect();
    sentences(&["", "CHECK", "FOUND"], &rows);
    if !skus.is_empty() {
        say!();
        sentences(&["SKU", "STATE", "PLANS"], &sku_rows(config, skus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_thirty_days_before_its_end() {
        let now = DateTime::from_timestamp(1_772_438_400, 0).unwrap();
        let remedy = "make a new one, register it with the application, and name its files here";
        for (fits_key, days, expected) in [
            (true, Some(31), "belongs to the key, valid until 2026-04-02".to_owned()),
            (
                true,
                Some(29),
                format!("it expires on 2026-03-31, in 29 days: {remedy}"),
            ),
            (true, Some(-1), format!("it has expired on 2026-03-01: {remedy}")),
            (true, None, format!("its end cannot be read: {remedy}")),
            (
                false,
                Some(31),
                "it does not belong to the key: name the two files that were made together".to_owned(),
            ),
        ] {
            let not_after = days.map(|days| now + TimeDelta::days(days));
            let (mark, detail) = certificate_line(CertificateFacts { fits_key, not_after }, now);
            assert_eq!(detail, expected);
            assert_eq!(mark == Mark::Ok, detail.starts_with("belongs"));
        }
    }
}
