//! Streams of a QUIC connection. The first one, which cloudflared opens, is the control stream, and carries calls from its
//! first byte. Each of the edge's begins with what it is for.

use super::frames;
use super::value::{Malformed, Struct, Value};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The one protocol that both sides offer in TLS.
pub const ALPN: &[u8] = b"argotunnel";
/// The name of the server in TLS over QUIC.
pub const SERVER_NAME: &str = "quic.cftunnel.com";
/// How a stream begins that carries one client's stream, and its answer.
const DATA: [u8; 6] = [0x0a, 0x36, 0xcd, 0x12, 0xa1, 0x3e];
/// How a stream begins that carries calls to a connector.
const CALLS: [u8; 6] = [0x52, 0xbb, 0x82, 0x5c, 0xdb, 0x65];
/// The version of what follows on a data stream.
const VERSION: [u8; 2] = *b"01";

/// What a stream of the edge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client's stream: [`Request`], [`Response`], and bytes both ways.
    Data,
    /// Calls to the connector.
    Calls,
}

/// What a client wants to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The URL for HTTP, `IP:port` for TCP.
    pub destination: String,
    /// How it is spoken to.
    pub kind: Connect,
    /// More about it. Of HTTP: [`METHOD`], [`HOST`], and each header with [`header_key`].
    pub metadata: Vec<(String, String)>,
}

/// How what a client wants is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// A request.
    Http,
    /// A request that becomes a WebSocket.
    WebSocket,
    /// Bytes, to an address.
    Tcp,
}

/// What a client's stream is answered with, before its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What cloudflared could not do; empty if it could.
    pub error: String,
    /// Of HTTP: [`STATUS`], and each header with [`header_key`].
    pub metadata: Vec<(String, String)>,
}

/// The key of a request's method.
pub const METHOD: &str = "HttpMethod";
/// The key of a request's host.
pub const HOST: &str = "HttpHost";
/// The key of an answer's status.
pub const STATUS: &str = "HttpStatus";
const HEADER: &str = "HttpHeader:";

/// The key of a header. A request's body is carried only with `Content-Length`, or `Transfer-Encoding` `chunked`.
pub fn header_key(name: &str) -> String {
    format!("{HEADER}{name}")
}

/// The headers among the metadata.
pub fn headers(metadata: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(HEADER)?, value.as_str())))
}

/// The first value of a key of the metadata.
pub fn value<'a>(metadata: &'a [(String, String)], key: &str) -> Option<&'a str> {
    metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// Reads what a stream is for.
///
/// # Errors
/// The stream failed, or begins with something else, or in another version.
pub async fn read_kind(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Kind> {
    let mut first = [0; 6];
    stream.read_exact(&mut first).await?;
    match first {
        CALLS => return Ok(Kind::Calls),
        DATA => {}
        _ => return Err(io::Error::new(ErrorKind::InvalidData, "a stream of no known kind")),
    }
    let mut version = [0; 2];
    stream.read_exact(&mut version).await?;
    match version {
        VERSION => Ok(Kind::Data),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "a stream of another version")),
    }
}

/// Begins a stream that carries calls.
///
/// # Errors
/// The stream failed.
pub async fn begin_calls(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&CALLS).await
}

impl Request {
    /// Begins a data stream with it.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let kind: u16 = match self.kind {
            Connect::Http => 0,
            Connect::WebSocket => 1,
            Connect::Tcp => 2,
        };
        let message = Struct::new(1, 2)
            .with(0, kind.to_le_bytes())
            .with_pointer(0, &self.destination)
            .with_pointer(1, pairs(&self.metadata));
        begin_data(stream, message).await
    }

    /// Reads it behind [`read_kind`], and nothing behind it.
    ///
    /// # Errors
    /// The stream failed, or carried something else.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, frames::Error> {
        let message = frames::read(stream).await?.into_struct()?;
        let kind = match message.u16(0) {
            0 => Connect::Http,
            1 => Connect::WebSocket,
            2 => Connect::Tcp,
            _ => return Err(Malformed::Misplaced("known kind of request").into()),
        };
        let destination = message.pointer(0).text()?.to_owned();
        Ok(Request { destination, kind, metadata: read_pairs(message.pointer(1))? })
    }
}

impl Response {
    /// Writes it.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        begin_data(stream, Struct::new(0, 2).with_pointer(0, &self.error).with_pointer(1, pairs(&self.metadata))).await
    }

    /// Reads it, with how it begins, and nothing behind it.
    ///
    /// # Errors
    /// The stream failed, or carried something else.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, frames::Error> {
        if read_kind(stream).await? != Kind::Data {
            return Err(Malformed::Misplaced("data stream").into());
        }
        let message = frames::read(stream).await?.into_struct()?;
        Ok(Response { error: message.pointer(0).text()?.to_owned(), metadata: read_pairs(message.pointer(1))? })
    }
}

/// In one piece: cloudflared takes a beginning that comes in two for another kind.
async fn begin_data(stream: &mut (impl AsyncWrite + Unpin), message: Struct) -> io::Result<()> {
    let message = frames::frame(&message.into());
    stream.write_all(&[DATA.as_slice(), &VERSION, &message].concat()).await?;
    stream.flush().await
}

fn pairs(metadata: &[(String, String)]) -> Vec<Struct> {
    let pair = |(key, value): &(String, String)| Struct::new(0, 2).with_pointer(0, key).with_pointer(1, value);
    metadata.iter().map(pair).collect()
}

fn read_pairs(list: &Value) -> Result<Vec<(String, String)>, Malformed> {
    let pair = |each: &Struct| Ok((each.pointer(0).text()?.to_owned(), each.pointer(1).text()?.to_owned()));
    list.structs()?.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
