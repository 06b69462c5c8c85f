//! The state of this instance at the end of every grain, for CloudWatch.

use super::Agent;
use super::host::Host;
use aws::cloudwatch::{self, CloudWatch, Sample, version_label};
use cflared_verdict::{Blame, Health, Holder, Transport, View};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::warn;

impl Agent {
    /// Starts the task that pushes.
    pub(super) fn start_pushing(&self, host: &Host) -> CloudWatch {
        let config = cloudwatch::Config {
            client: self.aws.cloudwatch(&host.instance.region),
            namespace: self.settings.cloudwatch.namespace.clone(),
            interval: self.settings.cloudwatch.interval,
            instance: host.instance.id.as_str().into(),
            resume: self.state.get().cloudwatch,
        };
        let (state, clock) = (self.state.clone(), self.clock);
        CloudWatch::start(config, move |saved| state.save(clock.mono(), |state| state.cloudwatch = saved))
    }

    /// At the end of a grain, gives its state to CloudWatch. A clock that steps begins a new grain.
    pub(super) fn grain(&mut self, wall: SystemTime) {
        let interval = self.settings.cloudwatch.interval;
        let end = grain_end(wall, interval);
        if end == self.grain_ends {
            return;
        }
        self.grain_ends = end;
        for connector in self.connectors.values_mut() {
            connector.page_due = true;
        }
        self.sample(wall);
    }

    /// Gives the state of now to CloudWatch, as that of the end of the grain that ended last before `wall`.
    fn sample(&mut self, wall: SystemTime) {
        let view = self.verdict.view(self.clock.mono());
        let Some(host) = &self.host else { return };
        let tunnel = view.installed.as_ref().map(|installed| installed.tunnel.as_str());
        let (Some(cloudwatch), Some(of)) = (&host.cloudwatch, host.dimensions(tunnel)) else { return };
        let connections = view.runs.iter().map(|(_, run)| run.connections()).sum();
        // In a hand-over the one that serves counts, which is the older one.
        let registered = view.runs.iter().map(|(_, run)| run).filter(|run| run.connections() > 0);
        let sample = Sample {
            of,
            registered: connections > 0,
            version: registered.clone().next().map(|run| version_label(&run.installed.version)),
            over_http2: registered.clone().any(|run| run.transport == Some(Transport::Http2)),
            connections,
            restarts: std::mem::take(&mut self.restarts),
            refusing: view.refusing.is_some(),
            remote: self.connectors.values().any(|connector| connector.remote.is_some()),
            held: held(&view),
            ami_age_days: host.image_age_days(wall),
        };
        if !cloudwatch.sample(wall, sample) {
            warn!(event = "datapoints_not_taken", "datapoints of this period not queued: the pusher is behind");
        }
    }

    /// Has all that waits pushed at once. Whoever goes `for_good` does not see the end of the grain that is under way, so its
    /// state of now goes along. `None` if nothing is pushed at all.
    pub(super) fn flush(&mut self, for_good: bool) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut until = self.clock.wall();
        if for_good {
            until = until.max(self.grain_ends);
            self.sample(until);
        }
        let cloudwatch = self.host.as_ref()?.cloudwatch.as_ref()?;
        Some(cloudwatch.flush(until))
    }
}

/// What holds back: whose fault it is that this instance is not replaced for, a configuration from Cloudflare, or a person.
fn held(view: &View) -> Option<&'static str> {
    let blame = view.blame.as_ref().map_or(Blame::Unknown, |finding| finding.blame);
    match view.health {
        Health::Held => Some(blame.name()),
        _ if view.holds.iter().any(|(by, _)| *by == Holder::Remote) => Some("remote_configuration"),
        _ => (!view.holds.is_empty()).then_some("operator"),
    }
}

/// The end of the grain that `wall` lies in.
pub(super) fn grain_end(wall: SystemTime, grain: Duration) -> SystemTime {
    let since_1970 = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + since_1970 + cloudwatch::until_grain_ends(since_1970, grain)
}
