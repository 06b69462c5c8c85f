//! A road between an agent and a stand-in, on which connections can be hindered as on a network.

use super::eventually;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// They reach the stand-in.
    Flows,
    /// They are refused.
    Refused,
    /// Nothing answers, as where packets are dropped.
    BlackHoled,
    /// They are accepted, and nothing ever comes back.
    Silent,
}

/// A road with its own address.
pub struct Road {
    address: SocketAddr,
    leads_to: SocketAddr,
    task: Mutex<JoinHandle<()>>,
}

impl Road {
    /// An open road.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn build(address: SocketAddr, leads_to: SocketAddr) -> anyhow::Result<Self> {
        let task = Mutex::new(tokio::spawn(flow(listen(address, 1024)?, leads_to)));
        Ok(Self { address, leads_to, task })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of connections. Those that there are break.
    ///
    /// # Errors
    /// The address cannot be bound again.
    pub async fn set(&self, traffic: Traffic) -> anyhow::Result<()> {
        let before = std::mem::replace(&mut *self.lock_task(), tokio::spawn(async {}));
        before.abort();
        // It is the end of it that is waited for, and not a result.
        let _ = before.await;
        let task = match traffic {
            Traffic::Refused => return Ok(()),
            Traffic::Flows => tokio::spawn(flow(listen_again(self.address, 1024).await?, self.leads_to)),
            Traffic::Silent => tokio::spawn(swallow(listen_again(self.address, 1024).await?)),
            Traffic::BlackHoled => {
                let full = listen_again(self.address, 0).await?;
                // The kernel drops what comes after the one connection that it keeps for a backlog of 0.
                let filler = TcpStream::connect(self.address).await.context("failed to fill the backlog")?;
                tokio::spawn(async move {
                    let _kept = (full, filler);
                    std::future::pending().await
                })
            }
        };
        *self.lock_task() = task;
        Ok(())
    }

    fn lock_task(&self) -> std::sync::MutexGuard<'_, JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr, backlog: u32) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket.listen(backlog)?)
}

/// A process that another thread forks has a copy of what listened here until now, for the moment before it executes its
/// program.
async fn listen_again(address: SocketAddr, backlog: u32) -> anyhow::Result<TcpListener> {
    eventually("the address to be free", async || listen(address, backlog).ok()).await
}

async fn flow(listener: TcpListener, leads_to: SocketAddr) {
    // They end with the task.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(leads_to).await {
                // Either side may go away.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

async fn swallow(listener: TcpListener) {
    let mut kept = vec![];
    while let Ok((near, _)) = listener.accept().await {
        kept.push(near);
    }
}
