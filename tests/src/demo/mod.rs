//! One outage on stand-ins, from boot to recovery, explained step by step: what `make demo` runs.
//!
//! The agent is the real one, a process of its own; so is its cloudflared, a stand-in. The rest of the world is in this
//! process. Every line that is told was checked against what the stand-ins recorded; the first that does not hold ends
//! the demo with status 1. Whatever happens, nothing is left running.

mod ending;
mod report;
mod scene;
mod show;
mod stages;
mod voice;

use nix::sys::prctl::set_child_subreaper;
use scene::Scene;
use std::io;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use voice::Voice;

/// The last lines: what to read and run next.
const NEXT: [&str; 2] = [
    "next:  make test              every test, on the same stand-ins",
    "       docs/architecture.md   how it works inside",
];

/// Runs the demo.
pub fn main() -> ExitCode {
    let mut voice = Voice::new();
    match demo(&mut voice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody listens any more, the exit status still tells.
            let _ = voice.failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(voice: &mut Voice) -> anyhow::Result<()> {
    // What the agent leaves behind, if it does, becomes ours to see and to end.
    set_child_subreaper(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut interrupted = Interrupts::new()?;
        let mut scene = Scene::set().await?;
        voice.opening(&stages::opening(&scene))?;
        let told = tokio::select! {
            told = stages::tell(&mut scene, voice) => told,
            signal = interrupted.next() => Err(Interrupted(signal).into()),
        };
        if let (Err(error), Some(agent)) = (&told, &scene.agent)
            && !error.is::<Interrupted>()
        {
            // What it said last is the first thing to look at. If nobody listens any more, that is no second failure.
            let _ = voice.quote(&show::last_lines(agent, 8));
        }
        let ended = ending::end(scene).await;
        let clean = ended.and_then(|ended| Ok(voice.fact(&ended)?));
        // Of two failures the first is the cause.
        let page = told.and_then(|page| clean.map(|()| page))?;
        let open = format!("open:  {}   what happened, as a page for any browser", show::path(&page));
        let next: Vec<&str> = std::iter::once(&*open).chain(NEXT).collect();
        voice.closing("Every stage happened, and every line was checked against the stand-ins' records.", &next)?;
        Ok(())
    })
}

/// Somebody does not want to see the rest.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {0}")]
struct Interrupted(&'static str);

/// The signals that end the demo early.
struct Interrupts([(tokio::signal::unix::Signal, &'static str); 3]);

impl Interrupts {
    fn new() -> io::Result<Self> {
        let listen = |kind, name| Ok::<_, io::Error>((signal(kind)?, name));
        Ok(Self([
            listen(SignalKind::interrupt(), "SIGINT (Ctrl-C)")?,
            listen(SignalKind::terminate(), "SIGTERM")?,
            listen(SignalKind::hangup(), "SIGHUP")?,
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let [(interrupt, first), (terminate, second), (hangup, third)] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => first,
            _ = terminate.recv() => second,
            _ = hangup.recv() => third,
        }
    }
}
