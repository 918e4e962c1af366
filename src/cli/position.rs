//! `rollcall position`: the positions of an environment.

use std::process::ExitCode;

use super::chosen::Chosen;
use super::error::CliResult;
use super::list::{self, Extent, Layout};
use super::output::{or_dash, print_json, say};
use super::{Context, Output, wire};
use crate::domain::text::Text;
use crate::domain::unit::Position;
use crate::sync::Engine;
use crate::sync::desk::PositionEdit;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists the positions.
    #[command(after_help = "Example:\n  rollcall position list --environment production")]
    List {
        #[command(flatten)]
        environment: Chosen,
        #[command(flatten)]
        extent: Extent,
    },
    /// Creates a position.
    #[command(
        after_help = "Examples:\n  rollcall position add \"Head of Sales\" --environment production\n  rollcall position add Clerk --parent \"Head of Sales\" --environment production"
    )]
    Add {
        /// Its name.
        name: Text,
        /// The position above, by id or name; without it the position is at the top.
        #[arg(long, value_name = "POSITION")]
        parent: Option<Text>,
        #[command(flatten)]
        environment: Chosen,
    },
    /// Renames a position.
    #[command(after_help = "Example:\n  rollcall position rename Clerk \"Senior Clerk\" --environment production")]
    Rename {
        #[command(flatten)]
        one: One,
        /// The new name.
        name: Text,
    },
    /// Moves a position with everything below it.
    #[command(
        after_help = "Examples:\n  rollcall position move Clerk --parent \"Head of Sales\" --environment production\n  rollcall position move Clerk --top --environment production"
    )]
    Move {
        #[command(flatten)]
        one: One,
        /// The position above, by id or name.
        #[arg(long, value_name = "POSITION", required_unless_present = "top")]
        parent: Option<Text>,
        /// To the top, below no other.
        #[arg(long, conflicts_with = "parent")]
        top: bool,
    },
    /// Deletes a position that nobody has and that has none below it.
    #[command(after_help = "Example:\n  rollcall position delete Clerk --environment production")]
    Delete(One),
}

/// One position in one environment.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The position's id or name.
    position: Text,
    #[command(flatten)]
    environment: Chosen,
}

pub async fn run(context: &Context, command: Command) -> CliResult<ExitCode> {
    let engine = context.engine(wire::Patience::Short).await?;
    let desk = engine.desk();
    let actor = wire::operator();
    let edit = async |one: &One, edit: PositionEdit<'_>| {
        let environment = one.environment.name(&engine)?;
        let position = desk.edit_position(environment, &one.position, edit, &actor).await?;
        print(context, &position);
        CliResult::Ok(())
    };
    let as_it_is = PositionEdit::default();
    match command {
        Command::List { environment, extent } => {
            list_positions(context, &engine, environment.name(&engine)?, &extent).await?;
        }
        Command::Add {
            name,
            parent,
            environment,
        } => {
            let environment = environment.name(&engine)?;
            let position = desk.add_position(environment, &name, parent.as_deref(), &actor).await?;
            print(context, &position);
        }
        Command::Rename { one, name } => {
            let name = Some(&*name);
            edit(&one, PositionEdit { name, ..as_it_is }).await?;
        }
        Command::Move { one, parent, .. } => {
            let parent = Some(parent.as_deref());
            edit(&one, PositionEdit { parent, ..as_it_is }).await?;
        }
        Command::Delete(one) => {
            let environment = one.environment.name(&engine)?;
            let position = desk.delete_position(environment, &one.position).await?;
            match context.output {
                Output::Json => print_json(&position),
                Output::Table => say!("deleted: position {} ({})", position.name, position.positionid),
            }
        }
    }
    engine.store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list_positions(context: &Context, engine: &Engine, environment: &str, extent: &Extent) -> CliResult<()> {
    let layout = Layout {
        nothing: Some("No position."),
        spare: &["POSITIONID"],
        ..Layout::new(&["POSITION", "BELOW", "POSITIONID"], |position: &Position| {
            vec![
                position.name.clone(),
                or_dash(position.parentpositionidname.as_deref()),
                position.positionid.to_string(),
            ]
        })
    };
    let cursor = |position: &Position| position.positionid;
    list::print(context, extent, layout, cursor, async |after, limit| {
        wire::go_on(engine)?;
        Ok(engine.records().positions(environment, after, limit).await?)
    })
    .await
}

/// Prints a position after its change.
fn print(context: &Context, position: &Position) {
    match context.output {
        Output::Json => print_json(position),
        Output::Table => {
            let above = position.parentpositionidname.as_deref();
            let above = above.map_or_else(|| "at the top".to_owned(), |above| format!("below {above}"));
            say!("{}: {above} ({})", position.name, position.positionid);
        }
    }
}
