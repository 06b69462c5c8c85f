//! Hard cases: what happened in the field, or was found with the real program, and what must come of it, with the time that it may
//! take. One body for two programs: `make real` measures with the real one, the end-to-end tests play it with the stand-in.

use super::case::Start;
use super::scene::{Scene, protocol};
use crate::aws::Health;
use crate::edge::{Conduct, Micros, Rule, Scope, Transport, What};
use crate::world::{Agent, Cloudflared, Payload, SECRET, TUNNEL, World, eventually, tunnel_secret};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fmt;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hard {
    /// The edge refuses the secret over QUIC, where cloudflared never says why.
    Refused,
    /// One connector serves, and the next version's secret is refused over QUIC.
    RefusedSuccessor,
    /// cloudflared is told to stop while it sleeps between two tries.
    Stopped,
    /// Somebody else has the first metrics port.
    Stranger,
    /// All connections are lost for that time.
    Lost(Transport, Duration),
    /// One connection of four is refused for as long as it is watched.
    OneLost(Transport),
    /// UDP is dropped and TCP is not, with the protocol that cloudflared chooses.
    UdpShut(Start),
    /// The config wants `loglevel: warn`.
    Quiet,
    /// The command line wants no line below fatal, which wins over the agent's own wish.
    Silent,
    /// `ingress validate` accepts this line of the config, and `run` does not.
    RunRefuses(&'static str),
    /// The edge's names have no address of the wanted version.
    NoAddress,
}

/// How long a life is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long all is well first, where the case begins with that.
    pub calm: Duration,
    /// For how long from the beginning it is watched that nothing happens that must not.
    pub watch: Duration,
}

impl Pace {
    /// The outage that every start is has been forgotten; and a mark would have come: the ladder's 120 s, and the 180 s for
    /// which the guard may wait.
    pub const LONG: Self = Self { calm: Duration::from_secs(35), watch: Duration::from_secs(310) };
    /// What has to come, and no more.
    pub const SHORT: Self = Self { calm: Duration::ZERO, watch: Duration::ZERO };
}

/// Something that came, and the time that it took.
#[derive(Debug, Clone)]
pub struct Measure {
    /// What.
    pub what: String,
    /// How long it took.
    pub took: Duration,
    /// How long it may take.
    pub most: Option<Duration>,
}

impl Measure {
    fn new(what: impl Into<String>, took: Duration, most: u64) -> Self {
        Self { what: what.into(), took, most: Some(Duration::from_secs(most)) }
    }

    /// Whether it took too long.
    pub fn is_late(&self) -> bool {
        self.most.is_some_and(|most| self.took > most)
    }
}

/// The longest that `reload` of a refused bundle may take, in seconds: the trial, and the second opinion after it.
const RELOAD: u64 = 60 + 20;

/// Lines of a config that only a start refuses.
const REFUSED_LINES: [&str; 4] =
    ["protocol: h3", "edge-ip-version: \"5\"", "tag: [no-value]", "edge-bind-address: 203.0.113.9"];

impl Hard {
    /// Every case, in the order of the page.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Refused, Self::RefusedSuccessor, Self::Stopped, Self::Stranger];
        for transport in [Transport::Http2, Transport::Quic] {
            all.extend([500, 5000, 20_000].map(|loss| Self::Lost(transport, Duration::from_millis(loss))));
            all.push(Self::OneLost(transport));
        }
        all.extend([Start::FromTheStart, Start::Later].map(Self::UdpShut));
        all.extend([Self::Quiet, Self::Silent]);
        all.extend(REFUSED_LINES.map(Self::RunRefuses));
        all.push(Self::NoAddress);
        all
    }

    /// Whether it needs a name server, which the stand-in does not ask.
    pub fn needs_names(self) -> bool {
        matches!(self, Self::UdpShut(_) | Self::NoAddress)
    }

    /// What cloudflared is told to speak.
    fn transport(self) -> Option<Transport> {
        match self {
            Self::Refused | Self::RefusedSuccessor => Some(Transport::Quic),
            Self::Lost(transport, _) | Self::OneLost(transport) => Some(transport),
            Self::Stopped | Self::Stranger | Self::Quiet | Self::Silent | Self::NoAddress => Some(Transport::Http2),
            Self::UdpShut(_) | Self::RunRefuses(_) => None,
        }
    }
}

