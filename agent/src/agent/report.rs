//! The agent's reports about itself: the status file and the line for systemd.

use super::Agent;
use super::evidence::kind_name;
use crate::act::prometheus::{Counts, Numbers};
use crate::log::{self, Context};
use aws::autoscaling::Membership;
use aws::cloudwatch::CloudWatch;
use cflared_verdict::{Confidence, Finding, Hold, Holder, Mark, Mono, Ready, Role, Run, RunId, VersionId, View};
use connector::ports::Taken;
use connector::{Edge, Handle};
use settings::Mode;
use status::Status;
use status::Timestamp;
use std::time::SystemTime;

/// What was learnt and is only told on.
#[derive(Debug)]
pub(super) struct Told {
    pub started_at: SystemTime,
    /// What is in the way of the boot.
    pub boot_trouble: Option<String>,
    pub membership: Option<Membership>,
    pub stopped: bool,
    secret_version: Option<VersionId>,
    secret_read_at: Option<SystemTime>,
    pub(super) log: log::Handle,
}

impl Told {
    pub fn new(started_at: SystemTime, log: log::Handle) -> Self {
        Self {
            started_at,
            boot_trouble: None,
            membership: None,
            stopped: false,
            secret_version: None,
            secret_read_at: None,
            log,
        }
    }

    /// The secret was read, and had that version.
    pub fn secret_read(&mut self, at: SystemTime, version: Option<VersionId>) {
        (self.secret_read_at, self.secret_version) = (Some(at), version);
    }
}

impl Agent {
    /// Has every line of the log carry what it is about.
    pub(super) fn describe(&self, now: Mono) {
        let environment = self.host.as_ref().and_then(|host| host.environment.as_ref());
        self.told.log.describe(Context {
            tunnel: self.verdict.view(now).installed.map(|installed| installed.tunnel),
            environment: environment.map(|environment| environment.as_str().into()),
            state: Some(self.verdict.health().to_string()),
        });
    }

    /// How things are, in a line.
    pub(super) fn headline(&self, now: Mono) -> String {
        let view = self.verdict.view(now);
        let trouble = view.trouble.as_ref().filter(|trouble| !self.why(&view).contains(trouble.as_str()));
        let tail = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
        let holds: String = view.holds.iter().map(|(by, hold)| format!("{}; ", self.hold(*by, hold))).collect();
        let blame = view.blame.as_ref().map(|Finding { blame, confidence, evidence }| {
            format!("; blame: {blame} ({}): {evidence}", confidence_name(*confidence))
        });
        format!("{holds}{}: {}{}{tail}", view.health, self.why(&view), blame.unwrap_or_default())
    }

    /// Leaves the newest numbers for whoever asks for metrics.
    pub(super) fn expose(&self, status: &Status) {
        let Some(exposition) = &self.exposition else { return };
        let pushes = self.host.as_ref().and_then(|host| host.cloudwatch.as_ref()).map(CloudWatch::view);
        let pushes = pushes.unwrap_or_default();
        let counts = Counts {
            pushes: pushes.pushes,
            pushes_failed: pushes.pushes_failed,
            agent_restarts: self.state.get().restarts.agent,
            ..self.counts.clone()
        };
        exposition.show(Numbers { status: status.clone(), counts });
    }

    fn why(&self, view: &View) -> String {
        match &self.told.boot_trouble {
            _ if self.told.stopped => "the agent has stopped".into(),
            Some(trouble) if self.host.is_none() => trouble.clone(),
            _ => view.why.clone(),
        }
    }

