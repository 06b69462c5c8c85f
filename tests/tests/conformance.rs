//! Holds a cloudflared against recordings of the real one (see `recorded/README.md`): the same lines with the same levels
//! and fields, the same pages, the same exits and last words. What may differ is one table, [`recording::ALLOWED`].
//!
//! It is one body for two programs: `cloudflared-standin`, or, with `CLOUDFLARED=/usr/bin/cloudflared`, the real one, in a
//! network namespace that has nothing but `lo`. What no recording shows (streams, secrets, signals) is in [`beyond`] and
//! [`clients`], for both too; what only the stand-in can do is in [`standin`], and always runs it.

#![allow(clippy::disallowed_methods)] // These tests measure time.
#![allow(clippy::print_stdout)] // Which recording it was, when a comparison fails.
#![allow(clippy::unwrap_used)] // All of it is test code, also what is no test function.

#[path = "conformance/beyond.rs"]
mod beyond;
#[path = "conformance/clients.rs"]
mod clients;
#[path = "conformance/pages.rs"]
mod pages;
#[path = "conformance/quic.rs"]
mod quic;
#[path = "conformance/recording.rs"]
mod recording;
#[path = "conformance/standin.rs"]
mod standin;
#[path = "conformance/starts.rs"]
mod starts;
#[path = "conformance/world.rs"]
mod world;

use cflared_tests::edge::{Conduct, Scope, What};
use nix::sys::signal::Signal;
use recording::{Line, assert_same, parse, until_the_signal, until_wait};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;
use world::{Running, TUNNEL, World, get, is_real, recorded};

/// Times in these tests are a quarter of the real ones where they are looked at (a time-out is at least a second).
const QUARTER: f64 = 0.25;
/// And much less where they are not.
const FAST: f64 = 0.02;

fn recording(name: &str) -> Vec<Line> {
    parse(&recorded(&format!("logs/{name}.log")), "/etc/cloudflared")
}

impl World {
    fn parse(&self, log: &str) -> Vec<Line> {
        parse(log, self.directory.to_str().unwrap())
    }
}

fn ends_with_the_same_words(name: &str, log: &str) {
    let last = |log: &str| log.trim_end().lines().next_back().unwrap_or_default().to_owned();
    assert!(!last(log).starts_with('{'), "last words are plain");
    let recorded = recorded(&format!("logs/{name}.log"));
    if !last(&recorded).contains("127.0.0.1") && !last(&recorded).contains("/etc/") {
        assert_eq!(last(&recorded), last(log));
    }
}

/// A start that fails: log, status, last words, and how long it took (in unscaled seconds): its waits are drawn, each one up
/// to what it says.
async fn fails_at_start(name: &str, conduct: Conduct, seconds: std::ops::Range<f64>) {
    let world = World::new().await;
    world.edge.set(conduct).await.unwrap();
    let started = Instant::now();
    let (status, log) = world.run(QUARTER).ends().await;
    let took = started.elapsed().as_secs_f64() / if is_real() { 1.0 } else { QUARTER };
    assert_eq!(status.code(), Some(1));
    assert_same(&recording(name), &world.parse(&log), false);
    ends_with_the_same_words(name, &log);
    // A busy machine adds, and the scale multiplies it.
    assert!(took >= seconds.start && took < seconds.end + 20.0, "took {took} s, not {seconds:?}");
}

/// Whether the real one exits at all is up to a race: see the table of differences.
#[tokio::test]
async fn unauthorized_at_start_exits_after_retries() {
    if is_real() {
        let world = World::new().await;
        world.edge.set(Conduct::Unauthorized).await.unwrap();
        let mut running = world.run(1.0);
        let tries = |log: &str| log.matches("Retrying connection in up to").count();
        running.says(|log| tries(log) >= 2).await;
        let log = world.parse(&running.kill().await);
        let mut recording = recording("start_unauthorized");
        recording.truncate(recording.iter().position(|line| line.text("message").starts_with("Retrying")).unwrap() + 1);
        return assert_same(&recording, &until_wait(log, 1), true);
    }
    fails_at_start("start_unauthorized", Conduct::Unauthorized, 0.0..14.5).await;
}

#[tokio::test]
async fn another_permanent_rejection_at_start_exits_soon() {
    fails_at_start("start_permanent", Conduct::Permanent, 0.0..2.5).await;
}

#[tokio::test]
async fn a_retryable_rejection_at_start_exits_soon() {
    fails_at_start("start_retry", Conduct::Retry, 0.0..2.5).await;
}

#[tokio::test]
async fn a_registration_without_answer_at_start_exits_after_its_time_out() {
    fails_at_start("start_hang", Conduct::Hang, 5.0..7.5).await;
}