impl fmt::Display for Hard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "R1: the secret is refused over QUIC"),
            Self::RefusedSuccessor => write!(f, "R1: the next version's secret is refused over QUIC"),
            Self::Stopped => write!(f, "R7: stopped while it sleeps between two tries"),
            Self::Stranger => write!(f, "R8: a stranger has the first metrics port"),
            Self::Lost(transport, loss) => write!(f, "R9: all lost for {loss:?} over {}", protocol(*transport)),
            Self::OneLost(transport) => {
                write!(f, "R9: one connection of four is refused over {}", protocol(*transport))
            }
            Self::UdpShut(Start::FromTheStart) => write!(f, "R10: UDP is shut from the start"),
            Self::UdpShut(Start::Later) => write!(f, "R10: UDP is shut in mid-life"),
            Self::Quiet => write!(f, "F01: `loglevel: warn` in the config"),
            Self::Silent => write!(f, "F01: `--loglevel fatal` as an extra argument"),
            Self::RunRefuses(line) => write!(f, "F02: `{line}` in the config"),
            Self::NoAddress => write!(f, "F03: the edge's names have no IPv6 address"),
        }
    }
}

/// Plays a case.
///
/// # Errors
/// What must come did not, or what must not come did.
pub async fn play(case: Hard, program: &Cloudflared, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let mut scene = Scene::set(program, case.transport()).await?;
    if case.needs_names() {
        scene.give_names(program).await?;
    }
    match case {
        Hard::Refused => refused(&scene, pace).await,
        Hard::RefusedSuccessor => refused_successor(&scene).await,
        Hard::Stopped => stopped(&scene).await,
        Hard::Stranger => stranger(&scene).await,
        Hard::Lost(transport, loss) => lost(&scene, transport, loss, pace).await,
        Hard::OneLost(_) => one_lost(&scene, pace).await,
        Hard::UdpShut(start) => udp_shut(&scene, start, pace).await,
        Hard::Quiet => {
            add_to_the_config(&scene, "loglevel: warn");
            serves_in_silence(&scene).await
        }
        Hard::Silent => {
            scene.arguments(|arguments| arguments.extend(["--loglevel", "fatal"].map(String::from)));
            serves_in_silence(&scene).await
        }
        Hard::RunRefuses(line) => {
            add_to_the_config(&scene, line);
            run_refuses(&scene, pace).await
        }
        Hard::NoAddress => {
            scene.arguments(|arguments| {
                *arguments =
                    ["--protocol", "http2", "--edge-ip-version", "6", "--no-prechecks"].map(String::from).into();
            });
            no_address(&scene).await
        }
    }
}

async fn refused(scene: &Scene, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let Scene { world, host, .. } = scene;
    world.edge.require_secret(TUNNEL, &tunnel_secret(2));
    let began = Instant::now();
    let mut agent = host.start()?;
    let never_condemns = |status: &Value| ["refused", "credentials"].contains(&blame(status));
    agent.wait_status("blame of a refusal", never_condemns).await?;
    let blamed = began.elapsed();
    agent.wait_status("the cause", |status| blame(status) == "credentials").await?;
    let named = began.elapsed();
    agent.wait_health("held").await?;
    let held = began.elapsed();
    let reload = ends_with_1(scene).await?;
    not_marked(scene, &mut agent, began, pace).await?;
    let restarts = agent.status()["counters"]["connector_restarts"].as_u64();
    ensure!(restarts == Some(0), "restarted {restarts:?} times");
    Ok(vec![
        Measure::new("blame is none that condemns", blamed, 20),
        Measure::new("the cause is named", named, 45),
        Measure::new("held", held, 45),
        Measure::new("`reload` ends with 1", reload, RELOAD),
    ])
}

