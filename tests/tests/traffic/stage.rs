//! One instance whose tunnel is in use, and what can be done to its secret.

use crate::versions::{Change, DATABASE, REPORTS, Version};
use anyhow::{Context, ensure};
use cflared_tests::edge::{Event, Route, What};
use cflared_tests::load::{Origin, ask};
use cflared_tests::world::{Agent, Host, SECRET, TUNNEL, World, eventually, tunnel_secret};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// `connector.grace_period`: for so long a stream may go on when its connector is on its way out.
pub const GRACE: Duration = Duration::from_secs(3);

pub struct Stage {
    pub world: World,
    pub agent: Agent,
    /// Where clients of the database connect.
    pub clients: SocketAddr,
    /// Where clients of the reports connect.
    reports: SocketAddr,
    origins: [Origin; 2],
    /// What serves.
    version: Version,
    _host: Host,
}

impl Stage {
    pub async fn set() -> anyhow::Result<Self> {
        let (world, mut host) = World::with_host().await?;
        host.set("secret.poll_interval", "1s");
        host.set("connector.grace_period", format!("{}s", GRACE.as_secs()));
        let origin = async |host| Origin::start(world.block.address(host, 3306)).await;
        let origins = [origin(200).await?, origin(201).await?];
        let version = Version::first(origins[0].address());
        world.aws.put_secret(SECRET, &version.text());
        let route =
            |hostname: &str| Route { tunnel: Some(TUNNEL.into()), hostname: Some(hostname.into()), ..Route::default() };
        let clients = world.edge.listen_clients(world.block.address(210, 3306), route(DATABASE)).await?;
        let reports = world.edge.listen_clients(world.block.address(211, 3306), route(REPORTS)).await?;
        let mut agent = host.start()?;
        agent.wait_status("four connections", |status| status["connectors"][0]["connections"] == 4).await?;
        Ok(Self { world, agent, clients, reports, origins, version, _host: host })
    }

    /// Stores a version with that change, and waits until it serves alone. It takes exactly the connectors that it needs.
    pub async fn rotate(&mut self, change: Change) -> anyhow::Result<()> {
        let next = self.version.changed(change, self.origins[1].address());
        let (before, from) = (self.connector()?, self.world.edge.events().len());
        // As a person does it: first at Cloudflare, where what is registered stays so, then in the secret.
        self.world.edge.require_secret(TUNNEL, &tunnel_secret(next.key));
        let id = self.world.aws.put_secret(SECRET, &next.text());
        let serves = |status: &Value| status["installed"]["version"] == id.as_str() && alone(status);
        self.agent.wait_status(&format!("{change:?} to serve"), serves).await?;
        let after = self.connector()?;
        let events = self.world.edge.events().split_off(from);
        let expected = if change.successors() == 0 { BTreeSet::new() } else { BTreeSet::from([after.as_str()]) };
        ensure!(registered(&events) == expected, "{change:?} took the connectors {:?}", registered(&events));
        if change.successors() == 0 {
            ensure!(after == before, "{change:?} replaced the connector");
        } else {
            let of_the_old = |event: &&Event| event.who.connector == before && event.what == What::Unregistered;
            ensure!(events.iter().filter(of_the_old).count() == 4, "the old connector was not drained");
        }
        self.version = next;
        if self.version.reports.is_some() {
            ask(self.reports, 0).await.context("the reports do not answer")?;
        }
        Ok(())
    }

    /// What serves, with a tunnel's secret that the edge does not take.
    pub fn with_a_bad_secret(&self) -> Version {
        Version { key: 200, ..self.version.clone() }
    }

    /// What serves, with the database where nothing listens.
    pub fn with_a_dead_origin(&self) -> Version {
        Version { database: self.world.block.address(202, 3306), ..self.version.clone() }
    }

    /// Stores a version that must not come into use, and waits until it is refused, for good. What serves is not touched.
    pub async fn refuse(&mut self, bad: Version) -> anyhow::Result<()> {
        let (before, from) = (self.connector()?, self.world.edge.events().len());
        let id = self.world.aws.put_secret(SECRET, &bad.text());
        let refused = |status: &Value| {
            let mut journal = status["journal"].as_array().into_iter().flatten();
            alone(status) && journal.any(|entry| entry["kind"] == "refusal" && entry.to_string().contains(&id))
        };
        self.agent.wait_status(&format!("{bad:?} to be refused"), refused).await?;
        let (reads, started) = (self.reads(), lines_with(&self.agent, STARTED));
        eventually("more reads of the secret", async || (self.reads() >= reads + 2).then_some(())).await?;
        ensure!(lines_with(&self.agent, STARTED) == started, "a version that was refused was tried again");
        ensure!(self.connector()? == before, "the connector that served is gone");
        let events = self.world.edge.events().split_off(from);
        let of_it = events.iter().filter(|event| event.who.connector == before);
        ensure!(of_it.count() == 0, "the connector that served was touched: {events:#?}");
        Ok(())
    }

    /// The id of the connector that serves alone.
    fn connector(&self) -> anyhow::Result<String> {
        let status = self.agent.status();
        ensure!(alone(&status), "{status:#}");
        status["connectors"][0]["connector_id"].as_str().map(str::to_owned).context("it has no id")
    }

    fn reads(&self) -> usize {
        self.world.aws.requests().count("GetSecretValue")
    }
}

/// Whether one connector is there, with all of its connections.
fn alone(status: &Value) -> bool {
    status["connectors"].as_array().is_some_and(|all| all.len() == 1) && status["connectors"][0]["connections"] == 4
}

/// The connectors that were registered.
fn registered(events: &[Event]) -> BTreeSet<&str> {
    let of_these = events.iter().filter(|event| event.what == What::Registered);
    of_these.map(|event| event.who.connector.as_str()).collect()
}

/// What the agent says each time it has executed a child.
const STARTED: &str = "connector started";

fn lines_with(agent: &Agent, part: &str) -> usize {
    agent.log().iter().filter(|line| line.json.to_string().contains(part)).count()
}
