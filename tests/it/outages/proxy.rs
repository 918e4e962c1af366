//! What stands between us and the tenant, and can do what only a network does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The pause behind each byte of an answer that drips.
const DRIP: Duration = Duration::from_millis(5);
/// Where the head of an answer ends, and its body begins to drip.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// It is passed on.
    Fair,
    /// It is taken, and nothing ever comes back.
    HalfOpen,
    /// It is passed on, and the bodies of the answers come back byte by byte.
    Dripping,
    /// It is closed at once.
    Closed,
}

/// A proxy, and who came by.
pub struct Proxy {
    pub root: String,
    weather: watch::Sender<Weather>,
    upstream: watch::Sender<Option<std::net::SocketAddr>>,
    visits: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Begins to listen; what is passed on waits until it is known whereto.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let (weather, forecast) = watch::channel(Weather::Fair);
        let (upstream, whereto) = watch::channel(None);
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let whereto = *whereto.borrow();
                tokio::spawn(pass(stream, whereto, forecast.clone()));
            }
        }));
        Self {
            root,
            weather,
            upstream,
            visits,
            _serving: serving,
        }
    }

    pub fn lead_to(&self, address: std::net::SocketAddr) {
        self.upstream.send_replace(Some(address));
    }

    /// From now on. Connections that are open are closed with the old weather.
    pub fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How many connections have come since this was last asked.
    pub fn take_visits(&self) -> usize {
        self.visits.swap(0, Ordering::Relaxed)
    }
}

/// One connection, until either side or the weather ends it.
async fn pass(mut client: TcpStream, whereto: Option<std::net::SocketAddr>, mut forecast: watch::Receiver<Weather>) {
    let weather = *forecast.borrow_and_update();
    let talk = async {
        match weather {
            Weather::Closed => {}
            // Bytes are taken, as by a machine that has lost its network: its peer is told nothing.
            Weather::HalfOpen => {
                let mut sink = [0; 4096];
                while client.read(&mut sink).await.is_ok() {
                    Clock::system().sleep(DRIP).await;
                }
            }
            Weather::Fair | Weather::Dripping => {
                let mut server = TcpStream::connect(whereto.unwrap()).await.unwrap();
                if weather == Weather::Fair {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let there = tokio::io::copy(&mut from_client, &mut to_server);
                let back = async {
                    let (mut byte, mut head) = ([0; 1], Vec::new());
                    while matches!(from_server.read(&mut byte).await, Ok(1..))
                        && to_client.write_all(&byte).await.is_ok()
                    {
                        if head.ends_with(END_OF_HEAD) {
                            Clock::system().sleep(DRIP).await;
                        } else {
                            head.push(byte[0]);
                        }
                    }
                };
                tokio::select! { _ = there => {}, () = back => {} }
            }
        }
    };
    tokio::select! { () = talk => {}, _ = forecast.changed() => {} }
}
