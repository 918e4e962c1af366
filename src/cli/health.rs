//! `rollcall health`: asks the daemon on this machine how it is, for container engines and scripts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::CliResult;
use super::output::say;
use super::{CliError, Context, Output, output};

/// The daemon answers within three seconds, even if its database does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer is a few hundred bytes.
const LONGEST: u64 = 64 * 1024;

/// The options of `health`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rollcall health\n  rollcall health --live")]
pub struct Arguments {
    /// Only whether the process answers, not whether it is ready.
    #[arg(long)]
    live: bool,
}

pub async fn run(context: &Context, arguments: Arguments) -> CliResult<ExitCode> {
    let config = context.load(true)?;
    let address = local(config.http.metrics_listen.unwrap_or(config.http.listen));
    let path = if arguments.live {
        "/health/live"
    } else {
        "/health/ready"
    };
    let asked = tokio::time::timeout(PATIENCE, get(address, path)).await;
    let failed = |why: &str| CliError::Other(format!("no answer from the daemon at {address}: {why}"));
    let (status, body) = match asked {
        Err(_) => return Err(failed("it takes longer than 5 s")),
        Ok(Err(error)) => return Err(failed(&error.to_string())),
        Ok(Ok(None)) => return Err(failed("what listens there does not speak HTTP; see http.listen")),
        Ok(Ok(Some(answer))) => answer,
    };
    match (context.output, serde_json::from_str::<Value>(&body)) {
        (Output::Json, Ok(body)) => output::print_json(&body),
        _ => say!("{}", body.trim_end()),
    }
    Ok(if status == 200 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The address at which the daemon of this machine is reached.
fn local(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and body; nothing if the answer is not HTTP.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<Option<(u16, String)>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:9090", "10.0.0.7:9090"),
        ] {
            assert_eq!(local(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
