//! A /24 of loopback for one world of a test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The host and port that are held where a block is taken.
const CLAIM: (u8, u16) = (254, 40_404);

/// `127.a.b.0/24`, nobody else's until this process ends: taking one binds an address in it, so parallel tests (and
/// parallel test runs) never get the same. It is not given back before, as what listens in it may outlive its test.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    net: [u8; 2],
}

impl Block {
    /// Takes a free block.
    ///
    /// # Errors
    /// None of the 25,000 is free.
    pub fn take() -> io::Result<Block> {
        // Neighbouring process ids start far apart, so that they seldom try the same block.
        let start = std::process::id().wrapping_mul(257);
        for step in 0..25_000 {
            let number = start.wrapping_add(step) % 25_000;
            let net = [u8::try_from(100 + number / 250).unwrap_or(100), u8::try_from(1 + number % 250).unwrap_or(1)];
            if let Ok(claim) = TcpListener::bind(address(net, CLAIM.0, CLAIM.1)) {
                std::mem::forget(claim);
                return Ok(Block { net });
            }
        }
        Err(io::Error::other("no block of loopback addresses is free"))
    }

    /// An address in the block.
    pub fn address(&self, host: u8, port: u16) -> SocketAddr {
        address(self.net, host, port)
    }

    /// Four addresses for an edge: hosts 1 to 4, port 7844.
    pub fn edge_addresses(&self) -> Vec<SocketAddr> {
        (1..=4).map(|host| self.address(host, 7844)).collect()
    }
}

fn address([a, b]: [u8; 2], host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, a, b, host)), port)
}
