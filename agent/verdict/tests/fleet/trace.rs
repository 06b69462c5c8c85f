//! What happened, for a person and for assertions.

use super::{Fleet, Ms};
use cflared_verdict::{Complaint, Decision, Health, Order, Report, RunId};
use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One line of the trace.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: Ms,
    /// The instance that it is about; `None`: the group.
    pub who: Option<usize>,
    pub what: Entry,
}

/// What happened.
#[derive(Debug, Clone)]
#[allow(dead_code)] // what it carries is read by Debug only, which does not count
pub enum Entry {
    AgentStarted,
    Gone,
    Spawned(RunId),
    Registered(RunId),
    Lost(RunId),
    Froze(RunId),
    Exited(RunId),
    Complained(Complaint),
    Decided(Decision),
    Health(Health),
    Ordered(Order),
    Done(Order, Report),
    /// The group shows our mark, or shows it no longer.
    Marked(bool),
    /// Something about the world: a fault, a step of the group.
    World(String),
}

/// The last lines.
#[derive(Debug)]
pub struct Trace {
    pub lines: VecDeque<Line>,
    pub keep: usize,
}

impl Trace {
    pub fn new(keep: usize) -> Self {
        Self { lines: VecDeque::new(), keep }
    }

    pub fn push(&mut self, line: Line) {
        if self.lines.len() >= self.keep {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

impl Fleet {
    pub fn note(&mut self, i: usize, what: Entry) {
        self.count(&what);
        self.trace.push(Line { at: self.now, who: Some(i), what });
    }

    pub fn note_world(&mut self, what: impl Into<String>) {
        self.trace.push(Line { at: self.now, who: None, what: Entry::World(what.into()) });
    }

    /// The last lines about those instances (all if there are none) and the group, as text.
    pub fn tell_trace(&self, last: usize, about: &[usize]) -> String {
        let fits = |line: &&Line| line.who.is_none_or(|who| about.is_empty() || about.contains(&who));
        let lines: Vec<&Line> = self.trace.lines.iter().filter(fits).collect();
        let skipped = lines.len().saturating_sub(last);
        lines[skipped..].iter().map(|line| self.tell_line(line) + "\n").collect()
    }

    /// The last lines before a moment, about one instance and the group.
    pub fn trace_until(&self, end: Ms, last: usize, about: usize) -> String {
        let fits = |line: &&Line| line.at <= end && line.who.is_none_or(|who| who == about);
        let lines: Vec<&Line> = self.trace.lines.iter().filter(fits).collect();
        lines[lines.len().saturating_sub(last)..].iter().map(|line| self.tell_line(line) + "\n").collect()
    }

    /// A number that stands for everything that was noted since then.
    pub fn digest(&self, since: Ms) -> u64 {
        let mut hasher = DefaultHasher::new();
        let lines = self.trace.lines.iter().filter(|line| line.at >= since);
        lines.for_each(|line| self.tell_line(line).hash(&mut hasher));
        hasher.finish()
    }

    fn tell_line(&self, line: &Line) -> String {
        let who = line.who.map_or("group".into(), |i| format!("#{i} {}", &self.instances[i].id[..6]));
        let (s, ms) = (line.at / 1000, line.at % 1000);
        let what = match &line.what {
            Entry::Decided(decision) => format!("decides: {} ({})", decision.what, decision.evidence),
            Entry::Ordered(order) => format!("orders {order:?}"),
            Entry::Done(order, report) => format!("done {order:?}: {report:?}"),
            Entry::World(text) => text.clone(),
            other => format!("{other:?}"),
        };
        format!("{:>4}d {:02}:{:02}:{:02}.{ms:03} {who:>10} {what}", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60)
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell_trace(400, &[]))
    }
}
