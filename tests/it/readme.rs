//! The README's way to a running daemon, from an empty folder, with each kind of credential, and the systemd unit and
//! the container file with the configuration that it makes. The commands and files are those of the documents.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{KeyPair, RsaKeyPair};
use rollcall::simulator::cluster::{Cluster, Options};
use rollcall::simulator::tenant::LARGE_GROUP;
use rollcall::simulator::{Certificate, Simulator};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use url::Url;
use uuid::Uuid;

use crate::credentials::{federated_token, tenant};
use crate::daemon::{eventually, free_address, get};

const README: &str = include_str!("../../README.md");
const UNIT: &str = include_str!("../../deploy/rollcall.service");
const CONTAINER: &str = include_str!("../../deploy/Containerfile");
const EXAMPLE: &str = include_str!("../../config/rollcall.toml");

/// The code blocks of one language in the chapter about a real tenant.
fn blocks(language: &str) -> Vec<String> {
    let (_, chapter) = README.split_once("\n## Connect a real tenant\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let mut found = Vec::new();
    let mut lines = chapter.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            found.push(
                lines
                    .by_ref()
                    .take_while(|line| *line != "```")
                    .collect::<Vec<_>>()
                    .join("\n"),
            );
        }
    }
    found
}

/// The lines that set a credential, without what follows the table.
fn credentials(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.trim_start_matches("# "));
    let set = lines.filter(|line| line.starts_with("credential = {"));
    set.map(|line| line.split_inclusive('}').next().unwrap()).collect()
}

/// A setting of the unit.
fn setting(name: &str) -> Option<&'static str> {
    UNIT.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// A machine with nothing on it but a PostgreSQL, in a folder that stands for `/`.
struct Machine {
    root: PathBuf,
    cluster: Cluster,
    simulator: Simulator,
}

