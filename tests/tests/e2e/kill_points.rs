//! What is killed at any step of a hand-over is back soon, whole and alone.

use crate::bad_input::{installed, whole};
use crate::support::{each, lives, nothing_left};
use anyhow::{Context, ensure};
use bundle::Found;
use cflared_tests::edge::{Conduct, Route};
use cflared_tests::http::faults::Trouble;
use cflared_tests::load::Origin;
use cflared_tests::world::{Agent, Host, Payload, SECRET, TUNNEL, World, eventually, tunnel_secret};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Must show 2: one connector is registered again so soon after the kill.
const SOON: Duration = Duration::from_secs(30);
const READ: &str = "GetSecretValue";

/// How far a hand-over has come. Each is held there, so that the kill meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The secret is asked for, and the answer is under way.
    Reading,
    /// It was read, and cloudflared is asked about it.
    Checking,
    /// It is installed, and its connector is executed.
    Starting,
    /// The connector runs, and does not reach the edge.
    Registering,
    /// It is registered, and has not settled.
    Settling,
    /// The disk names it as what serves, a moment ago. This one is not held: what comes next comes at once.
    Committed,
    /// It serves, and the old one still has a client.
    Draining,
}

const STEPS: [Step; 7] =
    [Step::Reading, Step::Checking, Step::Starting, Step::Registering, Step::Settling, Step::Committed, Step::Draining];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Agent,
    Old,
    New,
}

#[tokio::test]
async fn an_agent_that_is_killed_in_a_hand_over_is_back_with_one_whole_connector() -> anyhow::Result<()> {
    at_each(STEPS, Target::Agent).await
}

#[tokio::test]
async fn an_old_connector_that_is_killed_in_a_hand_over_is_replaced() -> anyhow::Result<()> {
    at_each(STEPS, Target::Old).await
}

#[tokio::test]
async fn a_new_connector_that_is_killed_in_a_hand_over_is_replaced() -> anyhow::Result<()> {
    at_each(STEPS.into_iter().filter(|step| *step >= Step::Starting), Target::New).await
}

/// Three at a time: more are more than two cores can have registered soon.
async fn at_each(steps: impl IntoIterator<Item = Step>, target: Target) -> anyhow::Result<()> {
    for steps in steps.into_iter().collect::<Vec<_>>().chunks(3) {
        each(steps.to_vec(), async move |step| killed(step, target).await).await?;
    }
    Ok(())
}

async fn killed(step: Step, target: Target) -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    let version = stage.hand_over_to(step).await?;
    let from = stage.world.edge.now();
    let began = Instant::now();
    stage.kill(target).await?;
    stage.go_on().await?;
    let connector = stage.one_is_registered(began).await?;
    println!("{target:?} killed while {step:?}: one is registered after {:.1} s", began.elapsed().as_secs_f64());
    stage.is_whole(connector)?;

    // It does not end there: the version is a good one.
    let serves = |status: &Value| status["installed"]["version"] == version.as_str() && alone(status);
    stage.agent.wait_status("the new version to serve alone", serves).await?;
    let last = stage.one_is_registered(Instant::now()).await?;
    stage.is_whole(last)?;
    ensure!(stage.host.processes()?.len() == 2, "not the agent and its connector: {:?}", stage.host.processes()?);
    if target == Target::Old && step >= Step::Settling || target == Target::New && step < Step::Committed {
        let held = stage.world.edge.never_zero_between(TUNNEL, from, stage.world.edge.now());
        held.map_err(|gap| anyhow::anyhow!("the other one was there, and yet: {gap:?}"))?;
    }
    ensure!(stage.agent.stop().await?.success());
    nothing_left(&stage.host).await
}

/// An instance in the midst of a hand-over.
struct Stage {
    world: World,
    host: Host,
    agent: Agent,
    origin: Origin,
    old: u32,
    /// A stream that the old connector carries.
    client: Option<TcpStream>,
}

