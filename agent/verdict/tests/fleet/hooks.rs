//! The group's lifecycle hooks: it waits for an answer, or for the end of its patience.

use super::group::{Later, Member};
use super::plant::Plant;
use super::trace::Entry;
use super::{Fleet, Ms, S};
use cflared_verdict::{Failure, FailureKind, Hook, HookResult, Notices, Place, Target};
use std::time::Duration;

/// A launch and a terminate hook with this time-out, whose default results are the service's own: ABANDON.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    pub timeout: Ms,
}

/// The hook at which an instance of that state waits.
fn waiting_at(lifecycle: &str) -> Option<Hook> {
    match lifecycle {
        "Pending:Wait" => Some(Hook::Launch),
        "Terminating:Wait" => Some(Hook::Terminate),
        _ => None,
    }
}

impl Fleet {
    /// Whether the group waits at hooks.
    pub fn hooks(&self) -> Option<Hooks> {
        self.group.hooks.filter(|_| self.plant != Plant::NoHook)
    }

    /// The group begins to wait there.
    pub fn wait_at(&mut self, i: usize, lifecycle: &'static str) {
        let Some(hooks) = self.hooks() else { return };
        self.enter(i, lifecycle, self.now + hooks.timeout);
        self.later(self.now + hooks.timeout, Later::OutOfPatience(i));
    }

    pub fn enter(&mut self, i: usize, lifecycle: &'static str, until: Ms) {
        let now = self.now;
        let Some(member) = self.group.member_mut(i) else { return };
        if waiting_at(member.lifecycle).is_some() {
            member.waited = Some(now);
        }
        (member.lifecycle, member.waits_until) = (lifecycle, until);
        self.group_changed();
    }

    pub fn out_of_patience(&mut self, i: usize) {
        let Some(member) = self.group.member(i).filter(|member| member.waits_until <= self.now) else { return };
        if let Some(hook) = waiting_at(member.lifecycle) {
            self.note_world(format!("nobody answered for #{i} at {hook:?}"));
            self.go_on(i, hook, HookResult::Abandon);
        }
    }

    fn go_on(&mut self, i: usize, hook: Hook, result: HookResult) {
        match (hook, result) {
            (Hook::Launch, HookResult::Continue) => {
                self.enter(i, "Pending:Proceed", Ms::MAX);
                let soon = self.rng.between(S, 5 * S);
                self.later(self.now + soon, Later::InService(i));
            }
            (Hook::Launch, HookResult::Abandon) => {
                self.group.abandoned += 1;
                self.note_world(format!("#{i} is given up before it was in service"));
                self.enter(i, "Terminating", Ms::MAX);
                self.end(i);
            }
            (Hook::Terminate, _) => {
                self.enter(i, "Terminating:Proceed", Ms::MAX);
                self.end(i);
            }
        }
    }

    /// CompleteLifecycleAction.
    pub fn complete_hook(&mut self, i: usize, hook: Hook, result: HookResult) -> Result<(), Failure> {
        self.waits(i, hook)?;
        self.note(i, Entry::World(format!("{hook:?} is completed: {result:?}")));
        self.go_on(i, hook, result);
        Ok(())
    }

    /// RecordLifecycleActionHeartbeat.
    pub fn heartbeat(&mut self, i: usize, hook: Hook) -> Result<(), Failure> {
        self.waits(i, hook)?;
        let lifecycle = if hook == Hook::Launch { "Pending:Wait" } else { "Terminating:Wait" };
        self.wait_at(i, lifecycle);
        Ok(())
    }

    fn waits(&self, i: usize, hook: Hook) -> Result<(), Failure> {
        self.describe(i, 0)?;
        let there = self.group.member(i).is_some_and(|member| waiting_at(member.lifecycle) == Some(hook));
        there.then_some(()).ok_or_else(|| Failure::new(FailureKind::Invalid, "no active lifecycle action"))
    }

    /// Whether the group waits there, or did a moment ago.
    pub fn waits_or_waited(&self, i: usize, hook: Hook) -> bool {
        const SHOWN_LATE: Ms = 6 * S;
        let fits = |member: &Member| {
            waiting_at(member.lifecycle) == Some(hook)
                || member.waited.is_some_and(|waited| self.now - waited <= SHOWN_LATE)
        };
        self.group.member(i).is_some_and(fits)
    }

    /// What a read gives that began `lag` too early.
    pub fn place(&self, i: usize, lag: Ms) -> Result<Place, Failure> {
        let group = self.describe(i, lag)?;
        let lifecycle = group.myself().map(|me| me.lifecycle.clone()).unwrap_or_default();
        let timeout = self.group.hooks.map(|hooks| Duration::from_millis(hooks.timeout));
        Ok(Place { lifecycle, rank: group.rank(), launch_timeout: timeout, terminate_timeout: timeout })
    }

    /// What the metadata service says: it is never late.
    pub fn notices(&self, i: usize) -> Notices {
        let target = self.group.member(i).map(|member| match member.lifecycle {
            "Standby" => Target::Standby,
            going if going.starts_with("Terminating") => Target::Terminated,
            _ => Target::InService,
        });
        Notices { target, ..Notices::default() }
    }
}
