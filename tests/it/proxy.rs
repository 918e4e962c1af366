//! A proxy before PostgreSQL that breaks what runs through it: at once, for a while, or at a chosen commit.
//!
//! It reads just enough of the protocol to know where a message of the client begins, and which of them commits:
//! a `COMMIT`, or a write outside a transaction.

mod protocol;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use self::protocol::Conversation;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Every connection is closed as soon as it is made; those that are open stay.
    Refusing,
    /// Nothing passes, in either direction, and nobody is told.
    Hanging,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server never hears of the commit.
    Before,
    /// The server has committed, and the client never hears of it.
    After,
}

#[derive(Clone, Copy, Debug)]
struct State {
    target: SocketAddr,
    weather: Weather,
    /// Connections of an earlier generation are cut.
    generation: u64,
    breaking: Option<(u64, Side)>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    commits: AtomicU64,
    /// Those of them that were no transactions.
    lone_writes: AtomicU64,
    broke: AtomicBool,
    disturbed: AtomicU64,
}

/// A proxy on a port of its own, for as long as it is not dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    url: Url,
    shared: Arc<Shared>,
    _listening: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Before the server of a database.
    pub async fn before(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            target: server_of(&url),
            weather: Weather::Clear,
            generation: 0,
            breaking: None,
        };
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(address.port())).unwrap();
        let shared = Arc::new(Shared {
            state: watch::Sender::new(state),
            commits: AtomicU64::new(0),
            lone_writes: AtomicU64::new(0),
            broke: AtomicBool::new(false),
            disturbed: AtomicU64::new(0),
        });
        let listening = tokio::spawn(listen(listener, shared.clone()));
        Self {
            address,
            url,
            shared,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    /// The database's URL through the proxy.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From here on.
    pub fn weather(&self, weather: Weather) {
        self.shared.state.send_modify(|state| state.weather = weather);
    }

    /// Breaks every connection that is open.
    pub fn cut(&self) {
        self.shared.state.send_modify(|state| state.generation += 1);
    }

    /// How many connections were refused or cut, and how many messages were kept waiting, since it began.
    pub fn disturbed(&self) -> u64 {
        self.shared.disturbed.load(Ordering::SeqCst)
    }

    /// Leads to another server from here on, and breaks the connections to the old one.
    pub fn lead_to(&self, database_url: &str) {
        let target = server_of(&Url::parse(database_url).unwrap());
        self.shared.state.send_modify(|state| {
            state.target = target;
            state.generation += 1;
        });
    }

    /// How many commits, a write outside a transaction being one, were sent since the last call of [`Proxy::break_at`].
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    /// How many of them were writes outside a transaction.
    pub fn lone_writes(&self) -> u64 {
        self.shared.lone_writes.load(Ordering::SeqCst)
    }

    /// Counts anew, and breaks the connection that sends this commit, counted from one; nothing breaks none.
    pub fn break_at(&self, breaking: Option<(u64, Side)>) {
        self.shared.commits.store(0, Ordering::SeqCst);
        self.shared.lone_writes.store(0, Ordering::SeqCst);
        self.shared.broke.store(false, Ordering::SeqCst);
        self.shared.state.send_modify(|state| state.breaking = breaking);
    }

    /// Whether the commit that was to break has broken.
    pub fn broke(&self) -> bool {
        self.shared.broke.load(Ordering::SeqCst)
    }
}

fn server_of(url: &Url) -> SocketAddr {
    let addresses = url.socket_addrs(|| Some(5432)).unwrap();
    addresses[0]
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut carried = tokio::task::JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        while carried.try_join_next().is_some() {}
        if shared.state.borrow().weather == Weather::Refusing {
            shared.disturbed.fetch_add(1, Ordering::SeqCst);
        } else {
            carried.spawn(carry(client, shared.clone()));
        }
    }
}

/// One connection, until either side ends it or it is cut.
async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let generation = state.borrow().generation;
    let swallowing = AtomicBool::new(false);
    let both = async {
        is_clear(&shared).await;
        let target = shared.state.borrow().target;
        let Ok(server) = TcpStream::connect(target).await else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = requests(from_client, to_server, &shared, &swallowing) => {}
            _ = answers(from_server, to_client, &shared, &swallowing) => {}
        }
    };
    tokio::select! {
        // A cut comes first: what was held back does not pass because the weather changes in the same moment.
        biased;
        _ = state.wait_for(|state| state.generation != generation) => {
            shared.disturbed.fetch_add(1, Ordering::SeqCst);
        }
        () = both => {}
    }
}

async fn is_clear(shared: &Shared) {
    if shared.state.borrow().weather == Weather::Hanging {
        shared.disturbed.fetch_add(1, Ordering::SeqCst);
    }
    let mut state = shared.state.subscribe();
    let _ = state.wait_for(|state| state.weather != Weather::Hanging).await;
}

/// Message by message. The first ones, before the start-up message, have no type.
async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    swallowing: &AtomicBool,
) -> std::io::Result<()> {
    /// Version 3.0 of the protocol, in a start-up message.
    const STARTUP: u32 = 0x0003_0000;
    loop {
        let message = read_message(&mut client, Vec::new()).await?;
        is_clear(shared).await;
        server.write_all(&message).await?;
        if message[4..].starts_with(&STARTUP.to_be_bytes()) {
            break;
        }
    }
    let mut conversation = Conversation::default();
    loop {
        let kind = client.read_u8().await?;
        let message = read_message(&mut client, vec![kind]).await?;
        is_clear(shared).await;
        if conversation.commits(&message) {
            let is_lone = u64::from(message[0] == b'B');
            shared.lone_writes.fetch_add(is_lone, Ordering::SeqCst);
            let number = shared.commits.fetch_add(1, Ordering::SeqCst) + 1;
            match shared.state.borrow().breaking {
                Some((chosen, side)) if chosen == number => {
                    shared.broke.store(true, Ordering::SeqCst);
                    if side == Side::Before {
                        return Ok(());
                    }
                    swallowing.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        server.write_all(&message).await?;
    }
}

/// A message whose first bytes were read already: its length, which counts itself, and what follows.
async fn read_message(client: &mut OwnedReadHalf, mut message: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    message.extend(length.to_be_bytes());
    let begun = message.len();
    message.resize(begun + (length as usize).saturating_sub(4), 0);
    client.read_exact(&mut message[begun..]).await?;
    Ok(message)
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    swallowing: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = server.read(&mut buffer).await?;
        is_clear(shared).await;
        // The client waits for the answer to its commit and for nothing else.
        if read == 0 || swallowing.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
    }
}
