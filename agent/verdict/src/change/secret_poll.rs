//! Where bundles come from: when the secret is read, what became of it.

use super::{UnderWay, Update};
use crate::change::Why;
use crate::connectors::Role;
use crate::jitter::Jitter;
use crate::time::doubled;
use crate::{
    Blame, DecisionKind, Ended, Failure, FailureKind, Installed, Mode, Mono, Order, RunId, SecretRead, Taken, Verdict,
    VersionId,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is known of the secret and of the bundle that `current` names.
#[derive(Debug, Clone, Default, Hash)]
pub struct SecretPoll {
    /// Whether the instance knows who it is, so that the secret can be named.
    pub identified: bool,
    /// The bundle in use, or taken into use.
    pub installed: Option<Installed>,
    /// The version that was refused last, if it still is.
    pub refused: Option<Refused>,
    /// What stands in the way of a bundle right now.
    pub trouble: Option<Failure>,
    /// When the secret is read next.
    pub next_read: Mono,
    /// The refused version that was tried anew in an outage last, when, and how often.
    reconsidered: Option<(VersionId, Mono, u32)>,
    /// When the last read was ordered.
    last_read: Option<Mono>,
    failures: u32,
}

/// A version of the secret that does not come into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Refused {
    /// Which.
    pub version: VersionId,
    /// Why, for a person.
    pub why: String,
    /// When it is tried again; `None`: when the secret has another one, or somebody asks for it.
    pub until: Option<Mono>,
    /// How often it was.
    times: u32,
}

impl Refused {
    /// For a person.
    pub fn tell(&self) -> String {
        let Self { version, why, until, .. } = self;
        match until {
            None => format!("secret version {version} was refused: {why}"),
            Some(_) => format!("secret version {version} is not in use, and is tried again: {why}"),
        }
    }
}

/// A failed read is tried again after 1, 2, 4 … seconds, at most this, while nothing else can bring the tunnel back.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How soon after a read the next one may be hurried.
const HURRY: Duration = Duration::from_secs(60);
/// A version that did not register is tried again after this at the latest.
const LONGEST_PUT_OFF: Duration = Duration::from_secs(3600);

/// For how long a version is put off that was put off so many times before.
fn put_off_for(poll: Duration, times: u32) -> Duration {
    doubled(poll, times.min(8)).min(LONGEST_PUT_OFF.max(poll))
}

impl SecretPoll {
    /// What an earlier agent of this boot left: which version it refused.
    pub fn carried(refused: Option<Refused>) -> Self {
        Self { refused, ..Self::default() }
    }

    /// The version whose payload is not needed.
    pub fn known(&self, now: Mono) -> Option<VersionId> {
        let refused = self.refused.as_ref().filter(|refused| refused.until.is_none_or(|until| now < until));
        let refused = refused.map(|refused| &refused.version);
        refused.or(self.installed.as_ref().map(|installed| &installed.version)).cloned()
    }

    /// Whether that version was refused, and is not tried again yet.
    fn is_refusing(&self, version: &VersionId, now: Mono) -> bool {
        let refused = self.refused.as_ref().filter(|refused| refused.version == *version);
        refused.is_some_and(|refused| refused.until.is_none_or(|until| now < until))
    }

    /// Nothing is registered: what was refused beside a connector that worked may be what helps now. In one outage after the other it is
    /// tried ever more seldom.
    pub fn reconsider(&mut self, now: Mono, poll: Duration) {
        self.next_read = now;
        let Some(refused) = &mut self.refused else { return };
        let before = self.reconsidered.as_ref().filter(|(version, ..)| *version == refused.version);
        let (due, times) = before.map_or((now, 0), |(_, at, times)| (*at + put_off_for(poll, times - 1), *times));
        if now >= due {
            self.reconsidered = Some((refused.version.clone(), now, times.saturating_add(1)));
            self.refused = None;
        } else {
            refused.until = Some(refused.until.map_or(due, |until| until.min(due)));
        }
    }

    /// What serves has passed its probation.
    pub fn proven(&mut self) {
        let installed = self.installed.as_ref().map(|installed| &installed.version);
        self.refused.take_if(|refused| Some(&refused.version) == installed);
    }

    /// The edge does not take the credentials: a new version may be there. At most once a minute.
    pub fn hurry(&mut self, now: Mono) {
        let due = self.last_read.map_or(now, |last| now.max(last + HURRY));
        self.next_read = self.next_read.min(due);
    }

