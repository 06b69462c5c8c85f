//! When which connector is looked at.

use super::Clock;
use super::hang::Keeper;
use super::remote::Remote;
use cflared_verdict::{Generation, Mono, Observation, Ready, RunId};
use cloudflared::sockets::{Listener, Sockets};
use connector::{Child, Deciding, Handle, Manner};
use observe::{Observer, Page, Pushed};
use std::sync::Arc;
use std::time::Duration;

/// A young child is looked at this soon, then after twice as long each time, up to the interval of the settings, so that
/// a registration is seen at once and costs no wake-ups later.
const FIRST: Duration = Duration::from_millis(100);

/// A complaint of one kind is taken this often at most. It rides on the looks, and costs no wake-up of its own.
const HEARD: Duration = Duration::from_secs(1);

/// So long after a look the child may bring about another one.
const STIRRED: Duration = Duration::from_secs(1);

/// How long a last look before a child is stopped may take.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How a child is stopped, by what a last look at it finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// It holds a connection.
    pub registered: Manner,
    /// It holds none.
    pub unregistered: Manner,
    /// It does not answer.
    pub silent: Manner,
}

impl Manners {
    /// By what `/ready` said; `None`: nothing in time.
    fn of(self, ready: Option<&Ready>) -> Manner {
        match ready {
            Some(Ready::Yes { .. }) => self.registered,
            Some(Ready::No) => self.unregistered,
            Some(Ready::Foreign { .. } | Ready::Unanswered { .. }) | None => self.silent,
        }
    }
}

/// A connector and the looks at it.
#[derive(Debug)]
pub(super) struct Watched {
    pub handle: Handle,
    pub generation: Generation,
    /// The last page of its metrics.
    pub page: Option<Page>,
    /// The configuration by which it serves in place of its bundle.
    pub remote: Option<Remote>,
    /// Whether the next look reads its metrics too, changed or not.
    pub page_due: bool,
    pace: Duration,
    next: Mono,
    /// When it was looked at last.
    looked: Mono,
    /// When the complaints were last taken.
    heard: Mono,
    /// A look is under way.
    looking: bool,
    /// It began at another child than the one that there is now.
    outdated: bool,
    ready: Option<Ready>,
    /// The child that was shown to have its port. While it lives nobody else can listen there, so it is looked up once.
    proven: Option<u32>,
}

/// What a look saw.
#[derive(Debug)]
pub(super) struct Look {
    pub run: RunId,
    pub observation: Observation,
    pub page: Option<Page>,
    /// The configuration in force, if that could be read: `None` in it is the bundle's.
    pub pushed: Option<Option<Pushed>>,
    /// How long `/ready` took.
    pub took: Duration,
    /// The child, if it was shown to have its port.
    proven: Option<u32>,
}