    /// The whole status.
    pub(super) fn status(&self, now: Mono) -> Status {
        let view = self.verdict.view(now);
        let host = self.host.as_ref();
        let at = |moment: Mono| Timestamp::from(self.clock.wall_at(moment));
        Status {
            schema: status::SCHEMA,
            written_at: self.clock.wall().into(),
            agent: status::Agent {
                version: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
                started_at: self.told.started_at.into(),
            },
            instance: host.map(|host| status::Instance {
                id: host.instance.id.as_str().into(),
                region: host.instance.region.as_str().into(),
                zone: host.instance.zone.as_str().into(),
                image: host.instance.image.as_str().into(),
                environment: host.environment.as_ref().map(|environment| environment.as_str().into()),
            }),
            tunnel: view.installed.as_ref().map(|installed| installed.tunnel.clone()),
            holds: view.holds.iter().map(|(by, hold)| self.hold(*by, hold)).collect(),
            dry_run: self.dry_run,
            observing: self.settings.mode == Mode::Observe,
            blame: view.blame.as_ref().map(|Finding { blame, confidence, evidence }| status::Blame {
                blame: blame.name().into(),
                confidence: confidence_name(*confidence).into(),
                evidence: evidence.clone(),
            }),
            guard: view.guard.clone(),
            health: status::Health { state: view.health.to_string(), since: at(view.since), why: self.why(&view) },
            trouble: view.trouble.clone().or_else(|| self.told.boot_trouble.clone()),
            changing: view.changing.clone().map(|what| status::Changing { what, until: view.changing_until.map(at) }),
            refusing: view.refusing.as_ref().map(|version| version.0.clone()),
            connectors: view.runs.iter().map(|(id, run)| self.connector(*id, run)).collect(),
            installed: view.installed.as_ref().map(|installed| status::Installed {
                generation: installed.generation.0,
                version: installed.version.0.clone(),
            }),
            secret: status::Secret {
                version: self.told.secret_version.as_ref().map(|version| version.0.clone()),
                read_at: self.told.secret_read_at.map(Timestamp::from),
                last_error: view.trouble.clone(),
            },
            cloudwatch: host.and_then(|host| host.cloudwatch.as_ref()).map(|cloudwatch| {
                let pushes = cloudwatch.view();
                status::CloudWatch {
                    last_push_at: pushes.last_push_at.map(Timestamp::from),
                    last_error: pushes.last_error,
                    waiting: pushes.waiting,
                    lost: pushes.counts.lost,
                    dropped: pushes.counts.dropped,
                }
            }),
            autoscaling: host.and_then(|host| host.autoscaling.as_ref()).map(|_| status::AutoScaling {
                group: self.told.membership.as_ref().map(|membership| membership.group.clone()),
                lifecycle: self.told.membership.as_ref().map(|membership| membership.lifecycle.clone()),
                marked: matches!(view.mark, Mark::Shown | Mark::Lifting),
                last_error: match &view.mark {
                    Mark::Refused { why, .. } => Some(why.clone()),
                    _ => None,
                },
            }),
            counters: status::Counters {
                connector_restarts: self.state.get().restarts.connector,
                log_lines_lost: self.told.log.lines_lost(),
                host_writes_failed: self.writer.trouble().failures,
            },
            journal: view
                .journal
                .iter()
                .map(|decision| status::Entry {
                    at: at(decision.at),
                    kind: kind_name(decision.kind).into(),
                    what: decision.what.clone(),
                    evidence: decision.evidence.clone(),
                    blame: decision.blame.map(|blame| blame.name().into()),
                })
                .collect(),
        }
    }

    fn hold(&self, by: Holder, hold: &Hold) -> status::Hold {
        let by = match by {
            Holder::Operator => status::OPERATOR,
            Holder::Tag => status::TAG,
            Holder::Remote => status::REMOTE,
        };
        let until = hold.until.map(|until| Timestamp::from(self.clock.wall_at(until)));
        status::Hold { by: by.into(), until, note: hold.note.clone() }
    }

    fn connector(&self, id: RunId, run: &Run) -> status::Connector {
        let watched = self.connectors.get(&id);
        let page = watched.and_then(|watched| watched.page.as_ref());
        let child = watched.and_then(|watched| watched.handle.child());
        status::Connector {
            run: id.0,
            // Those of its own files: the bundle that it serves may be a later one that means the same.
            generation: watched.map_or(run.installed.generation, |watched| watched.generation).0,
            secret_version: run.installed.version.0.clone(),
            version: page.and_then(|page| page.version.clone()),
            pid: run.pid,
            connector_id: child.and_then(|child| child.connector_id).map(|id| id.to_string()),
            metrics: child.map_or(self.settings.connector.metrics[run.slot], |child| child.metrics),
            metrics_taken: watched.map(|watched| taken(&watched.handle)).unwrap_or_default(),
            state: state(run).into(),
            connections: run.connections(),
            ha_connections: run.ha_connections,
            restarts: u64::from(run.exits),
            last_exit: run.last_exit.clone(),
            remote: watched
                .and_then(|watched| watched.remote.as_ref())
                .map(|remote| status::Remote { version: remote.version, broken: remote.broken.clone() }),
            edges: watched.map(|watched| edges(&watched.handle)).unwrap_or_default(),
        }
    }
}

fn taken(connector: &Handle) -> Vec<status::Taken> {
    let taken = connector.taken().into_iter();
    taken.map(|Taken { address, by }| status::Taken { address, by }).collect()
}

fn edges(connector: &Handle) -> Vec<status::Edge> {
    let edge = |(index, edge): (u64, Edge)| status::Edge {
        index,
        location: edge.location,
        address: edge.ip,
        protocol: edge.protocol,
    };
    connector.edges().into_iter().map(edge).collect()
}

fn state(run: &Run) -> &'static str {
    match (&run.role, run.pid, &run.ready) {
        (Role::Leaving, _, _) => "draining",
        (_, _, Some(Ready::Foreign { .. })) => "foreign",
        (_, None, _) if run.last_exit.is_some() => "respawning",
        (_, _, None) => "starting",
        (_, _, Some(Ready::Yes { .. })) => "registered",
        (_, _, Some(Ready::No)) => "unregistered",
        (_, _, Some(Ready::Unanswered { .. })) => "unanswered",
    }
}

fn confidence_name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Guess => "guess",
        Confidence::Likely => "likely",
        Confidence::Certain => "certain",
    }
}
