//! A server that answers from a script and remembers what it was asked. Token requests have a script of their own
//! and get a good token when it is empty; a Graph request beyond the script is refused in a way no test expects, unless
//! the test says how to answer it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::clock::Clock;

/// The pause behind each byte of a body that drips.
const DRIP: Duration = Duration::from_millis(5);

pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    tokens: Mutex<VecDeque<Reply>>,
    graph: Mutex<VecDeque<Reply>>,
    beyond: Mutex<Option<Answering>>,
    seen: watch::Sender<Vec<Seen>>,
}

/// Makes the answer to a request.
type Answering = Box<dyn FnMut(&Seen) -> Reply + Send>;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Which connection it came by.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn is_token_request(&self) -> bool {
        ["/oauth2/", "/identity"].iter().any(|part| self.target.contains(part))
    }
}

/// One scripted answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Whole,
    HalfBody,
    NoAnswer,
    Never,
    Drip,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
            ending: Ending::Whole,
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    pub fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            format!(r#"{{"error":{{"code":"{code}","message":"Maria Example"}}}}"#),
        )
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The connection ends in the middle of the body.
    pub fn cut(mut self) -> Self {
        self.ending = Ending::HalfBody;
        self
    }

    /// The connection ends without an answer.
    pub fn hang_up() -> Self {
        Self {
            ending: Ending::NoAnswer,
            ..Self::ok("")
        }
    }

    /// The body comes byte by byte, with a pause behind each.
    pub fn dripping(mut self) -> Self {
        self.ending = Ending::Drip;
        self
    }

    /// No answer ever comes.
    pub fn never() -> Self {
        Self {
            ending: Ending::Never,
            ..Self::ok("")
        }
    }
}

impl Server {
    pub async fn start(graph: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            tokens: Mutex::default(),
            graph: Mutex::new(graph.into_iter().collect()),
            beyond: Mutex::default(),
            seen: watch::Sender::new(Vec::new()),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(Arc::clone(&serving).serve(stream, connection));
            }
        });
        Self { address, state }
    }

    pub fn root(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn link(&self, rest: &str) -> String {
        format!("{}/v1.0/{rest}", self.root())
    }

    pub fn script(&self, graph: impl IntoIterator<Item = Reply>) {
        self.state.graph.lock().unwrap().extend(graph);
    }

    /// Answers what is beyond the script.
    pub fn answer_by(&self, answering: impl FnMut(&Seen) -> Reply + Send + 'static) {
        *self.state.beyond.lock().unwrap() = Some(Box::new(answering));
    }

    pub fn script_tokens(&self, tokens: impl IntoIterator<Item = Reply>) {
        self.state.tokens.lock().unwrap().extend(tokens);
    }

    /// Every request to Graph so far.
    pub fn asked(&self) -> Vec<Seen> {
        self.state
            .seen
            .borrow()
            .iter()
            .filter(|seen| !seen.is_token_request())
            .cloned()
            .collect()
    }

    /// Every token request so far.
    pub fn token_requests(&self) -> Vec<Seen> {
        self.state
            .seen
            .borrow()
            .iter()
            .filter(|seen| seen.is_token_request())
            .cloned()
            .collect()
    }

    /// Waits until so many requests of any kind have come.
    pub async fn has_seen(&self, count: usize) {
        self.state
            .seen
            .subscribe()
            .wait_for(|seen| seen.len() >= count)
            .await
            .unwrap();
    }
}

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream, connection: usize) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream, connection).await {
            let is_token = request.is_token_request();
            let script = if is_token { &self.tokens } else { &self.graph };
            let scripted = script.lock().unwrap().pop_front();
            let reply = scripted.unwrap_or_else(|| {
                if is_token {
                    return Reply::ok(
                        r#"{"token_type":"Bearer","expires_in":3599,"access_token":"token-of-the-script"}"#,
                    );
                }
                match self.beyond.lock().unwrap().as_mut() {
                    Some(answering) => answering(&request),
                    None => Reply::error(418, "beyondTheScript"),
                }
            });
            self.seen.send_modify(|seen| seen.push(request));
            if !answer(&mut stream, reply).await {
                return;
            }
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        method,
        target,
        headers,
        body: String::from_utf8(body).unwrap(),
        connection,
    })
}

/// Whether the connection stays open.
async fn answer(stream: &mut BufReader<TcpStream>, reply: Reply) -> bool {
    match reply.ending {
        Ending::NoAnswer => return false,
        Ending::Never => return std::future::pending().await,
        Ending::Whole | Ending::HalfBody | Ending::Drip => {}
    }
    let mut head = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    if reply.ending == Ending::Drip {
        return stream.write_all(head.as_bytes()).await.is_ok() && drip(stream, &reply.body).await;
    }
    let whole = reply.ending == Ending::Whole;
    let sent = if whole {
        &reply.body[..]
    } else {
        &reply.body[..reply.body.len() / 2]
    };
    // In one piece, else the second half waits for the first to be acknowledged.
    let answer = [head.as_bytes(), sent].concat();
    stream.write_all(&answer).await.is_ok() && stream.flush().await.is_ok() && whole
}

async fn drip(stream: &mut BufReader<TcpStream>, body: &[u8]) -> bool {
    for byte in body {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        Clock::system().sleep(DRIP).await;
    }
    true
}