/// An edge that cannot be reached: as long as it was recorded, and it is still there.
async fn never_exits(name: &str, conduct: Conduct, scale: f64) {
    let world = World::new().await;
    world.edge.set(conduct).await.unwrap();
    let mut standin = world.run(scale);
    let recording = recording(name);
    let tries = recording.iter().filter(|line| line.0.contains_key("connIndex")).count();
    standin.says(|log| log.lines().filter(|line| line.contains("connIndex")).count() >= tries).await;
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 503);
    let (_, metrics) = get(world.metrics(), "/metrics").await.unwrap();
    assert!(metrics.contains("\ncloudflared_tunnel_ha_connections 1\n"), "it counts the attempt");
    for absent in ["server_locations", "register_success", "register_fail"] {
        assert!(!metrics.contains(absent), "{absent}");
    }
    assert!(standin.runs());
    assert_same(&until_the_signal(recording), &world.parse(&standin.kill().await), true);
}

#[tokio::test]
async fn an_edge_that_refuses_is_tried_for_ever() {
    never_exits("start_edge_refused", Conduct::Refuse, 0.01).await;
}

#[tokio::test]
async fn an_edge_that_hangs_up_is_tried_for_ever() {
    never_exits("start_drop", Conduct::Eof, 0.01).await;
}

#[tokio::test]
async fn an_edge_that_resets_is_tried_for_ever() {
    never_exits("start_drop", Conduct::Reset, 0.01).await;
}

#[tokio::test]
async fn an_edge_that_says_nothing_is_tried_for_ever() {
    never_exits("start_blackhole", Conduct::BlackHole, FAST).await;
}

/// A config or credentials that cannot be run: exit 1 at once.
async fn refuses_to_run(name: &str, config: &str, text: Option<&str>) {
    let world = World::new().await;
    if let Some(text) = text {
        let text = text.replace("DIRECTORY", world.directory.to_str().unwrap());
        world.write(config, &text);
    }
    let (status, log) = world.run_config(config, FAST).ends().await;
    assert_eq!(status.code(), Some(1));
    assert_same(&recording(name), &world.parse(&log), false);
    ends_with_the_same_words(name, &log);
    assert_eq!(world.edge.events().len(), 0, "the edge was not reached");
}

const RULE: &str = "ingress:\n  - hostname: db-console-dev.example.dev\n    service: ";

#[tokio::test]
async fn a_missing_config_is_refused() {
    refuses_to_run("cfg_missing", "none.yml", None).await;
}

#[tokio::test]
async fn bad_yaml_is_refused() {
    refuses_to_run("cfg_badyaml", "badyaml.yml", Some("tunnel: x\ningress: a: b\n")).await;
}

#[tokio::test]
async fn a_config_without_a_catch_all_is_refused() {
    let head = format!("tunnel: {TUNNEL}\ncredentials-file: DIRECTORY/{TUNNEL}.json\n");
    refuses_to_run("cfg_nocatchall", "nocatch.yml", Some(&format!("{head}{RULE}tcp://127.0.0.1:3306\n"))).await;
}

#[tokio::test]
async fn a_bad_service_is_refused() {
    let head = format!("tunnel: {TUNNEL}\ncredentials-file: DIRECTORY/{TUNNEL}.json\n");
    let text = format!("{head}{RULE}tpc//x\n  - service: http_status:404\n");
    refuses_to_run("cfg_bad_service", "badsvc.yml", Some(&text)).await;
}

#[tokio::test]
async fn missing_credentials_are_refused() {
    let world = World::new().await;
    let missing = world.directory.join(format!("nope/{TUNNEL}.json"));
    let mut command = world.command("config.yml", FAST);
    command.arg("--cred-file").arg(missing).arg("run");
    let (status, log) = Running::spawn(command).ends().await;
    assert_eq!(status.code(), Some(1));
    assert_same(&recording("cfg_nocreds"), &world.parse(&log), false);
}

#[tokio::test]
async fn credentials_that_are_not_json_are_refused() {
    let world = World::new().await;
    let garbage = world.write("garbage.json", "{\"AccountTag\": ");
    let mut command = world.command("config.yml", FAST);
    command.arg("--cred-file").arg(garbage).arg("run");
    let (status, log) = Running::spawn(command).ends().await;
    assert_eq!(status.code(), Some(1));
    assert_same(&recording("creds_garbage"), &world.parse(&log), false);
    ends_with_the_same_words("creds_garbage", &log);
}

#[tokio::test]
async fn a_metrics_port_in_use_is_fatal() {
    let world = World::new().await;
    let _taken = TcpListener::bind(world.metrics()).unwrap();
    let (status, log) = world.run(FAST).ends().await;
    assert_eq!(status.code(), Some(1));
    assert_same(&recording("metrics_port_in_use"), &world.parse(&log), false);
    let address = world.metrics();
    let error = format!("failed to bind to address ({address}): listen tcp {address}: bind: address already in use");
    assert!(log.ends_with(&format!("Error opening metrics server listener: {error}\n")), "{log}");
}

