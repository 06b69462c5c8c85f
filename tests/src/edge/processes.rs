//! Which process holds the other end of a connection, if it runs in this network namespace, and may be looked at.

use super::Transport;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The process that holds the socket at `peer` of a connection to `edge`.
pub(super) fn holder(transport: Transport, peer: SocketAddr, edge: SocketAddr) -> Option<i32> {
    let tables = match transport {
        Transport::Http2 => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Quic => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let mut inodes = tables.iter().filter_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().filter_map(socket).find(|socket| socket.is_of(transport, peer, edge)).map(|socket| socket.inode)
    });
    process_with(&inodes.next()?)
}

/// A row of such a table.
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    inode: String,
}

impl Socket {
    fn is_of(&self, transport: Transport, peer: SocketAddr, edge: SocketAddr) -> bool {
        match transport {
            Transport::Http2 => (self.local, self.remote) == (peer, edge),
            // cloudflared leaves the address to the kernel, and connects to nobody.
            Transport::Quic => {
                self.local.port() == peer.port() && (self.local.ip() == peer.ip() || self.local.ip().is_unspecified())
            }
        }
    }
}

fn socket(row: &str) -> Option<Socket> {
    let words: Vec<&str> = row.split_whitespace().collect();
    let inode = (*words.get(9)?).to_owned();
    Some(Socket { local: address(words.get(1)?)?, remote: address(words.get(2)?)?, inode })
}

/// `0100007F:1F90`: the address in words of the machine's byte order, the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    if !matches!(ip.len(), 8 | 32) {
        return None;
    }
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn process_with(inode: &str) -> Option<i32> {
    let wanted = format!("socket:[{inode}]");
    let holds = |pid: &i32| {
        // It may have ended, or be another user's.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    };
    let entries = fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn the_holder_of_a_connection_is_found() {
        let own = std::process::id().cast_signed();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let edge = listener.local_addr().unwrap();
        let stream = TcpStream::connect(edge).unwrap();
        let peer = stream.local_addr().unwrap();
        assert_eq!(holder(Transport::Http2, peer, edge), Some(own));
        assert_eq!(holder(Transport::Quic, peer, edge), None, "no socket of UDP is there");
        for any in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = UdpSocket::bind(any).unwrap();
            let peer = SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
            assert_eq!(holder(Transport::Quic, peer, edge), Some(own), "{any}");
        }
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(address("00000000000000000000000001000000:0001"), Some("[::1]:1".parse().unwrap()));
        assert_eq!(address("0000000000000000FFFF00000100007F:0001"), Some("127.0.0.1:1".parse().unwrap()));
        for bad in ["", "0100007F", "0100007G:1", "01:1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
