//! `rollcall candidates`: the candidates for an import.

use std::process::ExitCode;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::or_dash;
use super::{Context, wire};
use crate::domain::import::Candidate;
use crate::domain::text::Text;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rollcall candidates --environment production --text lovelace\n  rollcall candidates --environment production --output json\n\n`rollcall explain USER --environment NAME --trigger import` shows whether the rules admit a user."
)]
pub struct Arguments {
    #[command(flatten)]
    environment: Chosen,
    /// Users whose display name or user principal name contains this text.
    #[arg(long)]
    text: Option<Text>,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(context: &Context, arguments: &Arguments) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let environment = arguments.environment.name(&engine)?;
    let text = arguments.text.as_deref();
    let layout = Layout {
        spare: &["OBJECT ID"],
        ..Layout::new(&["USER", "NAME", "SIGN-IN", "OBJECT ID"], |user: &Candidate| {
            let sign_in = match user.account_enabled {
                Some(true) => "allowed",
                Some(false) => "blocked",
                None => "unknown",
            };
            vec![
                or_dash(user.user_principal_name.as_deref()),
                or_dash(user.display_name.as_deref()),
                sign_in.to_owned(),
                user.id.to_string(),
            ]
        })
    };
    let cursor = |user: &Candidate| user.id;
    list::print(context, &arguments.extent, layout, cursor, async |after, limit| {
        wire::go_on(&engine)?;
        Ok(engine.imports().candidates(environment, text, after, limit).await?)
    })
    .await?;
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}
