//! The orders of arrival and departure: notices, the instance's place in its group, and the hooks.

use super::Agent;
use super::ending::{FLUSH, LAST_WRITES};
use super::guard::disabled;
use super::orders::{News, done, not_booted};
use aws::autoscaling::Lifecycle;
use cflared_verdict::{Failure, Hook, HookResult, Order, OrderId, Report};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How long a read may take; the rooms give up earlier themselves, and say why.
const READ: Duration = Duration::from_secs(20);
/// How long a hook may take, with what is to be done before: the pause for a log shipper, the flush, and two calls.
const HOOK: Duration = Duration::from_secs(45);

impl Agent {
    pub(super) fn read_notices(&mut self, id: OrderId) {
        let notices = self.notices.clone();
        self.spawn(id, READ, Order::ReadNotices, Report::ReadNotices, async move {
            Ok((notices.read().await.map_err(Failure::from)?, News::None))
        });
    }

    pub(super) fn read_place(&mut self, id: OrderId) {
        let lifecycle = self.lifecycle();
        self.spawn(id, READ, Order::ReadPlace, Report::ReadPlace, async move {
            let (place, membership) = lifecycle?.place().await.map_err(Failure::from)?;
            Ok((place, News::Membership(membership)))
        });
    }

    pub(super) fn read_refusals(&mut self, id: OrderId) {
        let reader = self.peer_reader("it is not known what others refuse");
        self.spawn(id, READ, Order::ReadRefusals, Report::ReadRefusals, async move {
            let (peers, of, wall) = reader?;
            Ok((peers.refusals(&of, wall).await?, News::None))
        });
    }

    /// Who is about to end leaves its last datapoints first, and one that is given up its evidence too: the post-mortem must
    /// survive the host.
    pub(super) fn complete_hook(&mut self, id: OrderId, hook: Hook, result: HookResult) {
        let order = Order::CompleteHook { hook, result };
        let abandoned = result == HookResult::Abandon;
        if abandoned && !self.dry_run {
            self.log_evidence("the launch is about to be abandoned");
        }
        let pause = if abandoned { super::config::config(&self.settings).evidence_pause } else { Duration::ZERO };
        let ends = abandoned || hook == Hook::Terminate;
        let flushed = if ends { self.flush(true) } else { None };
        let (saved, lifecycle) = (self.save(), self.lifecycle());
        let report = move |done| Report::CompleteHook(hook, done);
        self.spawn(id, HOOK, order, report, async move {
            let lifecycle = lifecycle?;
            if let Some(flushed) = flushed
                && tokio::time::timeout(FLUSH, flushed).await.is_err()
            {
                warn!(event = "last_datapoints_not_taken", "the last datapoints were not queued in time");
            }
            // A disk that does not take the state is no reason to keep the group waiting; the writer says what is wrong.
            let _ = tokio::time::timeout(LAST_WRITES, saved).await;
            tokio::time::sleep(pause).await;
            lifecycle.complete(hook, result).await.map(done).map_err(Failure::from)
        });
    }

    pub(super) fn heartbeat(&mut self, id: OrderId, hook: Hook) {
        let lifecycle = self.lifecycle();
        let report = move |done| Report::Heartbeat(hook, done);
        self.spawn(id, READ, Order::Heartbeat { hook }, report, async move {
            lifecycle?.heartbeat(hook).await.map(done).map_err(Failure::from)
        });
    }

    fn lifecycle(&self) -> Result<Arc<Lifecycle>, Failure> {
        let host = self.host.as_ref().ok_or_else(not_booted)?;
        host.lifecycle.clone().ok_or_else(|| disabled("autoscaling", "the instance's place in its group is not read"))
    }
}
