//! What an access costs, printed, not asserted: machines differ, so speed is shown as a ratio to `/health/live`, which
//! is measured in the same run under the same load.
//!
//! `cargo bench --bench access`: a real daemon before a simulated tenant that takes 50 ms for every answer, and 64
//! clients on loopback who ask for access, first for users judged within `access_freshness`, then for users whose
//! directory data has to be fetched.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ring::digest;
use rollcall::clock::Clock;
use rollcall::simulator::cluster::{Cluster, Options};
use rollcall::simulator::{Settings, Simulator};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const TOKEN: &str = "a-token-for-the-benchmark-alone";
const ADDRESS: &str = "127.0.0.1:18099";
const CLIENTS: usize = 64;
const LATENCY: Duration = Duration::from_millis(50);
const USERS: u64 = 1_000;

fn main() -> Fallible<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Runtime::new()?.block_on(async {
        let cluster = Cluster::start_temporary(&Options::durable()).await?;
        let simulator = Simulator::start(Settings {
            users: USERS,
            latency: LATENCY,
            cache_pages: true,
            ..Settings::default()
        })?;
        let url = cluster.create_database("access").await?;
        std::fs::write(cluster.directory().join("graph-secret"), simulator.client_secret())?;
        let config = cluster.directory().join("rollcall.toml");
        std::fs::write(&config, configuration(&simulator, &url))?;

        let mut daemon = Daemon::start(&config, "60s").await?;
        let users = enabled_users(&url).await?;
        println!(
            "{} users, {CLIENTS} clients, {} cores\n",
            users.len(),
            std::thread::available_parallelism()?
        );
        let live = load("health/live", 40_000, vec![get("/health/live")]).await?;
        let asks: Vec<Vec<u8>> = users.iter().map(|user| access(user)).collect();
        load("(warming up)", asks.len(), asks.clone()).await?;
        load("(warming up)", asks.len(), asks.clone()).await?;
        let judged = load("access, judged lately", 20_000, asks.clone()).await?;
        daemon.stop()?;

        let mut daemon = Daemon::start(&config, "0s").await?;
        load("(warming up)", asks.len(), asks.clone()).await?;
        let fetched = load("access, fetched", 4_000, asks).await?;
        daemon.stop()?;
        println!("\njudged lately: {:.3} of health/live", judged / live);
        println!("fetched:       {:.3} of health/live", fetched / live);
        cluster.stop().await?;
        Ok(())
    })
}

struct Daemon(Child);

impl Daemon {
    async fn start(config: &Path, freshness: &str) -> Fallible<Self> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_rollcall"));
        let child = Command::new(program)
            .arg("--config")
            .arg(config)
            .args(["--log", "warn", "serve"])
            .env("ROLLCALL__SYNC__ACCESS_FRESHNESS", freshness)
            .spawn()?;
        let daemon = Self(child);
        let clock = Clock::system();
        for _ in 0..600 {
            if let Ok(mut stream) = TcpStream::connect(ADDRESS).await
                && exchange(&mut stream, &get("/health/ready"), &mut Vec::new()).await? == 200
            {
                return Ok(daemon);
            }
            clock.sleep(Duration::from_millis(100)).await;
        }
        Err("the daemon was not ready within a minute".into())
    }

    fn stop(&mut self) -> Fallible<()> {
        let id = self.0.id().to_string();
        Command::new("kill").arg(id).status()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

fn configuration(simulator: &Simulator, url: &str) -> String {
    let hash = digest::digest(&digest::SHA256, TOKEN.as_bytes());
    let hash = hash
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!(
        "[tenant]\nid = \"{}\"\nclient_id = \"{}\"\ncredential = {{ kind = \"secret\", file = \"graph-secret\" }}\n\
         cloud = \"custom\"\nauthority = \"{root}\"\ngraph_root = \"{root}\"\n\n\
         [database]\nurl = \"{url}\"\n\n\
         [http]\nlisten = \"{ADDRESS}\"\n\
         [[http.token]]\nname = \"bench\"\nsha256 = \"{hash}\"\nroles = [\"Rollcall.Access\"]\n\n\
         [[environment]]\nname = \"production\"\nkind = \"production\"\n",
        simulator.tenant_id(),
        simulator.client_id(),
        root = simulator.root(),
    )
}

/// Object ids of enabled rows.
async fn enabled_users(url: &str) -> Fallible<Vec<String>> {
    let mut db = PgConnection::connect(url).await?;
    Ok(sqlx::query_scalar(
        "select azureactivedirectoryobjectid::text from rollcall.system_user
         where not isdisabled and azureactivedirectoryobjectid is not null order by 1",
    )
    .fetch_all(&mut db)
    .await?)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n").into_bytes()
}

fn access(user: &str) -> Vec<u8> {
    let body = format!("{{\"user\":\"{user}\"}}");
    format!(
        "POST /api/v1/environments/production/access HTTP/1.1\r\nHost: {ADDRESS}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts"
)]
/// Sends so many requests from all clients; prints and answers the requests per second.
async fn load(name: &str, count: usize, requests: Vec<Vec<u8>>) -> Fallible<f64> {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        clients.spawn(async move {
            let mut stream = TcpStream::connect(ADDRESS).await?;
            stream.set_nodelay(true)?;
            let mut buffer = Vec::new();
            let mut times = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Fallible::Ok(times);
                }
                let asked = Instant::now();
                let status = exchange(&mut stream, &requests[at % requests.len()], &mut buffer).await?;
                if status != 200 {
                    return Err(format!("status {status}: {}", String::from_utf8_lossy(&buffer)).into());
                }
                times.push(asked.elapsed());
            }
        });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(client) = clients.join_next().await {
        times.append(&mut client??);
    }
    let per_second = count as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let percentile = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{name:<24} {per_second:>8.0} requests/s   p50 {:>6.1} ms   p99 {:>6.1} ms",
        percentile(0.5),
        percentile(0.99)
    );
    Ok(per_second)
}

/// One request and its answer on a connection that stays open. Answers the status; the body is in the buffer.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Fallible<u16> {
    stream.write_all(request).await?;
    buffer.clear();
    let head = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the daemon closed the connection".into());
        }
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length: usize = text
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
        .ok_or("an answer without a length")?;
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the daemon closed the connection".into());
        }
    }
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    buffer.drain(..head);
    status.ok_or_else(|| "an answer without a status".into())
}
