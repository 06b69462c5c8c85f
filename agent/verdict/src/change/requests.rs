//! Hand-overs that somebody asked for and waits for.

use crate::{Answer, Ended, Mode, Mono, Order, RequestId, RunId, Verdict};

/// Who waits for what. What is asked for while a hand-over is under way is done after it, by a read of its own.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Requests {
    waiting: Vec<RequestId>,
    /// Those that the read, the installation and the hand-over that are under way answer.
    active: Vec<RequestId>,
    /// A connector that was started at once because nothing was registered: whether it registers is the answer.
    watched: Option<(RunId, Mono)>,
}

impl Requests {
    /// Whether what is under way was asked for.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }
}

impl Verdict {
    pub(crate) fn reload(&mut self, now: Mono, request: RequestId) {
        let refusal = if self.config.mode == Mode::Observe {
            Some((Ended::Refused, "nothing is handed over: the settings say mode: observe".to_string()))
        } else if !self.is_to_serve() {
            Some((Ended::Failed, format!("nothing is handed over: {}", self.why(now))))
        } else if !self.change.poll.identified {
            Some((Ended::Failed, "the agent does not know its instance yet; try again".to_string()))
        } else {
            let held = self.holds_in_force(now).next();
            held.map(|(_, hold)| {
                (Ended::Refused, format!("nothing is handed over while a hold is active: {}", hold.note))
            })
        };
        match refusal {
            Some((ended, text)) => self.orders.give(Order::Answer { request, answer: Answer { ended, text } }),
            None => {
                self.drop_opinion(now);
                self.change.requests.waiting.push(request);
            }
        }
    }

    pub(crate) fn step_reload(&mut self, now: Mono) {
        self.watch_reload(now);
        let busy = self.change.requests.is_active()
            || self.change.is_changing()
            || self.connectors.full()
            || self.orders.is_open(|order| matches!(order, Order::ReadSecret { .. } | Order::Commit { .. }));
        if busy || self.change.requests.waiting.is_empty() {
            return;
        }
        self.change.requests.active = std::mem::take(&mut self.change.requests.waiting);
        // Who asks has mended what there was to mend.
        self.change.poll.refused = None;
        self.change.rollout = None;
        self.read_secret(now);
    }

    /// What was asked for is done by a connector that was started at once.
    pub(crate) fn watch_start(&mut self, now: Mono, run: RunId) {
        if self.change.requests.is_active() {
            self.change.requests.watched = Some((run, now + self.config.register_timeout));
        }
    }

    fn watch_reload(&mut self, now: Mono) {
        let Some((id, until)) = self.change.requests.watched else { return };
        let run = self.connectors.get(id);
        match run {
            Some(run) if run.connections() > 0 => {
                let text = format!(
                    "secret version {} serves now (generation {})",
                    run.installed.version, run.installed.generation
                );
                self.conclude(Ended::Done, text);
            }
            Some(run) if run.fault_of_bundle().is_some() => {
                let text = format!("cloudflared says: {}", run.fault_of_bundle().unwrap_or_default());
                self.conclude(Ended::Refused, text);
            }
            Some(run) if now >= until => {
                // Asked again, the edge says no again.
                let refused = run.attempts.refused().is_some_and(|refusals| !refusals.are_superseded());
                let ended = if refused { Ended::Refused } else { Ended::Failed };
                let why = self.outage.found().map_or_else(|| run.evidence(), |finding| finding.evidence.clone());
                self.conclude(ended, format!("the connector did not register in time: {why}"));
            }
            Some(_) => {}
            None => self.conclude(Ended::Failed, "the connector was replaced before it registered".into()),
        }
    }

    /// Tells everybody who waits for it what came of it.
    pub(crate) fn conclude(&mut self, ended: Ended, text: String) {
        self.change.requests.watched = None;
        for request in std::mem::take(&mut self.change.requests.active) {
            self.orders.give(Order::Answer { request, answer: Answer { ended, text: text.clone() } });
        }
    }

    /// Nothing that was asked for will be done any more.
    pub(crate) fn drop_reloads(&mut self, now: Mono) {
        let mut waiting = std::mem::take(&mut self.change.requests.waiting);
        self.change.requests.active.append(&mut waiting);
        let text = format!("the hand-over is cancelled: {}", self.why(now));
        self.conclude(Ended::Failed, text);
    }

    pub(crate) fn reload_moment(&self) -> Option<Mono> {
        self.change.requests.watched.map(|(_, until)| until)
    }
}
