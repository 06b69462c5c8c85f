//! The orders of a hand-over: its questions before the successor starts, and before the successor takes over.

use super::Agent;
use super::orders::{News, not_booted};
use bundle::Store;
use cflared_verdict::{Failure, FailureKind, Generation, Order, OrderId, Report, RunId};
use observe::memory;
use std::time::Duration;

/// How long the origins may take: the rules from the disk, then the tries, which are over within 5 s.
const COMPARE: Duration = Duration::from_secs(10);
/// How long memory may take to be measured: a dozen small files of the kernel's.
const MEASURE: Duration = Duration::from_secs(5);

impl Agent {
    pub(super) fn compare_origins(&mut self, id: OrderId, old: Generation, new: Generation) {
        let order = Order::CompareOrigins { old, new };
        let report = move |result| Report::CompareOrigins(new, result);
        let Some(store) = self.host.as_ref().map(|host| host.store.store().clone()) else {
            return self.spawn(id, COMPARE, order, report, async { Err(not_booted()) });
        };
        // A new version is compared once, so that this is never what uses the allowance up; it counts against it all the same.
        let _ = self.streams.take(self.clock.mono());
        let prober = self.prober.within(self.policy());
        self.spawn(id, COMPARE, order, report, async move {
            let rules = move |store: &Store| Ok::<_, Failure>((store.rules(old)?, store.rules(new)?));
            let (old, new) = blocking(move || rules(&store)).await?;
            Ok((prober.lost(&old, &new).await, News::None))
        });
    }

    pub(super) fn measure_memory(&mut self, id: OrderId, like: RunId) {
        let view = self.verdict.view(self.clock.mono());
        let pid = view.runs.iter().find(|(run, _)| *run == like).and_then(|(_, run)| run.pid);
        self.spawn(id, MEASURE, Order::MeasureMemory { like }, Report::MeasureMemory, async move {
            let pid = pid.ok_or_else(|| {
                Failure::new(
                    FailureKind::Missing,
                    "failed to measure the connector's memory: no child of it lives right now",
                )
            })?;
            let measured = blocking(move || memory::measure(&memory::Kernel::default(), pid).map_err(Failure::from));
            Ok((measured.await?, News::None))
        });
    }
}

/// Runs `work` on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Failure::new(FailureKind::Host, format!("failed to work on this host: {error}"))))
}
