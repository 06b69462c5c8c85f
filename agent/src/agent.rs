//! The one loop: connects the rooms, reads the clocks, keeps the deadline of every order.
//!
//! Reports of the rooms and the time go into the verdict, its orders are carried out as tasks, its decisions are logged.
//! The loop waits for events and for nothing else, so it always has time for the next one.

mod alarm;
mod binary;
mod boot;
mod clock;
mod config;
mod ending;
mod evidence;
mod grain;
mod guard;
mod handover;
mod hang;
mod host;
mod lifecycle;
mod look;
mod orders;
mod remote;
mod report;
mod requests;
mod signals;

pub use clock::Clock;

use crate::act::notify::{Notice, Notifier};
use crate::act::prometheus::{Counts, Exposition};
use crate::act::state::{State, StateFile};
use crate::act::writer::{self, STATE_FILE, Writer};
use crate::log;
use alarm::Alarm;
use aws::{Aws, Metadata, Network, NoticeReader};
use binary::Binary;
use boot::Booted;
use bundle::Payload;
use cflared_verdict::{Carried, Event, Hold, Holder, Mono, Ready, Request, RunFact, RunId, Verdict};
use config::config;
use connector::Ports;
use dns::Resolver;
use evidence::announce;
use grain::grain_end;
use host::Host;
use look::{Look, Watched};
use observe::Observer;
use orders::{News, Report};
use probe::{Allowance, Edges, Prober};
use report::Told;
use requests::Requests;
use settings::Settings;
use signals::Signals;
use status::Publisher;
use status::hold;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// How often connectors are looked at while the verdict wants to know quickly.
const CLOSELY: Duration = Duration::from_secs(1);
/// Heartbeats may come this much late, so that they ride on a wake-up that is needed anyway.
const SLACK: Duration = Duration::from_secs(6);
/// How much more time systemd is asked for, beyond the time to the next wake-up, while the start goes on.
const START_MARGIN: Duration = Duration::from_secs(60);

