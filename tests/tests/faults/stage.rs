//! The world of one scenario before anything breaks: stand-ins, instances, an agent.

use crate::peers::Others;
use crate::reader::{Scenario, Setting, What};
use anyhow::{Context, ensure};
use cflared_tests::aws::Visibility;
use cflared_tests::world::{Agent, GROUP, Host, Payload, SECRET, World};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What every time of the table is divided by.
pub const SCALE: u32 = 20;
/// So long that the group does by itself nothing in a scenario: neither replaces, nor launches, nor terminates.
const NEVER_MS: u64 = 1 << 50;
const HOUR: Duration = Duration::from_secs(3600);

/// cloudflared with the faults of a process, each switched by a file. It is the real stand-in in any other case.
const SCRIPT: &str = r#"
[ -e $DIR/crash_loop ] && exit 3
[ -e $DIR/frozen ] && exec sleep 1000
[ -e $DIR/config_refused ] && { echo "error parsing YAML in config file at /etc/cloudflared/config.yml: yaml: line 2" >&2; exit 1; }
while [ -e $DIR/port_awaited ]; do sleep 0.05; done
exec $CLOUDFLARED "$@""#;

/// Everything that a scenario is played with.
pub struct Stage {
    pub world: World,
    /// The instance that it is about.
    pub host: Host,
    /// The other instances of its group: they are only there.
    pub rest: Vec<Host>,
    pub others: Others,
    pub agent: Option<Agent>,
    /// What answers on the origin's address.
    pub origin: Option<JoinHandle<()>>,
    pub origin_at: SocketAddr,
    /// Another cloudflared, on our metrics port.
    pub foreign: Option<JoinHandle<()>>,
    /// The newest version of the secret.
    pub newest: String,
    /// The version that is installed before anything happens, if one is.
    pub first: Option<String>,
    /// The secret of the tunnel that the edge is to take in the end.
    pub number: u8,
}

impl Stage {
    pub async fn set(scenario: &Scenario) -> anyhow::Result<Self> {
        let setting = &scenario.world;
        let mut world = World::new().await?;
        let mut rest = vec![];
        for _ in 0..setting.group {
            rest.push(world.host().await?);
        }
        let mut host = rest.remove(setting.rank as usize);
        stop_the_group(&world);
        let origin_at = world.block.address(200, 3306);
        let newest = world.aws.put_secret(SECRET, &payload(origin_at, 1).text());
        world.aws.set_visibility(Visibility { delay_ms: millis(scaled(setting.delay)), lose: 0 });
        host.script(SCRIPT)?;
        pace(&mut host, setting);
        let others = Others::new(setting.group - 1, world.aws_address());
        let origin = Some(tokio::spawn(accept(TcpListener::bind(origin_at).await?)));
        let first = setting.installed.then(|| newest.clone());
        let number = if scenario.happens.iter().any(|it| it.what == What::Unauthorized) { 2 } else { 1 };
        let mut stage =
            Self { first, number, world, host, rest, others, agent: None, origin, origin_at, foreign: None, newest };
        stage.begin(setting).await?;
        Ok(stage)
    }

    /// The agent, as old as the scenario says.
    async fn begin(&mut self, setting: &Setting) -> anyhow::Result<()> {
        if setting.age.is_zero() {
            if setting.installed {
                let installed = self.host.run(["bootstrap"]).await?;
                ensure!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
            }
            return Ok(());
        }
        let mut agent = self.host.start()?;
        agent.wait_status("all connections", |status| status["connectors"][0]["connections"] == 4).await?;
        self.agent = Some(agent);
        // The start is an outage until it has been good for 30 s of the design.
        tokio::time::sleep(scaled(Duration::from_secs(40))).await;
        Ok(())
    }

    /// What counts from the break: the group's grace, and the ages of what it replaced.
    pub fn start_clocks(&self, setting: &Setting) {
        plant_replacements(&self.world, setting);
        let (now_ms, grace_ms) = (self.world.aws.now_ms(), millis(scaled(setting.grace)));
        self.world.aws.edit_group(GROUP, |group| {
            group.grace_period_ms = grace_ms;
            if let Some(instance) = group.instances.get_mut(&self.host.id) {
                instance.in_service_at_ms = now_ms;
            }
        });
    }

    pub fn agent(&self) -> anyhow::Result<&Agent> {
        self.agent.as_ref().context("the agent has not been started")
    }

    /// Switches a fault of the process on or off.
    pub fn flag(&self, name: &str, on: bool) -> anyhow::Result<()> {
        let path = self.host.directory().join(name);
        let switched = if on { fs::write(path, "") } else { fs::remove_file(path) };
        Ok(switched?)
    }

    pub fn put_secret(&mut self, payload: &Payload) {
        self.newest = self.world.aws.put_secret(SECRET, &payload.text());
    }
}

/// A time of the table in this run.
pub fn scaled(time: Duration) -> Duration {
    time / SCALE
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A good payload with that secret of the tunnel, whose rules lead to `origin`.
pub fn payload(origin: SocketAddr, number: u8) -> Payload {
    let mut payload = Payload::numbered(number);
    payload.config = payload.config.replace("127.0.0.1:3306", &origin.to_string());
    payload
}

fn stop_the_group(world: &World) {
    world.aws.edit_group(GROUP, |group| {
        group.replace_after_ms = NEVER_MS;
        group.terminate_takes_ms = NEVER_MS;
        group.launch_takes_ms = NEVER_MS;
    });
}

fn plant_replacements(world: &World, setting: &Setting) {
    let plant = |why: &str, before: &Duration| {
        // An hour stays an hour: what is left of it is divided.
        let age = before.checked_sub(HOUR).map_or_else(|| HOUR - scaled(HOUR - *before), |over| HOUR + over);
        world.aws.plant_activity(GROUP, "i-00000000000000abc", why, age);
    };
    let why = "an instance was taken out of service in response to a user health-check.";
    setting.replaced.iter().for_each(|before| plant(why, before));
    let why = "an instance was taken out of service in response to an instance refresh.";
    setting.refreshed.iter().for_each(|before| plant(why, before));
}

/// The times of the design, divided. The startup grace of a host that has long been up is over.
fn pace(host: &mut Host, setting: &Setting) {
    host.set("verdict.startup_grace", if setting.age.is_zero() { "9s" } else { "500ms" });
    for (key, time) in [
        ("verdict.recheck_secret_after", "1500ms"),
        ("verdict.probe_after", "3s"),
        ("verdict.restart_after", "4500ms"),
        ("verdict.condemn_after", "6s"),
        ("secret.poll_interval", "15s"),
        ("handover.register_timeout", "5s"),
    ] {
        host.set(key, time);
    }
}

/// An origin that takes every connection and says nothing.
pub async fn accept(listener: TcpListener) {
    let mut kept: Vec<TcpStream> = vec![];
    while let Ok((stream, _)) = listener.accept().await {
        kept.push(stream);
    }
}
