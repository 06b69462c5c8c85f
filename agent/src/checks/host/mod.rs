//! Checks whether a running host is well: the tunnel, what it needs, and what it reports.
//!
//! [`Facts`] are gathered first, side by side and each within a time of its own, so that the whole is over within 15 s
//! whatever does not answer; then they are judged by `judge`, which looks at nothing. Nothing is changed, and AWS is
//! only asked what the agent asks.

mod agent;
mod bundle;
mod cloud;
mod early;
mod judge;
mod machine;
mod network;
mod process;
mod seen;
mod unit;

pub use early::{Account, Early};
pub use judge::{checks, judge};

use super::release::Known;
use super::{Found, catalogue};
use ::bundle::{Choices, Policy};
use bundle::Installed;
use cflared_verdict::{Hold, Mono, OriginProbe, VersionId};
use cloudflared::ValidateError;
use dns::Resolver;
use early::Access;
use network::{Connector, EDGE, Edge, ORIGINS};
use observe::Observer;
use probe::{Edges, Looked, Prober, Streams};
use seen::{DISK, Seen, aside, within};
use settings::Settings;
use status::Status;
use status::boot_id;
use status::hold;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a connector may take to answer, and of how many it is asked: there are two at most.
const LOOK: Duration = Duration::from_secs(2);
const CONNECTORS: usize = 2;
/// How long cloudflared may take to check its config; its version has a limit of its own, 5 s.
const VALIDATE: Duration = Duration::from_secs(5);

/// What is looked at, and with which clocks.
#[derive(Debug)]
pub struct Subject {
    /// The settings, or the defaults if those are not valid.
    pub settings: Settings,
    /// Where they are.
    pub settings_file: PathBuf,
    /// How reading them went.
    pub settings_found: Found,
    /// The version of this program.
    pub version: &'static str,
    /// The time of day.
    pub clock: fn() -> SystemTime,
    /// The time since the boot.
    pub mono: Mono,
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Facts {
    settings: Settings,
    settings_found: Found,
    version: &'static str,
    now: SystemTime,
    early: Early,
    /// Who looked at the rest.
    user: u32,
    access: Seen<Vec<Access>>,
    cloud: Result<cloud::Cloud, String>,
    holds: Vec<String>,
    installed: Seen<Installed>,
    /// What cloudflared says of the installed config; none: there is none.
    ingress: Option<Seen<Result<(), ValidateError>>>,
    origins: Seen<Vec<OriginProbe>>,
    /// The program that is installed; none: it is not there.
    release: Seen<Option<Result<Known, String>>>,
    connectors: Vec<Connector>,
    processes: Seen<Vec<process::Process>>,
    /// How the connector reaches the edge, and so how it was tried.
    edges: Edges,
    edge: Seen<Edge>,
    name_servers: Seen<Vec<String>>,
    machine: machine::Machine,
}

impl Facts {
    /// Looks at everything, within 12 s after `early`.
    pub async fn gather(subject: Subject, early: Early) -> Self {
        let Subject { settings, settings_file, settings_found, version, clock, mono } = subject;
        let resolver = Resolver::system();
        let prober = Prober::new(&resolver, Edges::default()).within(Policy::of(&settings, aws::metadata_address()));
        let wanted = early::wanted(&settings, &settings_file);
        let paths = vec![settings.paths.config_dir.clone(), settings.paths.runtime_dir.clone(), "/var/log".into()];
        let pids = pids(&early);
        let (
            cloud,
            Stored { installed, origins, ingress, edges, edge },
            connectors,
            release,
            access,
            processes,
            machine,
            held,
            name_servers,
        ) = tokio::join!(
            cloud::Cloud::look(&settings, &resolver, clock),
            stored(&settings, &prober),
            connectors(&settings, &early),
            release(&settings.connector.binary),
            aside("what the agent needs", DISK, move || early::access(&wanted)),
            aside("the processes", DISK, move || process::look(&pids)),
            machine::Machine::look(paths, settings.paths.image_file.clone(), clock()),
            held(&settings, mono),
            aside("/etc/resolv.conf", DISK, network::name_servers),
        );
        let mut facts = Self {
            settings,
            settings_found,
            version,
            now: clock(),
            early,
            user: nix::unistd::geteuid().as_raw(),
            access,
            cloud,
            holds: vec![],
            installed,
            ingress,
            origins,
            release,
            connectors,
            processes,
            edges,
            edge,
            name_servers,
            machine,
        };
        facts.holds = facts.holds(held, mono);
        facts
    }

