//! How orders are carried out: how long it takes, and what comes of it.

use super::child::Child;
use super::fault::{Cut, EdgeMode, Hole, Kind};
use super::plant::Plant;
use super::secret::{Flaw, number};
use super::trace::Entry;
use super::{Ev, Fleet, Ms, S};
use cflared_verdict::{
    Event, Failure, FailureKind, Generation, Memory, Order, OrderId, OriginProbe, Probe, Probes, Purpose, Reach,
    Report, SecretRead, Stop, Taken, Transport, VersionId,
};

impl Fleet {
    /// The verdict gave an order.
    pub fn take_order(&mut self, i: usize, id: OrderId, order: Order) {
        self.order_is_sound(i, id, &order);
        self.note(i, Entry::Ordered(order.clone()));
        let takes = self.takes(i, &order);
        let agent = self.instances[i].agent;
        if let Order::MarkUnhealthy | Order::MarkHealthy = order {
            self.at(self.now + takes / 2, Ev::Mark(i, agent, id, order == Order::MarkHealthy));
        }
        self.instances[i].open.insert(id, order);
        self.at(self.now + takes, Ev::Done(i, agent, id));
    }

    fn takes(&mut self, i: usize, order: &Order) -> Ms {
        let aws = self.reaches_aws(i);
        let network = self.struck(i, |kind| matches!(kind, Kind::Network(_) | Kind::Edge(EdgeMode::Unreachable)));
        let imds = self.struck(i, |kind| *kind == Kind::ImdsAway);
        let frozen = self.instances[i].children.values().any(|child| child.frozen);
        let delay = self.plant.delay(&mut self.rng);
        let rng = &mut self.instances[i].rng;
        match order {
            Order::ReadSecret { .. } if !aws => rng.between(8 * S, 20 * S),
            Order::ReadSecret { .. } => rng.between(50, 500),
            Order::Install { .. } => rng.between(200, S),
            Order::Start { .. } | Order::Commit { .. } | Order::Discard { .. } | Order::Exit => rng.between(10, 100),
            Order::Restart { stop: Stop::AtOnce, .. } => rng.between(10, 100),
            Order::Restart { .. } if frozen => 5 * S,
            Order::Restart { .. } => rng.between(20, 2 * S),
            Order::Drain { .. } if frozen => 31 * S,
            Order::Drain { .. } => rng.between(20, 2 * S),
            Order::ProbeEdge { .. } if network => S,
            Order::ProbeEdge { .. } | Order::Adopt { .. } => rng.between(5, 50),
            Order::Probe { .. } if network => rng.between(5 * S, 10 * S),
            Order::Probe { .. } => rng.between(50, S),
            Order::ReadHoldTag | Order::ReadNotices if imds => rng.between(2 * S, 6 * S),
            Order::ReadHoldTag | Order::ReadNotices => rng.between(5, 50),
            Order::MeasureMemory { .. } | Order::Answer { .. } => rng.between(5, 50),
            _ if !aws => rng.between(8 * S, 10 * S),
            Order::ReadGroup => rng.between(200, 2 * S) + delay,
            Order::ReadPeers { .. } => rng.between(100, 2 * S),
            Order::MarkUnhealthy | Order::MarkHealthy => rng.between(200, 4 * S),
            Order::CompareOrigins { .. } => rng.between(50, 10 * S),
            Order::ReadPlace | Order::ReadRefusals => rng.between(100, 2 * S),
            Order::CompleteHook { .. } | Order::Heartbeat { .. } => rng.between(100, 2 * S),
        }
    }

    /// Whether the instance can set its health in the group.
    pub fn can_mark(&self, i: usize) -> bool {
        let refused = |kind: &Kind| matches!(kind, Kind::MarkContention | Kind::GroupDenied | Kind::GroupThrottled);
        self.reaches_aws(i) && !self.struck(i, refused)
    }

    /// A mark reaches the group, whether or not its sender lives to hear it.
    pub fn mark_arrives(&mut self, i: usize, healthy: bool) {
        if self.can_mark(i) {
            self.set_health(i, healthy);
        }
    }

    /// An order's time has come.
    pub fn order_done(&mut self, i: usize, agent: u32, id: OrderId) {
        if self.instances[i].agent != agent {
            return;
        }
        let Some(order) = self.instances[i].open.remove(&id) else { return };
        let report = self.carry_out(i, &order);
        self.note(i, Entry::Done(order, report.clone()));
        self.tell(i, Event::Done(id, report));
    }

