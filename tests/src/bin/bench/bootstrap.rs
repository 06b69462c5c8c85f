//! `cflared-agent bootstrap` next to the script: the same stand-ins, turn by turn.

use super::table::{Table, short};
use super::{Programs, megabytes, runs, setting};
use anyhow::ensure;
use cflared_tests::http::faults::Trouble;
use cflared_tests::http::requests::{Request, depth};
use cflared_tests::world::{Cloudflared, Host, TUNNEL, World};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// What every answer takes in the slow rounds, in milliseconds.
const LATENCY: u64 = 3;

/// The two that do the same work.
#[derive(Clone, Copy)]
enum Contender {
    Agent,
    Script,
}

/// The runs of one of them.
#[derive(Default)]
struct Runs {
    times: Vec<Duration>,
    /// The most memory of one of its processes, in bytes.
    peak: u64,
    /// Requests, requests for a token, depth: of the last run.
    asked: (usize, usize, usize),
}

/// Both of them, of one kind of round.
#[derive(Default)]
struct Rounds {
    agent: Runs,
    script: Runs,
    /// A process that does nothing, and the agent when it only tells its version.
    nothing: Vec<Duration>,
    version: Vec<Duration>,
}

/// Measures it at both latencies, without and with everything around it.
///
/// # Errors
/// A run failed.
pub async fn measure(programs: &Programs, rounds: usize, table: &mut Table) -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    setting::with_defaults(&mut host, &programs.agent);
    setting::without_validation(&mut host);
    let plain = run(programs, &world, &host, 0, rounds).await?;
    let plain_slow = run(programs, &world, &host, LATENCY, rounds).await?;
    host.settings["connector"]["binary"] = Cloudflared::chosen().path().display().to_string().into();
    setting::over_tls(&world, &mut host).await?;
    let whole = run(programs, &world, &host, 0, rounds).await?;
    let whole_slow = run(programs, &world, &host, LATENCY, rounds).await?;

    let aim = 1.25 * (plain_slow.agent.asked.2 as u64 * LATENCY) as f64 + 6.0;
    table.at_most("bootstrap, 3 ms a request", ms(plain_slow.agent.median()), aim, "ms");
    plain_slow.compare("bootstrap, 3 ms a request", table);
    table.plain("bootstrap, 0 ms a request", format!("{} ms", short(ms(plain.agent.median()))));
    let ratio = plain.compare("bootstrap, 0 ms a request", table);
    table.at_least("how many times faster than the script, 0 ms", ratio, 100.0, " ×");
    for (what, kind) in [("with everything, 0 ms", &whole), ("with everything, 3 ms", &whole_slow)] {
        table.plain(format!("bootstrap {what}"), format!("{} ms", short(ms(kind.agent.median()))));
        kind.compare(&format!("bootstrap {what}"), table);
    }
    table.plain("floor: /bin/true", format!("{} ms", short(ms(median(&plain.nothing)))));
    table.plain("floor: cflared-agent --version", format!("{} ms", short(ms(median(&plain.version)))));
    let counts =
        |(requests, tokens, depth)| format!("{requests} requests, {tokens} of them for a token, depth {depth}");
    table.plain("asked by the agent", counts(whole_slow.agent.asked));
    table.plain("asked by the script", counts(whole_slow.script.asked));
    let all = [&plain, &plain_slow, &whole, &whole_slow];
    let peak = |runs: fn(&Rounds) -> &Runs| all.iter().map(|kind| runs(kind).peak).max().unwrap_or_default();
    table.at_most("peak memory of bootstrap (with TLS)", megabytes(peak(|kind| &kind.agent)), 7.0, "MB");
    let script = megabytes(peak(|kind| &kind.script));
    table.plain("peak memory of the script's largest process", format!("{} MB", short(script)));
    Ok(())
}

async fn run(programs: &Programs, world: &World, host: &Host, latency: u64, rounds: usize) -> anyhow::Result<Rounds> {
    host.imds.clear_faults();
    world.aws.clear_faults();
    if latency > 0 {
        host.imds.plant(Trouble::DelayMs(latency).everywhere());
        world.aws.plant(Trouble::DelayMs(latency).everywhere());
    }
    let mut all = Rounds::default();
    let version = || {
        let mut command = Command::new(&programs.agent);
        command.arg("--version");
        command
    };
    for _ in 0..rounds {
        all.nothing.push(runs::time(Command::new("/bin/true")).await?);
        all.version.push(runs::time(version()).await?);
        all.agent.add(Contender::Agent, programs, world, host).await?;
        all.script.add(Contender::Script, programs, world, host).await?;
    }
    all.agent.weigh(Contender::Agent, programs, host).await?;
    all.script.weigh(Contender::Script, programs, host).await?;
    Ok(all)
}

impl Contender {
    /// A bootstrap into an empty directory.
    fn command(self, programs: &Programs, host: &Host) -> anyhow::Result<Command> {
        fs::remove_dir_all(host.config_dir())?;
        fs::create_dir(host.config_dir())?;
        match self {
            Self::Agent => {
                let mut command = host.command()?.into_std();
                command.arg("bootstrap");
                Ok(command)
            }
            Self::Script => script(programs, host),
        }
    }
}

impl Runs {
    /// One more bootstrap.
    async fn add(&mut self, who: Contender, programs: &Programs, world: &World, host: &Host) -> anyhow::Result<()> {
        let command = who.command(programs, host)?;
        host.imds.requests().forget();
        world.aws.requests().forget();
        self.times.push(runs::time(command).await?);
        let credentials = host.config_dir().join(format!("{TUNNEL}.json"));
        ensure!(fs::read_to_string(credentials)?.contains(TUNNEL), "the bootstrap said it was done, and it was not");
        let asked: Vec<Request> = [host.imds.requests().all(), world.aws.requests().all()].concat();
        let tokens = asked.iter().filter(|request| request.what.contains("/api/token")).count();
        self.asked = (asked.len(), tokens, depth(&asked));
        Ok(())
    }

    /// And one for its memory.
    async fn weigh(&mut self, who: Contender, programs: &Programs, host: &Host) -> anyhow::Result<()> {
        self.peak = runs::peak(who.command(programs, host)?).await?;
        Ok(())
    }

    fn median(&self) -> Duration {
        median(&self.times)
    }
}

impl Rounds {
    /// Adds the script's time to the table; returns how many times longer it is.
    fn compare(&self, what: &str, table: &mut Table) -> f64 {
        let script = self.script.median();
        let ratio = script.as_secs_f64() / self.agent.median().as_secs_f64();
        table.plain(format!("{what}: the script"), format!("{} ms, {} ×", short(ms(script)), short(ratio)));
        ratio
    }
}

/// The script in the agent's environment, with what it takes from elsewhere.
fn script(programs: &Programs, host: &Host) -> anyhow::Result<Command> {
    let agents = host.command()?.into_std();
    let mut command = Command::new(&programs.script);
    command.env_clear();
    for (name, value) in agents.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let binary = host.settings["connector"]["binary"].as_str().unwrap_or_default();
    command
        .env("PATH", format!("{}:/usr/bin:/bin", programs.venv.display()))
        .env("HOME", host.directory())
        .env("CONFIG_DIR", host.config_dir())
        .env("CLOUDFLARED", binary);
    Ok(command)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
