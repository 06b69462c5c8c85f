//! What every life is set in: one instance of a group of two, whose other one reports itself registered with the same version of
//! the secret, with the agent's default times. That is the world in which a wrong judgement replaces an instance.

use crate::aws::Aws;
use crate::dns::Dns;
use crate::edge::Transport;
use crate::world::{Cloudflared, ENVIRONMENT, Host, SECRET, TUNNEL, World};
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::fs;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The grain of the metric: an agent reports once in it.
const PEER_EVERY: Duration = Duration::from_secs(60);
/// Executes what follows where the file that stands first is `/etc/resolv.conf`.
const WITH_NAMES: &str = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";

/// A world, and the instance that a life is about.
pub struct Scene {
    pub world: World,
    pub host: Host,
    _other: Host,
    peer: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.peer.abort();
    }
}

/// The value of `--protocol` for it.
pub fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Http2 => "http2",
        Transport::Quic => "quic",
    }
}

impl Scene {
    /// Sets one in which cloudflared speaks `transport`; `None`: what it chooses.
    ///
    /// # Errors
    /// No loopback address is free, or no directory can be made.
    pub async fn set(program: &Cloudflared, transport: Option<Transport>) -> anyhow::Result<Self> {
        let (mut world, mut host) = World::with_host().await?;
        // It is only listed: its reports are planted.
        let other = world.host().await?;
        let mut arguments = world.edge.arguments();
        arguments.extend(transport.into_iter().flat_map(|it| ["--protocol", protocol(it)]).map(String::from));
        arguments.push("--no-prechecks".into());
        equip(&mut host, program, arguments);
        let peer = tokio::spawn(report_a_peer(world.aws.clone()));
        Ok(Self { world, host, _other: other, peer })
    }

    /// Gives the instance a name server that knows the edge. The stand-in asks none.
    ///
    /// # Errors
    /// Port 53 cannot be had, or the file cannot be written.
    pub async fn give_names(&mut self, program: &Cloudflared) -> anyhow::Result<()> {
        if *program == Cloudflared::Standin {
            return Ok(());
        }
        let dns = Dns::start(self.world.block.address(53, 53)).await.context("failed to listen on port 53")?;
        dns.edge(&self.world.edge.addresses());
        let file = self.host.directory().join("resolv.conf");
        fs::write(&file, format!("nameserver {}\noptions timeout:1 attempts:1\n", dns.address().ip()))?;
        let launcher = ["unshare", "--mount", "sh", "-c", WITH_NAMES, &file.display().to_string()];
        self.host.launcher = launcher.map(String::from).into();
        Ok(())
    }

    /// The arguments of cloudflared.
    pub fn arguments(&mut self, change: impl FnOnce(&mut Vec<String>)) {
        let given = self.host.settings["connector"]["extra_args"].as_array().cloned().unwrap_or_default();
        let mut arguments = given.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        change(&mut arguments);
        self.host.set("connector.extra_args", arguments);
    }
}

/// The agent's own defaults, but for where things are.
fn equip(host: &mut Host, program: &Cloudflared, arguments: Vec<String>) {
    for section in ["secret", "observe", "verdict", "handover", "cloudwatch"] {
        if let Some(settings) = host.settings.as_object_mut() {
            settings.remove(section);
        }
    }
    host.set("connector.binary", program.path().display().to_string());
    host.set("connector.extra_args", arguments);
    host.set("connector.grace_period", "5s");
    host.environment.push(("CFLARED_AGENT_LOG".into(), "debug".into()));
}

/// What the other instance's agent reports: its connector is registered, with the version of the secret that is current.
async fn report_a_peer(aws: Aws) {
    let version = aws.secret(SECRET).and_then(|secret| secret.current().map(|version| version.id.clone()));
    let label: String =
        Sha256::digest(version.unwrap_or_default()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let by_tunnel = [("Environment", ENVIRONMENT), ("TunnelId", TUNNEL)];
    let by_version = [("TunnelId", TUNNEL), ("SecretVersion", label.as_str())];
    loop {
        aws.put_datapoint("cflared_replica_count_per_tunnel", &by_tunnel, 1.0);
        aws.put_datapoint("cflared_registered_by_version", &by_version, 1.0);
        tokio::time::sleep(PEER_EVERY).await;
    }
}
