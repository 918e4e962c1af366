//! `rollcall unit`: the business units of an environment.

use std::process::ExitCode;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, say};
use super::{Context, Output, wire};
use crate::domain::text::Text;
use crate::domain::unit::BusinessUnit;
use crate::sync::Engine;
use crate::sync::desk::UnitEdit;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the units.
    #[command(after_help = "Example:\n  rollcall unit list --environment production")]
    List {
        #[command(flatten)]
        environment: Chosen,
        #[command(flatten)]
        extent: Extent,
    },
    /// Creates a unit, with its default team.
    #[command(
        after_help = "Examples:\n  rollcall unit add Sales --environment production\n  rollcall unit add \"Sales Europe\" --parent Sales --environment production"
    )]
    Add {
        /// Its name.
        name: Text,
        /// The unit above, by id or name; without it the root.
        #[arg(long, value_name = "UNIT")]
        parent: Option<Text>,
        #[command(flatten)]
        environment: Chosen,
    },
    /// Renames a unit and its default team.
    #[command(after_help = "Example:\n  rollcall unit rename Sales \"Sales and Service\" --environment production")]
    Rename {
        #[command(flatten)]
        one: One,
        /// The new name.
        name: Text,
    },
    /// Moves a unit with everything below it.
    #[command(after_help = "Example:\n  rollcall unit move \"Sales Europe\" --parent Europe --environment production")]
    Move {
        #[command(flatten)]
        one: One,
        /// The unit above, by id or name.
        #[arg(long, value_name = "UNIT")]
        parent: Text,
    },
    /// Disables a unit: only a disabled unit can be deleted.
    #[command(after_help = "Example:\n  rollcall unit disable Sales --environment production")]
    Disable(One),
    /// Enables a unit.
    #[command(after_help = "Example:\n  rollcall unit enable Sales --environment production")]
    Enable(One),
    /// Deletes a unit that is disabled and has no users, teams or units.
    #[command(after_help = "Example:\n  rollcall unit delete Sales --environment production")]
    Delete(One),
}

/// One unit in one environment.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The unit's id or name.
    unit: Text,
    #[command(flatten)]
    environment: Chosen,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let desk = engine.desk();
    let actor = wire::operator();
    let edit = async |one: &One, edit: UnitEdit<'_>| {
        let environment = one.environment.name(&engine)?;
        let unit = desk.edit_unit(environment, &one.unit, edit, &actor).await?;
        print(context, &unit);
        CliResult::Ok(())
    };
    let as_it_is = UnitEdit::default();
    match command {
        Command::List { environment, extent } => {
            list_units(context, &engine, environment.name(&engine)?, &extent).await?;
        }
        Command::Add {
            name,
            parent,
            environment,
        } => {
            let environment = environment.name(&engine)?;
            let unit = desk.add_unit(environment, &name, parent.as_deref(), &actor).await?;
            print(context, &unit);
        }
        Command::Rename { one, name } => {
            let name = Some(&*name);
            edit(&one, UnitEdit { name, ..as_it_is }).await?;
        }
        Command::Move { one, parent } => {
            let parent = Some(&*parent);
            edit(&one, UnitEdit { parent, ..as_it_is }).await?;
        }
        Command::Disable(one) => {
            let isdisabled = Some(true);
            edit(&one, UnitEdit { isdisabled, ..as_it_is }).await?;
        }
        Command::Enable(one) => {
            let isdisabled = Some(false);
            edit(&one, UnitEdit { isdisabled, ..as_it_is }).await?;
        }
        Command::Delete(one) => {
            let unit = desk.delete_unit(one.environment.name(&engine)?, &one.unit).await?;
            match context.output {
                Output::Json => print_json(&unit),
                Output::Table => say!("deleted: business unit {} ({})", unit.name, unit.businessunitid),
            }
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list_units(context: &Context, engine: &Engine, environment: &str, extent: &Extent) -> CliResult<()> {
    let layout = Layout {
        spare: &["BUSINESSUNITID"],
        ..Layout::new(&["UNIT", "BELOW", "STATE", "BUSINESSUNITID"], |unit: &BusinessUnit| {
            vec![
                unit.name.clone(),
                or_dash(unit.parentbusinessunitidname.as_deref()),
                state_of(unit).to_owned(),
                unit.businessunitid.to_string(),
            ]
        })
    };
    let cursor = |unit: &BusinessUnit| unit.businessunitid;
    list::print(context, extent, layout, cursor, async |after, limit| {
        wire::go_on(engine)?;
        Ok(engine.records().units(environment, after, limit).await?)
    })
    .await
}

fn state_of(unit: &BusinessUnit) -> &'static str {
    if unit.isdisabled { "disabled" } else { "enabled" }
}

/// Prints a unit after its change.
fn print(context: &Context, unit: &BusinessUnit) {
    match context.output {
        Output::Json => print_json(unit),
        Output::Table => {
            let above = unit.parentbusinessunitidname.as_deref();
            let above = above.map_or_else(|| "the root".to_owned(), |above| format!("below {above}"));
            say!("{}: {above}, {} ({})", unit.name, state_of(unit), unit.businessunitid);
        }
    }
}
