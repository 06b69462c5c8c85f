//! The host: what systemd says of the units, versions, and how the machine is.

use super::command::run;
use super::{LOOK, PART, Part, Subject, aside, beginning_of, read};

use input::file::Links;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The units that matter.
const UNITS: [&str; 3] = ["cflared-agent.service", "cflared-agent-wait.service", "cloudflared.service"];
/// Variables whose values are shown: they say where something is, and hold no secret. Of all others the name is shown.
const PLAIN: [&str; 6] =
    ["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "CFLARED_AGENT_LOG", "HTTPS_PROXY", "NO_PROXY", "PATH"];
/// What the kernel says of the machine (proc(5)).
const MACHINE: [&str; 8] = [
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/pressure/cpu",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/net/sockstat",
    "/etc/resolv.conf",
];

/// The parts.
pub async fn parts(subject: &Subject) -> Vec<Part> {
    let paths = &subject.settings.paths;
    let disks = [paths.config_dir.clone(), paths.runtime_dir.clone(), "/var/log".into(), "/var/tmp".into()];
    let (properties, files, versions, machine) = tokio::join!(
        systemctl(&["show", "--no-pager"]),
        systemctl(&["cat", "--no-pager"]),
        versions(subject),
        aside("the machine", LOOK, move || Ok(machine(&disks))),
    );
    vec![
        Part::new("units.txt", "the properties of the units", properties.map(|text| without_values(&text))),
        Part::new("unit-files.txt", "the units with their drop-ins", files.map(|text| without_values(&text))),
        Part::new("versions.txt", "what is installed", Ok(versions)),
        Part::new("machine.txt", "memory, load, disks, name servers", machine),
    ]
}

async fn systemctl(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    let said = run(command.args(arguments).args(UNITS), LOOK, PART as u64).await?;
    match said.stdout.trim().is_empty() {
        false => Ok(said.stdout),
        true => Err(format!("systemctl said nothing: {}", said.stderr.trim())),
    }
}

/// Environment variables of a unit by name: `Environment=NAME=[struck out]`.
fn without_values(text: &str) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix("Environment=") {
        Some(variables) => {
            let shown = variables.split(' ').map(|variable| match variable.split_once('=') {
                Some((name, _)) if PLAIN.contains(&name.trim_matches('"')) => variable.to_owned(),
                Some((name, _)) => format!("{name}=[struck out]"),
                // The rest of a value with blanks in it.
                None => String::new(),
            });
            format!("Environment={}\n", shown.collect::<Vec<_>>().join(" "))
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

async fn versions(subject: &Subject) -> String {
    let binary = subject.settings.connector.binary.clone();
    let image = subject.settings.paths.image_file.clone();
    let release = async {
        let known = tokio::time::timeout(LOOK, cloudflared::release(&binary)).await;
        known.map_or_else(
            |_| "not known: no answer in time".into(),
            |release| match release {
                Ok(release) => format!("{release:?}"),
                Err(error) => format!("not known: {error}"),
            },
        )
    };
    let files = aside("the versions", LOOK, move || {
        let of = |path: &str| read(Path::new(path), Links::Followed).unwrap_or_else(|why| why);
        Ok(format!(
            "kernel: {}\n\n== {}\n{}\n\n== /etc/os-release\n{}",
            of("/proc/version").trim(),
            image.display(),
            read(&image, Links::Followed).unwrap_or_else(|why| why),
            of("/etc/os-release")
        ))
    });
    let mut systemd = Command::new("systemctl");
    let systemd = run(systemd.arg("--version"), LOOK, 4096);
    let (release, files, systemd) = tokio::join!(release, files, systemd);
    let systemd = systemd.map_or_else(|why| why, |said| said.stdout.lines().next().unwrap_or_default().to_owned());
    let files = files.unwrap_or_else(|why| why);
    let own = env!("CARGO_PKG_VERSION");
    format!("cflared-agent: {own}\ncloudflared: {release} ({})\nsystemd: {systemd}\n{files}\n", binary.display())
}

fn machine(disks: &[PathBuf]) -> String {
    let mut text = String::new();
    for path in MACHINE {
        let seen = read(Path::new(path), Links::Followed).unwrap_or_else(|why| why);
        // Writing into a string cannot fail, here and below.
        let _ = writeln!(text, "== {path}\n{}\n", seen.trim_end());
    }
    text.push_str("== disks\n");
    for path in disks {
        let _ = match nix::sys::statvfs::statvfs(path) {
            Ok(disk) => {
                let mib = |blocks: u64| blocks.saturating_mul(disk.fragment_size()) / (1024 * 1024);
                let (free, all) = (mib(disk.blocks_available()), mib(disk.blocks()));
                writeln!(text, "{}: {free} of {all} MiB free, {} inodes free", path.display(), disk.files_available())
            }
            Err(error) => writeln!(text, "{}: not known: {error}", path.display()),
        };
    }
    beginning_of(&text, PART)
}
