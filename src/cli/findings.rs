//! `rollcall findings`: what an operator should look at.

use std::process::ExitCode;

use serde_json::json;

use super::error::CliResult;
use super::output::{or_dash, print_json, table};
use super::{Context, Output};
use crate::store::findings;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One environment only.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    limit: i64,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let store = context.open_store(&config).await?;
    let mut db = store.read().await?;
    let open = findings::list_open(&mut db, arguments.environment.as_deref(), None, arguments.limit).await?;
    if context.output == Output::Json {
        print_json(&json!({ "items": open, "next": null }));
        return Ok(ExitCode::SUCCESS);
    }
    if open.is_empty() {
        println!("Nothing to look at.");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = open
        .into_iter()
        .map(|finding| {
            vec![
                finding.opened_at.format("%Y-%m-%d %H:%M").to_string(),
                finding.environment.unwrap_or_else(|| "(tenant)".to_owned()),
                finding.severity,
                finding.code,
                or_dash(finding.azureactivedirectoryobjectid.map(|id| id.to_string()).as_deref()),
                finding.detail,
            ]
        })
        .collect();
    print!(
        "{}",
        table(
            &["SINCE (UTC)", "ENVIRONMENT", "SEVERITY", "CODE", "OBJECT ID", "DETAIL"],
            &rows
        )
    );
    Ok(ExitCode::SUCCESS)
}
