//! One instance.

use super::agent::Agent;
use super::cloudflared::Cloudflared;
use super::programs::agent_binary;
use super::road::Road;
use super::{ENVIRONMENT, GROUP};
use crate::aws::{Aws, Group};
use crate::edge::{Block, Edge};
use crate::imds::{Imds, Instance};
use anyhow::Context;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// One instance: its metadata service, its files, and the settings of its agent, in scaled-down times.
pub struct Host {
    /// Its metadata service.
    pub imds: Imds,
    /// Its id.
    pub id: String,
    /// Its metrics addresses.
    pub metrics: [SocketAddr; 2],
    /// The settings of its agent; to be changed before the agent starts.
    pub settings: Value,
    /// The agent's program; none: what the sources make.
    pub program: Option<PathBuf>,
    /// More variables for its agent's environment.
    pub environment: Vec<(String, String)>,
    /// A program, with its arguments, that prepares something and then executes the agent, whose command line follows:
    /// `unshare --mount …`, `sh -c 'umask 0; exec "$@"' sh`. None: the agent itself.
    pub launcher: Vec<String>,
    directory: TempDir,
    imds_address: SocketAddr,
    aws_address: SocketAddr,
}

impl Host {
    pub(super) async fn new(
        number: u8,
        block: &Block,
        aws: &Aws,
        edge: &Edge,
        aws_address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let id = format!("i-{number:017x}");
        let mut instance = Instance { id: id.clone(), ..Instance::default() };
        instance.set_tag("adv:env", ENVIRONMENT);
        let imds = Imds::new(instance);
        let listener = TcpListener::bind(block.address(100 + number, 8080)).await?;
        let imds_address = listener.local_addr()?;
        tokio::spawn(imds.clone().serve(listener));
        let joining = Group::new(GROUP, [id.as_str()]).instances;
        aws.edit_group(GROUP, |group| group.instances.extend(joining));
        let directory = tempfile::Builder::new().prefix("cflared-").tempdir().context("no temporary directory")?;
        for name in ["etc", "run"] {
            fs::DirBuilder::new().mode(0o755).create(directory.path().join(name))?;
        }
        let metrics = [block.address(10 + number, 2000), block.address(10 + number, 2001)];
        let settings = scaled_down(directory.path(), metrics, edge);
        Ok(Self {
            imds,
            id,
            metrics,
            settings,
            program: None,
            environment: vec![],
            launcher: vec![],
            directory,
            imds_address,
            aws_address,
        })
    }

    /// The directory that holds all of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where its metadata service is.
    pub fn imds_address(&self) -> SocketAddr {
        self.imds_address
    }

    /// The installed bundles: `/etc/cloudflared` elsewhere.
    pub fn config_dir(&self) -> PathBuf {
        self.directory.path().join("etc")
    }

