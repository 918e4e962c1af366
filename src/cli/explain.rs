//! `rollcall explain`: the full diagnostic as a page, or the verdict as JSON.

use std::process::ExitCode;

use super::chosen::Chosen;
use super::error::CliResult;
use super::output::{mode_name, or_dash, print_json, say, sentences, table};
use super::{CliError, Context, Output, wire};
use crate::domain::removal::{Held, RemovalState};
use crate::domain::text::Text;
use crate::rules::{Outcome, Status, Trigger};
use crate::sync::desk::explain::Explanation;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rollcall explain ada@contoso.example --environment production --trigger access")]
pub struct Arguments {
    /// Object id or user principal name.
    user: Text,
    #[command(flatten)]
    environment: Chosen,
    /// What would cause the evaluation: background, access, api, `admin_add`, import, refresh or diagnostics.
    #[arg(long, default_value = "diagnostics", value_name = "TRIGGER")]
    trigger: Text,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    let trigger: Trigger = arguments.trigger.parse().map_err(CliError::Usage)?;
    let engine = context.engine(wire::Patience::Short).await?;
    let environment = arguments.environment.name(&engine)?;
    let explanation = engine.desk().explain(environment, &arguments.user, trigger).await?;
    match context.output {
        Output::Json => print_json(&explanation.shown()),
        Output::Table => print(&explanation),
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Prints the page.
pub fn print(explanation: &Explanation) {
    let user = explanation.directory_user.as_ref();
    let name = user.and_then(|user| user.user_principal_name.as_deref());
    say!(
        "{} in {}",
        name.unwrap_or(&explanation.user),
        explanation.environment.name
    );
    say!("  {}", explanation.headline());
    say!();
    print_facts(explanation);
    print_checks(explanation);
    say!();
    say!("What each trigger would do:");
    let rows: Vec<Vec<String>> = explanation
        .triggers
        .iter()
        .map(|(trigger, verdict)| {
            // Without a row, refresh reports what an access would do, and changes nothing.
            let is_only_reported = verdict.outcome == Outcome::Create && !trigger.may_create();
            let outcome = verdict.outcome.as_str();
            vec![
                trigger.as_str().to_owned(),
                if is_only_reported {
                    format!("nothing (access: {outcome})")
                } else {
                    outcome.to_owned()
                },
                or_dash(verdict.code.map(crate::domain::reason::Code::as_str)),
            ]
        })
        .collect();
    table(&["TRIGGER", "OUTCOME", "CODE"], &rows);
    if let Some(last) = explanation.history.first() {
        say!();
        say!(
            "Last change: {} by {} at {}",
            last.operation,
            last.actor,
            last.at.format("%Y-%m-%d %H:%M:%S UTC")
        );
    }
}

/// The row, the user's entitlement, and the context of the verdict.
fn print_facts(explanation: &Explanation) {
    match &explanation.row {
        Some(row) => {
            let state = if row.isdisabled {
                format!(
                    "disabled ({}, by {})",
                    or_dash(row.disabledreason.as_deref()),
                    or_dash(row.disabled_by.as_deref())
                )
            } else {
                "enabled".to_owned()
            };
            say!(
                "  row          {} {state}, {}",
                row.systemuserid,
                mode_name(row.accessmode)
            );
            if let Some(reason) = explanation.hold() {
                say!("  on hold      {reason}");
            }
            if let Some(held) = &explanation.held {
                say!("  held         {}", held_words(held));
            }
            let roles = explanation.roles.join(", ");
            say!(
                "  roles        {}",
                if roles.is_empty() {
                    "none: can sign in, but use no data"
                } else {
                    &roles
                }
            );
            if !row.customer_owned.is_empty() {
                say!(
                    "  edited       {} (the sync leaves these alone)",
                    row.customer_owned.join(", ")
                );
            }
        }
        None => say!("  row          none"),
    }
    say!("  entitlement  {}", explanation.verdict.entitlement.as_str());
    say!("  plan         {}", or_dash(explanation.plan.as_deref()));
    if let Some(exemption) = &explanation.exemption {
        say!("  exemption    {exemption}");
    }
    say!(
        "  access mode  {} ({})",
        mode_name(explanation.verdict.accessmode),
        explanation.accessmode_reason
    );
    let (taken, cap) = explanation.non_interactive;
    say!("  cap          {taken} of {cap} non-interactive users are enabled");
    if !explanation.nested_through.is_empty() {
        let groups: Vec<String> = explanation.nested_through.iter().map(uuid::Uuid::to_string).collect();
        say!(
            "  nested       in the security group only through {}",
            groups.join(", ")
        );
    }
    if explanation.directory != "fresh" && !explanation.directory.is_empty() {
        say!("  directory    {}", explanation.directory);
    }
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
    };
    say!("  evaluated    last {}", time(explanation.last_evaluation));
    say!(
        "               next when something changes, at the latest {}",
        time(explanation.next_evaluation)
    );
    say!();
}

/// The held set of the row, and how to decide it.
fn held_words(held: &Held) -> String {
    let Held { run, reason, .. } = held;
    if held.state != RemovalState::Held {
        return format!("its removal ({reason}) by run {run} was rejected");
    }
    let until = held
        .expires_at
        .map_or_else(String::new, |at| format!(" until {}", at.format("%Y-%m-%d %H:%M UTC")));
    format!(
        "run {run} wants it disabled ({reason}) and waits for a decision{until}: rollcall runs approve {run} or \
         rollcall runs reject {run}"
    )
}

/// Every check, with the remedy for each failed one.
fn print_checks(explanation: &Explanation) {
    let mut rows: Vec<Vec<String>> = explanation
        .verdict
        .checks
        .iter()
        .zip(&explanation.words)
        .map(|(check, words)| {
            let mark = match check.status {
                Status::Pass => "pass",
                Status::Fail => "FAIL",
                Status::NotApplicable => "-",
                Status::Unknown => "unknown",
            };
            vec![mark.to_owned(), check.gate.as_str().to_owned(), words.detail.clone()]
        })
        .collect();
    let security_role = explanation.security_role();
    let mark = match security_role.status {
        "fail" => "FAIL",
        "not_applicable" => "-",
        status => status,
    };
    rows.push(vec![
        mark.to_owned(),
        security_role.gate.to_owned(),
        security_role.detail,
    ]);
    sentences(&["CHECK", "", "FOUND"], &rows);
    let remedies = explanation.words.iter().filter_map(|words| words.remedy);
    let remedies: Vec<&str> = remedies.chain(security_role.remedy).collect();
    if !remedies.is_empty() {
        say!();
        say!("What to do:");
        for remedy in remedies {
            say!("  {remedy}");
        }
    }
}
