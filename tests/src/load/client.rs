//! One client.

use super::origin::greeting;
use super::tally::{Cut, Tally};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a client waits for anything. Above what a busy machine takes, below what a person would.
const PATIENCE: Duration = Duration::from_secs(15);
/// A short stream sends so many bytes more than the one before it, up to a few packets.
const LONGEST: u64 = 4096;

#[derive(Clone)]
pub(super) struct Client {
    pub edge: SocketAddr,
    pub tally: Arc<Tally>,
}

impl Client {
    /// One short stream.
    pub async fn short(self) {
        let (number, began) = (self.next(), Instant::now());
        match ask(self.edge, number).await {
            Ok(ending) => self.tally.note(|counts| {
                counts.short += 1;
                counts.slowest = counts.slowest.max(began.elapsed());
                counts.garbled.extend(ending.garbled());
            }),
            Err(error) => self.tally.failed(format!("short stream {number}: {error}")),
        }
    }

    /// One long stream after another, until it is `stopped`.
    pub async fn keep_long(self, heartbeat: Duration, life: Option<Duration>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let number = self.next();
            let opened = async {
                let mut stream = open(self.edge).await?;
                say(&mut stream, number, 16).await?;
                Ok(stream)
            };
            match patiently(opened).await {
                Ok(stream) => {
                    self.tally.note(|counts| counts.long += 1);
                    self.long(stream, heartbeat, life, &mut stopped).await;
                }
                Err(error) => {
                    self.tally.failed(format!("long stream {number}: {error}"));
                    sleep(heartbeat).await;
                }
            }
        }
    }

    async fn long(
        &self,
        mut stream: TcpStream,
        heartbeat: Duration,
        life: Option<Duration>,
        stopped: &mut watch::Receiver<bool>,
    ) {
        let began = Instant::now();
        let mut beats = 0;
        let kept: io::Result<()> = async {
            while life.is_none_or(|life| began.elapsed() < life) {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                    broken = nothing_comes(&mut stream) => broken?,
                    () = sleep(heartbeat) => {}
                }
                patiently(say(&mut stream, beats, 16)).await?;
                beats += 1;
            }
            Ok(())
        }
        .await;
        let client = stream.local_addr().unwrap_or(self.edge);
        let ended = match kept {
            Ok(()) => patiently(end(stream)).await,
            Err(error) => Err(error),
        };
        self.tally.note(|counts| {
            counts.heartbeats += beats;
            match ended {
                Ok(ending) => {
                    counts.ended += 1;
                    counts.garbled.extend(ending.garbled());
                }
                Err(error) => counts.cut.push(Cut { client, how: error.to_string() }),
            }
        });
    }

    /// Another stream is tried: its number.
    fn next(&self) -> u64 {
        self.tally.note(|counts| {
            counts.tried += 1;
            counts.tried
        })
    }
}

/// One stream, which asks once and ends. Each `number` asks something else.
///
/// # Errors
/// What it sent did not come back, or its end did not.
pub async fn ask(edge: SocketAddr, number: u64) -> io::Result<Ending> {
    let asked = async {
        let mut stream = open(edge).await?;
        let length = usize::try_from(16 + number * 61 % LONGEST).unwrap_or_default();
        say(&mut stream, number, length).await?;
        end(stream).await
    };
    patiently(asked).await
}

/// Connects, and hears the origin's greeting out.
async fn open(edge: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(edge).await?;
    let expected = greeting();
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).await.map_err(|error| during("the greeting", &error))?;
    if heard == expected { Ok(stream) } else { Err(io::Error::other("the greeting is not the origin's")) }
}

/// Sends `length` bytes that no other stream sends, and has them back.
async fn say(stream: &mut TcpStream, number: u64, length: usize) -> io::Result<()> {
    let port = u64::from(stream.local_addr()?.port());
    let word = [number.to_be_bytes(), port.to_be_bytes()].concat();
    let sent: Vec<u8> = word.into_iter().cycle().take(length).collect();
    stream.write_all(&sent).await?;
    let mut back = vec![0; length];
    stream.read_exact(&mut back).await.map_err(|error| during("the answer", &error))?;
    if back == sent { Ok(()) } else { Err(io::Error::other("the answer is not what was sent")) }
}

/// How a stream went on after its client had ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It ended as well.
    Clean,
    /// This came first.
    Garbled(String),
}

impl Ending {
    fn garbled(self) -> Option<String> {
        match self {
            Self::Clean => None,
            Self::Garbled(more) => Some(more),
        }
    }
}

/// Says that nothing more comes, and hears the same.
async fn end(mut stream: TcpStream) -> io::Result<Ending> {
    stream.shutdown().await?;
    let mut more = [0; 64];
    match stream.read(&mut more).await {
        Ok(0) => Ok(Ending::Clean),
        Ok(length) => Ok(Ending::Garbled(more[..length].escape_ascii().to_string())),
        Err(error) => Err(during("the end", &error)),
    }
}

/// Waits for what is not to come: a client that waits notices the end of its stream at once.
async fn nothing_comes(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other("something came that was not asked for")),
    }
}

async fn patiently<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, what).await.unwrap_or_else(|_| Err(late()))
}

fn during(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("instead of {what}: {error}"))
}
