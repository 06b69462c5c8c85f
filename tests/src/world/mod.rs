//! A world for one agent or several: stand-ins in this process, addresses of its own, a directory for each instance.
//!
//! Nothing in it can reach anything but loopback: every program it starts gets an environment that names the stand-ins
//! and nothing else, and its metrics, its edge and its metadata service lie in one 127.a.b.0/24 that no other world has.

mod agent;
mod clock;
mod cloudflared;
mod host;
mod payload;
mod programs;
mod road;

pub use agent::{Agent, Line, Notice};
pub use clock::Clock;
pub use cloudflared::{Cloudflared, SWITCH, left_out};
pub use host::Host;
pub use payload::{Payload, TUNNEL, tunnel_secret};
pub use programs::{agent_binary, beside, venv};
pub use road::{Road, Traffic};

use crate::aws::{Aws, Group};
use crate::edge::{Block, Edge};
use anyhow::Context;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// The environment of every instance, and the secret that belongs to it.
pub const ENVIRONMENT: &str = "dev";
/// The name of that secret.
pub const SECRET: &str = "/adventive/cloudflared/dev";
/// The group that every instance is in.
pub const GROUP: &str = "adv-cflared-dev";
/// How long anything is waited for, before a test calls it missing. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// One AWS, one edge, one /24.
pub struct World {
    /// Where its addresses come from.
    pub block: Block,
    /// Secrets Manager, CloudWatch and Auto Scaling.
    pub aws: Aws,
    /// The edge.
    pub edge: Edge,
    aws_address: SocketAddr,
    hosts: u8,
}

impl World {
    /// A world in which all is well: the secret is there, and the group has no instance yet.
    ///
    /// # Errors
    /// No loopback address is free.
    pub async fn new() -> anyhow::Result<Self> {
        let block = Block::take().context("no 127.a.b.0/24 is free")?;
        let aws = Aws::default();
        let listener = TcpListener::bind(block.address(250, 443)).await;
        let listener = match listener {
            Ok(listener) => listener,
            // Ports below 1024 may be root's.
            Err(_) => TcpListener::bind(block.address(250, 4443)).await?,
        };
        let aws_address = listener.local_addr()?;
        tokio::spawn(aws.clone().serve(listener));
        let edge = Edge::start(&block.edge_addresses()).await?;
        aws.put_secret(SECRET, &Payload::default().text());
        edge.require_secret(TUNNEL, &tunnel_secret(1));
        let none: [&str; 0] = [];
        let mut group = Group::new(GROUP, none);
        group.grace_period_ms = 0;
        aws.put_group(group);
        Ok(Self { block, aws, edge, aws_address, hosts: 0 })
    }

    /// A world with one instance.
    ///
    /// # Errors
    /// As [`World::new`], or no directory can be made.
    pub async fn with_host() -> anyhow::Result<(Self, Host)> {
        let mut world = Self::new().await?;
        let host = world.host().await?;
        Ok((world, host))
    }

    /// Where AWS is.
    pub fn aws_address(&self) -> SocketAddr {
        self.aws_address
    }

    /// A road to AWS that can be closed, in an agent's way once [`Host::takes`] it.
    ///
    /// # Errors
    /// No address is free.
    pub async fn road(&self) -> anyhow::Result<Road> {
        self.road_at(251).await
    }

    /// Another road, which begins at that host of the world's block.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn road_at(&self, host: u8) -> anyhow::Result<Road> {
        Road::build(self.block.address(host, 4443), self.aws_address).await
    }

    /// Another instance: its metadata service, its directories, its place in the group.
    ///
    /// # Errors
    /// No directory can be made, or no address is free.
    pub async fn host(&mut self) -> anyhow::Result<Host> {
        self.hosts += 1;
        Host::new(self.hosts, &self.block, &self.aws, &self.edge, self.aws_address).await
    }
}

/// Waits until `check` finds something.
///
/// # Errors
/// It found nothing within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().await {
            return Ok(found);
        }
        anyhow::ensure!(std::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
