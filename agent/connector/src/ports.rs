//! Which metrics address the next child gets.
//!
//! The settings name two, one for the connector that serves and one for its successor. A stranger on one of them is no
//! reason to go without a tunnel: then it is the other, and if both are taken, one that the kernel picks.

use cflared_verdict::RunId;
use cloudflared::sockets::{Listener, Sockets};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of the settings, and who of ours has which. Clones know the same.
#[derive(Debug, Clone)]
pub struct Ports {
    addresses: [SocketAddr; 2],
    given: Arc<Mutex<BTreeMap<RunId, SocketAddr>>>,
}

/// An address for a child, and why it is not the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The address. Nobody listened there a moment ago.
    pub address: SocketAddr,
    /// The addresses that came before it and cannot be had, each with who is there.
    pub taken: Vec<Taken>,
}

/// An address that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The address.
    pub address: SocketAddr,
    /// Who has it, or what else the kernel says, in words.
    pub by: String,
}

impl Ports {
    /// The addresses of the settings; nobody has one yet.
    pub fn new(addresses: [SocketAddr; 2]) -> Self {
        Self { addresses, given: Arc::default() }
    }

    /// An address for the next child of `run`: `addresses[slot]`, else the other one, else a free one. It stays the run's until
    /// the next call, or [`Ports::give_back`]. It reads files of the kernel if an address is taken: not for the loop's own thread.
    ///
    /// # Errors
    /// The kernel has no port left.
    pub fn give(&self, run: RunId, slot: usize, sockets: &Sockets) -> io::Result<Given> {
        // Held until the address is noted, so that no two runs get the same. Each change leaves it whole.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.remove(&run);
        let mut taken = Vec::new();
        for address in [self.addresses[slot], self.addresses[1 - slot]] {
            if given.values().any(|other| *other == address) {
                continue;
            }
            match TcpListener::bind(address) {
                Ok(_) => {
                    given.insert(run, address);
                    return Ok(Given { address, taken });
                }
                Err(error) => taken.push(Taken { address, by: by(sockets.listener(address, None), &error) }),
            }
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        given.insert(run, address);
        Ok(Given { address, taken })
    }

    /// The addresses that runs have now.
    pub fn in_use(&self) -> Vec<SocketAddr> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// The run has ended.
    pub fn give_back(&self, run: RunId) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

fn by(listener: Listener, error: &io::Error) -> String {
    match listener {
        Listener::Stranger(stranger) => stranger.to_string(),
        Listener::Unclear => "a process that is hidden from the agent".into(),
        // No socket listens: the port may be the near end of a connection, or the address not be this host's.
        Listener::Nobody | Listener::Ours => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