/// Why the agent cannot run. Everything else it lives through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another agent holds the store.
    #[error(transparent)]
    Busy(#[from] bundle::Error),
    /// An endpoint of the environment is no URL.
    #[error(transparent)]
    Endpoint(#[from] aws::BadEndpoint),
    /// The metadata service's endpoint is no URL.
    #[error(transparent)]
    Metadata(#[from] aws::Error),
    /// The proxy of the settings is no URL.
    #[error(transparent)]
    Proxy(#[from] aws::BadProxy),
    /// No HTTP client for loopback.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// This host refused something basic.
    #[error("failed to {doing}: {source}")]
    Host {
        /// What.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs until a signal ends it. In a dry run, marks are only talked of.
///
/// # Errors
/// It could not begin, or another agent holds the store.
pub async fn run(settings: Settings, dry_run: bool, log: log::Handle) -> Result<(), Error> {
    let settings = Arc::new(settings);
    if let Err(error) = cloudflared::adopt_strays() {
        warn!(%error, event = "strays_not_adopted", "processes that cloudflared leaves behind will not be ended");
    }
    // Before anything is written: the runtime directory belongs to whoever holds the store.
    let opened = boot::open_store(&settings).await?;
    let (facts, mut told_facts) = mpsc::unbounded_channel();
    let (trouble, mut told_trouble) = mpsc::unbounded_channel();
    let mut signals = Signals::new()?;
    let alarm = Alarm::new().map_err(|source| Error::Host { doing: "make a timer", source })?;
    let mut agent = Agent::new(settings, dry_run, facts, log)?;
    agent.aws.warm_up().await;
    let stir = agent.stir.clone();
    let mut booting = JoinSet::new();
    booting.spawn(agent.boot(opened, trouble));
    loop {
        let now = agent.clock.mono();
        agent.settle(now);
        if agent.exiting {
            break;
        }
        let wait = agent.clock.until(agent.next_wake(now));
        tokio::select! {
            biased;
            () = signals.stop() => agent.stop(),
            Some(booted) = booting.join_next() => agent.booted(booted.expect("booting does not panic"))?,
            Some(text) = told_trouble.recv() => agent.told.boot_trouble = agent.host.is_none().then_some(text),
            () = stir.notified() => agent.stirred(),
            Some((run, fact)) = told_facts.recv() => agent.fact(run, fact),
            asked = agent.requests.control.asked() => agent.asked(asked),
            Some(report) = agent.reports.join_next() => agent.reported(report.expect("carrying out an order does not panic")),
            Some(seen) = agent.binary.seen() => agent.binary_seen(seen),
            Some(look) = agent.looks.join_next() => agent.looked(look.expect("a look does not panic")),
            rung = alarm.ring(wait) => {
                rung.map_err(|source| Error::Host { doing: "set the timer", source })?;
                agent.tick();
            }
        }
    }
    agent.exit().await;
    Ok(())
}

/// Everything the loop holds.
struct Agent {
    settings: Arc<Settings>,
    /// Marks are only talked of.
    dry_run: bool,
    clock: Clock,
    seed: u64,
    verdict: Verdict,
    writer: Arc<Writer>,
    watchdog: Option<Duration>,
    next_watchdog: Mono,
    state: StateFile,
    hold: hold::Watch,
    /// What the verdict was told last of configurations from Cloudflare.
    held_for_remote: Option<Hold>,
    requests: Requests,
    publisher: Publisher,
    /// `None`: nobody asked for it.
    exposition: Option<Exposition>,
    counts: Counts,
    observer: Arc<Observer>,
    ports: Ports,
    prober: Prober,
    /// Looks up the hosts of a new bundle's rules.
    resolver: Resolver,
    streams: Allowance,
    metadata: Metadata,
    notices: NoticeReader,
    aws: Aws,
    /// `None` until the boot is over.
    host: Option<Host>,
    connectors: BTreeMap<RunId, Watched>,
    facts: mpsc::UnboundedSender<(RunId, RunFact)>,
    /// Notified when a connection of a connector has come or gone.
    stir: Arc<Notify>,
    reports: JoinSet<Report>,
    looks: JoinSet<Look>,
    binary: Binary,
    /// What the last read of the secret found, until it is installed.
    payload: Option<Payload>,
    told: Told,
    /// Unplanned restarts in the grain that is under way.
    restarts: u32,
    grain_ends: SystemTime,
    /// When it was last done what is due.
    ticked: Mono,
    mark_was_due: bool,
    up: bool,
    exiting: bool,
}

impl Agent {
    fn new(
        settings: Arc<Settings>,
        dry_run: bool,
        facts: mpsc::UnboundedSender<(RunId, RunFact)>,
        log: log::Handle,
    ) -> Result<Self, Error> {
        let clock = Clock::start();
        let now = clock.mono();
        let host = |doing| move |source| Error::Host { doing, source };
        let notifier = Notifier::from_env().map_err(host("use NOTIFY_SOCKET"))?;
        let watchdog = notifier.watchdog_period();
        let runtime_dir = &settings.paths.runtime_dir;
        let loaded = State::load(&runtime_dir.join(STATE_FILE), status::boot_id(), now);
        if let Some(warning) = loaded.warning {
            warn!(warning, event = "state_not_taken_up", "saved state not used");
        }
        if dry_run {
            warn!(
                event = "dry_run",
                "dry run: the agent never marks this instance unhealthy, it only logs when it would"
            );
        }
        let writer = Arc::new(Writer::start(runtime_dir, notifier).map_err(host("start the writer's thread"))?);
        let carried = serde_json::from_value(loaded.state.carried.clone()).unwrap_or_else(|_| Carried::default());
        // A start after an agent that did not say goodbye is an unplanned restart of the agent.
        let restarts = u32::from(loaded.state.running);
        let network = Network::from_env()?;
        let metadata = Metadata::from_env(&network.resolver)?;
        // Any number will do, as long as instances differ.
        let seed = RandomState::new().build_hasher().finish();
        let mut agent = Self {
            verdict: Verdict::new(config(&settings), seed, carried, now),
            state: StateFile::new(loaded.state, writer.clone()),
            hold: hold::Watch::new(runtime_dir, status::boot_id()),
            held_for_remote: None,
            requests: Requests::new(runtime_dir, now),
            publisher: Publisher::default(),
            exposition: settings.metrics.listen.map(Exposition::start),
            counts: Counts::default(),
            observer: Arc::new(Observer::new(settings.observe.timeout)?),
            ports: Ports::new(settings.connector.metrics),
            resolver: network.resolver.clone(),
            prober: Prober::new(&network.resolver, Edges::default()),
            streams: Allowance::new(now),
            notices: NoticeReader::new(metadata.clone()),
            aws: Aws::new(&settings.aws, &metadata, network)?,
            told: Told::new(clock.wall(), log),
            grain_ends: grain_end(clock.wall(), settings.cloudwatch.interval),
            host: None,
            connectors: BTreeMap::new(),
            stir: Arc::default(),
            reports: JoinSet::new(),
            looks: JoinSet::new(),
            binary: Binary::new(&settings.connector.binary, settings.observe.interval),
            payload: None,
            mark_was_due: false,
            ticked: now,
            up: false,
            exiting: false,
            next_watchdog: now,
            settings,
            dry_run,
            clock,
            seed,
            writer,
            watchdog,
            metadata,
            facts,
            restarts,
        };
        drop(agent.state.save(now, move |state| {
            state.running = true;
            state.restarts.agent += u64::from(restarts);
        }));
        agent.look_for_hold(now);
        Ok(agent)
    }

    // ---- events

    fn tell(&mut self, event: Event) {
        let before = self.verdict.health();
        self.verdict.handle(self.clock.mono(), event);
        let after = self.verdict.health();
        if after != before {
            self.counts.became(after);
        }
    }

    fn stop(&mut self) {
        info!(event = "told_to_stop", "told to stop");
        self.writer.notify(Notice::Stopping);
        self.tell(Event::Operator(Request::Stop));
    }

    fn booted(&mut self, booted: Result<Booted, bundle::Error>) -> Result<(), Error> {
        let mut booted = booted?;
        let (installed, notices) = (booted.installed.take(), std::mem::take(&mut booted.notices));
        let mut host = Host::new(booted, &self.aws, &self.settings, self.dry_run);
        host.cloudwatch = self.settings.cloudwatch.enabled.then(|| self.start_pushing(&host));
        self.host = Some(host);
        self.told.boot_trouble = None;
        self.tell(Event::Noticed(notices));
        self.tell(Event::Identified { installed });
        Ok(())
    }

    fn boot(
        &self,
        opened: boot::Opened,
        trouble: mpsc::UnboundedSender<String>,
    ) -> impl Future<Output = Result<Booted, bundle::Error>> + Send + use<> {
        boot::boot(self.settings.clone(), opened, self.metadata.clone(), self.notices.clone(), trouble)
    }

    fn fact(&mut self, run: RunId, fact: RunFact) {
        let another = !matches!(fact, RunFact::Complained { .. });
        if let Some(connector) = self.connectors.get_mut(&run).filter(|_| another) {
            connector.child_changed(self.clock.mono());
        }
        // A second opinion is not to stay.
        if matches!(fact, RunFact::Exited { respawn_in: Some(_), .. }) {
            self.restarted(1);
        }
        self.tell(Event::Run(run, fact));
    }

    /// Counts unplanned restarts.
    fn restarted(&mut self, times: u32) {
        self.restarts += times;
        drop(self.state.save(self.clock.mono(), |state| state.restarts.connector += u64::from(times)));
    }

    fn looked(&mut self, look: Look) {
        self.counts.looks.note(look.took);
        self.counts.looks_failed += u64::from(matches!(look.observation.ready, Ready::Unanswered { .. }));
        let interval = self.look_interval();
        if self.connectors.get_mut(&look.run).is_some_and(|connector| connector.seen(&look, interval)) {
            self.tell(Event::Run(look.run, RunFact::Observed(look.observation)));
            if let Some(pushed) = look.pushed {
                self.configured(look.run, pushed);
            }
        }
    }

    fn reported(&mut self, report: Report) {
        match report.news {
            News::None => {}
            News::Read(environment, version, payload) => {
                self.told.secret_read(self.clock.wall(), version);
                self.payload = payload;
                if let Some(host) = &mut self.host {
                    host.environment = Some(environment);
                }
            }
            News::Membership(membership) => self.told.membership = Some(membership),
            News::Restarted => self.restarted(1),
            News::Drained(run) => {
                self.connectors.remove(&run);
                self.hold_for_remote();
            }
        }
        self.tell(Event::Done(report.id, report.report));
    }

    /// Connections have come or gone.
    fn stirred(&mut self) {
        let now = self.clock.mono();
        self.connectors.values_mut().for_each(|connector| connector.stirred(now));
    }

    /// How often a connector is looked at, when it is not young.
    fn look_interval(&self) -> Duration {
        let interval = self.settings.observe.interval;
        if self.verdict.looks_closely(self.clock.mono()) { interval.min(CLOSELY) } else { interval }
    }

    // ---- what is due

    /// The next moment at which something is due.
    fn next_wake(&self, now: Mono) -> Mono {
        let looks = self.connectors.values().filter_map(Watched::due);
        // What rides on the looks is not to wait for a connector.
        let looks = looks.chain(self.connectors.is_empty().then_some(self.ticked + self.settings.observe.interval));
        let grain = self.host.as_ref().and_then(|host| host.cloudwatch.as_ref()).map(|_| {
            let left = self.grain_ends.duration_since(self.clock.wall()).unwrap_or_default();
            // A clock that was set back must not put the next grain off.
            now + left.min(self.settings.cloudwatch.interval)
        });
        let heartbeat = self.publisher.due() + SLACK;
        let watchdog = self.watchdog.map(|period| self.next_watchdog + SLACK.min(period / 2));
        // Nothing is due for a while only before the boot is over.
        let due = looks.chain(self.verdict.wake_at(now)).chain(grain).chain(watchdog).chain([heartbeat]);
        due.min().unwrap_or(now)
    }

    /// Notices a hold that was put on the host or taken off it.
    fn look_for_hold(&mut self, now: Mono) {
        if let Some(hold) = self.hold.look(now) {
            self.tell(Event::Hold { by: Holder::Operator, hold });
        }
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = self.clock.mono();
        self.ticked = now;
        self.clock.resync();
        self.look_for_hold(now);
        self.requests.control.keep(now);
        self.binary.look(now);
        self.grain(self.clock.wall());
        for (run, connector) in &mut self.connectors {
            if connector.due().is_some_and(|due| due <= now) {
                let look = connector.look(*run, self.clock, self.observer.clone());
                look.map(|look| self.looks.spawn(look));
            }
        }
        self.tell(Event::Wake);
    }

    /// Carries out what the verdict ordered, logs what it decided, and shows how things are.
    fn settle(&mut self, now: Mono) {
        let orders: Vec<_> = std::iter::from_fn(|| self.verdict.poll_order()).collect();
        let decisions: Vec<_> = std::iter::from_fn(|| self.verdict.poll_decision()).collect();
        if !orders.is_empty() || !decisions.is_empty() {
            // Saved before an order runs; who marks waits for it.
            drop(self.save());
            self.describe(now);
        }
        for (id, order) in orders {
            self.execute(id, order);
        }
        if self.verdict.looks_closely(now) {
            self.connectors.values_mut().for_each(|connector| connector.hurry(now + CLOSELY));
        }
        decisions.iter().for_each(announce);
        self.testify(now);
        let status = self.status(now);
        self.expose(&status);
        let status = self.publisher.offer(now, status);
        self.notify(now, status.is_some());
        if let Some(json) = status {
            self.writer.status(json);
        }
    }

    /// Has what must survive an agent restart written; done when it is on disk.
    fn save(&self) -> impl Future<Output = Result<(), writer::Error>> + Send + use<> {
        let carried = serde_json::to_value(self.verdict.carry()).expect("what is carried has string keys only");
        self.state.save(self.clock.mono(), move |state| state.carried = carried)
    }

    /// Tells systemd. The watchdog is fed when it is due, and whenever the writer is woken anyway.
    fn notify(&mut self, now: Mono, writing: bool) {
        self.writer.notify(Notice::Status(self.headline(now)));
        if let Some(period) = self.watchdog
            && (writing || now >= self.next_watchdog)
        {
            self.writer.notify(Notice::Watchdog);
            self.next_watchdog = now + period;
        }
        if self.up || self.verdict.is_stopping() {
            return;
        }
        if self.verdict.is_up(now) {
            self.up = true;
            self.writer.notify(Notice::Ready);
        } else {
            self.writer.notify(Notice::ExtendTimeout(START_MARGIN + self.settings.observe.interval));
        }
    }
}
