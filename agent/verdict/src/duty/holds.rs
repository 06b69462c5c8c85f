//! A person's "hands off": nothing is condemned, handed over or completed while it lasts.
//!
//! A connector that is not registered is still restarted, and still replaced by a new version: there is nothing to lose. A tag that cannot
//! be read is no hold for hand-overs, and the guard takes it for one.

use crate::{DecisionKind, Failure, Mono, Order, Verdict};
use serde::{Deserialize, Serialize};

/// Who holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Somebody on the host, by `cflared-agent hold`.
    Operator,
    /// The instance's tag.
    Tag,
    /// The agent, while a connector serves by a configuration that Cloudflare pushed and that the settings do not allow: what is
    /// installed, or condemned, is not what serves.
    Remote,
}

impl Holder {
    /// Who holds, in words.
    const fn name(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::Tag => "the instance's tag",
            Self::Remote => "Cloudflare's configuration",
        }
    }
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Hold {
    /// When it ends by itself; `None`: when it is lifted.
    pub until: Option<Mono>,
    /// What was said of it: the tag's value, who held and why.
    pub note: String,
}

/// All holds, and what is known of the tag.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Holds {
    operator: Option<Hold>,
    tag: Option<Hold>,
    remote: Option<Hold>,
    /// When the tag was last read, whatever it said.
    tag_read: Option<Mono>,
    trouble: Option<String>,
    next_read: Mono,
}

/// Values of the tag that do not hold.
const OFF: [&str; 5] = ["", "0", "no", "off", "false"];

/// Whether the instance's hold tag holds, if it has that value.
pub fn tag_holds(value: &str) -> bool {
    !OFF.contains(&value.trim().to_ascii_lowercase().as_str())
}

impl Holds {
    fn set(&mut self, by: Holder, hold: Option<Hold>) {
        match by {
            Holder::Operator => self.operator = hold,
            Holder::Tag => self.tag = hold,
            Holder::Remote => self.remote = hold,
        }
    }

    /// The holds that are in force.
    pub fn in_force(&self, now: Mono) -> impl Iterator<Item = (Holder, &Hold)> {
        let all = [(Holder::Operator, &self.operator), (Holder::Tag, &self.tag), (Holder::Remote, &self.remote)];
        all.into_iter().filter_map(move |(by, hold)| {
            let hold = hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))?;
            Some((by, hold))
        })
    }

    /// When one ends by itself.
    pub fn moment(&self) -> Option<Mono> {
        [&self.operator, &self.tag].into_iter().flatten().filter_map(|hold| hold.until).min()
    }
}

impl Verdict {
    pub(crate) fn held(&mut self, now: Mono, by: Holder, hold: Option<Hold>) {
        let before = self.duty.holds.in_force(now).find(|(holder, _)| *holder == by).map(|(_, hold)| hold.clone());
        self.duty.holds.set(by, hold.clone());
        if before == hold {
            return;
        }
        let who = by.name();
        match hold {
            Some(hold) => self.note(now, DecisionKind::Refusal, format!("held by {who}"), hold.note),
            None => {
                self.note(now, DecisionKind::Action, "the hold is lifted", format!("by {who}"));
                self.hold_ended(now);
            }
        }
    }

    /// What waited for the end of a hold is done now: the secret is read, and the guard asked again.
    pub(crate) fn hold_ended(&mut self, now: Mono) {
        if self.duty.holds.in_force(now).next().is_none() {
            self.change.read_by(now);
            self.condemn.ask_again(now);
        }
    }

    /// Notices a hold that has run out.
    pub(crate) fn step_holds(&mut self, now: Mono) {
        for by in [Holder::Operator, Holder::Tag] {
            let hold = if by == Holder::Operator { &self.duty.holds.operator } else { &self.duty.holds.tag };
            if hold.as_ref().and_then(|hold| hold.until).is_some_and(|until| now >= until) {
                self.duty.holds.set(by, None);
                self.note(now, DecisionKind::Action, "the hold has run out", "its time is over");
                self.hold_ended(now);
            }
        }
    }

    pub(crate) fn is_held(&self, now: Mono) -> bool {
        self.duty.holds.in_force(now).next().is_some()
    }

    /// Reads the tag, in an outage more often than with each read of the secret.
    pub(crate) fn step_hold_tag(&mut self, now: Mono) {
        let busy = self.orders.is_open(|order| matches!(order, Order::ReadHoldTag));
        if now >= self.duty.holds.next_read && !busy {
            self.read_hold_tag(now);
        }
    }

    pub(crate) fn read_hold_tag(&mut self, now: Mono) {
        self.duty.holds.next_read = now + self.config.probe_again;
        if !self.orders.is_open(|order| matches!(order, Order::ReadHoldTag)) {
            self.orders.give(Order::ReadHoldTag);
        }
    }

    pub(crate) fn hold_tag_read(&mut self, now: Mono, result: Result<Option<String>, Failure>) {
        match result {
            Ok(value) => {
                (self.duty.holds.tag_read, self.duty.holds.trouble) = (Some(now), None);
                let holds = value.filter(|value| tag_holds(value));
                let hold = holds.map(|note| Hold { until: None, note });
                self.held(now, Holder::Tag, hold);
            }
            Err(failure) => self.duty.holds.trouble = Some(failure.text),
        }
    }

    /// Why nothing is condemned, as far as holds go. A tag that cannot be read may hold.
    pub(crate) fn hold_in_force(&self, now: Mono) -> Option<String> {
        if let Some((by, hold)) = self.duty.holds.in_force(now).next() {
            return Some(format!("held by {}: {}", by.name(), hold.note));
        }
        let lasts = self.config.probe_again * 2;
        if self.duty.holds.tag_read.is_some_and(|read| now.since(read) <= lasts) {
            return None;
        }
        let trouble = self.duty.holds.trouble.as_deref().unwrap_or("no answer yet");
        Some(format!("whether the hold tag is set is not known: {trouble}"))
    }

    /// When the holds want to be looked at.
    pub(crate) fn hold_moments(&self) -> impl Iterator<Item = Mono> {
        let in_outage =
            self.outage.clock().reaches(self.config.probe_after).map(|from| from.max(self.duty.holds.next_read));
        self.duty.holds.moment().into_iter().chain(in_outage)
    }
}
