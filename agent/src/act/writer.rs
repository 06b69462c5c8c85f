//! The thread for small blocking work on this host: status file, state file, systemd.
//!
//! One thread, so that files are replaced in the order they were given. Nothing queues: a newer status, state or notice
//! takes the place of one that still waits, so a stuck host costs a few kilobytes. What fails is counted and logged
//! once, and never stops the agent.

use super::notify::{Notice, Notifier, Pending};
use input::file;
use status::STATUS_FILE;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{info, warn};

/// The name of the state file in the runtime directory.
pub const STATE_FILE: &str = "state.json";

/// When a notice that systemd did not take is offered again.
const NOTIFY_AGAIN: Duration = Duration::from_secs(1);

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file could not be replaced; the one that was there still is.
    #[error("failed to write {}: {cause}; the directory must belong to the agent's user and have room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The writer has been closed.
    #[error("failed to write the state: the writer is closed, the agent is going down")]
    Closed,
}

/// What went wrong so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// How many writes and notices failed in the agent's life.
    pub failures: u64,
    /// What fails now, if anything does.
    pub current: Option<String>,
}

/// The handle to the thread. The thread ends when this is closed or dropped, after it has done what was asked.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    wake: Condvar,
    trouble: Mutex<[Failing; 3]>,
}

#[derive(Debug, Default)]
struct Jobs {
    status: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
    state_waiters: Vec<oneshot::Sender<Result<(), Error>>>,
    notices: Pending,
    /// The status text that systemd has, or is to get.
    status_text: Option<String>,
    closed: bool,
    closed_waiters: Vec<oneshot::Sender<()>>,
}

impl Jobs {
    /// Whether there is nothing to do.
    fn is_empty(&self) -> bool {
        self.status.is_none() && self.state.is_none() && self.notices.is_empty() && !self.closed
    }

    /// Takes all that is to be done.
    fn take(&mut self) -> Self {
        let (closed, status_text) = (self.closed, self.status_text.clone());
        mem::replace(self, Self { closed, status_text, ..Self::default() })
    }
}

/// The kinds of work: indices of [`Shared::trouble`].
#[derive(Debug, Clone, Copy)]
enum Work {
    Status,
    State,
    Notify,
}

/// How one kind of work fares.
#[derive(Debug, Default)]
struct Failing {
    failures: u64,
    current: Option<String>,
}