impl Machine {
    async fn new() -> Self {
        let cluster = Cluster::start_temporary(&Options::throwaway()).await.unwrap();
        let root = std::env::temp_dir().join(format!("rollcall-readme-{}", Uuid::new_v4().simple()));
        fs::create_dir_all(root.join("etc/rollcall")).unwrap();
        let simulator = tenant();
        simulator.tenant().create_group_with_id(LARGE_GROUP, "People");
        fs::write(
            root.join("token"),
            federated_token("system:serviceaccount:rollcall:rollcall"),
        )
        .unwrap();
        Self {
            root,
            cluster,
            simulator,
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join("etc/rollcall")
    }

    fn superuser(&self) -> Url {
        Url::parse(&self.cluster.url("postgres")).unwrap()
    }

    /// Runs a script of the README in the folder of the configuration.
    async fn shell(&self, script: &str, input: &str) {
        let server = self.superuser();
        let paths = [
            std::env::var("ROLLCALL_PG_BIN").unwrap_or_default(),
            std::env::var("PATH").unwrap(),
        ];
        let mut shell = Command::new("sh")
            .args(["-euc", script])
            .current_dir(self.folder())
            .env("PATH", paths.join(":"))
            .env("PGHOST", server.host_str().unwrap())
            .env("PGPORT", server.port().unwrap().to_string())
            .env("PGUSER", server.username())
            .env("PGPASSWORD", server.password().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let ended = shell.wait_with_output().await.unwrap();
        assert!(ended.status.success(), "{script}: {ended:?}");
    }

    /// The program, with what the platform tells it, and what makes a simulated tenant of a real one.
    fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        program
            .current_dir(self.folder())
            .env_clear()
            .env("PGPORT", self.superuser().port().unwrap().to_string())
            .env("AZURE_FEDERATED_TOKEN_FILE", self.root.join("token"))
            .env("IDENTITY_ENDPOINT", self.simulator.identity_endpoint())
            .env("IDENTITY_HEADER", "the-header-of-app-service")
            .env("ROLLCALL__TENANT__CLOUD", "custom")
            .env("ROLLCALL__TENANT__AUTHORITY", self.simulator.root())
            .env("ROLLCALL__TENANT__GRAPH_ROOT", self.simulator.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        program
    }

    /// Runs the daemon until it is ready, on an empty database.
    async fn becomes_ready(&self, mut daemon: Command, what: &str) {
        let mut url = self.superuser();
        url.set_path("/rollcall");
        let mut db = PgConnection::connect(url.as_str()).await.unwrap();
        sqlx::raw_sql("drop schema if exists rollcall cascade")
            .execute(&mut db)
            .await
            .unwrap();
        let address = free_address();
        let log = self.root.join("log");
        daemon
            .env("ROLLCALL__HTTP__LISTEN", address.to_string())
            .stderr(fs::File::create(&log).unwrap());
        let mut daemon = daemon.spawn().unwrap();
        let is_ready = async || {
            get(address, "/health/ready")
                .await
                .is_some_and(|(status, _)| status == 200)
        };
        assert!(
            eventually(is_ready).await,
            "{what}: {}",
            fs::read_to_string(&log).unwrap()
        );
        daemon.kill().await.unwrap();
    }

    /// The unit's command with the unit's credentials, while the folder that they come from is out of reach.
    fn service(&self) -> Command {
        let (id, folder) = setting("LoadCredential").unwrap().split_once(':').unwrap();
        let folder = self.root.join(folder.trim_start_matches('/'));
        let loaded = self.root.join("run/credentials/rollcall.service");
        fs::create_dir_all(&loaded).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap();
            let name = format!("{id}_{}", file.file_name().display());
            fs::copy(file.path(), loaded.join(name)).unwrap();
        }
        fs::rename(&folder, self.root.join("out-of-reach")).unwrap();
        let mut command = setting("ExecStart").unwrap().split(' ');
        assert_eq!(command.next(), Some("/usr/bin/rollcall"));
        let mut program = self.program();
        program.env("CREDENTIALS_DIRECTORY", &loaded);
        program.args(command.map(|word| match word.strip_prefix("/etc/") {
            Some(file) => self.root.join("etc").join(file),
            None => word.into(),
        }));
        program
    }

    fn end_service(&self) {
        fs::rename(self.root.join("out-of-reach"), self.folder().join("credentials")).unwrap();
        fs::remove_dir_all(self.root.join("run")).unwrap();
    }

    /// The container's command on what it mounts.
    fn container(&self) -> Command {
        let inside = self.root.join("container");
        let words: Vec<&str> = CONTAINER.split_whitespace().collect();
        let mounts = words.windows(2).filter(|pair| pair[0] == "-v").map(|pair| pair[1]);
        for mount in mounts {
            let [from, to, "ro"] = *mount.split(':').collect::<Vec<_>>() else {
                panic!("read-only: {mount}");
            };
            copy(&self.folder().join(from), &inside.join(to.trim_start_matches('/')));
        }
        assert!(CONTAINER.contains("\nCMD [\"serve\"]\n"));
        let mut program = self.program();
        program
            .current_dir(&inside)
            .arg("serve")
            // The default, in that root.
            .env("ROLLCALL_CONFIG", inside.join("etc/rollcall/rollcall.toml"));
        program
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    if from.is_dir() {
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            copy(&file.path(), &to.join(file.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    found.sort();
    found
}

#[test]
fn the_documents_name_the_same_credentials_and_the_unit_can_read_them_and_write_nothing() {
    let readme = blocks("toml").join("\n");
    let (mut readme, mut example) = (credentials(&readme), credentials(EXAMPLE));
    // A variable holds this one: no file has to fit.
    example.retain(|line| !line.contains("env ="));
    readme.sort_unstable();
    example.sort_unstable();
    assert_eq!(readme, example);
    assert_eq!(readme.len(), 4, "{readme:?}");
    assert!(EXAMPLE.contains("url_file = \"credentials/database\""));
    for (name, value) in [
        ("DynamicUser", Some("yes")),
        ("User", Some("rollcall")),
        ("ProtectSystem", Some("strict")),
        ("ReadWritePaths", None),
        ("Environment", None),
    ] {
        assert_eq!(setting(name), value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_leads_from_an_empty_folder_to_a_ready_daemon_with_each_kind_of_credential() {
    let machine = Machine::new().await;
    let scripts = blocks("sh");
    let (commands, scripts) = scripts.split_last().unwrap();
    for script in scripts {
        machine
            .shell(script, &format!("{}\n", machine.simulator.client_secret()))
            .await;
    }
    let folder = machine.folder();
    let certificate = CertificateDer::from_pem_file(folder.join("credentials/graph.pem")).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_file(folder.join("credentials/graph-key.pem")).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    machine.simulator.configure(|settings| {
        settings.certificate = Some(Certificate {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
            public_key: key.public_key().as_ref().to_vec(),
        });
    });
    let toml = blocks("toml");
    let [first] = credentials(&toml[0])[..] else {
        panic!("one credential")
    };
    let filled = toml[0]
        .replace("<directory id>", &machine.simulator.tenant_id().to_string())
        .replace("<application id>", &machine.simulator.client_id().to_string())
        .replace(
            "<object id of the group whose members may have access>",
            &LARGE_GROUP.to_string(),
        );
    assert!(!filled.contains('<'), "{filled}");

    for kind in [first].into_iter().chain(credentials(&toml[1])) {
        fs::write(folder.join("rollcall.toml"), filled.replace(first, kind)).unwrap();
        let before = files(&folder);
        for line in commands.lines() {
            let arguments: Vec<&str> = line.strip_prefix("rollcall ").unwrap().split(' ').collect();
            let mut program = machine.program();
            program.args(&arguments);
            if arguments.ends_with(&["serve"]) {
                machine.becomes_ready(program, kind).await;
            } else {
                let ended = program.stderr(Stdio::piped()).output().await.unwrap();
                assert!(ended.status.success(), "{kind}: {line}: {ended:?}");
                assert!(
                    !String::from_utf8_lossy(&ended.stderr).contains("WARN"),
                    "{kind}: {line}: {ended:?}"
                );
            }
        }
        machine
            .becomes_ready(machine.service(), &format!("{kind} in the unit"))
            .await;
        machine.end_service();
        machine
            .becomes_ready(machine.container(), &format!("{kind} in the container"))
            .await;
        assert_eq!(files(&folder), before, "the daemon writes no files");
    }
    for secret in ["graph-key.pem", "graph-secret", "database"] {
        let mode = fs::metadata(folder.join("credentials").join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    fs::remove_dir_all(&machine.root).unwrap();
    machine.cluster.stop().await.unwrap();
}
