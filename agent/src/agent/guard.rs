//! The orders of the guard: its questions before an instance is condemned, and the mark itself.

use super::Agent;
use super::orders::{News, not_booted};
use aws::autoscaling::{Health, Membership};
use aws::cloudwatch::{Dimensions, PeerReader};
use cflared_verdict::{Failure, FailureKind, Order, OrderId, Report, VersionId};
use status::hold;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a read for the guard may take; the room gives up after 10 s itself, and says why.
const READ: Duration = Duration::from_secs(20);
/// How long a mark and its read-back may take, with the save before it.
const MARK: Duration = Duration::from_secs(45);

impl Agent {
    pub(super) fn read_group(&mut self, id: OrderId) {
        let Some(host) = &self.host else {
            return self.spawn(id, READ, Order::ReadGroup, Report::ReadGroup, async { Err(not_booted()) });
        };
        let (group, wall) = (host.autoscaling.clone(), self.clock.wall());
        self.spawn(id, READ, Order::ReadGroup, Report::ReadGroup, async move {
            let group = group.ok_or_else(|| disabled("autoscaling", "the group is not read"))?;
            let group = group.group(wall).await.map_err(Failure::from)?;
            let news = group.myself().map_or(News::None, |me| {
                let (group, lifecycle) = (group.name.clone(), me.lifecycle.clone());
                News::Membership(Membership { group, lifecycle, healthy: me.healthy })
            });
            Ok((group, news))
        });
    }

    pub(super) fn read_peers(&mut self, id: OrderId, since: Duration, version: Option<VersionId>, zones: Vec<String>) {
        let reader = self.peer_reader("the peers are not known");
        let order = Order::ReadPeers { since, version: version.clone(), zones: zones.clone() };
        self.spawn(id, READ, order, Report::ReadPeers, async move {
            let (peers, of, wall) = reader?;
            let read = peers.read(&of, since, version.as_ref(), &zones, wall);
            Ok((read.await?, News::None))
        });
    }

    /// What reads the other instances' reports, whose they are, and the time of day.
    pub(super) fn peer_reader(&self, so: &str) -> Result<(PeerReader, Arc<Dimensions>, SystemTime), Failure> {
        let host = self.host.as_ref().ok_or_else(not_booted)?;
        let cloudwatch = host.cloudwatch.as_ref().ok_or_else(|| disabled("cloudwatch", so))?;
        let view = self.verdict.view(self.clock.mono());
        let of = host.dimensions(view.installed.as_ref().map(|installed| installed.tunnel.as_str()));
        Ok((cloudwatch.peers(), of.ok_or_else(unnamed)?, self.clock.wall()))
    }

    pub(super) fn read_hold_tag(&mut self, id: OrderId) {
        let (metadata, key) = (self.metadata.clone(), self.settings.identity.hold_tag.clone());
        self.spawn(id, READ, Order::ReadHoldTag, Report::ReadHoldTag, async move {
            let value = metadata.tag(&key).await.map_err(Failure::from)?;
            Ok((value.map(|value| hold::printable(&value)), News::None))
        });
    }

    pub(super) fn mark(
        &mut self,
        id: OrderId,
        order: Order,
        report: fn(Result<bool, Failure>) -> Report,
        health: Health,
    ) {
        let saved = self.save();
        let group = self.host.as_ref().and_then(|host| host.autoscaling.clone());
        self.spawn(id, MARK, order, report, async move {
            let group = group.ok_or_else(|| disabled("autoscaling", "the instance is not marked"))?;
            // It must be known after a crash that a mark of ours may stand.
            saved.await.map_err(|error| Failure::new(FailureKind::Host, error.to_string()))?;
            let marked = group.mark(health).await.map_err(Failure::from)?;
            Ok((marked.shown, News::Membership(marked.membership)))
        });
    }
}

pub(super) fn disabled(section: &str, so: &str) -> Failure {
    let text = format!("{section}.enabled is false in the settings, so {so}; replace the instance by hand");
    Failure::new(FailureKind::Disabled, text)
}

fn unnamed() -> Failure {
    let text =
        "failed to ask for the peers: the environment or the tunnel is not known yet; see the tag and the secret";
    Failure::new(FailureKind::Missing, text)
}