    /// By the tag and the file themselves, so that it does not matter whether the agent lives.
    fn holds(&self, file: Option<Hold>, mono: Mono) -> Vec<String> {
        let tag = self.cloud.as_ref().ok().and_then(|cloud| cloud.hold_tag.as_ref().ok()?.as_ref().ok()?.as_ref());
        let tag = tag.filter(|value| cflared_verdict::tag_holds(value));
        let tag = tag.map(|value| format!("the tag {} is {}", self.settings.identity.hold_tag, hold::printable(value)));
        let file = file.map(|hold| match hold.until {
            Some(until) => {
                format!("by somebody on this host, for {} more: {}", agent::span(until.since(mono)), hold.note)
            }
            None => hold.note,
        });
        tag.into_iter().chain(file).collect()
    }

    /// The agent's status, whether or not it lives.
    fn status(&self) -> Option<&Status> {
        self.early.status.as_ref().ok()?.as_ref().ok()
    }

    /// The status of a living agent.
    fn live_status(&self) -> Option<&Status> {
        self.status().filter(|_| self.early.agent_process)
    }

    fn agent_lives(&self) -> bool {
        self.live_status().is_some()
    }

    fn instance_id(&self) -> Option<&str> {
        let told = self.cloud.as_ref().ok().and_then(|cloud| cloud.instance.as_ref().ok()?.as_ref().ok());
        let remembered = || Some(&*self.status()?.instance.as_ref()?.id);
        told.map(|instance| instance.id.as_str()).or_else(remembered)
    }

    fn environment(&self) -> Option<&str> {
        let told = self.cloud.as_ref().ok().and_then(|cloud| cloud.environment.as_ref().ok()?.as_ref().ok());
        told.map(|environment| environment.as_str())
    }

    /// Whom the agent's unit runs as, if it is installed and says so.
    fn unit_user(&self) -> Option<&str> {
        let units = self.early.units.as_ref().ok()?.as_ref()?;
        Some(&*units.agent.user).filter(|user| !user.is_empty() && units.agent.load != "not-found")
    }

    /// Why the agent refuses that version of the secret for good, if it does.
    fn refused(&self, version: &VersionId) -> Option<&str> {
        let status = self.status().filter(|status| status.refusing.as_deref() == Some(&*version.0))?;
        status.trouble.as_deref().filter(|trouble| trouble.contains("was refused: "))
    }

    /// The secret's current version.
    fn current_version(&self) -> Option<&str> {
        let secret = self.cloud.as_ref().ok()?.secret.as_ref()?.as_ref().ok()?;
        secret.as_ref().ok().map(|current| &*current.version.0)
    }

    /// Whether neither root nor the owner of the config directory looks.
    fn is_a_stranger(&self) -> bool {
        let owner = self.early.owner.as_ref().ok().and_then(Option::as_ref);
        owner.is_some_and(|owner| self.user != 0 && owner.uid != self.user)
    }