    fn carry_out(&mut self, i: usize, order: &Order) -> Report {
        match order {
            Order::ReadSecret { known } => Report::ReadSecret(self.read_secret(i, known.as_ref())),
            Order::Install { version } => Report::Install(version.clone(), self.install(i, version)),
            Order::MarkUnhealthy => Report::MarkUnhealthy(self.marked(i, false)),
            Order::MarkHealthy => Report::MarkHealthy(self.marked(i, true)),
            Order::Probe { generation } => Report::Probe(Ok(self.probe(i, *generation))),
            Order::ReadGroup => {
                let lag = self.instances[i].rng.between(0, 3 * S);
                let result = self.describe(i, lag);
                self.watch.group_read(i, self.now, result.is_ok());
                Report::ReadGroup(self.plant.group(&self.instances[i].id, result))
            }
            Order::ReadPeers { since, version, zones } => {
                let version = version.as_ref().map(|version| number(&version.0));
                let result = self.read_peers(i, *since, version, zones);
                self.watch.peers_read(i, self.now, result.is_ok());
                Report::ReadPeers(self.plant.peers(result))
            }
            Order::ReadHoldTag => Report::ReadHoldTag(self.read_hold_tag(i)),
            Order::CompareOrigins { new, .. } => Report::CompareOrigins(*new, self.compare_origins(i, *new)),
            Order::MeasureMemory { .. } => {
                let short = self.plant == Plant::NoRoom || self.struck(i, |kind| *kind == Kind::MemoryShort);
                let available = if short { 80 << 20 } else { 600 << 20 };
                Report::MeasureMemory(Ok(Memory { available, connector: 60 << 20 }))
            }
            Order::ReadNotices if self.struck(i, |kind| *kind == Kind::ImdsAway) => {
                order.failed(Failure::new(FailureKind::Unreachable, "the notices were not read"))
            }
            Order::ReadNotices => Report::ReadNotices(Ok(self.notices(i))),
            Order::ReadPlace => {
                let lag = self.instances[i].rng.between(0, 3 * S);
                let place = self.place(i, lag);
                Report::ReadPlace(self.plant.place(place))
            }
            Order::ReadRefusals => Report::ReadRefusals(self.plant.refusals(self.read_refusals(i))),
            Order::CompleteHook { hook, result } => Report::CompleteHook(*hook, self.complete_hook(i, *hook, *result)),
            Order::Heartbeat { hook } => Report::Heartbeat(*hook, self.heartbeat(i, *hook)),
            Order::ProbeEdge { transport, .. } => {
                let probes = self.probe(i, Generation(0));
                let reach = if *transport == Transport::Quic { probes.udp.reach } else { probes.tcp.reach };
                Report::ProbeEdge(*transport, Ok(if reach == Reach::Untried { Reach::Failed } else { reach }))
            }
            _ => {
                self.carry_out_here(i, order);
                order.done().expect("the others were answered")
            }
        }
    }

    /// What the host does itself.
    fn carry_out_here(&mut self, i: usize, order: &Order) {
        match order {
            Order::Start { run, generation, purpose, .. } => {
                // One that was drained before it came up does not come up: a connector takes its orders one after the other.
                let now = self.instances[i].mono(self.now);
                let view = self.instances[i].verdict.as_ref().map(|verdict| verdict.view(now));
                if view.is_some_and(|view| view.runs.iter().any(|(id, _)| id == run)) {
                    let version = number(&self.instances[i].bundles[generation].version.0);
                    self.start_connector(i, *run, version, *purpose == Purpose::Opinion);
                }
            }
            Order::Restart { run, stop, .. } => {
                let served = self.instances[i].children.get(run).is_some_and(Child::carries);
                if *stop != Stop::AtOnce || !served {
                    self.restart_connector(i, *run);
                }
            }
            Order::Adopt { run } => {
                if let Some(child) = self.instances[i].children.get_mut(run) {
                    child.opinion = false;
                }
            }
            Order::Drain { run } => {
                self.instances[i].children.remove(run);
                self.stirred(i);
            }
            Order::Commit { generation } => {
                self.instances[i].current = Some(*generation);
                // What it reports from now on is another version, though the connector may stay.
                self.stirred(i);
            }
            _ => {}
        }
    }

