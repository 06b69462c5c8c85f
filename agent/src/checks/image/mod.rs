//! Checks whether a file tree is an image that may be launched: what it must have, and what it must not have.
//!
//! It works offline and changes nothing. Of an unpacked image nothing is executed, whatever processor it is for: what
//! is to be judged is not trusted yet. Programs of the host are executed only when the tree is the host's.

mod connectors;
mod credentials;
mod elf;
pub(super) mod facts;
mod jobs;
mod journal;
mod layout;
pub(super) mod pattern;
mod root;
mod schedule;
mod units;

pub(super) use connectors::{Closed, no_other_connector};
pub use root::{Root, Unseen};

use super::catalogue::{self, Check};
use super::release::{Known, new_enough, young_enough};
use super::{Found, Report, program};
use cloudflared::Version;
use facts::Facts;
use root::Kind;
use settings::Settings;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// How long a program may take. They take tens of milliseconds; a cold disk on a small instance takes seconds.
const PROGRAM: Duration = Duration::from_secs(60);
/// Why a program of an unpacked image is not asked.
const NOT_EXECUTED: &str = "nothing of an unpacked image is executed";

/// What is looked at, and what is asked of it.
#[derive(Debug)]
pub struct Image<'a> {
    /// The tree.
    pub root: &'a Root,
    /// The settings that it carries, or the defaults if those are not valid.
    pub settings: &'a Settings,
    /// How reading its settings went.
    pub settings_found: Found,
    /// The version of this program.
    pub version: &'static str,
    /// The time.
    pub now: SystemTime,
}

impl Image<'_> {
    /// Makes every check.
    pub async fn look(&self, report: &mut Report) {
        let Self { root, settings, .. } = self;
        let (config_dir, cloudflared) = (&*settings.paths.config_dir, &*settings.connector.binary);
        report.look(&catalogue::AGENT_STATIC, || is_static(root, Path::new(layout::PROGRAM)));
        let mut agent = None;
        report.look(&catalogue::AGENT_RUNS, || agent_runs(root, self.version, &mut agent));
        report.look(&catalogue::SETTINGS, || self.settings_found.clone());
        let facts = Facts::read(root, &settings.paths.image_file);
        let built = facts.as_ref().ok().and_then(Facts::built);
        let connector = self.look_at_cloudflared(report, facts.as_ref().ok(), built).await;
        report.look(&catalogue::UNITS_INSTALLED, || units::installed(root));
        report.look(&catalogue::UNITS_ENABLED, || units::enabled(root));
        report.look(&catalogue::UNITS_VERIFIED, || units::verified(root));
        report.look(&catalogue::AGENT_USER, || layout::agent_user(root));
        report.look(&catalogue::DIRECTORIES, || layout::directories(root, config_dir));
        report.look(&catalogue::FILES, || layout::files(root, cloudflared, &settings.paths.image_file));
        let installed = connector.filter(|_| root.is_host).and_then(|known| Some(known.version?.to_string()));
        report.look(&catalogue::IMAGE_FILE, || {
            facts.map_or_else(|found| found, |facts| facts.check(self.now, agent.as_deref(), installed.as_deref()))
        });
        look_for_credentials(root, config_dir, report);
        report.look(&catalogue::NO_AUTO_UPDATE, || schedule::no_auto_update(root));
        report.look(&catalogue::NO_OTHER_CONNECTOR, || no_other_connector(root, Closed::Counted));
        report.look(&catalogue::SSM_AGENT, || units::ssm_agent(root));
        report.look(&catalogue::TIME_SYNC, || units::time_sync(root));
    }

    /// There, new enough, young enough. Returns what is known of it.
    async fn look_at_cloudflared(
        &self,
        report: &mut Report,
        facts: Option<&Facts>,
        built: Option<SystemTime>,
    ) -> Option<Known> {
        let binary = &*self.settings.connector.binary;
        report.look(&catalogue::CLOUDFLARED_PRESENT, || is_program(self.root, binary));
        if !report.wants(&catalogue::CLOUDFLARED_VERSION) {
            report.wants(&catalogue::CLOUDFLARED_AGE);
            return None;
        }
        let connector = connector_of(self.root, binary, facts).await;
        let min = Version::from(self.settings.validate.min_cloudflared);
        let found = connector.as_ref().map_or_else(Clone::clone, |known| new_enough(known, min));
        report.record(&catalogue::CLOUDFLARED_VERSION, found);
        let connector = connector.ok();
        // A clock that is behind the image's own date is wrong.
        let now = self.now.max(built.unwrap_or(self.now));
        report.look(&catalogue::CLOUDFLARED_AGE, || young_enough(connector.as_ref(), now));
        connector
    }
}

