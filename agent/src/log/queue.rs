//! The queue and the thread behind it.

use super::record::{Record, Value};
use super::write::Form;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;
use tracing::Level;

/// What may wait, in records and in bytes.
const RECORDS: usize = 1024;
const BYTES: usize = 1024 * 1024;

/// How long the end of the process waits for the thread.
const FLUSH_POLLS: u32 = 1000;
const FLUSH_POLL: Duration = Duration::from_millis(1);

/// The end that records are put into.
pub(super) struct Queue {
    sender: SyncSender<Box<Record>>,
    counts: Arc<Counts>,
}

/// How the queue is doing.
#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    waiting: AtomicUsize,
    bytes: AtomicUsize,
}

/// Keeps the process from ending before the log is written; for 1 s at most. To be dropped last.
#[derive(Debug)]
pub struct Guard(Arc<Counts>);

/// How many lines were lost; can be read at any time.
#[derive(Debug, Clone)]
pub struct Lost(Arc<Counts>);

/// Starts the thread.
///
/// # Errors
/// The host cannot start one.
pub(super) fn start(form: Form) -> io::Result<(Queue, Guard)> {
    let (sender, receiver) = mpsc::sync_channel(RECORDS);
    let counts = Arc::<Counts>::default();
    let guard = Guard(Arc::clone(&counts));
    let thread_counts = Arc::clone(&counts);
    thread::Builder::new().name("log".into()).spawn(move || write(&receiver, &form, &thread_counts))?;
    Ok((Queue { sender, counts }, guard))
}

impl Queue {
    /// Puts a record in, or counts it as lost; never waits.
    pub fn push(&self, record: Record) {
        let size = record.size();
        let bytes = self.counts.bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if bytes > BYTES || self.sender.try_send(Box::new(record)).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            self.counts.leave(size);
        }
    }
}

impl Counts {
    /// A record is no longer waiting.
    fn leave(&self, size: usize) {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        // After everything that was done with the record, for whoever waits for the last one.
        self.waiting.fetch_sub(1, Ordering::Release);
    }
}

/// The thread: writes one record after the other, however long that takes.
fn write(receiver: &Receiver<Box<Record>>, form: &Form, counts: &Counts) {
    let mut told = 0;
    for record in receiver {
        if form.write(&record).is_err() {
            // There is nobody to tell but the counter.
            counts.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            let lost = counts.lost.load(Ordering::Relaxed);
            if lost > told && form.write(&lines_lost(lost - told)).is_ok() {
                told = lost;
            }
        }
        counts.leave(record.size());
    }
}

fn lines_lost(count: u64) -> Record {
    let mut record = Record::new(Level::WARN, module_path!());
    record.message = format!("{count} log lines lost");
    record.fields.push(("event", Value::Text("log_lines_lost".into())));
    record.fields.push(("lost", Value::Unsigned(count)));
    record
}

impl Guard {
    /// The counter of lost lines.
    pub fn lost(&self) -> Lost {
        Lost(Arc::clone(&self.0))
    }
}

impl Lost {
    /// The lines that were lost so far: the queue was full, or they could not be written.
    pub fn get(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Polled, because a thread that is stuck in a write can be neither joined nor told.
        for _ in 0..FLUSH_POLLS {
            if self.0.waiting.load(Ordering::Acquire) == 0 {
                return;
            }
            thread::sleep(FLUSH_POLL);
        }
    }
}

#[cfg(test)]
mod tests;
