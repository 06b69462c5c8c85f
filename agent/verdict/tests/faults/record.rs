//! What happened in a scenario, and whether that was right.

use crate::reader::{Act, Ends, Scenario};
use cflared_verdict::{Blame, Decision, DecisionKind, Health, Order, Purpose, Reason, View};
use std::fmt::Write;
use std::time::Duration;

/// What happened. Every time counts from the break.
#[derive(Debug, Default)]
pub struct Record {
    /// When the status first showed that something is wrong.
    pub detected: Option<Duration>,
    /// When it was acted, and whose fault it was held to be then.
    pub acted: Option<(Duration, Option<Blame>)>,
    /// Since when the tunnel has been registered, if it is.
    pub registered_since: Option<Duration>,
    pub restarts: u32,
    pub blips: u32,
    pub marks: u32,
    pub unmarks: u32,
    pub held: bool,
    pub handed_over: bool,
    /// Whose fault it was held to be when a mark was ordered.
    pub marked_for: Vec<Option<Blame>>,
    health: Option<Health>,
    /// What was ordered and decided, for a person.
    pub trace: String,
    refused: bool,
}

impl Record {
    pub fn order(&mut self, time: Option<Duration>, order: &Order) {
        if let Some(time) = time {
            if let Order::Restart { reason, .. } = order {
                let blip = matches!(reason, Reason::Blip | Reason::Transport);
                *(if blip { &mut self.blips } else { &mut self.restarts }) += 1;
            }
            self.handed_over |= matches!(order, Order::Start { purpose: Purpose::Serve, .. });
            let _ = writeln!(self.trace, "{:>9.1} s  order     {order:?}", time.as_secs_f64());
        }
    }

    pub fn decision(&mut self, time: Option<Duration>, decision: &Decision) {
        if let Some(time) = time {
            self.refused |= decision.kind == DecisionKind::Refusal && decision.what.ends_with("refused");
            let Decision { kind, what, evidence, blame, .. } = decision;
            let (time, kind) = (time.as_secs_f64(), format!("{kind:?}"));
            let _ = writeln!(self.trace, "{time:>9.1} s  {kind:<9} {what} | {evidence} | {blame:?}");
        }
    }

    /// Takes what the verdict shows at a moment.
    pub fn look(&mut self, act: Act, time: Duration, view: &View, handed_over: bool) {
        let registered = view.health.is_registered();
        if !registered || view.blame.is_some() || view.trouble.is_some() {
            self.detected.get_or_insert(time);
        }
        match registered {
            true => _ = self.registered_since.get_or_insert(time),
            false => self.registered_since = None,
        }
        self.held |= view.health == Health::Held;
        let blame = view.blame.as_ref().map(|finding| finding.blame);
        let acts = match act {
            Act::Nothing => false,
            Act::Restart => self.restarts > 0,
            Act::HandOver => handed_over,
            Act::Refuse => self.refused,
            Act::Condemn => self.marks > 0 && view.health == Health::Condemned,
            Act::Hold => view.health == Health::Held,
            Act::Report => registered && blame == Some(Blame::Origin),
        };
        if acts && self.acted.is_none() {
            self.acted = Some((time, blame));
        }
    }

    pub fn end(&mut self, health: Health) {
        self.health = Some(health);
    }

    /// From the end of the trouble to the registration that stayed.
    pub fn back(&self, scenario: &Scenario) -> Option<Duration> {
        self.detected?;
        Some(self.registered_since?.saturating_sub(scenario.well_at()?))
    }

    /// What was not right.
    pub fn faults(&self, scenario: &Scenario) -> Vec<String> {
        let right = &scenario.right;
        let registered = self.health.is_some_and(Health::is_registered);
        let mut faults = self.act_faults(scenario);
        let mut must = |is: bool, fault: String| {
            if !is {
                faults.push(fault);
            }
        };
        must(self.restarts <= right.restarts, format!("{} restarts, not {}", self.restarts, right.restarts));
        let all = self.restarts + self.blips;
        must(all >= right.restarts_least, format!("{all} restarts with blips, {} are the least", right.restarts_least));
        if let Some(blips) = right.blips {
            must(self.blips == blips, format!("{} blips, not {blips}", self.blips));
        }
        must(self.marks == right.marks, format!("{} marks, not {}", self.marks, right.marks));
        must(self.unmarks == right.unmarks, format!("{} un-marks, not {}", self.unmarks, right.unmarks));
        if let Some(ends) = right.ends {
            must((ends == Ends::Registered) == registered, format!("in the end {:?}, not {ends:?}", self.health));
        }
        if let Some(within) = right.back {
            let back = self.back(scenario);
            must(back.is_some_and(|back| back <= within), format!("back after {back:?}, not within {within:?}"));
        }
        let last = match (right.act, right.ends) {
            (Act::Hold, Some(Ends::Unregistered)) => Some(Health::Held),
            (Act::Condemn, Some(Ends::Unregistered)) => Some(Health::Condemned),
            _ => None,
        };
        if let Some(last) = last {
            must(self.health == Some(last), format!("the last health is {:?}, not {last}", self.health));
        }
        faults
    }

    fn act_faults(&self, scenario: &Scenario) -> Vec<String> {
        let right = &scenario.right;
        let mut faults = vec![];
        match self.acted {
            None if right.act == Act::Nothing => {
                if self.held || self.handed_over && scenario.world.age > Duration::ZERO {
                    faults.push("something was done".into());
                }
            }
            None => faults.push(format!("never: {:?}", right.act)),
            Some((at, blame)) => {
                let within = right.within.unwrap_or(right.watch);
                if at < right.after || at > within {
                    faults.push(format!("{:?} after {at:?}, not between {:?} and {within:?}", right.act, right.after));
                }
                if right.blame.is_some() && blame != right.blame {
                    faults.push(format!("blame {blame:?}, not {:?}", right.blame));
                }
            }
        }
        faults
    }
}