impl Writer {
    /// Starts the thread. Files go to `runtime_dir`, notices to `notifier`.
    ///
    /// # Errors
    /// The thread cannot be started. A directory that is missing or foreign shows when something is written.
    pub fn start(runtime_dir: &Path, notifier: Notifier) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = Thread {
            shared: shared.clone(),
            status_path: runtime_dir.join(STATUS_FILE),
            state_path: runtime_dir.join(STATE_FILE),
            notifier,
        };
        std::thread::Builder::new().name("writer".into()).spawn(move || thread.run())?;
        Ok(Self { shared })
    }

    /// Has the status file replaced by `json`, some time soon. A status that still waits is given up for this one.
    pub fn status(&self, json: Vec<u8>) {
        self.ask(|jobs| jobs.status = Some(json));
    }

    /// Has the state file replaced by `json`; what is returned is done when that is on disk. The order is given by the
    /// calls, not by who waits first. A state that still waits is given up for this one, which must include it.
    ///
    /// # Errors
    /// The file could not be replaced, or the writer is closed.
    pub fn state(&self, json: Vec<u8>) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<> {
        let (done, wait) = oneshot::channel();
        self.ask(|jobs| {
            jobs.state = Some(json);
            jobs.state_waiters.push(done);
        });
        async { wait.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Has systemd told, some time soon. A status text that it was told last costs nothing, not even a wake-up.
    pub fn notify(&self, notice: Notice) {
        self.ask(|jobs| match &notice {
            Notice::Status(text) if jobs.status_text.as_ref() == Some(text) => {}
            Notice::Status(text) => {
                jobs.status_text = Some(text.clone());
                jobs.notices.add(notice);
            }
            _ => jobs.notices.add(notice),
        });
    }

    /// Lets the thread do what it was asked for, and end. What is asked for afterwards is not done.
    pub async fn close(&self) {
        let (done, wait) = oneshot::channel();
        self.ask(|jobs| {
            jobs.closed_waiters.push(done);
            jobs.closed = true;
        });
        // The sender is dropped unused if the thread had ended before: it is closed all the same.
        let _ = wait.await;
    }

    /// What went wrong so far.
    pub fn trouble(&self) -> Trouble {
        let kinds = lock(&self.shared.trouble);
        Trouble {
            failures: kinds.iter().map(|kind| kind.failures).sum(),
            current: kinds.iter().find_map(|kind| kind.current.clone()),
        }
    }

    fn ask(&self, job: impl FnOnce(&mut Jobs)) {
        let mut jobs = lock(&self.shared.jobs);
        if !jobs.closed {
            job(&mut jobs);
            if !jobs.is_empty() {
                self.shared.wake.notify_one();
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ask(|jobs| jobs.closed = true);
    }
}

struct Thread {
    shared: Arc<Shared>,
    status_path: PathBuf,
    state_path: PathBuf,
    notifier: Notifier,
}

impl Thread {
    fn run(self) {
        loop {
            let jobs = self.next();
            let last = jobs.closed;
            self.write_state(jobs.state, jobs.state_waiters);
            self.notify(jobs.notices, last);
            if let Some(json) = jobs.status {
                let _ = self.replace(Work::Status, 0o644, &json);
            }
            if last {
                for waiter in jobs.closed_waiters {
                    // Whoever stopped waiting does not mind.
                    let _ = waiter.send(());
                }
                return;
            }
        }
    }

    /// Waits for something to do, and takes all of it.
    fn next(&self) -> Jobs {
        let mut jobs = lock(&self.shared.jobs);
        while jobs.is_empty() {
            jobs = self.shared.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        jobs.take()
    }

    fn write_state(&self, json: Option<Vec<u8>>, waiters: Vec<oneshot::Sender<Result<(), Error>>>) {
        let Some(json) = json else { return };
        let result = self.replace(Work::State, 0o600, &json);
        for waiter in waiters {
            // Whoever stopped waiting does not mind.
            let _ = waiter.send(result.clone());
        }
    }

    fn replace(&self, work: Work, mode: u32, json: &[u8]) -> Result<(), Error> {
        let path = if let Work::State = work { &self.state_path } else { &self.status_path };
        let result = file::replace(path, mode, json)
            .map_err(|error| Error::Write { path: path.clone(), cause: error.to_string() });
        self.report(work, result.as_ref().err().map(ToString::to_string));
        result
    }

    fn notify(&self, notices: Pending, last: bool) {
        if notices.is_empty() {
            return;
        }
        match self.notifier.send(&notices) {
            Ok(()) => self.report(Work::Notify, None),
            Err(error) => {
                self.report(Work::Notify, Some(format!("failed to notify systemd: {error}")));
                self.notify_later(notices, last);
            }
        }
    }

    /// Puts the notices back. The wait is cut short by the next job, and left out at the end.
    fn notify_later(&self, notices: Pending, last: bool) {
        let jobs = lock(&self.shared.jobs);
        if !last {
            let idle = |jobs: &mut Jobs| jobs.status.is_none() && jobs.state.is_none() && !jobs.closed;
            let waited = self.shared.wake.wait_timeout_while(jobs, NOTIFY_AGAIN, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0.notices.put_back(notices);
        }
    }

    /// Counts a failure, and logs what changes: not every one of a thousand.
    fn report(&self, work: Work, failure: Option<String>) {
        let failing = &mut lock(&self.shared.trouble)[work as usize];
        match &failure {
            Some(cause) => {
                failing.failures += 1;
                if failing.current.as_ref() != Some(cause) {
                    warn!(%cause, failures = failing.failures, event = "host_work_failing", "failed to write the status or state, or to notify systemd");
                }
            }
            None if failing.current.is_some() => {
                info!(
                    ?work,
                    failures = failing.failures,
                    event = "host_work_done_again",
                    "status, state and systemd can be written again"
                )
            }
            None => {}
        }
        failing.current = failure;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds a lock here; if it ever did, the values are still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