    /// What the secret holds is in use. A read alone is no success: what it brought may fail to be installed each time.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It could not be read, or not be installed. Says whether that is news.
    pub fn failed(&mut self, now: Mono, failure: Failure, urgent: bool, poll: Duration, jitter: &mut Jitter) -> bool {
        let wait = Duration::from_secs(1 << self.failures.min(6)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.next_read = now + jitter.within(if urgent { wait.min(poll) } else { poll });
        let news = self.trouble.as_ref().is_none_or(|before| *before != failure);
        self.trouble = Some(failure);
        news
    }
}

impl Verdict {
    pub(crate) fn identified(&mut self, now: Mono, installed: Option<Installed>) {
        self.change.poll.identified = true;
        self.change.poll.next_read = now;
        let Some(installed) = installed.filter(|_| self.connectors.is_empty() && !self.is_stopping()) else { return };
        if !self.is_on_duty() {
            self.change.poll.installed = Some(installed);
            return;
        }
        let evidence = format!("generation {}, secret version {}", installed.generation, installed.version);
        self.note(now, DecisionKind::Action, "start the installed bundle", evidence);
        self.start(now, installed, Role::Serving);
    }

    pub(crate) fn step_supply(&mut self, now: Mono) {
        let busy = self.orders.is_open(|order| matches!(order, Order::ReadSecret { .. }))
            || self.change.is_changing()
            || self.change.requests.is_active()
            || (self.connectors.full() && !self.outage.opinion_is_asked());
        if !self.change.poll.identified || now < self.change.poll.next_read || busy {
            return;
        }
        self.read_hold_tag(now);
        if !self.is_urgent() && self.is_held(now) {
            // A new version would be handed over to. It is read when the hold ends.
            self.change.poll.next_read = now + self.jitter.within(self.config.poll_interval);
        } else {
            self.read_secret(now);
        }
    }

    pub(crate) fn read_secret(&mut self, now: Mono) {
        self.change.poll.last_read = Some(now);
        // What is installed may be damaged: it is compared.
        let known = if self.is_refused() { None } else { self.change.poll.known(now) };
        self.orders.give(Order::ReadSecret { known });
    }

    /// Whether what is installed may be replaced by itself: nothing is lost by that.
    fn may_install_anew(&self) -> bool {
        self.is_urgent() && !self.change.is_handing_over() && self.config.mode == Mode::Act
    }

    /// Whether the edge does not want this connector.
    fn is_refused(&self) -> bool {
        self.outage.found().is_some_and(|finding| matches!(finding.blame, Blame::Refused | Blame::Credentials))
    }

    /// Whether nothing is registered, so that whatever is newest can only help.
    pub(crate) fn is_urgent(&self) -> bool {
        self.connectors.serving().is_none_or(|(_, run)| run.connections() == 0)
    }

    /// Whether the installed bundle was started a moment ago, and nothing speaks against it: it is given its time, or every
    /// restart of the agent would bring a newer version into use that nobody has tried, with no way back.
    fn is_starting(&self, now: Mono) -> bool {
        self.connectors.serving().is_some_and(|(_, run)| {
            let young = now < run.ordered + self.config.register_timeout;
            young && !run.registered_once && run.fault_of_bundle().is_none()
        })
    }

    pub(crate) fn secret_read(&mut self, now: Mono, read: SecretRead) {
        self.change.poll.next_read = now + self.jitter.within(self.config.poll_interval);
        self.change.poll.trouble = None;
        // Whoever is put aside, or told to stop, takes nothing into use.
        if !self.is_to_serve() {
            return;
        }
        let asked = self.change.requests.is_active();
        let version = match read {
            SecretRead::Altered(version) if !asked && self.may_install_anew() => {
                let what = format!("install secret version {version} again");
                self.note(now, DecisionKind::Action, what, "the installed bundle differs from the secret");
                self.drop_opinion(now);
                return self.install(version);
            }
            SecretRead::New(version) if asked || !self.change.poll.is_refusing(&version, now) => version,
            SecretRead::Unchanged | SecretRead::New(_) | SecretRead::Altered(_) => {
                self.change.poll.succeeded();
                // What waited for its turn is not in the secret any more.
                self.change.rollout.take_if(|turn| matches!(turn.change, Update::Version(_)));
                return if asked {
                    self.hand_over_anew(now)
                };
            }
        };
        if self.config.mode == Mode::Observe && self.connectors.serving().is_some() {
            return;
        }
        self.change.poll.refused.take_if(|refused| refused.version != version);
        // The secret may have gone back from a refused version to the one that runs.
        if self.change.poll.installed.as_ref().is_some_and(|installed| installed.version == version) {
            self.change.poll.refused = None;
            self.change.rollout.take_if(|turn| matches!(turn.change, Update::Version(_)));
            return if asked {
                self.hand_over_anew(now)
            };
        }
        if self.change.is_changing() {
            // That began while it was read. It is read again after it.
            self.change.poll.next_read = now;
        } else if !asked && self.is_starting(now) {
            self.change.poll.next_read = now + self.config.settle;
        } else if asked || self.is_urgent() {
            self.change.rollout = None;
            self.drop_opinion(now);
            self.note(now, DecisionKind::Action, format!("install secret version {version}"), "the secret has it");
            self.install(version);
        } else {
            self.take_turn(Update::Version(version));
        }
    }