    /// The status and state files: `/run/cflared-agent` elsewhere.
    pub fn runtime_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Sets one setting, as `verdict.restart_after`.
    ///
    /// # Panics
    /// The key has no dot.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let (section, key) = key.split_once('.').expect("a key is section.key");
        self.settings[section][key] = value.into();
    }

    /// Multiplies the times of its cloudflared, as far as that can be done, by `factor`. They begin with a twentieth.
    pub fn scale_cloudflared(&mut self, factor: f64) {
        let given = self.settings["connector"]["extra_args"].as_array().cloned().unwrap_or_default();
        let scaled = given.iter().position(|argument| argument == "--standin-scale").unwrap_or(given.len());
        let mut arguments = given[..scaled].to_vec();
        arguments.extend(Cloudflared::chosen().scaled(factor).into_iter().map(Value::from));
        self.set("connector.extra_args", arguments);
    }

    /// The agent's program with this instance's environment and settings, and nothing else of ours.
    ///
    /// # Errors
    /// The settings cannot be written.
    pub fn command(&self) -> anyhow::Result<Command> {
        let settings = self.directory.path().join("agent.yml");
        // A command that was started a moment ago reads the old file or the new one, and never an empty one.
        let new = settings.with_extension("new");
        fs::write(&new, serde_json::to_string_pretty(&self.settings)?)?;
        fs::rename(&new, &settings)?;
        let agent = self.program.clone().unwrap_or_else(agent_binary);
        // As systemd starts it: what nohup(1), or a shell's `&`, has ignored would be inherited.
        let mut command = Command::new("env");
        command
            .arg("--default-signal")
            .args(&self.launcher)
            .arg(agent)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", self.imds_address))
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.aws_address))
            .envs(self.environment.iter().cloned())
            .kill_on_drop(true)
            .arg("--settings")
            .arg(settings);
        Ok(command)
    }

    /// Starts `run`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> anyhow::Result<Agent> {
        Agent::start(self.command()?, self.runtime_dir())
    }

    /// From now on its agents reach AWS by `road`.
    pub fn takes(&mut self, road: &Road) {
        self.environment.push(("AWS_ENDPOINT_URL".into(), format!("http://{}", road.address())));
    }

    /// Has its agents execute a shell script for cloudflared, which finds the chosen program as `$CLOUDFLARED` and this instance's
    /// directory as `$DIR`, and accepts every configuration.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn script(&mut self, body: &str) -> anyhow::Result<PathBuf> {
        self.whole_script(&format!("case \"$*\" in *' validate') exit 0;; esac\n{body}"))
    }

    /// The same, and it is the script's to say which configuration is accepted.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn whole_script(&mut self, body: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join("cloudflared");
        let (program, directory) = (Cloudflared::chosen().path(), self.directory.path());
        let text = format!("#!/bin/sh\nCLOUDFLARED={}\nDIR={}\n{body}\n", program.display(), directory.display());
        // By another process: a copy of our descriptor, in a child that another thread spawns meanwhile, would make the
        // file busy.
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).arg(text).status()?;
        anyhow::ensure!(written.success(), "failed to write {}", path.display());
        self.set("connector.binary", path.display().to_string());
        Ok(path)
    }

    /// The processes that have this instance's directory in their command line: its agents and their children.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn processes(&self) -> anyhow::Result<Vec<(u32, String)>> {
        let directory = self.directory.path().display().to_string();
        let mut found = vec![];
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended meanwhile.
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&directory) {
                found.push((pid, line));
            }
        }
        Ok(found)
    }

    /// Runs another command to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn run<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> anyhow::Result<Output> {
        Ok(self.command()?.args(args).stdin(std::process::Stdio::null()).output().await?)
    }
}

/// The times of the design, divided by about 20, so that a test sees a whole outage in seconds.
fn scaled_down(directory: &Path, metrics: [SocketAddr; 2], edge: &Edge) -> Value {
    let mut extra_args = edge.arguments();
    let program = Cloudflared::chosen();
    let transport = std::env::var("TRANSPORT").unwrap_or_else(|_| "http2".into());
    extra_args.extend(["--protocol", &transport, "--no-prechecks"].map(String::from));
    extra_args.extend(program.scaled(0.05));
    json!({
        "paths": {
            "config_dir": directory.join("etc"),
            "runtime_dir": directory.join("run"),
            "image_file": directory.join("image.json"),
        },
        "connector": {
            "binary": program.path(),
            "metrics": metrics,
            "grace_period": "2s",
            "extra_args": extra_args,
        },
        "secret": { "poll_interval": "2s" },
        "observe": { "interval": "250ms", "timeout": "1s" },
        "verdict": {
            "startup_grace": "5s",
            "recheck_secret_after": "1500ms",
            "restart_after": "4500ms",
            "condemn_after": "6s",
        },
        "handover": { "register_timeout": "5s", "settle": "500ms" },
        "cloudwatch": { "interval": "1s" },
        "log": { "format": "json" },
    })
}
