//! A server as MySQL is one: it speaks first. Then it sends back what it is sent.

use crate::mysql::Greeting;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// A running origin. It ends with the runtime that it was started on.
pub struct Origin {
    address: SocketAddr,
}

impl Origin {
    /// Starts one. Port 0 is a free port.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What it says first.
pub(super) fn greeting() -> Vec<u8> {
    Greeting::Version("8.0.36".into()).packet()
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&greeting()).await?;
    let (mut read, mut write) = stream.split();
    copy(&mut read, &mut write).await?;
    write.shutdown().await
}
