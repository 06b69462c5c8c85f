//! The world of one scenario before anything breaks: stand-ins, instances, an agent.

use crate::peers::Others;
use crate::reader::{Scenario, Setting, What};
use anyhow::{Context, ensure};
use cflared_tests::aws::{DEFAULT_REGION, GroupInstance, Visibility};
use cflared_tests::world::{Agent, GROUP, Host, Payload, SECRET, World};
use cflared_verdict::Transport;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// So long that the group does by itself nothing in a scenario: neither replaces, nor launches, nor terminates.
const NEVER_MS: u64 = 1 << 50;
const HOUR: Duration = Duration::from_secs(3600);

/// cloudflared with the faults of a process, each switched by a file. It is the real stand-in in any other case.
const SCRIPT: &str = r#"
[ -e $DIR/crash_loop ] && exit 3
[ -e $DIR/words ] && { echo "the flux capacitor is not fluxing" >&2; exit 1; }
[ -e $DIR/panic ] && { printf 'panic: runtime error: invalid memory address or nil pointer dereference\n\ngoroutine 1 [running]:\n' >&2; exit 2; }
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
    /// Another cloudflared, on our metrics ports.
    pub foreign: Vec<JoinHandle<()>>,
    /// The newest version of the secret.
    pub newest: String,
    /// The version that is installed before anything happens, if one is.
    pub first: Option<String>,
    /// The secret of the tunnel that the edge is to take in the end.
    pub number: u8,
    /// What every time of the table is divided by.
    scale: u32,
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
        spread(&world, setting.zones);
        let origin_at = world.block.address(200, 3306);
        let newest = world.aws.put_secret(SECRET, &payload(origin_at, 1).text());
        world.aws.set_visibility(Visibility { delay_ms: millis(scenario.scaled(setting.delay)), lose: 0 });
        host.script(SCRIPT)?;
        pace(&mut host, scenario);
        speak(&mut host, setting);
        let zone = world.aws.group(GROUP).and_then(|group| group.instances.get(&host.id).map(zone_of));
        let zone = zone.context("the group has no such instance")?;
        host.imds.edit(|instance| instance.availability_zone.clone_from(&zone));
        let others = Others::report_of(&rest, &zone, setting.same_version, &world);
        let origin = Some(tokio::spawn(accept(TcpListener::bind(origin_at).await?)));
        let first = setting.installed.then(|| newest.clone());
        let number = if scenario.happens.iter().any(|it| it.what == What::Unauthorized) { 2 } else { 1 };
        let mut stage = Self {
            first,
            number,
            world,
            host,
            rest,
            others,
            agent: None,
            origin,
            origin_at,
            foreign: vec![],
            newest,
            scale: scenario.scale,
        };
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
        tokio::time::sleep(self.scaled(Duration::from_secs(40))).await;
        Ok(())
    }

    /// What counts from the break: the group's grace, and the ages of what it replaced.
    pub fn start_clocks(&self, setting: &Setting) {
        self.plant_replacements(setting);
        if let Some(before) = setting.came_for_unhealthy {
            let why = "an instance was launched in response to an unhealthy instance needing to be replaced.";
            self.world.aws.plant_launch(GROUP, &self.host.id, why, self.scaled(before));
        }
        let (now_ms, grace_ms) = (self.world.aws.now_ms(), millis(self.scaled(setting.grace)));
        self.world.aws.edit_group(GROUP, |group| {
            group.grace_period_ms = grace_ms;
            if let Some(instance) = group.instances.get_mut(&self.host.id) {
                instance.in_service_at_ms = now_ms;
            }
        });
    }

    fn plant_replacements(&self, setting: &Setting) {
        let plant = |why: &str, before: &Duration| {
            // An hour stays an hour: what is left of it is divided.
            let age = before.checked_sub(HOUR).map_or_else(|| HOUR - self.scaled(HOUR - *before), |over| HOUR + over);
            self.world.aws.plant_activity(GROUP, "i-00000000000000abc", why, age);
        };
        let why = "an instance was taken out of service in response to a user health-check.";
        setting.replaced.iter().for_each(|before| plant(why, before));
        let why = "an instance was taken out of service in response to an instance refresh.";
        setting.refreshed.iter().for_each(|before| plant(why, before));
    }

    /// A time of the table in this run.
    pub fn scaled(&self, time: Duration) -> Duration {
        time / self.scale
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

/// The group's instances stand in that many zones, in turn.
fn spread(world: &World, zones: u32) {
    world.aws.edit_group(GROUP, |group| {
        for (number, instance) in (0..).zip(group.instances.values_mut()) {
            let zone = char::from(b'a' + (number % zones) as u8);
            instance.availability_zone = format!("{DEFAULT_REGION}{zone}");
        }
    });
}

fn zone_of(instance: &GroupInstance) -> String {
    instance.availability_zone.clone()
}

/// The times of the design, divided. The startup grace of a host that has long been up is over.
fn pace(host: &mut Host, scenario: &Scenario) {
    let fast = scenario.world.age.is_zero();
    let seconds = |time| scenario.scaled(Duration::from_secs(time));
    for (key, time) in [
        ("verdict.startup_grace", if fast { seconds(180) } else { Duration::from_millis(500) }),
        ("verdict.recheck_secret_after", seconds(30)),
        ("verdict.probe_after", seconds(60)),
        ("verdict.restart_after", seconds(90)),
        ("verdict.condemn_after", seconds(120)),
        ("secret.poll_interval", seconds(300)),
        // A process takes its time however fast the rest is.
        ("handover.register_timeout", seconds(60).max(Duration::from_secs(5))),
        ("handover.settle", seconds(10)),
    ] {
        host.set(key, format!("{}ms", time.as_millis()));
    }
    host.scale_cloudflared(1.0 / f64::from(scenario.scale));
}

/// Over QUIC a connector may fall back unless it is told to use nothing else. Over HTTP/2 it is told so, which changes nothing.
fn speak(host: &mut Host, setting: &Setting) {
    if setting.transport == Transport::Quic {
        let protocol = if setting.pinned { "quic" } else { "auto" };
        let given = host.settings["connector"]["extra_args"].as_array_mut();
        let at = given.as_ref().and_then(|given| given.iter().position(|argument| argument == "--protocol"));
        if let Some((given, at)) = given.zip(at) {
            given[at + 1] = protocol.into();
        }
    }
}

/// An origin that takes every connection and says nothing.
pub async fn accept(listener: TcpListener) {
    let mut kept: Vec<TcpStream> = vec![];
    while let Ok((stream, _)) = listener.accept().await {
        kept.push(stream);
    }
}