fn look_for_credentials(root: &Root, config_dir: &Path, report: &mut Report) {
    type Look<'a> = &'a dyn Fn() -> Found;
    let looks: [(&'static Check, Look<'_>); 9] = [
        (&catalogue::NO_BUNDLE, &|| credentials::no_bundle(root, config_dir)),
        (&catalogue::NO_LOGIN, &|| credentials::no_login(root)),
        (&catalogue::NO_AWS_KEYS, &|| credentials::no_aws_keys(root)),
        (&catalogue::NO_CREDENTIALS_IN_HOMES, &|| credentials::homes_hold_none(root)),
        (&catalogue::NO_CREDENTIALS_IN_ETC, &|| credentials::etc_holds_none(root, config_dir)),
        (&catalogue::NO_CREDENTIALS_IN_LOGS, &|| credentials::logs_hold_none(root)),
        (&catalogue::NO_CREDENTIALS_IN_JOURNAL, &|| journal::holds_none(root)),
        (&catalogue::NO_CREDENTIALS_IN_CLOUD_INIT, &|| credentials::cloud_init_holds_none(root)),
        (&catalogue::NO_CREDENTIALS_LEFT, &|| credentials::nothing_left(root)),
    ];
    for (check, look) in looks {
        report.look(check, look);
    }
}

/// A regular file that somebody may execute.
fn is_program(root: &Root, path: &Path) -> Found {
    match root.stat(path) {
        Err(error) => Found::not_known(error.to_string()),
        Ok(Some(node)) if node.kind == Kind::File && node.mode & 0o111 != 0 && node.size > 0 => {
            Found::pass(format!("{}, {} bytes", path.display(), node.size))
        }
        Ok(Some(node)) if node.kind == Kind::File => {
            Found::fail(format!("{} is not a program: {} bytes, mode {:04o}", path.display(), node.size, node.mode))
        }
        Ok(_) => Found::fail(format!("{} is not there", path.display())),
    }
}

/// A program without an interpreter.
fn is_static(root: &Root, path: &Path) -> Found {
    let file = match root.file(path) {
        Err(error) => return Found::not_known(error.to_string()),
        Ok(None) => return Found::fail(format!("{} is not there", path.display())),
        Ok(Some(file)) => file,
    };
    let path = path.display();
    match elf::read(&file) {
        Err(error) => Found::fail(format!("failed to read the headers of {path}: {error}")),
        Ok(None) => Found::fail(format!("{path} is not a 64-bit program")),
        Ok(Some(elf)) => match elf.interpreter {
            Some(interpreter) => Found::fail(format!("{path} needs the interpreter {interpreter}")),
            None => Found::pass(format!("{path}, for {}", elf.machine)),
        },
    }
}

/// The agent says its version, which is put into `version`.
fn agent_runs(root: &Root, own: &str, version: &mut Option<String>) -> Found {
    if !root.is_host {
        return Found::not_applicable(NOT_EXECUTED);
    }
    let path = layout::PROGRAM;
    match program::run(Command::new(path).arg("--version"), PROGRAM) {
        Err(error) => Found::fail(format!("failed to run {path}: {error}")),
        Ok(None) => Found::fail(format!("{path} is not there")),
        Ok(Some(said)) => match said.stdout.trim().strip_prefix("cflared-agent ") {
            Some(told) if said.status.success() => {
                *version = Some(told.into());
                let other = if told == own { String::new() } else { format!("; this is {own}") };
                Found::pass(format!("{path} is version {told}{other}"))
            }
            _ => {
                let told: String = said.stderr.chars().take(80).collect();
                Found::fail(format!("{path} --version ended with {}: {told}", said.status))
            }
        },
    }
}

/// Asks cloudflared, or, of an unpacked image, what its image.json says.
async fn connector_of(root: &Root, binary: &Path, facts: Option<&Facts>) -> Result<Known, Found> {
    if root.is_host {
        let release = cloudflared::release(binary).await.map_err(|error| Found::fail(error.to_string()))?;
        return Ok(Known::told_by(binary, release));
    }
    let Some(facts) = facts else {
        return Err(Found::not_applicable(format!("{NOT_EXECUTED}, and image.json cannot be read")));
    };
    let version: Version = facts.cloudflared_version.parse().map_err(|error| {
        Found::fail(format!("image.json gives cloudflared as `{}`: {error}", facts.cloudflared_version))
    })?;
    Ok(Known::told_by_image(version))
}
