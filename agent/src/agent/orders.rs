//! Carries out orders: each as a task with a deadline, which reports exactly once.

use super::Agent;
use super::hang::Keeper;
use super::host::Host;
use super::look::Manners;
use aws::Environment;
use aws::autoscaling::{Health, Membership};
use aws::secret::{self, Read};
use bundle::Payload;
use bundle::{Choices, Intake, Locked, Policy, Service, Store, Taken, Writer};
use cflared_verdict::{
    self as verdict, Failure, FailureKind, Generation, Installed, Order, OrderId, Purpose, Reach, Reason, RunId,
    SecretRead, Stop, Transport, VersionId,
};
use cloudflared::Forbids;
use connector::{Manner, Restarted, respawn};
use dns::Resolver;
use probe::{Edges, Streams};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

/// How long a read of the secret may take: the tag, the credentials, and all tries of the call.
const READ: Duration = Duration::from_secs(20);
/// How long the disk, and cloudflared's check of the rules, may take.
const DISK: Duration = Duration::from_secs(30);
/// How long a connector may take beyond its grace period.
const STOP: Duration = Duration::from_secs(15);

/// How a child is stopped for good.
const DRAINED: Manners = Manners { registered: Manner::Ask, unregistered: Manner::Hurry, silent: Manner::Ask };

/// How long a probe may take: the rules, then the tries, which are over within 7 s.
const PROBE: Duration = Duration::from_secs(10);
/// How long a try of the edge by one transport may take.
const PROBE_EDGE: Duration = Duration::from_secs(1);
/// How long the rules of a bundle may take to be read: a disk that hangs must not keep the edge from being tried.
const RULES: Duration = Duration::from_secs(2);

/// How an order ended, with what the agent itself keeps of it.
#[derive(Debug)]
pub(super) struct Report {
    pub id: OrderId,
    pub report: verdict::Report,
    pub news: News,
}

/// What came along with an order's end.
#[derive(Debug)]
pub(super) enum News {
    None,
    /// A read of the secret: the environment that named it, its version, and a payload if that is a new one.
    Read(Environment, Option<VersionId>, Option<Payload>),
    /// Where the group has this instance.
    Membership(Membership),
    /// A connector has a new child.
    Restarted,
    /// A connector has ended.
    Drained(RunId),
}

pub(super) type Ended<A> = Result<(A, News), Failure>;

impl Agent {
    /// Carries out `order`. Its [`Report`] comes through the set of reports.
    pub(super) fn execute(&mut self, id: OrderId, order: Order) {
        let kind = order.clone();
        match order {
            Order::ReadSecret { known } => self.read_secret(id, known),
            Order::Install { version } => self.install(id, version),
            Order::Start { run, generation, slot, purpose } => {
                let result = self.start(run, generation, slot, purpose);
                self.spawn(id, DISK, kind, move |result| verdict::Report::Start(run, result), async { result });
            }
            Order::Adopt { run } => {
                if let Some(connector) = self.connectors.get(&run) {
                    connector.handle.adopt();
                }
                self.spawn(id, STOP, kind, verdict::Report::Adopt, async { Ok(done(())) });
            }
            Order::Restart { run, stop, reason } => self.restart(id, kind, run, stop, reason),
            Order::Drain { run } => {
                let drained = self
                    .connectors
                    .get(&run)
                    .map(|connector| connector.handle.drain(connector.last_look(self.observer.clone(), DRAINED)));
                let grace = self.settings.connector.grace_period;
                let report = move |result| verdict::Report::Drain(run, result);
                self.spawn(id, grace + STOP, kind, report, async move {
                    if let Some(drained) = drained {
                        drained.await;
                    }
                    Ok(((), News::Drained(run)))
                });
            }
            Order::Commit { generation } => self.commit(id, generation),
            Order::Discard { generation } => {
                self.on_disk(id, kind, verdict::Report::Discard, move |store| store.discard(generation));
            }
            Order::MarkUnhealthy => self.mark(id, kind, verdict::Report::MarkUnhealthy, Health::Unhealthy),
            Order::MarkHealthy => self.mark(id, kind, verdict::Report::MarkHealthy, Health::Healthy),
            Order::Probe { generation } => self.probe(id, generation),
            Order::ProbeEdge { transport, .. } => self.probe_edge(id, kind, transport),
            Order::ReadGroup => self.read_group(id),
            Order::ReadPeers { since, version, zones } => self.read_peers(id, since, version, zones),
            Order::ReadHoldTag => self.read_hold_tag(id),
            Order::ReadNotices => self.read_notices(id),
            Order::ReadPlace => self.read_place(id),
            Order::ReadRefusals => self.read_refusals(id),
            Order::CompleteHook { hook, result } => self.complete_hook(id, hook, result),
            Order::Heartbeat { hook } => self.heartbeat(id, hook),
            Order::CompareOrigins { old, new } => self.compare_origins(id, old, new),
            Order::MeasureMemory { like } => self.measure_memory(id, like),
            Order::Answer { request, answer } => {
                self.requests.answer(request, answer);
                self.spawn(id, STOP, kind, verdict::Report::Answer, async { Ok(done(())) });
            }
            Order::Exit => self.exiting = true,
        }
    }

