//! A running daemon, and looking for what it does.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rollcall::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::binary::Installation;

/// How often something is looked for before a test gives up, and the pause between.
const LOOKS: u32 = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

/// A running daemon.
pub struct Daemon {
    pub address: SocketAddr,
    pub child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts one that runs a cycle each second, on a port that was free a moment ago.
    pub fn start(installation: &Installation) -> Self {
        Self::start_with(installation, |_| {})
    }

    /// The same, with something more on the command line.
    pub fn start_with(installation: &Installation, change: impl FnOnce(&mut Command)) -> Self {
        let address = free_address();
        let log = installation.folder.join(format!("log-{}", address.port()));
        let mut command = installation.command("serve");
        command
            .env("ROLLCALL__HTTP__LISTEN", address.to_string())
            .env("ROLLCALL__SYNC__INTERVAL", "1s")
            .stderr(File::create(&log).unwrap());
        change(&mut command);
        let child = command.spawn().unwrap();
        Self { address, child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Status and body, or nothing while nobody listens.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path).await
    }

    pub async fn has_status(&self, path: &str, status: u16) -> bool {
        self.get(path).await.is_some_and(|(answered, _)| answered == status)
    }

    /// One metric without labels.
    pub async fn metric(&self, name: &str) -> Option<String> {
        let (_, metrics) = self.get("/metrics").await?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")))?;
        Some(line.to_owned())
    }

    pub async fn becomes_ready(&self) {
        assert!(
            eventually(async || self.has_status("/health/ready", 200).await).await,
            "{}",
            self.log()
        );
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = tokio::process::Command::new("kill")
            .args([name, &pid])
            .status()
            .await
            .unwrap();
        assert!(status.success());
    }

    /// Ends it as a power failure would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it as a service manager would; its whole log.
    pub async fn stop(mut self) -> String {
        self.signal("-TERM").await;
        let ended = eventually(async || self.child.try_wait().unwrap().is_some()).await;
        assert!(ended, "it does not stop: {}", self.log());
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0), "{}", self.log());
        self.log()
    }
}

/// Status and body of what is served there, or nothing while nobody listens.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// What an operator shows at the API.
pub const TOKEN: &str = "an-operator";

/// The section of a configuration that says so.
pub fn an_operators_token() -> String {
    let sha256 = digest(&SHA256, TOKEN.as_bytes());
    let sha256 = sha256.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("[[http.token]]\nname = \"grace\"\nsha256 = \"{sha256}\"\nroles = [\"Rollcall.Operate\"]\n")
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

pub async fn eventually(mut holds: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if holds().await {
            return true;
        }
        Clock::system().sleep(PAUSE).await;
    }
    false
}
