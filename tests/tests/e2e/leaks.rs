//! No byte of a secret gets out: not in the log at its finest, not in a file for all, not in a command line, not in an
//! environment, not in a core.

use crate::support::{lives, nothing_left, registered_pid};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cflared_tests::aws::Credentials;
use cflared_tests::world::{Agent, Host, Payload, SECRET, TUNNEL, World, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A tunnel's secret with no two bytes alike, so that nothing looks like a part of it by chance.
fn tunnel_secret(version: u8) -> [u8; 32] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(73).wrapping_add(version.wrapping_mul(41)) ^ 0xa5)
}

fn payload(version: u8) -> Payload {
    let mut payload = Payload::numbered(version);
    let before = cflared_tests::world::tunnel_secret(version);
    payload.credentials = payload.credentials.replace(&before, &STANDARD.encode(tunnel_secret(version)));
    payload
}

/// What must not be found: of every form of every secret each stretch of nine characters, so any prefix over eight too.
struct Forbidden(Vec<Vec<u8>>);

impl Forbidden {
    fn new(host: &Host) -> Self {
        let mut whole: Vec<Vec<u8>> = vec![];
        for version in 1..=2 {
            let secret = tunnel_secret(version);
            whole.push(secret.into());
            whole.push(STANDARD.encode(secret).into_bytes());
            whole.push(URL_SAFE.encode(secret).into_bytes());
            whole.push(hex(&secret).into_bytes());
        }
        let credentials = host.imds.instance().credentials;
        whole.push(credentials.secret_access_key.into_bytes());
        whole.push(credentials.session_token.unwrap_or_default().into_bytes());
        Self(whole)
    }

    /// Says where in `text` something is, and what.
    fn found_in(&self, text: &[u8]) -> Option<String> {
        for whole in &self.0 {
            for stretch in whole.windows(9.min(whole.len())) {
                if let Some(at) = find(text, stretch) {
                    let around = &text[at.saturating_sub(60)..(at + 60).min(text.len())];
                    return Some(String::from_utf8_lossy(around).into_owned());
                }
            }
        }
        None
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = part[0];
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let kinds = entries.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?)));
    kinds
        .flat_map(|(path, kind)| match kind {
            kind if kind.is_dir() => files(&path),
            kind if kind.is_file() => vec![path],
            _ => vec![],
        })
        .collect()
}

