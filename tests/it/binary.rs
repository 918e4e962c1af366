//! The real binary, with a configuration of the test's own.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use rollcall::simulator::Simulator;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};
use uuid::Uuid;

/// A folder with a configuration file that leads to a simulator and a database.
pub struct Installation {
    pub folder: PathBuf,
    pub config: PathBuf,
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Standard output as the one JSON document it must be.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one line of a failure, which names the program and is all there is.
    pub fn one_line(&self) -> &str {
        let line = self.stderr.trim_end();
        assert!(line.starts_with("rollcall: "), "{self:?}");
        assert!(!line.contains('\n'), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        line
    }
}

impl Installation {
    /// Writes the configuration; `rest` is everything beside tenant and database.
    pub fn new(simulator: &Simulator, database_url: &str, rest: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rollcall-it-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let installation = Self {
            config: folder.join("rollcall.toml"),
            folder,
        };
        std::fs::write(installation.folder.join("secret"), simulator.client_secret()).unwrap();
        installation.configure(&format!(
            "{}\n[database]\nurl = \"{database_url}\"\nmax_connections = 5\n\n{rest}",
            installation.tenant(simulator)
        ));
        installation
    }

    /// The `[tenant]` section.
    pub fn tenant(&self, simulator: &Simulator) -> String {
        format!(
            "[tenant]\nid = \"{}\"\nclient_id = \"{}\"\ncredential = {{ kind = \"secret\", file = \"{}\" }}\n\
             cloud = \"custom\"\nauthority = \"{root}\"\ngraph_root = \"{root}\"\n",
            simulator.tenant_id(),
            simulator.client_id(),
            self.folder.join("secret").display(),
            root = simulator.root(),
        )
    }

    /// Replaces the whole configuration.
    pub fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).unwrap();
    }

    /// Replaces a piece of the configuration.
    pub fn amend(&self, old: &str, new: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(old), "{text}");
        self.configure(&text.replace(old, new));
    }

    /// A command line, split at blanks.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .args(arguments.split_whitespace())
            .env_remove("ROLLCALL_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            .env("USER", "tester")
            .env_remove("SUDO_USER")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a command.
    pub fn start(&self, arguments: &str) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs a command on a terminal of a width, with these variables; its exit code, and all that the terminal gets.
    pub async fn on_terminal(&self, arguments: &str, width: u16, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut screen = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap());
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let path = ptsname(&screen, Vec::new()).unwrap();
        let terminal = File::options()
            .read(true)
            .write(true)
            .open(path.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let mut command = self.command(arguments);
        command
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS");
        command.envs(variables.iter().copied());
        command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let mut child = command.spawn().unwrap();
        // It has copies of the terminal.
        drop(command);
        let text = tokio::task::spawn_blocking(move || {
            let mut shown = Vec::new();
            // The read fails when the last copy is closed.
            let _ = screen.read_to_end(&mut shown);
            String::from_utf8(shown).unwrap().replace("\r\n", "\n")
        });
        let text = text.await.unwrap();
        (child.wait().await.unwrap().code(), text)
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &str) -> Said {
        said(self.start(arguments)).await
    }
}

/// Waits for a command's end.
pub async fn said(child: Child) -> Said {
    let output = child.wait_with_output().await.unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
