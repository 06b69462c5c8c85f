//! A small HTTP server for the tests of this room: it records requests and answers by a script.

pub(crate) use testing::{Full, Refusing, run, until};

use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
pub enum Reply {
    /// Answers with that status, those header lines and that body.
    Say(u16, &'static str, Vec<u8>),
    /// Never answers.
    Hang,
    /// Closes the connection.
    Cut,
}

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
}

pub struct Http {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Http {
    /// Starts one that answers each request, with its number from 0, by `script`.
    pub async fn start(script: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (script, kept) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script.clone(), kept.clone()));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve<S: Fn(usize, &Asked) -> Reply>(mut stream: TcpStream, script: Arc<S>, kept: Arc<Mutex<Vec<Asked>>>) {
    while let Some(asked) = read(&mut stream).await {
        let reply = {
            let mut kept = kept.lock().unwrap();
            kept.push(asked.clone());
            script(kept.len() - 1, &asked)
        };
        match reply {
            Reply::Say(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            }
            Reply::Hang => std::future::pending().await,
            Reply::Cut => return,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { head, body })
}

pub fn http_client() -> aws_sdk_cloudwatch::config::SharedHttpClient {
    Builder::new().build_http()
}

pub fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "made-up", None, None, "test")
}