/// Looks at every process and file of the host, again and again while the agent lives, and notes what is found where.
async fn watch(host: Arc<Host>, forbidden: Arc<Forbidden>, found: Arc<Mutex<Vec<String>>>) {
    loop {
        for leak in leaks(&host, &forbidden) {
            found.lock().unwrap().push(leak);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn leaks(host: &Host, forbidden: &Forbidden) -> Vec<String> {
    let mut found = vec![];
    let mut look = |name: String, text: Vec<u8>| {
        if let Some(around) = forbidden.found_in(&text) {
            found.push(format!("{name}: {around}"));
        }
    };
    for (pid, line) in host.processes().unwrap_or_default() {
        look(format!("command line of {pid}"), line.into_bytes());
        // Of the agent only root may read it, which is as good.
        look(format!("environment of {pid}"), fs::read(format!("/proc/{pid}/environ")).unwrap_or_default());
    }
    for path in files(host.directory()) {
        let private = path.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 == 0);
        let about_state = path.starts_with(host.runtime_dir());
        if !private || about_state {
            look(path.display().to_string(), fs::read(&path).unwrap_or_default());
        }
    }
    found
}

/// Values that a person may put into Secrets Manager by mistake, each with a secret where none belongs.
fn mistakes() -> Vec<String> {
    let secret = STANDARD.encode(tunnel_secret(2));
    let good = payload(2);
    let with_config = |config: String| Payload { config, ..good.clone() }.text();
    let with_credentials = |credentials: String| Payload { credentials, ..good.clone() }.text();
    let rules = format!("tunnel: {TUNNEL}\ningress:\n  - service: ");
    vec![
        secret.clone(),
        format!("{{\"{secret}\": 1}}"),
        with_config(format!("tunnel: [{secret}")),
        with_config(format!("tunnel: {secret}\ningress:\n  - service: http_status:404\n")),
        with_config(format!("{rules}{secret}\n")),
        with_config(format!("{rules}tcp://{secret}\n  - service: {secret}://x:1\n  - service: http_status:404\n")),
        with_config(format!("{rules}http_status:{secret}\n")),
        with_credentials(secret.clone()),
        with_credentials(good.credentials.replace(&secret, &format!("{secret}!"))),
        with_credentials(good.credentials.replace(TUNNEL, &secret)),
        with_credentials(good.credentials.replace("TunnelSecret", &secret)),
    ]
}

#[tokio::test]
async fn no_byte_of_a_secret_gets_out_in_a_whole_life() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.environment.push(("CFLARED_AGENT_LOG".into(), "trace".into()));
    host.set("secret.poll_interval", "1s");
    host.set("verdict.startup_grace", "500ms");
    host.set("verdict.recheck_secret_after", "500ms");
    host.set("verdict.restart_after", "1s");
    host.set("verdict.condemn_after", "1s");
    // Whose parts are words of no message.
    let keys = Credentials {
        access_key_id: "ASIAMADEUPLEAKS".into(),
        secret_access_key: STANDARD.encode(tunnel_secret(3)),
        session_token: Some(hex(&tunnel_secret(4))),
    };
    world.aws.trust(keys.clone());
    host.imds.edit(|instance| instance.credentials = keys);
    world.edge.accept_any_secret(TUNNEL);
    world.aws.put_secret(SECRET, &payload(1).text());
    let forbidden = Arc::new(Forbidden::new(&host));
    let host = Arc::new(host);
    let found = Arc::<Mutex<Vec<String>>>::default();
    let watching = tokio::spawn(watch(host.clone(), forbidden.clone(), found.clone()));

    let mut agent = host.start()?;
    let first = registered_pid(&mut agent, None).await?;
    for mistake in mistakes() {
        let version = world.aws.put_secret(SECRET, &mistake);
        let told = |status: &serde_json::Value| status["trouble"].to_string().contains(&version);
        agent.wait_status(&mistake, told).await?;
    }
    assert_eq!(registered_pid(&mut agent, None).await?, first);
    world.aws.put_secret(SECRET, &payload(2).text());
    registered_pid(&mut agent, Some(first)).await?;
    // The evidence before a mark is the most that is ever told.
    world.edge.outage().await?;
    agent.wait_health("condemned").await?;
    let shown = host.run(["status", "--json"]).await?;
    let refused = host.run(["bootstrap", "--timeout", "1s"]).await?;
    assert!(agent.stop().await?.success());
    watching.abort();

    let log = agent.log_text();
    assert!(log.contains("\"level\":\"trace\"") || log.contains("\"level\":\"debug\""), "it was at its finest");
    for (name, text) in
        [("log", log.as_bytes()), ("status", &shown.stdout), ("bootstrap", &[refused.stdout, refused.stderr].concat())]
    {
        assert_eq!(forbidden.found_in(text), None, "{name}");
    }
    assert_eq!(leaks(&host, &forbidden), Vec::<String>::new());
    assert_eq!(*found.lock().unwrap(), Vec::<String>::new());
    // That it is where it belongs shows that the search finds.
    let credentials = host.config_dir().join(format!("{TUNNEL}.json"));
    assert!(forbidden.found_in(&fs::read(&credentials)?).is_some());
    assert_eq!(credentials.metadata()?.mode() & 0o777, 0o600);
    Ok(())
}

fn core_limit(pid: u32) -> anyhow::Result<Vec<String>> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    Ok(line.split_whitespace().skip(4).take(2).map(String::from).collect())
}

fn no_core(agent: &Agent, host: &Host) {
    assert!(!agent.log_text().contains("core dumped"));
    let cores = files(host.directory()).into_iter().filter(|path| path.file_name().is_some_and(|name| name == "core"));
    assert_eq!(cores.count(), 0);
}

#[tokio::test]
async fn no_core_is_left_by_the_agent_or_its_child() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    // As generous as a host can be.
    let launcher = format!("ulimit -c unlimited; cd '{}' && exec \"$@\"", host.directory().display());
    // SIGSEGV and SIGBUS have a handler in every Rust program, which lets the first one pass.
    for signal in [Signal::SIGABRT, Signal::SIGTRAP] {
        let mut agent = host.start_by(&["sh", "-c", &launcher, "sh"])?;
        let child = registered_pid(&mut agent, None).await?;
        for pid in [agent.pid(), child] {
            let limit = core_limit(pid)?;
            assert!(limit == ["1", "1"] || limit == ["0", "0"], "{pid}: {limit:?}");
        }
        kill(Pid::from_raw(child.cast_signed()), signal)?;
        let another = registered_pid(&mut agent, Some(child)).await?;
        agent.signal(signal)?;
        let ended = agent.wait().await?;
        assert_eq!((ended.signal(), ended.core_dumped()), (Some(signal as i32), false));
        no_core(&agent, &host);
        eventually("the child to be gone", async || (!lives(another)).then_some(())).await?;
        nothing_left(&host).await?;
    }
    Ok(())
}