    /// Runs `work` beside the loop, for `limit` at most; `report` makes its report.
    pub(super) fn spawn<A: Send + 'static>(
        &mut self,
        id: OrderId,
        limit: Duration,
        order: Order,
        report: impl FnOnce(Result<A, Failure>) -> verdict::Report + Send + 'static,
        work: impl Future<Output = Ended<A>> + Send + 'static,
    ) {
        self.reports.spawn(async move {
            let late = || {
                let text = format!(
                    "{order:?} was not done within {} s; it is given up, and ordered again if need be",
                    limit.as_secs()
                );
                Failure::new(FailureKind::Unreachable, text)
            };
            let ended = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()));
            let (answer, news) = match (ended, order) {
                (Ok((answer, news)), _) => (Ok(answer), news),
                // What does not end in time is killed by letting go of it.
                (Err(failure), Order::Drain { run }) => (Err(failure), News::Drained(run)),
                (Err(failure), _) => (Err(failure), News::None),
            };
            Report { id, report: report(answer), news }
        });
    }

    fn read_secret(&mut self, id: OrderId, known: Option<VersionId>) {
        let order = Order::ReadSecret { known: known.clone() };
        let Some(host) = &mut self.host else {
            return self.spawn(id, READ, order, verdict::Report::ReadSecret, async { Err(not_booted()) });
        };
        // The boot has just read the tag; later it is read each time, for it can be changed live.
        let (fresh, client) = (host.fresh_environment.take(), host.secrets.clone());
        let store = host.store.clone();
        let installed = self.verdict.view(self.clock.mono()).installed;
        let (metadata, settings) = (self.metadata.clone(), self.settings.clone());
        self.spawn(id, READ, order, verdict::Report::ReadSecret, async move {
            let environment = match fresh {
                Some(environment) => environment,
                None => aws::environment(&metadata, &settings.identity).await.map_err(Failure::from)?,
            };
            let name = settings.secret.name_for(environment.as_str());
            let payload =
                match secret::read(&client, &name, known.as_ref(), Payload::parse).await.map_err(Failure::from)? {
                    Read::Unchanged => {
                        return Ok((SecretRead::Unchanged, News::Read(environment, known, None)));
                    }
                    Read::New(payload) => payload,
                };
            let version = payload.version.clone();
            let (read, payload) = match known {
                None => compared(store, installed, payload).await,
                // Another version than the one that was to be left alone, be it the one in use.
                Some(_) => (SecretRead::New(version.clone()), Some(payload)),
            };
            Ok((read, News::Read(environment, Some(version), payload)))
        });
    }

    fn install(&mut self, id: OrderId, version: VersionId) {
        let order = Order::Install { version: version.clone() };
        let about = version.clone();
        let report = move |result| verdict::Report::Install(about, result);
        let payload = self.payload.take().filter(|payload| payload.version == version);
        let (Some(payload), Some(Host { environment: Some(environment), instance, store, .. })) = (payload, &self.host)
        else {
            return self.spawn(id, DISK, order, report, async { Err(not_booted()) });
        };
        let intake = Intake {
            store: store.clone(),
            instance: instance.id.as_str().into(),
            environment: environment.as_str().into(),
            now: self.clock.wall(),
            binary: self.settings.connector.binary.clone(),
            policy: self.policy(),
            resolver: self.resolver.clone(),
        };
        self.spawn(id, DISK, order, report, async move {
            let Taken { installed, equivalent } = intake.take(payload).await.map_err(Failure::from)?;
            let taken = if equivalent { verdict::Taken::Equivalent(installed) } else { verdict::Taken::New(installed) };
            Ok((taken, News::None))
        });
    }

    fn restart(&mut self, id: OrderId, order: Order, run: RunId, stop: Stop, reason: Reason) {
        let Some(connector) = self.connectors.get(&run) else {
            return self.spawn(id, STOP, order, verdict::Report::Restart, async { Ok(done(())) });
        };
        match reason {
            Reason::Transport => connector.handle.hasten_fallback(),
            Reason::Unregistered | Reason::EdgeBack | Reason::Blip => {}
        }
        let manners = match stop {
            Stop::Graceful => Manners { unregistered: Manner::Kill, ..DRAINED },
            Stop::AtOnce => Manners { registered: Manner::Spare, unregistered: Manner::Kill, silent: Manner::Kill },
        };
        let keeper = Keeper::new(run, &self.settings.paths.runtime_dir, self.clock);
        let look = connector.last_look_before_restart(self.observer.clone(), manners, keeper);
        let restarted = connector.handle.restart(look);
        self.spawn(id, STOP, order, verdict::Report::Restart, async move {
            match restarted.await {
                Ok(Restarted::NewChild) => Ok(((), News::Restarted)),
                Ok(Restarted::Spared) => Ok(((), News::None)),
                Err(error) => Err(Failure::new(FailureKind::Host, error.to_string())),
            }
        });
    }

    fn start(&mut self, run: RunId, generation: Generation, slot: usize, purpose: Purpose) -> Ended<()> {
        let view = self.verdict.view(self.clock.mono());
        let tunnel = view.runs.iter().find(|(id, _)| *id == run).map(|(_, run)| run.installed.tunnel.as_str());
        let (Some(tunnel), Some(host)) = (tunnel, &self.host) else { return Err(not_booted()) };
        let store = host.store.store();
        let connector = &self.settings.connector;
        let spec = connector::Spec {
            run,
            purpose,
            binary: connector.binary.clone(),
            config: store.config_path(generation),
            credentials: store.credentials_path(generation, tunnel),
            ports: self.ports.clone(),
            slot,
            grace: connector.grace_period,
            forbids: self.forbids(run),
            extra_args: connector.extra_args.clone(),
            respawn: respawn::Times::default(),
            seed: self.seed,
            stir: self.stir.clone(),
        };
        let handle = connector::start(spec, self.facts.clone());
        tokio::spawn(names_checked(run, store.clone(), generation, self.policy(), self.resolver.clone()));
        self.connectors.insert(run, super::look::Watched::new(handle, generation));
        Ok(done(()))
    }

    /// What this host does not serve now.
    pub(super) fn policy(&self) -> Policy {
        Policy::of(&self.settings, aws::metadata_address()).with_ports(&self.ports.in_use())
    }

    /// Keeps a connector from where its rules must not lead, when a name in them changes its address, too.
    fn forbids(&self, run: RunId) -> Forbids {
        let (policy, ports) = (Policy::of(&self.settings, aws::metadata_address()), self.ports.clone());
        Forbids::all(move |to| {
            let why = policy.forbids_connection(to, &ports.in_use());
            if let Some(why) = &why {
                let why = why.to_string();
                error!(%run, address = %to, why, event = "connection_forbidden", "connection prevented: the connector's config leads to a forbidden address");
            }
            why.is_some()
        })
    }

    fn commit(&mut self, id: OrderId, generation: Generation) {
        let previous = self.verdict.view(self.clock.mono()).previous.map(|installed| installed.generation);
        let running = self.connectors.values().map(|connector| connector.generation);
        let needed: Vec<Generation> = running.chain(previous).collect();
        let report = move |result| verdict::Report::Commit(generation, result);
        self.on_disk(id, Order::Commit { generation }, report, move |store| {
            store.commit(generation)?;
            // What could not be removed now is removed after the next commit.
            if let Err(error) = store.prune(&needed) {
                warn!(%error, event = "old_bundles_not_removed", "old bundles not removed");
            }
            Ok(())
        });
    }

    fn on_disk(
        &mut self,
        id: OrderId,
        order: Order,
        report: impl FnOnce(Result<(), Failure>) -> verdict::Report + Send + 'static,
        work: impl FnOnce(&mut Locked) -> Result<(), bundle::Error> + Send + 'static,
    ) {
        let Some(store) = self.host.as_ref().map(|host| host.store.clone()) else {
            return self.spawn(id, DISK, order, report, async { Err(not_booted()) });
        };
        self.spawn(id, DISK, order, report, async move {
            let worked = tokio::task::spawn_blocking(move || store.with(work)).await;
            match worked {
                Ok(result) => result.map(done).map_err(Failure::from),
                Err(error) => Err(Failure::new(FailureKind::Host, format!("failed to work on the bundles: {error}"))),
            }
        });
    }

    /// Tries the edge by one transport. What has not answered by the end is silent.
    fn probe_edge(&mut self, id: OrderId, order: Order, transport: Transport) {
        let store = self.host.as_ref().map(|host| host.store.store().clone());
        let (prober, arguments) = (self.prober.clone(), self.settings.connector.extra_args.clone());
        let report = move |result| verdict::Report::ProbeEdge(transport, result);
        self.spawn(id, PROBE, order, report, async move {
            let serving = move || {
                let store = store?;
                store.choices(store.serving().ok()??.generation).ok()
            };
            let read = tokio::time::timeout(RULES, tokio::task::spawn_blocking(serving)).await;
            // Of a bundle that cannot be read, the arguments still say where the edge is.
            let choices = read.ok().and_then(Result::ok).flatten().unwrap_or_default();
            let prober = prober.towards(Edges::of(&arguments, &choices));
            let tried = async {
                let addresses = prober.dns().await.addresses;
                match transport {
                    Transport::Quic => prober.udp(&addresses).await.probe.reach,
                    Transport::Http2 => prober.tcp(&addresses).await.probe.reach,
                }
            };
            let reach = tokio::time::timeout(PROBE_EDGE, tried).await.unwrap_or(Reach::Silent);
            Ok((reach, News::None))
        });
    }

    fn probe(&mut self, id: OrderId, generation: Generation) {
        let store = self.host.as_ref().map(|host| host.store.store().clone());
        let (prober, arguments) = (self.prober.within(self.policy()), self.settings.connector.extra_args.clone());
        let streams = if self.streams.take(self.clock.mono()) { Streams::Try } else { Streams::Spare };
        self.spawn(id, PROBE, Order::Probe { generation }, verdict::Report::Probe, async move {
            let read = tokio::task::spawn_blocking(move || {
                let Some(store) = store else { return (Ok(vec![]), Choices::default()) };
                // Of a bundle that is not whole, the arguments still say where the edge is.
                (store.services(generation), store.choices(generation).unwrap_or_default())
            });
            let (services, choices) = match tokio::time::timeout(RULES, read).await {
                Ok(Ok((Ok(services), choices))) => (services, choices),
                Ok(Ok((Err(error), choices))) => (without_origins(&error), choices),
                Ok(Err(error)) => (without_origins(&error), Choices::default()),
                Err(late) => (without_origins(&late), Choices::default()),
            };
            let prober = prober.towards(Edges::of(&arguments, &choices));
            Ok((prober.probe(services, streams).await, News::None))
        });
    }
}

