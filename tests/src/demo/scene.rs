//! The world of the demo: one instance, in times that a person can follow.

use crate::world::{Agent, Cloudflared, GROUP, Host, World, beside};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// How long anything is waited for before it counts as missing. Nothing takes half of it, on a machine that is not busy.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long the group takes to replace an instance, in milliseconds: long enough to show how a mark is taken back.
const REPLACE_AFTER_MS: u64 = 3_600_000;

/// The instance and all around it.
pub struct Scene {
    /// The stand-ins.
    pub world: World,
    /// The instance.
    pub host: Host,
    /// Its agent, once it runs.
    pub agent: Option<Agent>,
}

impl Scene {
    /// Sets it up. The edge is closed still; no agent runs.
    ///
    /// # Errors
    /// A program is missing, no address is free, or no directory can be made.
    pub async fn set() -> anyhow::Result<Self> {
        for path in [beside("cflared-agent"), Cloudflared::chosen().path()] {
            ensure!(path.is_file(), "{} is missing; `make demo` builds what is of this project", path.display());
        }
        let (world, mut host) = World::with_host().await?;
        world.aws.edit_group(GROUP, |group| group.replace_after_ms = REPLACE_AFTER_MS);
        host.scale_cloudflared(0.1);
        for (key, value) in [
            // A tenth of the defaults, but for the interval of the looks.
            ("verdict.recheck_secret_after", "3s"),
            ("verdict.probe_after", "6s"),
            ("verdict.restart_after", "9s"),
            ("verdict.condemn_after", "12s"),
            ("observe.interval", "500ms"),
            ("cloudwatch.interval", "5s"),
            // So that each read of the secret has another cause.
            ("secret.poll_interval", "1h"),
        ] {
            host.set(key, value);
        }
        Ok(Self { world, host, agent: None })
    }

    /// The agent.
    ///
    /// # Errors
    /// None was started yet.
    pub fn agent(&mut self) -> anyhow::Result<&mut Agent> {
        self.agent.as_mut().context("no agent was started")
    }

    /// Waits until `check` finds something.
    ///
    /// # Errors
    /// It found nothing within a generous time, or the agent ended.
    pub async fn until<T>(&mut self, what: &str, check: impl Fn(&World, &Agent) -> Option<T>) -> anyhow::Result<T> {
        let agent = self.agent.as_mut().context("no agent was started")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = check(&self.world, agent) {
                return Ok(found);
            }
            if let Some(status) = agent.ended() {
                anyhow::bail!("waiting for {what}: the agent ended ({status})");
            }
            ensure!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
