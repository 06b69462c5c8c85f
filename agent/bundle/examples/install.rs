//! Installs a made-up bundle: `install DIR VERSION`.
//!
//! It drives lock → check → stage → publish → commit → prune on one thread and without a runtime, so that a test can
//! kill it at every system call (`tests/crash_points`). Versions 1 to 9 are of one tunnel, 10 to 19 of another, and so
//! on. A second run with the same version changes nothing.

#![allow(clippy::print_stderr, reason = "it is a program")]

use anyhow::Context as _;
use cflared_bundle::Payload;
use cflared_bundle::{Bundle, Found, Made, Policy, Store};
use cflared_verdict::VersionId;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

const INSTANCE: &str = "i-00000000000000001";
const ENVIRONMENT: &str = "dev";

fn main() -> ExitCode {
    match install() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("install: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn install() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(args.next().context("usage: install DIR VERSION")?);
    let version: u64 = args
        .next()
        .and_then(|version| version.to_str()?.parse().ok())
        .context("usage: install DIR VERSION, where VERSION is a number")?;
    let store = Store::open(&dir)?;
    let mut locked = store.lock()?;
    let payload = payload(version)?;
    let serves = match store.installed(INSTANCE, Some(ENVIRONMENT)) {
        Found::Whole(installed) if installed.version == payload.version => installed.generation,
        _ => {
            let bundle = Bundle::check(payload, &Policy { config_dir: dir.clone(), ..Policy::default() })?;
            let now = UNIX_EPOCH + Duration::from_secs(version * 86_400);
            let staged = locked.stage(&bundle, Made { instance: INSTANCE, environment: ENVIRONMENT, now })?;
            locked.publish(staged)?.generation
        }
    };
    locked.commit(serves)?;
    locked.prune(&[serves])?;
    Ok(())
}

/// The secret's value at that version. The tunnel's secret in it is 32 bytes that count up.
fn payload(version: u64) -> anyhow::Result<Payload> {
    use base64::Engine as _;
    let tunnel = format!("00000000-0000-4000-8000-{:012}", version / 10);
    let secret: Vec<u8> = (0..32).map(|n| n + version as u8).collect();
    let secret = base64::engine::general_purpose::STANDARD.encode(secret);
    let credentials = serde_json::json!({
        "AccountTag": format!("account-{version}"), "TunnelSecret": secret, "TunnelID": tunnel,
    });
    let config = format!("# version {version}\ntunnel: {tunnel}\ningress:\n  - service: tcp://127.0.0.1:3306\n");
    let value = serde_json::json!({ "config_yaml": config, "credentials_json": credentials.to_string() });
    Ok(Payload::parse(VersionId(format!("version-{version}")), &value.to_string())?)
}
