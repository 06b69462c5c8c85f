//! When which connector is looked at.

use super::Clock;
use crate::connector::Handle;
use crate::observe::{Observer, Page};
use cflared_verdict::{Generation, Mono, Observation, Ready, RunId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A young child is looked at this soon, then after twice as long each time, up to the interval of the settings, so that
/// a registration is seen at once and costs no wake-ups later.
const FIRST: Duration = Duration::from_millis(100);

/// A complaint of one kind is taken this often at most. It rides on the looks, and costs no wake-up of its own.
const HEARD: Duration = Duration::from_secs(1);

/// A connector and the looks at it.
#[derive(Debug)]
pub(super) struct Watched {
    pub handle: Handle,
    pub metrics: SocketAddr,
    pub generation: Generation,
    /// The last page of its metrics.
    pub page: Option<Page>,
    /// Whether the next look reads its metrics too, changed or not.
    pub page_due: bool,
    pace: Duration,
    next: Mono,
    /// When the complaints were last taken.
    heard: Mono,
    /// A look is under way.
    looking: bool,
    /// It began at another child than the one that there is now.
    outdated: bool,
    ready: Option<Ready>,
}

/// What a look saw.
#[derive(Debug)]
pub(super) struct Look {
    pub run: RunId,
    pub observation: Observation,
    pub page: Option<Page>,
    /// How long `/ready` took.
    pub took: Duration,
}

impl Watched {
    pub fn new(handle: Handle, metrics: SocketAddr, generation: Generation) -> Self {
        Self {
            handle,
            metrics,
            generation,
            page: None,
            page_due: false,
            pace: FIRST,
            next: Mono::default(),
            heard: Mono::default(),
            looking: false,
            outdated: false,
            ready: None,
        }
    }

    /// A new child was executed, or the old one is gone.
    pub fn child_changed(&mut self, now: Mono) {
        self.pace = FIRST;
        self.next = now + FIRST;
        self.outdated = self.looking;
        self.ready = None;
        self.page = None;
    }

    /// When the next look is due; `None` while one is under way.
    pub fn due(&self) -> Option<Mono> {
        (!self.looking).then_some(self.next)
    }

    /// The look that is due now.
    pub fn look(
        &mut self,
        run: RunId,
        clock: Clock,
        observer: Arc<Observer>,
    ) -> impl Future<Output = Look> + Send + use<> {
        let now = clock.mono();
        self.looking = true;
        self.next = now + self.pace;
        if now.since(self.heard) >= HEARD {
            self.heard = now;
            self.handle.complain_again();
        }
        let page_due = std::mem::take(&mut self.page_due);
        let (metrics, before) = (self.metrics, self.ready.clone());
        let connector = self.handle.connector_id().map(|id| id.to_string());
        async move {
            let mut observation = observer.look(metrics, connector.as_deref()).await;
            let took = clock.mono().since(now);
            let ours = matches!(observation.ready, Ready::Yes { .. } | Ready::No);
            let changed = before.as_ref() != Some(&observation.ready);
            // Garbage costs nothing but the numbers.
            let page = if ours && (page_due || changed) { observer.metrics(metrics).await.ok() } else { None };
            observation.ha_connections = page.as_ref().and_then(|page| page.ha_connections);
            Look { run, observation, page, took }
        }
    }

    /// Takes what a look saw, and says whether it is still true of the child that there is. The pace slows down to
    /// `interval`.
    pub fn seen(&mut self, look: &Look, interval: Duration) -> bool {
        self.looking = false;
        if std::mem::take(&mut self.outdated) {
            return false;
        }
        self.ready = Some(look.observation.ready.clone());
        if look.page.is_some() {
            self.page = look.page.clone();
        }
        self.pace = (self.pace * 2).min(interval);
        true
    }
}