    fn install(&mut self, i: usize, version: &VersionId) -> Result<Taken, Failure> {
        let new = number(&version.0);
        if self.secret.flaw(new) == Some(Flaw::SeenByRules) {
            return Err(Failure::new(FailureKind::Invalid, "the last ingress rule is no catch-all"));
        }
        let equivalent = self.version(i).is_some_and(|current| self.secret.equivalent(current, new));
        let installed = self.installed(i, version.clone());
        Ok(if equivalent { Taken::Equivalent(installed) } else { Taken::New(installed) })
    }

    fn compare_origins(&mut self, i: usize, new: Generation) -> Result<Vec<String>, Failure> {
        // A resolver fails now and then.
        if self.instances[i].rng.chance(1) {
            return Err(Failure::new(FailureKind::Unreachable, "the origins were not compared"));
        }
        let new = number(&self.instances[i].bundles[&new].version.0);
        let dead = self.secret.flaw(new) == Some(Flaw::DeadOrigin) && self.plant != Plant::NoOrigins;
        let lost = dead.then(|| "db.example.com: tcp://10.0.0.9:3306 does not answer; the old one does".to_string());
        Ok(lost.into_iter().collect())
    }

    fn read_secret(&self, i: usize, known: Option<&VersionId>) -> Result<SecretRead, Failure> {
        if !self.reaches_aws(i) || self.struck(i, |kind| *kind == Kind::SecretsAway) {
            return Err(Failure::new(FailureKind::Unreachable, "the secret was not read"));
        }
        let version = VersionId(format!("v{}", self.secret.published()));
        Ok(if known == Some(&version) { SecretRead::Unchanged } else { SecretRead::New(version) })
    }

    fn read_hold_tag(&self, i: usize) -> Result<Option<String>, Failure> {
        if self.struck(i, |kind| *kind == Kind::ImdsAway) {
            return Err(Failure::new(FailureKind::Unreachable, "the tag was not read"));
        }
        Ok(self.struck(i, |kind| *kind == Kind::HoldTag).then(|| "maintenance".into()))
    }

    /// The answer to a mark, and whether the group shows it a moment later.
    fn marked(&mut self, i: usize, healthy: bool) -> Result<bool, Failure> {
        let fail = |kind| Err(Failure::new(kind, "the health was not set"));
        if !self.reaches_aws(i) {
            return fail(FailureKind::Unreachable);
        }
        if self.struck(i, |kind| *kind == Kind::GroupDenied) {
            return fail(FailureKind::Denied);
        }
        if self.struck(i, |kind| matches!(kind, Kind::MarkContention | Kind::GroupThrottled)) {
            return fail(FailureKind::Throttled);
        }
        let lag = self.instances[i].rng.between(0, 2 * S);
        // The answer is lost now and then, when all was done.
        if self.instances[i].rng.chance(1) || self.struck(i, |kind| *kind == Kind::MarkAnswerLost) {
            return fail(FailureKind::Unreachable);
        }
        let group = self.describe(i, lag)?;
        Ok(group.myself().is_some_and(|me| me.healthy == healthy))
    }

    fn probe(&self, i: usize, _: Generation) -> Probes {
        let dns = !self.struck(i, |kind| matches!(kind, Kind::Network(Cut::Dns | Cut::All)));
        let edge = dns && !self.struck(i, |kind| matches!(kind, Kind::Network(_) | Kind::Edge(EdgeMode::Unreachable)));
        let origin = !self.struck(i, |kind| matches!(kind, Kind::Origin | Kind::Network(Cut::All)));
        let probe = |good, bad| Probe { reach: if good { Reach::Answered } else { bad }, evidence: String::new() };
        let large = |hole: &[Hole]| self.struck(i, |kind| matches!(kind, Kind::MtuHole(it) if hole.contains(it)));
        // A probe's datagram is as large as a connector's; its TLS hello is small, and what answers that is large.
        let udp = edge && !self.struck(i, |kind| *kind == Kind::UdpShut) && !large(&[Hole::Out, Hole::Both]);
        let tcp = edge && !large(&[Hole::Both]);
        let edge_bad = if dns { Reach::Silent } else { Reach::Untried };
        Probes {
            dns: probe(dns, Reach::Failed),
            tcp: probe(tcp, edge_bad),
            udp: probe(udp, edge_bad),
            origins: vec![OriginProbe {
                service: "tcp://db.internal:3306".into(),
                probe: probe(origin, Reach::Silent),
            }],
        }
    }
}
