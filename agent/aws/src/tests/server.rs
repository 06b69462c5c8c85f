//! A small HTTP/1.1 server that counts, delays, stays silent and hangs up; and a name server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub enum Reply {
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    Silence,
    Cut,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(status, Vec::new(), body.into())
    }

    pub fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What comes between a request and its answer.
#[derive(Clone)]
pub enum Hold {
    Nothing,
    For(Duration),
    Rounds(Rounds),
}

/// Holds requests back until all of their round have come: a client that sends them one by one waits for ever.
#[derive(Clone)]
pub struct Rounds {
    /// How many requests each round has; what comes after the last one is not held back.
    sizes: Arc<[usize]>,
    come: watch::Sender<usize>,
}

impl Rounds {
    pub fn of(sizes: &[usize]) -> Self {
        Self { sizes: sizes.into(), come: watch::Sender::new(0) }
    }

    async fn hold(&self) {
        let (mut come, mut own) = (self.come.subscribe(), 0);
        self.come.send_modify(|come| {
            own = *come;
            *come += 1;
        });
        let ends = self.sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        let Some(end) = ends.into_iter().find(|end| own < *end) else { return };
        let _ = come.wait_for(|come| *come >= end).await;
    }
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::holding(&Hold::Nothing, handler).await
    }

    pub async fn holding(hold: &Hold, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), hold, handler)
    }

    pub fn on(listener: TcpListener, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(listener, &Hold::Nothing, handler)
    }

    fn serve(listener: TcpListener, hold: &Hold, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicUsize>::default());
        let handler: Handler = Arc::new(handler);
        let task = tokio::spawn(accept(listener, hold.clone(), handler, seen.clone(), connections.clone()));
        Self { address, seen, connections, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self, path_part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.contains(path_part)).count()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    hold: Hold,
    handler: Handler,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        open.spawn(serve(BufReader::new(stream), hold.clone(), handler.clone(), seen.clone()));
    }
}

async fn serve(mut stream: BufReader<TcpStream>, hold: Hold, handler: Handler, seen: Arc<Mutex<Vec<Request>>>) {
    while let Some(request) = read(&mut stream).await {
        let reply = handler(&request);
        seen.lock().unwrap().push(request);
        match &hold {
            Hold::Nothing => {}
            Hold::For(delay) => tokio::time::sleep(*delay).await,
            Hold::Rounds(rounds) => rounds.hold().await,
        }
        match reply {
            Reply::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Cut => return,
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut request = Request { method, path, headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// A name server that knows every name as 127.0.0.1, and counts.
pub async fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        loop {
            let (_, from) = socket.recv_from(&mut packet).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = socket.send_to(&answer(&packet), from).await;
        }
    });
    (address, asked)
}

/// RFC 1035: the question again, and for type A one record that points at its name.
fn answer(query: &[u8]) -> Vec<u8> {
    let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_a = query[name_end..name_end + 2] == [0, 1];
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&query[12..name_end + 4]);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