async fn refused_successor(scene: &Scene) -> anyhow::Result<Vec<Measure>> {
    let Scene { world, host, .. } = scene;
    let mut agent = host.start()?;
    let pid = four(&mut agent).await?;
    world.edge.require_secret(TUNNEL, &tunnel_secret(1));
    world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    let reload = ends_with_1(scene).await?;
    ensure!(agent.connector_pid() == Some(pid), "the one that served is gone");
    Ok(vec![Measure::new("`reload` ends with 1, and the one that served serves", reload, RELOAD)])
}

async fn stopped(scene: &Scene) -> anyhow::Result<Vec<Measure>> {
    scene.world.edge.set(Conduct::Refuse).await?;
    let mut agent = scene.host.start()?;
    agent.wait_log("Retrying connection in up to 4s").await?;
    let began = Instant::now();
    ensure!(agent.stop().await?.success(), "the agent did not end well");
    Ok(vec![Measure::new("ended", began.elapsed(), 3)])
}

async fn stranger(scene: &Scene) -> anyhow::Result<Vec<Measure>> {
    let host = &scene.host;
    let _stranger = TcpListener::bind(host.metrics[0])?;
    let began = Instant::now();
    let mut agent = host.start()?;
    four(&mut agent).await?;
    let took = began.elapsed();
    let status = agent.wait_health("registered").await?;
    let connector = &status["connectors"][0];
    ensure!(connector["metrics"] == host.metrics[1].to_string(), "{connector:#}");
    let by = connector["metrics_taken"][0]["by"].to_string();
    ensure!(by.contains(&format!("(pid {}, uid ", std::process::id())), "the owner is {by}");
    Ok(vec![Measure::new("four connections, metrics on the other port, the owner is named", took, 20)])
}

async fn lost(scene: &Scene, transport: Transport, loss: Duration, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let Scene { world, host, .. } = scene;
    let mut agent = host.start()?;
    four(&mut agent).await?;
    tokio::time::sleep(pace.calm).await;
    ensure!(world.edge.outage().await? > 0, "there was nothing to lose");
    tokio::time::sleep(loss).await;
    world.edge.set(Conduct::Accept).await?;
    let back = registered_after(world, world.edge.now()).await?;
    let most = match transport {
        Transport::Http2 => 3,
        Transport::Quic => 8,
    };
    four(&mut agent).await?;
    Ok(vec![Measure::new("registered, from the edge's return on", back, most)])
}

async fn one_lost(scene: &Scene, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let Scene { world, host, .. } = scene;
    let mut agent = host.start()?;
    let pid = four(&mut agent).await?;
    tokio::time::sleep(pace.calm).await;
    let scope = Scope { index: Some(1), ..Scope::default() };
    world.edge.add_rule(Rule { scope: scope.clone(), conduct: Conduct::Retry, ..Rule::default() });
    let from = world.edge.events().len();
    ensure!(world.edge.drop_connections(&scope) == 1, "one was to be dropped");
    let began = Instant::now();
    agent.wait_status("three connections", |status| status["connectors"][0]["connections"] == 3).await?;
    let refused =
        || world.edge.events()[from..].iter().any(|event| matches!(event.what, What::Rejected(_))).then_some(());
    eventually("it to be refused", async || refused()).await?;
    tokio::time::sleep(pace.watch.saturating_sub(began.elapsed())).await;
    let gone = |what: &What| matches!(what, What::Unregistered | What::Lost | What::Dropped);
    let events = world.edge.events().split_off(from);
    let of_the_others: Vec<_> = events.iter().filter(|event| event.who.index != 1 && gone(&event.what)).collect();
    ensure!(of_the_others.is_empty(), "good connections went away: {of_the_others:#?}");
    ensure!(agent.connector_pid() == Some(pid), "it was replaced");
    Ok(vec![Measure { what: "three serve, by the same process".into(), took: began.elapsed(), most: None }])
}

