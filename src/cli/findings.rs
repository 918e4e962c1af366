//! `rollcall findings`: what an operator should look at.

use std::process::ExitCode;

use super::Context;
use super::chosen::OnlyOne;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::or_dash;
use crate::domain::run::OpenFinding;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  rollcall findings\n  rollcall findings --environment production --output json")]
pub struct Arguments {
    #[command(flatten)]
    environment: OnlyOne,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    let records = context.records().await?;
    let environment = arguments.environment.name(&records).await?;
    let heading = ["SINCE (UTC)", "ENVIRONMENT", "SEVERITY", "CODE", "OBJECT ID", "DETAIL"];
    let layout = Layout {
        nothing: Some("Nothing to look at."),
        has_sentences: true,
        spare: &["SINCE (UTC)"],
        ..Layout::new(&heading, |finding: &OpenFinding| {
            vec![
                finding.opened_at.format("%Y-%m-%d %H:%M").to_string(),
                finding.environment.clone().unwrap_or_else(|| "(tenant)".to_owned()),
                finding.severity.clone(),
                finding.code.clone(),
                or_dash(finding.azureactivedirectoryobjectid.map(|id| id.to_string()).as_deref()),
                finding.detail.clone(),
            ]
        })
    };
    let cursor = |finding: &OpenFinding| finding.id;
    list::print(context, &arguments.extent, layout, cursor, async |after, limit| {
        Ok(records.findings(environment, after, limit).await?)
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
