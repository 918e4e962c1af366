//! `rollcall role`: security roles of SystemUsers.

use std::process::ExitCode;

use serde_json::json;

use super::error::CliResult;
use super::output::{or_dash, print_json, table};
use super::{Context, Output, wire};
use crate::store::roles::Holder;
use crate::sync::on_demand::Ask;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists who holds which role, and where it comes from.
    List {
        /// The environment.
        #[arg(long, value_name = "NAME")]
        environment: String,
        /// One user only.
        #[arg(long)]
        user: Option<String>,
        /// One role only.
        #[arg(long)]
        role: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: i64,
    },
    /// Gives a user a role.
    #[command(
        after_help = "Example:\n  rollcall role grant ada@contoso.example \"System Administrator\" --environment production"
    )]
    Grant(Grant),
    /// Takes a role from a user.
    Revoke(Grant),
}

#[derive(Debug, clap::Args)]
pub struct Grant {
    /// The row's id, the object id or the user principal name.
    user: String,
    /// The role's name.
    role: String,
    /// The environment.
    #[arg(long, value_name = "NAME")]
    environment: String,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let store = context.open_store(&config).await?;
    let engine = wire::engine(&config, store, wire::cancelled_by_signals()?)?;
    let actor = wire::operator();
    let (holders, outcome) = match command {
        Command::List {
            environment,
            user,
            role,
            limit,
        } => {
            let holders = engine
                .role_holders(&environment, user.as_deref(), role.as_deref(), limit)
                .await?;
            (holders, None)
        }
        Command::Grant(grant) => {
            let answer = engine.grant(ask(&grant, &actor), &grant.role).await?;
            let holders = engine
                .role_holders(&grant.environment, Some(&grant.user), None, i64::MAX)
                .await?;
            (holders, Some(answer.outcome))
        }
        Command::Revoke(grant) => {
            let answer = engine.revoke(ask(&grant, &actor), &grant.role).await?;
            let holders = engine
                .role_holders(&grant.environment, Some(&grant.user), None, i64::MAX)
                .await?;
            (holders, Some(answer.outcome))
        }
    };
    match (context.output, outcome) {
        (Output::Json, None) => print_json(&json!({ "items": holders, "next": null })),
        (Output::Json, Some(outcome)) => print_json(&json!({ "outcome": outcome, "roles": holders })),
        (Output::Table, _) if holders.is_empty() => println!("No role."),
        (Output::Table, _) => print(&holders),
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn ask<'a>(grant: &'a Grant, actor: &'a str) -> Ask<'a> {
    Ask {
        environment: &grant.environment,
        user: &grant.user,
        actor,
    }
}

fn print(holders: &[Holder]) {
    let rows: Vec<Vec<String>> = holders
        .iter()
        .map(|held| {
            vec![
                or_dash(held.domainname.as_deref()),
                held.role.clone(),
                held.provenance.clone(),
                held.granted_by.clone(),
                held.granted_at.format("%Y-%m-%d %H:%M").to_string(),
                if held.isdisabled { "disabled" } else { "enabled" }.to_owned(),
            ]
        })
        .collect();
    let heading = ["USER", "ROLE", "FROM", "BY", "SINCE (UTC)", "STATE"];
    print!("{}", table(&heading, &rows));
}
