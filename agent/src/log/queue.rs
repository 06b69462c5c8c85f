//! The queue and the thread behind it.

use super::context::Context;
use super::record::{Record, Value, now};
use super::repeats::Repeats;
use super::write::Form;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::Level;

/// What may wait, in records and in bytes.
const RECORDS: usize = 1024;
const BYTES: usize = 1024 * 1024;

/// How long the end of the process waits for the thread, and how long between two looks at it.
const FLUSH: Duration = Duration::from_secs(1);
const FLUSH_POLL: Duration = Duration::from_millis(1);

/// The end that records are put into.
pub(super) struct Queue {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Message {
    Line(Box<Record>),
    /// Write what was held back.
    Flush,
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
pub(super) struct Guard {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
}

/// How many lines were lost; can be read at any time.
#[derive(Debug, Clone)]
pub(super) struct Lost(Arc<Counts>);

/// Starts the thread.
///
/// # Errors
/// The host cannot start one.
pub(super) fn start(form: Form) -> io::Result<(Queue, Guard)> {
    let (sender, receiver) = mpsc::sync_channel(RECORDS);
    let counts = Arc::<Counts>::default();
    let guard = Guard { sender: sender.clone(), counts: Arc::clone(&counts) };
    let writer = Writer { form, counts: Arc::clone(&counts), repeats: Repeats::default(), told: 0 };
    thread::Builder::new().name("log".into()).spawn(move || writer.run(&receiver))?;
    Ok((Queue { sender, counts }, guard))
}

impl Queue {
    /// Puts a record in, or counts it as lost; never waits.
    pub fn push(&self, record: Record) {
        let size = record.size();
        let bytes = self.counts.bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if bytes > BYTES || self.sender.try_send(Message::Line(Box::new(record))).is_err() {
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

/// The thread's: writes one record after the other, however long that takes.
struct Writer {
    form: Form,
    counts: Arc<Counts>,
    repeats: Repeats,
    /// How many of the lost lines were told of.
    told: u64,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match self.repeats.until_over(now()) {
                Some(wait) => receiver.recv_timeout(wait),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            for held in self.repeats.over(now()) {
                self.write(held.count, &held.told());
            }
            match message {
                Ok(Message::Line(record)) => {
                    let size = record.size();
                    if let Some(record) = self.repeats.admit(record) {
                        self.write(1, &record);
                    }
                    self.counts.leave(size);
                }
                Ok(Message::Flush) => {
                    self.flush();
                    self.counts.leave(0);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn flush(&mut self) {
        for held in self.repeats.all() {
            self.write(held.count, &held.told());
        }
    }

    /// Writes a record that stands for `lines`.
    fn write(&mut self, lines: u64, record: &Record) {
        if self.form.write(record).is_err() {
            // There is nobody to tell but the counter.
            self.counts.lost.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        let lost = self.counts.lost.load(Ordering::Relaxed);
        if lost > self.told && self.form.write(&lines_lost(lost - self.told, Arc::clone(&record.context))).is_ok() {
            self.told = lost;
        }
    }
}

fn lines_lost(count: u64, context: Arc<Context>) -> Record {
    let mut record = Record::new(Level::WARN, module_path!(), context);
    record.message = format!("{count} log lines lost");
    record.fields.push(("event", Value::Text("log_lines_lost".into())));
    record.fields.push(("lost", Value::Unsigned(count)));
    record
}

impl Guard {
    /// The counter of lost lines.
    pub fn lost(&self) -> Lost {
        Lost(Arc::clone(&self.counts))
    }

    /// False while the queue is full.
    fn ask_to_flush(&self) -> bool {
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let full = matches!(self.sender.try_send(Message::Flush), Err(TrySendError::Full(_)));
        if full {
            self.counts.leave(0);
        }
        !full
    }
}

impl Lost {
    /// The lines that were lost so far: the queue was full, or they could not be written.
    pub fn get(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    // Counted in time and not in looks: on a busy host a pause of 1 ms takes many.
    #[allow(clippy::disallowed_methods)]
    fn drop(&mut self) {
        let (began, mut asked) = (Instant::now(), false);
        // Polled, because a thread that is stuck in a write can be neither joined nor told.
        while began.elapsed() < FLUSH {
            asked = asked || self.ask_to_flush();
            if asked && self.counts.waiting.load(Ordering::Acquire) == 0 {
                return;
            }
            thread::sleep(FLUSH_POLL);
        }
    }
}

#[cfg(test)]
mod tests;