async fn udp_shut(scene: &Scene, start: Start, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let Scene { world, host, .. } = scene;
    let transport = || world.edge.snapshot().connections.first().map(|connection| connection.transport);
    let (_agent, from) = match start {
        Start::FromTheStart => {
            world.edge.set_udp(Some(Conduct::BlackHole)).await?;
            let from = world.edge.now();
            (host.start()?, from)
        }
        Start::Later => {
            let mut agent = host.start()?;
            four(&mut agent).await?;
            ensure!(transport() == Some(Transport::Quic), "it began over {:?}", transport());
            tokio::time::sleep(pace.calm).await;
            world.edge.set_udp(Some(Conduct::BlackHole)).await?;
            let from = world.edge.now();
            ensure!(world.edge.silence(&Scope::default()) > 0, "there was nothing to lose");
            (agent, from)
        }
    };
    let took = registered_after(world, from).await?;
    let over = world.edge.snapshot().connections.into_iter().any(|connection| connection.transport == Transport::Http2);
    ensure!(over, "registered over QUIC, which is shut");
    Ok(vec![Measure::new("registered over HTTP/2", took, 20)])
}

async fn serves_in_silence(scene: &Scene) -> anyhow::Result<Vec<Measure>> {
    let began = Instant::now();
    let mut agent = scene.host.start()?;
    four(&mut agent).await?;
    agent.wait_health("registered").await?;
    Ok(vec![Measure::new("registered, with four connections", began.elapsed(), 20)])
}

async fn run_refuses(scene: &Scene, pace: Pace) -> anyhow::Result<Vec<Measure>> {
    let began = Instant::now();
    let mut agent = scene.host.start()?;
    agent.wait_status("blame config", |status| blame(status) == "config").await?;
    let blamed = began.elapsed();
    not_marked(scene, &mut agent, began, pace).await?;
    Ok(vec![Measure::new("blame config, never marked", blamed, 45)])
}

async fn no_address(scene: &Scene) -> anyhow::Result<Vec<Measure>> {
    let began = Instant::now();
    let mut agent = scene.host.start()?;
    let thrice = |status: &Value| status["connectors"][0]["restarts"].as_u64() >= Some(3) && blame(status) != "-";
    let status = agent.wait_status("three exits, and blame", thrice).await?;
    ensure!(blame(&status) != "process", "the process was blamed: {:#}", status["blame"]);
    Ok(vec![Measure::new(format!("three exits later, blame {}", blame(&status)), began.elapsed(), 60)])
}

fn blame(status: &Value) -> &str {
    status["blame"]["blame"].as_str().unwrap_or("-")
}

fn add_to_the_config(scene: &Scene, line: &str) {
    let mut payload = Payload::default();
    payload.config = format!("{line}\n{}", payload.config);
    scene.world.aws.put_secret(SECRET, &payload.text());
}

/// Waits for four connections; the process that has them.
async fn four(agent: &mut Agent) -> anyhow::Result<u32> {
    agent.wait_status("four connections", |status| status["connectors"][0]["connections"] == 4).await?;
    agent.connector_pid().context("it has no pid")
}

/// How long it takes from `from` on until something is registered.
async fn registered_after(world: &World, from: Micros) -> anyhow::Result<Duration> {
    let registered = || {
        let events = world.edge.events().into_iter();
        events.filter(|event| event.what == What::Registered).map(|event| event.at).find(|at| *at >= from)
    };
    let at = eventually("a registration", async || registered()).await?;
    Ok(Duration::from_micros(at - from))
}

async fn ends_with_1(scene: &Scene) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let reload = scene.host.run(["reload"]).await?;
    ensure!(reload.status.code() == Some(1), "{reload:?}");
    Ok(began.elapsed())
}

async fn not_marked(scene: &Scene, agent: &mut Agent, began: Instant, pace: Pace) -> anyhow::Result<()> {
    tokio::time::sleep(pace.watch.saturating_sub(began.elapsed())).await;
    let marks = scene.world.aws.marks();
    ensure!(marks.iter().all(|mark| mark.health != Health::Unhealthy), "marked: {}", agent.log_text());
    ensure!(agent.ended().is_none(), "the agent ended: {}", agent.log_text());
    Ok(())
}
