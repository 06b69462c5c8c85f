//! What has no end is let go of: files, sockets and services that go on for ever take no memory and hold no command.

use anyhow::Context;
use cflared_tests::world::{Host, World};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// The most memory that a command may ever have, in KiB: the agent's own budget on a host of 1 GiB, as built for tests.
const MOST: u64 = 128 << 10;
/// Longer than any command may take that is not told to wait.
const LIMIT: Duration = Duration::from_secs(120);

/// More than any memory, and what is searched whole.
const LONG: u64 = 8 << 30;
const LOG: u64 = 48 << 20;

/// Runs a command, and measures the most memory that it ever had.
const MEASURE: &str = "import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:]).returncode
print('\\npeak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, ended)";

async fn goes_on(mut to: impl AsyncWrite + Unpin, head: &[u8], piece: &[u8]) {
    if to.write_all(head).await.is_ok() {
        // Until whoever reads has had enough.
        while to.write_all(piece).await.is_ok() {}
    }
}

/// A service that answers everything without an end.
async fn endless(at: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).await?;
    let piece = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let piece = piece.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                goes_on(stream, head, piece.as_bytes()).await;
            });
        }
    });
    Ok(())
}

/// A file of so many bytes, of which none is on the disk.
fn huge(path: &Path, length: u64) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().context("it is in a directory")?)?;
    let _ = fs::remove_file(path);
    Ok(File::create(path)?.set_len(length)?)
}

/// The most memory that a command ever had, in KiB.
async fn peak(host: &Host, args: &[&str]) -> anyhow::Result<u64> {
    let mut host_command = host.command()?;
    let inner = host_command.args(args).as_std();
    let mut command = tokio::process::Command::new("python3");
    command.args(["-c", MEASURE]).arg(inner.get_program()).args(inner.get_args()).kill_on_drop(true);
    command.env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let began = Instant::now();
    let output =
        tokio::time::timeout(LIMIT, command.output()).await.with_context(|| format!("{args:?} did not end"))??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().rfind(|line| line.starts_with("peak ")).with_context(|| format!("{args:?}: {said}"))?;
    let mut words = line.split(' ').skip(1);
    let peak: u64 = words.next().context("a number")?.parse()?;
    println!("{args:?}: {peak} KiB, {:?}, exit {}", began.elapsed(), words.next().unwrap_or_default());
    anyhow::ensure!(peak <= MOST, "{args:?} had {peak} KiB");
    Ok(peak)
}

const COMMANDS: [&[&str]; 6] = [
    &["status"],
    &["status", "--json"],
    &["hold"],
    &["reload"],
    &["wait", "--timeout", "1s"],
    &["doctor", "--verbose"],
];

#[tokio::test]
async fn files_and_sockets_without_an_end() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let (run, etc) = (host.runtime_dir(), host.config_dir());
    for file in ["status.json", "state.json", "hold.json"] {
        huge(&run.join(file), LONG)?;
    }
    fs::create_dir_all(etc.join("generations/1"))?;
    for file in ["config.yml", "meta.json", "6ff42ae2-765d-4adf-8112-31c55c1551ef.json"] {
        huge(&etc.join("generations/1").join(file), LONG)?;
    }
    for directory in ["generations", "generations/1"] {
        fs::set_permissions(etc.join(directory), fs::Permissions::from_mode(0o700))?;
    }
    std::os::unix::fs::symlink("generations/1", etc.join("current"))?;
    huge(&host.directory().join("image.json"), LONG)?;
    let listener = UnixListener::bind(run.join("control.sock"))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { goes_on(stream, b"{\"schema\":1,\"text\":\"", &[b'a'; 0x8000]).await });
        }
    });
    for command in COMMANDS {
        peak(&host, command).await?;
    }
    peak(&host, &["bootstrap", "--timeout", "5s"]).await?;
    Ok(())
}

#[tokio::test]
async fn services_without_an_end() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let at = world.block.address(240, 80);
    endless(at).await?;
    host.environment.push(("AWS_ENDPOINT_URL".into(), format!("http://{at}")));
    peak(&host, &["doctor", "--verbose"]).await?;
    peak(&host, &["bootstrap", "--timeout", "5s"]).await?;
    host.environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), format!("http://{at}")));
    peak(&host, &["doctor", "--verbose"]).await?;
    peak(&host, &["bootstrap", "--timeout", "5s"]).await?;
    Ok(())
}

#[tokio::test]
async fn settings_and_an_image_without_an_end() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let root = host.directory().join("image");
    let level = |n: usize| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(", "));
    let bomb: String = std::iter::once("l0: &l0 [x]\n".to_owned()).chain((1..12).map(level)).collect();
    let settings = root.join("etc/cflared-agent/agent.yml");
    fs::create_dir_all(settings.parent().context("a directory")?)?;
    let root = root.to_str().context("UTF-8")?.to_owned();
    let validate = ["validate", "--root", &root, "--verbose"];
    fs::write(&settings, bomb)?;
    peak(&host, &validate).await?;
    huge(&settings, LONG)?;
    for file in [
        "usr/lib/cflared-agent/image.json",
        "etc/crontab",
        "etc/cron.d/x",
        "var/spool/cron/root",
        "var/log/syslog",
        "var/log/cloud-init-output.log",
        "root/.bash_history",
        "home/ubuntu/.aws/credentials",
        "etc/systemd/system/x.service",
        "etc/systemd/system/multi-user.target.wants/y.service",
        "usr/bin/cloudflared",
        "usr/bin/cflared-agent",
        "etc/passwd",
        "etc/dnf/automatic.conf",
        "etc/apt/apt.conf.d/50unattended-upgrades",
        "var/log/journal/0123456789abcdef0123456789abcdef/system.journal",
    ] {
        // Logs are searched to their end.
        huge(&Path::new(&root).join(file), LOG)?;
    }
    peak(&host, &validate).await?;
    Ok(())
}
