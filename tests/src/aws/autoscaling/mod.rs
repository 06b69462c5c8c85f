//! Auto Scaling: groups and what becomes of their instances. Time passes whenever somebody looks.

mod api;
mod group;
mod handle;
mod lifecycle;
mod types;

pub use types::{Activity, Group, GroupInstance, Health, Hook, HookResult, Move, Refresh, Transition};

use serde::Serialize;
use std::collections::BTreeMap;

/// A `SetInstanceHealth` that was answered with success, and whether it did anything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// The instance.
    pub instance: String,
    /// What it was to be.
    pub health: Health,
    /// Whether the caller let the grace period protect the instance (`ShouldRespectGracePeriod`).
    pub respects_grace: bool,
    /// False: the instance was in its grace period, and nothing happened.
    pub took_effect: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// All groups of the account.
#[derive(Debug, Default)]
pub struct Scaling {
    groups: BTreeMap<String, Group>,
    marks: Vec<Mark>,
}

impl Scaling {
    /// Puts a group there, in place of one of the same name. If it says not how many instances are desired, it is as many as
    /// it has.
    pub fn put(&mut self, mut group: Group) {
        group.desired.get_or_insert(group.instances.len());
        self.groups.insert(group.name.clone(), group);
    }

    /// Every group as it is at `now_ms`, by name.
    pub fn groups(&mut self, now_ms: u64) -> &BTreeMap<String, Group> {
        self.advance(now_ms);
        &self.groups
    }

    /// A group to change.
    pub fn group_mut(&mut self, name: &str, now_ms: u64) -> Option<&mut Group> {
        self.advance(now_ms);
        self.groups.get_mut(name)
    }

    /// Every mark that was answered with success.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Starts the record of marks anew.
    pub fn forget(&mut self) {
        self.marks.clear();
    }

    /// Begins to end an instance for another cause than its health. Gives false if no group has it.
    pub fn terminate(&mut self, instance: &str, cause: &str, now_ms: u64) -> bool {
        let found = self.group_of(instance, now_ms);
        found.map(|group| group.begin_termination(instance, cause, now_ms)).is_some()
    }

    /// Makes an instance go another way. Gives false if no group has it, or it cannot from where it is.
    pub fn go(&mut self, instance: &str, way: Move, now_ms: u64) -> bool {
        self.group_of(instance, now_ms).is_some_and(|group| group.go(instance, way, now_ms))
    }

    /// Adds an activity that ended an instance `age_ms` ago; `why` follows "At …" in its cause. Gives false if there is
    /// no such group.
    pub fn plant_activity(&mut self, group: &str, instance: &str, why: &str, age_ms: u64, now_ms: u64) -> bool {
        let found = self.group_mut(group, now_ms);
        found.map(|group| group.plant_termination(instance, why, now_ms.saturating_sub(age_ms))).is_some()
    }

    /// Begins a refresh in that state, or brings the last one into it if that is under way. Gives false if there is no such
    /// group.
    pub fn set_refresh(&mut self, group: &str, status: &str, now_ms: u64) -> bool {
        self.group_mut(group, now_ms).map(|group| group.set_refresh(status, now_ms)).is_some()
    }

    fn group_of(&mut self, instance: &str, now_ms: u64) -> Option<&mut Group> {
        self.advance(now_ms);
        self.groups.values_mut().find(|group| group.instances.contains_key(instance))
    }

    fn advance(&mut self, now_ms: u64) {
        self.groups.values_mut().for_each(|group| group.advance(now_ms));
    }
}