/// A config that is odd, and runs.
async fn runs_all_the_same(name: &str, config: &str, tunnel: &str, more: &str) {
    let world = World::new().await;
    world.write(config, &(world.config(tunnel, "http_status:404") + more));
    let mut standin = world.run_config(config, FAST);
    standin.says(|log| log.matches("Registered tunnel connection").count() == 4).await;
    assert_eq!(world.edge.registered_now(tunnel).connections, 4, "the config's tunnel is the one registered");
    let log = standin.kill().await;
    assert!(log.contains(&format!("\"tunnelID\":\"{tunnel}\"")), "the config's tunnel is the one logged");
    assert_same(&recording(name), &world.parse(&log), false);
}

#[tokio::test]
async fn another_tunnel_in_the_config_than_in_the_credentials_runs() {
    runs_all_the_same("cfg_id_mismatch", "mismatch.yml", "7ff42ae2-765d-4adf-8112-31c55c1551ef", "").await;
}

#[tokio::test]
async fn an_unknown_key_runs() {
    runs_all_the_same("cfg_unknown_key", "unknownkey.yml", TUNNEL, "no-such-key: 1\n").await;
}

/// A stop of an idle connector with all its connections.
async fn stopped_by(name: &str, signal: Signal) -> std::process::ExitStatus {
    let world = World::new().await;
    let mut standin = world.run(FAST);
    standin.says(|log| log.matches("Registered tunnel connection").count() == 4).await;
    standin.signal(signal);
    let (status, log) = standin.ends().await;
    assert_same(&recording(name), &world.parse(&log), false);
    world.connections(0).await;
    let gone = world.edge.events().into_iter().filter(|event| event.what != What::Registered).map(|event| event.what);
    let expected = if signal == Signal::SIGHUP { What::Lost } else { What::Unregistered };
    assert_eq!(gone.collect::<Vec<_>>(), vec![expected; 4], "what the edge saw");
    status
}

#[tokio::test]
async fn sigterm_unregisters_and_exits_0() {
    assert_eq!(stopped_by("sig_SIGTERM", Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn sigint_unregisters_and_exits_0() {
    assert_eq!(stopped_by("sig_SIGINT", Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn sighup_kills_without_unregistering() {
    assert_eq!(stopped_by("sig_SIGHUP", Signal::SIGHUP).await.signal(), Some(1));
}

/// The long recording: registered, dropped, back, dropped, rejected twice. Its end (which of the connections made the
/// last round before SIGTERM) is up to the draws of the back-offs, and is left to the signals' recordings.
#[tokio::test]
async fn an_outage_and_rejections_after_a_registration() {
    let rejected_twice = "Retrying connection in up to 8s";
    let mut recording = recording("connected");
    let cut = recording.iter().rposition(|line| line.text("message") == rejected_twice).unwrap();
    recording.truncate(cut + 1);

    let world = World::new().await;
    let mut standin = world.run(FAST);
    world.connections(4).await;
    for _ in 0..3 {
        get(world.metrics(), "/diag/tunnel").await.unwrap();
    }
    assert_eq!(world.edge.drop_connections(&Scope::default()), 4);
    standin.says(|log| log.matches("Registered tunnel connection").count() == 8).await;
    world.edge.set(Conduct::Permanent).await.unwrap();
    assert_eq!(world.edge.drop_connections(&Scope::default()), 4);
    let each = |log: &str| {
        (0..4).all(|index| {
            let own = format!("{{\"connIndex\":{index},");
            log.lines().any(|line| line.starts_with(&own) && line.contains(rejected_twice))
        })
    };
    standin.says(each).await;
    assert!(standin.runs(), "rejections after a registration never end it");
    world.edge.set(Conduct::Accept).await.unwrap();
    world.connections(4).await;
    assert_same(&recording, &world.parse(&standin.kill().await), true);
}

/// The page of observations: the metrics server 0.05 s after exec, the first connection a handshake later; in all recordings
/// the second in the same second, the others 1 s apart.
#[tokio::test]
async fn the_connections_come_one_after_another() {
    let world = World::new().await;
    let started = world.edge.now();
    let _standin = world.run(1.0);
    world.connections(4).await;
    let at: Vec<f64> = world.edge.events().iter().map(|event| (event.at - started) as f64 / 1e6).collect();
    assert!(at[0] >= 0.05, "{at:?}");
    assert!(at[1] - at[0] < 0.9, "{at:?}");
    assert!(at[2] - at[1] > 0.8 && at[3] - at[2] > 0.8, "{at:?}");
    assert!(at[3] - at[0] < 5.0, "{at:?}");
}