    /// Has the payload that was read last installed.
    pub(super) fn install(&mut self, version: VersionId) {
        self.change.under_way = UnderWay::Installing;
        self.orders.give(Order::Install { version });
    }

    /// Somebody wants a new connector, and the secret has nothing new.
    fn hand_over_anew(&mut self, now: Mono) {
        match self.connectors.serving().map(|(_, run)| run.installed.clone()) {
            Some(installed) => self.hand_over(now, installed, Why::Asked),
            None => self.conclude(Ended::Failed, "no connector serves yet; see `cflared-agent status`".into()),
        }
    }

    pub(crate) fn supply_failed(&mut self, now: Mono, what: &str, failure: Failure) {
        let (urgent, text) = (self.is_urgent(), failure.text.clone());
        // What breaks a rule breaks it again until somebody mends it.
        let ended = if failure.kind == FailureKind::Invalid { Ended::Refused } else { Ended::Failed };
        if self.change.poll.failed(now, failure, urgent, self.config.poll_interval, &mut self.jitter) {
            self.note(now, DecisionKind::Refusal, what, &text);
        }
        self.conclude(ended, format!("{what}: {text}"));
    }

    /// That version does not come into use: it breaks a rule, or something that works would be lost.
    pub(crate) fn refuse_version(&mut self, now: Mono, version: VersionId, why: String) {
        let refused = Refused { version, why, until: None, times: 0 };
        let text = refused.tell();
        self.note(now, DecisionKind::Refusal, format!("secret version {} refused", refused.version), &refused.why);
        self.change.poll.refused = Some(refused);
        self.conclude(Ended::Refused, text);
    }

    /// That version did not come into use this time; each time it is tried later again.
    pub(crate) fn put_off(&mut self, now: Mono, version: VersionId, why: String) {
        if self.change.poll.installed.as_ref().is_some_and(|installed| installed.version == version) {
            self.note(now, DecisionKind::Refusal, "the connector that serves stays", &why);
            return self.conclude(Ended::Failed, why);
        }
        let before = self.change.poll.refused.as_ref().filter(|refused| refused.version == version);
        let times = before.map_or(0, |refused| refused.times);
        let wait = put_off_for(self.config.poll_interval, times);
        let refused = Refused { version, why, until: Some(now + wait), times: times.saturating_add(1) };
        let (what, text) =
            (format!("secret version {} is tried again in {} s", refused.version, wait.as_secs()), refused.tell());
        self.note(now, DecisionKind::Refusal, what, &refused.why);
        self.change.poll.refused = Some(refused);
        self.conclude(Ended::Failed, text);
    }

    /// A bundle was checked and installed, and may mean the same as the one in use; or it was not.
    pub(crate) fn installed(&mut self, now: Mono, version: VersionId, taken: Result<Taken, Failure>) {
        self.change.installing_is_over();
        match taken {
            Ok(Taken::New(installed)) => {
                let why = if self.change.requests.is_active() { Why::Asked } else { Why::Version };
                self.hand_over(now, installed, why);
            }
            Ok(Taken::Equivalent(installed)) => self.take_equivalent(now, installed),
            Err(failure) if failure.kind == FailureKind::Invalid => self.refuse_version(now, version, failure.text),
            Err(failure) => self.supply_failed(now, "the bundle was not installed", failure),
        }
    }

    pub(crate) fn start(&mut self, now: Mono, installed: Installed, role: Role) {
        if role == Role::Serving {
            self.change.poll.installed = Some(installed.clone());
            self.outage.forget_opinion();
            // What was asked was asked for the connector before.
            self.condemn.drop_question();
            self.begin_first_probation(now, &installed);
        }
        let run = self.connectors.start(&mut self.orders, now, installed, role);
        if role == Role::Serving {
            self.watch_start(now, run);
        }
    }

    pub(crate) fn not_started(&mut self, now: Mono, run: RunId, failure: Failure) {
        match self.connectors.ended(run).map(|run| run.role) {
            Some(Role::Serving) => self.change.poll.installed = None,
            Some(Role::Successor { .. }) => self.change.end_handover(),
            Some(Role::Opinion) => return self.opinion_not_started(now, run),
            Some(Role::Leaving) | None => {}
        }
        self.supply_failed(now, "the connector was not started", failure);
    }
}
