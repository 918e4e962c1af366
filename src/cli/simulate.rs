//! `rollcall simulator`: a simulated tenant to try a configuration against.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use super::error::CliResult;
use super::output::{page, say};
use super::{CliError, Context, wire};
use crate::simulator::{Settings, Simulator};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rollcall simulator --users 5000 --listen 127.0.0.1:8081")]
pub struct Arguments {
    /// How many users the tenant has.
    #[arg(long, default_value_t = 1000)]
    users: u64,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Milliseconds that each answer takes.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency: u64,
    /// Keep rendered pages, so that a benchmark measures the client.
    #[arg(long)]
    cache_pages: bool,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    context.start_logs(None, false)?;
    let settings = Settings {
        users: arguments.users,
        listen: arguments.listen,
        latency: Duration::from_millis(arguments.latency),
        cache_pages: arguments.cache_pages,
        ..Settings::default()
    };
    let simulator = Simulator::start(settings)
        .map_err(|error| CliError::Other(format!("could not listen on {}: {error}", arguments.listen)))?;
    let furnished = simulator.tenant().furnish();
    let _ = furnished;
    page(&example(&simulator));
    say!();
    simulator.run_until(wire::cancelled_by_signals()?).await;
    Ok(ExitCode::SUCCESS)
}

/// The `[tenant]` section that talks to a simulator.
pub fn example(simulator: &Simulator) -> String {
    format!(
        "# A simulated tenant listens on {root}; its client secret is {secret}\n\
         [tenant]\nid = \"{tenant}\"\nclient_id = \"{client}\"\n\
         credential = {{ kind = \"secret\", env = \"ROLLCALL_SIMULATOR_SECRET\" }}\n\
         cloud = \"custom\"\nauthority = \"{root}\"\ngraph_root = \"{root}\"\n",
        root = simulator.root(),
        secret = simulator.client_secret(),
        tenant = simulator.tenant_id(),
        client = simulator.client_id(),
    )
}
