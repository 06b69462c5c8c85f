//! Stands in for a MySQL server, up to the point where a client would log in.
//!
//! Its packets follow MySQL's documentation: Protocol::Packet, Protocol::HandshakeV10 and ERR_Packet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// This version, and it waits for the login.
    Version(String),
    /// This error, and it hangs up.
    Error {
        /// Its number: 1040 is too many connections, 1129 a blocked host.
        code: u16,
        /// Its text.
        text: String,
    },
}

impl Greeting {
    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Version(version) => {
                body.push(10);
                body.extend(version.as_bytes());
                body.extend([0, 9, 0, 0, 0]); // the connection's number
                body.extend(b"\x01\x02\x03\x04\x05\x06\x07\x08\0"); // the first part of the salt
                body.extend([0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21]); // capabilities, character set, status
                body.extend([0; 10]);
                body.extend(b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\0caching_sha2_password\0");
            }
            Self::Error { code, text } => {
                body.push(0xff);
                body.extend(code.to_le_bytes());
                body.extend(text.as_bytes());
            }
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        [&length[..3], &[0], &body].concat()
    }
}

/// A running server. It ends with the runtime that it was started on.
pub struct MySql {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl MySql {
    /// Starts one. Port 0 is a free port.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr, greeting: Greeting) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let this = Self { address: listener.local_addr()?, connections: Arc::default() };
        let connections = this.connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(greet(stream, greeting.clone()));
            }
        });
        Ok(this)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there were; none of them logged in.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn greet(mut stream: TcpStream, greeting: Greeting) -> io::Result<()> {
    stream.write_all(&greeting.packet()).await?;
    if matches!(greeting, Greeting::Version(_)) {
        stream.read_u8().await?;
    }
    Ok(())
}
