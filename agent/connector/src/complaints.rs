//! The complaints of a run's children, passed on at a bounded rate.
//!
//! A child may print the same complaint a hundred thousand times a second. The first is told at once; what comes of its
//! kind until somebody [asks](Complaints::tell_again) is kept as one more, and told then. So a complaint is never lost,
//! and each kind costs one fact an asking at most.

use cflared_verdict::{Complaint, RunFact, RunId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// The complaints of one run.
#[derive(Debug)]
pub(super) struct Complaints {
    run: RunId,
    facts: mpsc::UnboundedSender<(RunId, RunFact)>,
    /// The kinds that were told since the last asking, each with the words of the first that came after.
    told: Mutex<BTreeMap<Complaint, Option<String>>>,
}

impl Complaints {
    pub fn new(run: RunId, facts: mpsc::UnboundedSender<(RunId, RunFact)>) -> Self {
        Self { run, facts, told: Mutex::default() }
    }

    /// A child complained. The words are asked for only if they are told, now or later.
    pub fn hear(&self, complaint: Complaint, words: impl FnOnce() -> String) {
        // Each change leaves it whole, so that a panic in between does no harm.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(&complaint) {
            Some(Some(_)) => {}
            Some(again) => *again = Some(words()),
            None => {
                told.insert(complaint, None);
                self.tell(complaint, words());
            }
        }
    }

    /// Tells what was held back.
    pub fn tell_again(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|&complaint, again| {
            let words = again.take();
            let more = words.is_some();
            if let Some(words) = words {
                self.tell(complaint, words);
            }
            more
        });
    }

    fn tell(&self, complaint: Complaint, text: String) {
        // Nobody listens any more: the agent is about to end.
        let _ = self.facts.send((self.run, RunFact::Complained { complaint, text }));
    }
}

#[cfg(test)]
mod tests;