impl Watched {
    pub fn new(handle: Handle, generation: Generation) -> Self {
        Self {
            handle,
            generation,
            page: None,
            remote: None,
            page_due: false,
            pace: FIRST,
            next: Mono::default(),
            looked: Mono::default(),
            heard: Mono::default(),
            looking: false,
            outdated: false,
            ready: None,
            proven: None,
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

    /// The look that is due now; none before a child was executed.
    pub fn look(
        &mut self,
        run: RunId,
        clock: Clock,
        observer: Arc<Observer>,
    ) -> Option<impl Future<Output = Look> + Send + use<>> {
        let now = clock.mono();
        self.next = now + self.pace;
        let child = self.handle.child()?;
        self.looking = true;
        self.looked = now;
        if now.since(self.heard) >= HEARD {
            self.heard = now;
            self.handle.complain_again();
        }
        let page_due = std::mem::take(&mut self.page_due);
        let (before, proven) = (self.ready.clone(), self.proven == Some(child.pid));
        Some(async move {
            let mut proven = proven;
            let mut observation = observe(&observer, child, &mut proven).await;
            let took = clock.mono().since(now);
            let changed = before.as_ref() != Some(&observation.ready);
            let page = match observation.ready {
                Ready::Yes { .. } if page_due || changed => observer.metrics(child.metrics).await.ok(),
                // What it tries shows nowhere else.
                Ready::No => observer.metrics(child.metrics).await.ok(),
                Ready::Yes { .. } | Ready::Foreign { .. } | Ready::Unanswered { .. } => None,
            };
            // Garbage costs nothing but the numbers.
            if let Some(page) = &page {
                (observation.ha_connections, observation.tries) = (page.ha_connections, page.tries);
            }
            if changed && matches!(observation.ready, Ready::Yes { .. } | Ready::No) {
                observation.transport = observer.diag(child.metrics).await.ok().and_then(|diag| diag.transport());
            }
            let pushed = match observation.ready {
                Ready::Yes { .. } | Ready::No => observer.pushed(child.metrics).await.ok(),
                Ready::Foreign { .. } | Ready::Unanswered { .. } => None,
            };
            Look { run, observation, page, pushed, took, proven: proven.then_some(child.pid) }
        })
    }

    /// A last look before the child is stopped.
    pub fn last_look(&self, observer: Arc<Observer>, manners: Manners) -> Deciding {
        let (child, proven) = (self.handle.child(), self.proven);
        Box::pin(async move { manners.of(last_ready(&observer, child, proven).await.as_ref()) })
    }

    /// The same before it is restarted: of one that is alive and does not answer, what can be seen is kept.
    pub fn last_look_before_restart(&self, observer: Arc<Observer>, manners: Manners, keeper: Keeper) -> Deciding {
        let (child, proven) = (self.handle.child(), self.proven);
        Box::pin(async move {
            let ready = last_ready(&observer, child, proven).await;
            if let (Some(child), None | Some(Ready::Unanswered { .. })) = (child, &ready) {
                keeper.keep(&observer, child).await;
            }
            manners.of(ready.as_ref())
        })
    }

    /// Looks again soon, if the child says that a connection has come or gone: 0.1 s later, but only a second after the last look,
    /// for it may say so without end.
    pub fn stirred(&mut self, now: Mono) {
        if self.handle.take_stirred() {
            self.hurry((now + FIRST).max(self.looked + STIRRED));
        }
    }

    /// Looks again at that moment at the latest.
    pub fn hurry(&mut self, at: Mono) {
        self.next = self.next.min(at);
    }

    /// Takes what a look saw, and says whether it is still true of the child that there is. The pace slows down to
    /// `interval`.
    pub fn seen(&mut self, look: &Look, interval: Duration) -> bool {
        self.looking = false;
        if std::mem::take(&mut self.outdated) {
            return false;
        }
        self.ready = Some(look.observation.ready.clone());
        self.proven = look.proven;
        if look.page.is_some() {
            self.page = look.page.clone();
        }
        self.pace = (self.pace * 2).min(interval);
        true
    }
}

/// What `/ready` of a child says at last; `None`: nothing in time, or there is no child.
async fn last_ready(observer: &Observer, child: Option<Child>, proven: Option<u32>) -> Option<Ready> {
    let child = child?;
    let look = async { observe(observer, child, &mut (proven == Some(child.pid))).await.ready };
    tokio::time::timeout(LAST_LOOK, look).await.ok()
}

/// Looks at `/ready` of a child. `proven`: it has been shown to have its port.
pub(super) async fn observe(observer: &Observer, child: Child, proven: &mut bool) -> Observation {
    let id = child.connector_id.map(|id| id.to_string());
    let known = *proven;
    let listener = async {
        if !known {
            let find = move || Sockets::default().listener(child.metrics, Some(child.pid));
            let listener = tokio::task::spawn_blocking(find).await.unwrap_or(Listener::Unclear);
            *proven = listener == Listener::Ours;
            return listener;
        }
        Listener::Ours
    };
    observer.look(child.metrics, id.as_deref(), listener).await
}
