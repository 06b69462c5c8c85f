//! The first packet of a MySQL server, which speaks first.
//!
//! The layout is in MySQL's documentation of its client/server protocol: Protocol::Packet, Protocol::HandshakeV10,
//! ERR_Packet.

/// As much of a first packet as is read: a greeting has the version at its front, an error is its text.
pub const MOST: usize = 512;

/// What a server said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It greets; this is its version, such as `8.0.39`.
    Version(String),
    /// It refuses this host, or everybody, before the login: `Too many connections`, `Host '…' is blocked …`.
    Error {
        /// Its number.
        code: u16,
        /// Its text.
        text: String,
    },
}

impl Greeting {
    /// Reads the beginning of what a server sent; `None` if it is no MySQL server's, or not enough of it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<3>()?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], 0]) as usize;
        // The first packet of a conversation has the number 0.
        let (&kind, body) = rest.strip_prefix(&[0])?.split_first()?;
        let body = &body[..body.len().min(length.checked_sub(1)?)];
        match kind {
            10 => Self::version(body),
            0xff => Self::error(body),
            _ => None,
        }
    }

    fn version(body: &[u8]) -> Option<Self> {
        let end = body.iter().position(|byte| *byte == 0)?;
        let version = std::str::from_utf8(&body[..end]).ok()?;
        let plausible =
            version.starts_with(|c: char| c.is_ascii_digit()) && version.bytes().all(|b| b.is_ascii_graphic());
        // MariaDB 10 puts this before its own, for replicas that take the first digit for MySQL's.
        let version = version.strip_prefix("5.5.5-").unwrap_or(version);
        plausible.then(|| Self::Version(version.into()))
    }

    fn error(body: &[u8]) -> Option<Self> {
        let (code, text) = body.split_first_chunk::<2>()?;
        let text = match text.strip_prefix(b"#") {
            // The SQL state, which newer servers send before they know the client.
            Some(rest) => rest.get(5..)?,
            None => text,
        };
        let text = String::from_utf8_lossy(text).into_owned();
        (!text.is_empty()).then(|| Self::Error { code: u16::from_le_bytes(*code), text })
    }
}

#[cfg(test)]
mod tests;