/// What a read of the secret found, and the payload if it is to be kept: the version in use is worth another install only if
/// the disk holds something else.
async fn compared(store: Arc<Writer>, installed: Option<Installed>, payload: Payload) -> (SecretRead, Option<Payload>) {
    let version = payload.version.clone();
    let Some(installed) = installed.filter(|installed| installed.version == version) else {
        return (SecretRead::New(version), Some(payload));
    };
    let compared = tokio::task::spawn_blocking(move || {
        // What cannot be read is not what the secret holds.
        let same = store.store().holds(&installed, &payload).unwrap_or(false);
        (same, payload)
    });
    match compared.await {
        Ok((true, _)) => (SecretRead::Unchanged, None),
        Ok((false, payload)) => (SecretRead::Altered(version), Some(payload)),
        // The work ended in the middle; the next read compares again.
        Err(_) => (SecretRead::Unchanged, None),
    }
}

/// Holds the names of a bundle that is started, perhaps long after it was installed, against the policy. Nothing waits for it: the
/// connector is kept from connecting there anyway.
async fn names_checked(run: RunId, store: Store, generation: Generation, policy: Policy, resolver: Resolver) {
    // What cannot be read is told where it is needed.
    let Ok(Ok(services)) = tokio::task::spawn_blocking(move || store.services(generation)).await else { return };
    check_names(run, services, policy, resolver).await;
}

/// Holds the names of rules in force against the policy.
pub(super) async fn check_names(run: RunId, services: Vec<Service>, policy: Policy, resolver: Resolver) {
    if let Err(rule) = bundle::check_names(&services, &policy, &resolver).await {
        error!(%run, %rule, event = "name_forbidden", "a name in the running config now resolves to a forbidden address");
    }
}

/// The edge is tried whatever the rules are.
fn without_origins(error: &dyn std::fmt::Display) -> Vec<Service> {
    warn!(%error, event = "origins_not_tried", "origins not tried");
    vec![]
}

pub(super) fn done((): ()) -> ((), News) {
    ((), News::None)
}

pub(super) fn not_booted() -> Failure {
    Failure::new(FailureKind::Host, "the agent has not what this order needs any more; it is ordered again")
}
