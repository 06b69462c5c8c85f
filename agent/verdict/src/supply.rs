//! Where bundles come from: when the secret is read, what became of it.

use crate::jitter::Jitter;
use crate::runs::Role;
use crate::{DecisionKind, Failure, Installed, Mono, Order, RunId, SecretRead, Verdict, VersionId};
use std::time::Duration;

/// What is known of the secret and of the bundle that `current` names.
#[derive(Debug, Default)]
pub struct Supply {
    /// Whether the instance knows who it is, so that the secret can be named.
    pub identified: bool,
    /// The bundle in use, or taken into use.
    pub installed: Option<Installed>,
    /// The version that was refused for good, and why.
    pub refused: Option<(VersionId, String)>,
    /// What stands in the way of a bundle right now.
    pub trouble: Option<Failure>,
    /// When the secret is read next.
    pub next_read: Mono,
    /// When the last read was ordered.
    last_read: Option<Mono>,
    failures: u32,
}

/// A failed read is tried again after 1, 2, 4 … seconds, at most this, while nothing else can bring the tunnel back.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How soon after a read the next one may be hurried.
const HURRY: Duration = Duration::from_secs(60);

impl Supply {
    /// The version whose payload is not needed.
    pub fn known(&self) -> Option<VersionId> {
        let refused = self.refused.as_ref().map(|(version, _)| version);
        refused.or(self.installed.as_ref().map(|installed| &installed.version)).cloned()
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
        self.next_read = now + jitter.around(if urgent { wait.min(poll) } else { poll });
        let news = self.trouble.as_ref().is_none_or(|before| *before != failure);
        self.trouble = Some(failure);
        news
    }
}

impl Verdict {
    pub(crate) fn identified(&mut self, now: Mono, installed: Option<Installed>) {
        self.supply.identified = true;
        self.supply.next_read = now;
        if let Some(installed) = installed
            && self.runs.is_empty()
            && !self.is_stopping()
        {
            let evidence = format!("generation {}, secret version {}", installed.generation, installed.version);
            self.note(now, DecisionKind::Action, "start the installed bundle", evidence);
            self.start(now, installed, Role::Serving);
        }
    }

    pub(crate) fn step_supply(&mut self, now: Mono) {
        let busy = self.book.is_open(|order| matches!(order, Order::ReadSecret { .. } | Order::Install { .. }))
            || self.runs.full();
        if !self.supply.identified || now < self.supply.next_read || busy {
            return;
        }
        self.read_hold_tag(now);
        let registered = self.runs.serving().is_some_and(|(_, run)| run.connections() > 0);
        if registered && self.is_held(now) {
            // A new version would be handed over to. It is read when the hold ends.
            self.supply.next_read = now + self.jitter.around(self.config.poll_interval);
        } else {
            self.supply.last_read = Some(now);
            self.book.give(Order::ReadSecret { known: self.supply.known() });
        }
    }

    pub(crate) fn secret_read(&mut self, now: Mono, read: SecretRead) {
        self.supply.next_read = now + self.jitter.around(self.config.poll_interval);
        self.supply.trouble = None;
        let SecretRead::New(version) = read else { return self.supply.succeeded() };
        self.supply.refused = None;
        // The secret may have gone back from a refused version to the one that runs.
        if self.supply.installed.as_ref().is_none_or(|installed| installed.version != version) {
            self.note(now, DecisionKind::Action, format!("install secret version {version}"), "the secret has it");
            self.book.give(Order::Install { version });
        }
    }

    pub(crate) fn supply_failed(&mut self, now: Mono, what: &str, failure: Failure) {
        let urgent = self.runs.serving().is_none_or(|(_, run)| run.connections() == 0);
        let text = failure.text.clone();
        if self.supply.failed(now, failure, urgent, self.config.poll_interval, &mut self.jitter) {
            self.note(now, DecisionKind::Refusal, what, text);
        }
    }

    /// Takes a bundle into use: at once if nothing serves, beside what serves if that is registered.
    pub(crate) fn adopt(&mut self, now: Mono, installed: Installed) {
        if self.is_stopping() {
            return;
        }
        let generation = installed.generation;
        match self.runs.serving().map(|(id, run)| (id, run.connections())) {
            Some((_, held)) if held > 0 => {
                let until = now + self.config.register_timeout;
                self.start(now, installed, Role::Successor { until, enough_since: None });
            }
            before => {
                self.start(now, installed, Role::Serving);
                self.book.give(Order::Commit { generation });
                if let Some((old, _)) = before {
                    self.note(now, DecisionKind::Action, "replace the connector at once", "it is not registered");
                    self.drain(old);
                }
            }
        }
    }

    pub(crate) fn start(&mut self, now: Mono, installed: Installed, role: Role) {
        let generation = installed.generation;
        if role == Role::Serving {
            self.supply.installed = Some(installed.clone());
        }
        let (run, slot) = self.runs.add(now, installed, role);
        self.book.give(Order::Start { run, generation, slot });
    }

    pub(crate) fn not_started(&mut self, now: Mono, run: RunId, failure: Failure) {
        if let Some(run) = self.runs.remove(run)
            && run.role == Role::Serving
        {
            self.supply.installed = None;
        }
        self.supply_failed(now, "the connector was not started", failure);
    }
}