    fn stranger(&self) -> String {
        let owner = self.early.owner.as_ref().ok().and_then(Option::as_ref);
        let owner = owner.map(ToString::to_string).unwrap_or_default();
        format!(
            "{} is {owner}'s, and {} looks: run it as root",
            self.settings.paths.config_dir.display(),
            self.early.user
        )
    }
}

/// The hold of somebody on this host.
async fn held(settings: &Settings, mono: Mono) -> Option<Hold> {
    let path = settings.paths.runtime_dir.join(hold::HOLD_FILE);
    let read = move || hold::read(&path, boot_id().as_deref(), mono);
    // A file that cannot be read holds; a disk that does not answer is told by others.
    aside("the hold", DISK, read).await.ok().flatten()
}

/// The processes of the status.
fn pids(early: &Early) -> Vec<u32> {
    let status = early.status.as_ref().ok().and_then(|status| status.as_ref().ok()).filter(|_| early.agent_process);
    let Some(status) = status else { return vec![] };
    status.connectors.iter().filter_map(|one| one.pid).chain([status.agent.pid]).collect()
}

/// What is installed, and what follows from it.
struct Stored {
    installed: Seen<Installed>,
    origins: Seen<Vec<OriginProbe>>,
    ingress: Option<Seen<Result<(), ValidateError>>>,
    edges: Edges,
    edge: Seen<Edge>,
}

async fn stored(settings: &Settings, prober: &Prober) -> Stored {
    let dir = settings.paths.config_dir.clone();
    let installed = aside("the config directory", DISK, move || Installed::look(&dir)).await;
    let (services, choices, config) = match &installed {
        Ok(installed) => (installed.services.clone(), installed.choices.clone(), installed.config.clone()),
        Err(why) => (Err(why.clone()), Choices::default(), None),
    };
    let edges = Edges::of(&settings.connector.extra_args, &choices);
    let towards = prober.towards(edges.clone());
    let origins = async { within("the origins", ORIGINS, prober.origins(services?, Streams::Try)).await };
    let ingress = async {
        let config = config?;
        let ask = cloudflared::validate_ingress(&settings.connector.binary, &config, VALIDATE);
        match readable(&settings.connector.binary).await {
            Ok(()) => Some(within("the installed config", VALIDATE + DISK, ask).await),
            Err(why) => Some(Err(why)),
        }
    };
    let (origins, ingress, edge) = tokio::join!(origins, ingress, within("the edge", EDGE, edge(&towards)));
    Stored { installed, origins, ingress, edges, edge }
}

/// Executing a program waits for the disk, with all else that is under way: it is asked first, aside.
async fn readable(binary: &Path) -> Seen<()> {
    let path = binary.to_owned();
    aside("cloudflared", DISK, move || drop(std::fs::metadata(&path))).await
}

async fn release(binary: &Path) -> Seen<Option<Result<Known, String>>> {
    readable(binary).await?;
    match within("cloudflared", VALIDATE + DISK, cloudflared::release(binary)).await? {
        Ok(release) => Ok(Some(Ok(Known::told_by(binary, release)))),
        Err(cloudflared::VersionError::NotSpawned(cloudflared::SpawnError::Missing { .. })) => Ok(None),
        Err(error) => Ok(Some(Err(error.to_string()))),
    }
}

async fn edge(prober: &Prober) -> Edge {
    let Looked { probe, addresses } = prober.dns().await;
    let (tcp, udp) = tokio::join!(prober.tcp(&addresses), prober.udp(&addresses));
    Edge { dns: probe, tcp, udp }
}

/// Looks at every connector of the status that is not on its way out.
async fn connectors(settings: &Settings, early: &Early) -> Vec<Connector> {
    let status = early.status.as_ref().ok().and_then(|status| status.as_ref().ok()).filter(|_| early.agent_process);
    let (Some(status), Ok(observer)) = (status, Observer::new(settings.observe.timeout.min(LOOK))) else {
        return vec![];
    };
    let mut seen = vec![];
    for one in status.connectors.iter().filter(|one| one.state != "draining").take(CONNECTORS) {
        seen.push(network::connector(observer.clone(), one.metrics, one.pid, one.connector_id.clone()).await);
    }
    seen
}

#[cfg(test)]
mod tests;
