//! `rollcall role`: security roles of SystemUsers.

use std::process::ExitCode;

use serde_json::json;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, say, table};
use super::{Context, Output, wire};
use crate::domain::role::Holder;
use crate::domain::text::Text;
use crate::sync::Engine;
use crate::sync::desk::{Ask, Effect};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists who holds which role, and where it comes from.
    List {
        #[command(flatten)]
        environment: Chosen,
        /// One user only.
        #[arg(long)]
        user: Option<Text>,
        /// One role only.
        #[arg(long)]
        role: Option<Text>,
        #[command(flatten)]
        extent: Extent,
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
    user: Text,
    /// The role's name.
    role: Text,
    #[command(flatten)]
    environment: Chosen,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine().await?;
    let actor = wire::operator();
    match command {
        Command::List {
            environment,
            user,
            role,
            extent,
        } => {
            let layout = Layout {
                nothing: Some("No role."),
                ..Layout::new(&HEADING, cells)
            };
            let environment = environment.name(&engine)?;
            let (user, role) = (user.as_deref(), role.as_deref());
            list::print(
                context,
                &extent,
                layout,
                |held: &Holder| held.into(),
                async |after, limit| {
                    wire::go_on(&engine)?;
                    Ok(engine
                        .desk()
                        .role_holders(environment, user, role, after, limit)
                        .await?)
                },
            )
            .await?;
        }
        Command::Grant(grant) => {
            let answer = engine.desk().grant(ask(&engine, &grant, &actor)?, &grant.role).await?;
            tell(context, &engine, &grant, answer.outcome).await?;
        }
        Command::Revoke(grant) => {
            let answer = engine.desk().revoke(ask(&engine, &grant, &actor)?, &grant.role).await?;
            tell(context, &engine, &grant, answer.outcome).await?;
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Prints the result, and the roles that the user now holds.
async fn tell(context: &Context, engine: &Engine, grant: &Grant, outcome: Effect) -> CliResult<()> {
    let environment = grant.environment.name(engine)?;
    let holders = engine
        .desk()
        .role_holders(environment, Some(&grant.user), None, None, i64::MAX)
        .await?;
    match context.output {
        Output::Json => print_json(&json!({ "outcome": outcome, "roles": holders })),
        Output::Table if holders.is_empty() => say!("No role."),
        Output::Table => table(&HEADING, &holders.iter().map(cells).collect::<Vec<_>>()),
    }
    Ok(())
}

fn ask<'a>(engine: &'a Engine, grant: &'a Grant, actor: &'a str) -> CliResult<Ask<'a>> {
    Ok(Ask {
        environment: grant.environment.name(engine)?,
        user: &grant.user,
        actor,
    })
}

const HEADING: [&str; 6] = ["USER", "ROLE", "FROM", "BY", "SINCE (UTC)", "STATE"];

fn cells(held: &Holder) -> Vec<String> {
    vec![
        or_dash(held.domainname.as_deref()),
        held.role.clone(),
        held.provenance.clone(),
        held.granted_by.clone(),
        held.granted_at.format("%Y-%m-%d %H:%M").to_string(),
        if held.isdisabled { "disabled" } else { "enabled" }.to_owned(),
    ]
}