impl Stage {
    /// The first version serves.
    async fn set() -> anyhow::Result<Self> {
        let (world, mut host) = World::with_host().await?;
        host.set("handover.register_timeout", "60s");
        host.set("handover.settle", "4s");
        host.set("connector.grace_period", "10s");
        // Each is held for as long as a file of that name is there, and says so by another.
        host.whole_script(
            "held() { [ ! -e $DIR/hold-$1 ] || touch $DIR/$1; while [ -e $DIR/hold-$1 ]; do sleep 0.05; done; }\n\
             case \"$*\" in *' validate') held checking;; *' run') held starting;; esac\nexec $CLOUDFLARED \"$@\"",
        )?;
        let origin = Origin::start(world.block.address(200, 3306)).await?;
        world.aws.put_secret(SECRET, &payload(1, &origin).text());
        let mut agent = host.start()?;
        let status = agent.wait_status("the first version to serve", alone).await?;
        let old = pid(&status["connectors"][0]).context("no pid")?;
        world.edge.accept_any_secret(TUNNEL);
        Ok(Self { world, host, agent, origin, old, client: None })
    }

    /// Stores the second version, and holds the hand-over to it at `step`. Its id.
    async fn hand_over_to(&mut self, step: Step) -> anyhow::Result<String> {
        match step {
            Step::Reading => self.world.aws.plant(Trouble::delay(Duration::from_secs(5)).on(READ)),
            Step::Checking => fs::write(self.file("hold-checking"), "")?,
            Step::Starting => fs::write(self.file("hold-starting"), "")?,
            Step::Registering => self.world.edge.set(Conduct::Refuse).await?,
            Step::Settling => {}
            Step::Committed | Step::Draining => self.client = Some(self.client().await?),
        }
        let reads = || self.world.aws.requests().count(READ);
        let (before, current) = (reads(), whole(&self.host));
        let version = self.world.aws.put_secret(SECRET, &payload(2, &self.origin).text());
        match step {
            Step::Reading => eventually("a read", async || (reads() > before).then_some(())).await?,
            Step::Checking => self.says("checking").await?,
            Step::Starting => self.says("starting").await?,
            Step::Registering => self.second_is("unregistered").await?,
            Step::Settling => self.second_is("registered").await?,
            Step::Committed => {
                let committed = async || (installed(&self.host) != Found::Whole(current.clone())).then_some(());
                eventually("the new bundle to be current", committed).await?;
            }
            Step::Draining => {
                let drains = |status: &Value| {
                    status["installed"]["version"] == version.as_str() && states(status).contains(&"draining")
                };
                self.agent.wait_status("the old one to drain", drains).await.map(drop)?;
            }
        }
        Ok(version)
    }

    /// A client whose stream is at the origin.
    async fn client(&self) -> anyhow::Result<TcpStream> {
        let clients = self.world.edge.listen_clients(self.world.block.address(210, 3306), Route::default()).await?;
        let mut client = TcpStream::connect(clients).await?;
        client.read_u8().await.context("the origin does not greet")?;
        Ok(client)
    }

    async fn says(&self, what: &str) -> anyhow::Result<()> {
        eventually(what, async || self.file(what).exists().then_some(())).await
    }

    async fn second_is(&mut self, state: &str) -> anyhow::Result<()> {
        let both = |status: &Value| states(status) == ["registered", state];
        self.agent.wait_status(&format!("a second connector, {state}"), both).await.map(drop)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.host.directory().join(name)
    }

    /// SIGKILL. An agent is started again as systemd does it: when all that was its is gone.
    async fn kill(&mut self, target: Target) -> anyhow::Result<()> {
        match target {
            Target::Agent => {
                self.agent.crash().await?;
                for (pid, _) in self.host.processes()? {
                    // It may have ended meanwhile.
                    let _ = sigkill(pid);
                }
                nothing_left(&self.host).await?;
                self.agent = self.host.start()?;
            }
            Target::Old => dies(self.old).await?,
            Target::New => {
                let old = self.old;
                let new = move |status: &Value| {
                    status["connectors"].as_array().into_iter().flatten().filter_map(pid).find(|pid| *pid != old)
                };
                let status = self.agent.wait_status("the new connector", |status| new(status).is_some()).await?;
                dies(new(&status).context("no pid")?).await?;
            }
        }
        Ok(())
    }

    /// Nothing is held any more.
    async fn go_on(&mut self) -> anyhow::Result<()> {
        self.world.aws.clear_faults();
        for hold in ["hold-checking", "hold-starting"] {
            // Most are not there.
            let _ = fs::remove_file(self.file(hold));
        }
        self.client = None;
        Ok(self.world.edge.set(Conduct::Accept).await?)
    }

    /// Waits until one connector, and no other, is registered, with the edge as with the agent; its part of the status.
    async fn one_is_registered(&mut self, began: Instant) -> anyhow::Result<Value> {
        let edge = self.world.edge.clone();
        let only = move |status: &Value| {
            let at_the_edge = edge.snapshot().connections;
            let ours = status["connectors"][0]["connector_id"].as_str();
            // The dead are registered for a moment longer.
            alone(status)
                && pid(&status["connectors"][0]).is_some_and(lives)
                && edge.registered_now(TUNNEL).connectors == 1
                && at_the_edge.iter().all(|connection| Some(connection.who.connector.as_str()) == ours)
        };
        let status = self.agent.wait_status("one registered connector", only).await?;
        ensure!(began.elapsed() <= SOON, "it took {:?}", began.elapsed());
        Ok(status["connectors"][0].clone())
    }

    /// Nothing of it is torn: the bundles are whole, the connector's is one of them, and nobody else's process is left.
    fn is_whole(&self, connector: Value) -> anyhow::Result<()> {
        let generations = fs::read_dir(self.host.config_dir().join("generations"))?;
        let generations = generations.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        for generation in &generations {
            whole_generation(generation).with_context(|| format!("{} is torn", generation.display()))?;
        }
        let installed = whole(&self.host);
        ensure!(connector["generation"] == installed.generation.0, "{connector:#} runs, {installed:?} is installed");
        ensure!(connector["secret_version"] == installed.version.0.as_str(), "{connector:#}, {installed:?}");
        for (id, line) in self.host.processes()? {
            // The next hand-over may be under way already, with children of this agent.
            let ours = id == self.agent.pid() || parent(id).is_none_or(|parent| parent == self.agent.pid());
            ensure!(ours, "an orphan: {id} {line}");
        }
        Ok(())
    }
}

/// The second version differs from the first in all that it holds.
fn payload(number: u8, origin: &Origin) -> Payload {
    let mut payload = Payload::numbered(number);
    payload.config = payload.config.replace("127.0.0.1:3306", &origin.address().to_string());
    payload
}

/// Whether both of its parts are there, complete, and of one version.
fn whole_generation(path: &Path) -> anyhow::Result<()> {
    let config = fs::read_to_string(path.join("config.yml"))?;
    let number: u8 = config.lines().next().and_then(|line| line.strip_prefix("# version ")).context("cut")?.parse()?;
    ensure!(config.ends_with("http_status:404\n"), "its config is cut");
    let credentials: Value = serde_json::from_slice(&fs::read(path.join(format!("{TUNNEL}.json")))?)?;
    ensure!(credentials["TunnelSecret"] == tunnel_secret(number), "its credentials are of another version");
    let _: Value = serde_json::from_slice(&fs::read(path.join("meta.json"))?)?;
    Ok(())
}

fn states(status: &Value) -> Vec<&str> {
    status["connectors"].as_array().into_iter().flatten().filter_map(|connector| connector["state"].as_str()).collect()
}

/// Whether one connector is there, with all of its connections.
fn alone(status: &Value) -> bool {
    states(status) == ["registered"] && status["connectors"][0]["connections"] == 4
}

fn pid(connector: &Value) -> Option<u32> {
    connector["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// Whose child a process is; `None`: it has ended.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn sigkill(pid: u32) -> nix::Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)
}

/// Kills what is alive, and waits for its death.
async fn dies(pid: u32) -> anyhow::Result<()> {
    ensure!(lives(pid), "{pid} is gone already");
    sigkill(pid)?;
    eventually("a death", async || (!lives(pid)).then_some(())).await
}
