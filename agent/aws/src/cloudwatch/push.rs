//! The task that takes samples and pushes them: at most one `PutMetricData` a grain, whatever waits or fails.

use super::Durations;
use super::buffer::{self, Buffer, Outcome, Saved};
use super::call;
use super::metrics::{self, Sample};
use super::peers::PeerReader;
use super::reported::Reported;
use aws_sdk_cloudwatch::Client;
use settings::Namespace;
use std::fmt::Display;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;
use tracing::{info, warn};

/// The most grains in one call: `PutMetricData` takes 1000 datapoints and 1 MB, and a datapoint is under 700 bytes.
const BATCH: usize = 1000 / metrics::MOST;
/// How many messages may wait for the task, which waits for nothing longer than a save.
const QUEUE: usize = 16;
/// How long a save may take before the push is left for the next grain.
const SAVE_WITHIN: Duration = Duration::from_secs(5);
/// How the task works.
#[derive(Debug)]
pub struct Config {
    /// Calls CloudWatch. Its retries and time-outs are not used; the task has its own.
    pub client: Client,
    /// The namespaces of the metrics, one an environment.
    pub namespace: Namespace,
    /// The period of the datapoints: whole seconds.
    pub interval: Duration,
    /// The instance's id, which fixes when within a period it pushes.
    pub instance: String,
    /// Where the last agent of this boot stopped.
    pub resume: Saved,
}

/// How the pushes fare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// When datapoints were last accepted, on the clock that came with the samples.
    pub last_push_at: Option<SystemTime>,
    /// Why the last save or push failed, with the next step; none if it did not.
    pub last_error: Option<String>,
    /// Grains that are still to be pushed.
    pub waiting: u64,
    /// Counts of this boot.
    pub counts: buffer::Counts,
    /// How long the pushes of this agent took.
    pub pushes: Durations,
    /// How many of them were not accepted.
    pub pushes_failed: u64,
}

/// The handle to the task, which ends when this is dropped.
#[derive(Debug)]
pub struct CloudWatch {
    messages: mpsc::Sender<Message>,
    view: watch::Receiver<View>,
    peers: PeerReader,
}

#[derive(Debug)]
enum Message {
    Sample(Duration, Sample),
    Flush(Duration, oneshot::Sender<()>),
}

impl CloudWatch {
    /// Starts the task on the current runtime. `save` has to have its argument on disk when it is done.
    pub fn start<S, F, E>(config: Config, save: S) -> Self
    where
        S: Fn(Saved) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + 'static,
    {
        let (sender, messages) = mpsc::channel(QUEUE);
        let Config { client, namespace, interval, instance, resume } = config;
        let buffer = Buffer::resume(interval, resume);
        let (view_sender, view) = watch::channel(View { counts: buffer.counts(), ..View::default() });
        let (reported_sender, reported) = watch::channel(Reported::of(&buffer));
        let peers = PeerReader { client: client.clone(), namespace: namespace.clone(), grain: interval, reported };
        let task = Task {
            client,
            namespace,
            interval,
            jitter: buffer::jitter(&instance, interval),
            buffer,
            save,
            view: view_sender,
            reported: reported_sender,
            due: None,
            call: None,
            pushed_to: String::new(),
        };
        tokio::spawn(task.run(messages));
        Self { messages: sender, view, peers }
    }

    /// Gives the state at the end of a grain. To be called right after it has ended, with the wall clock of the moment:
    /// see [`until_grain_ends`](super::until_grain_ends). False if the task is so far behind that it was not taken.
    pub fn sample(&self, now: SystemTime, sample: Sample) -> bool {
        self.messages.try_send(Message::Sample(since_1970(now), sample)).is_ok()
    }

    /// Pushes all that waits, at once, until nothing does or a push fails. To be bounded in time by the caller.
    pub fn flush(&self, now: SystemTime) -> impl Future<Output = ()> + Send + use<> {
        let messages = self.messages.clone();
        async move {
            let (done, wait) = oneshot::channel();
            if messages.send(Message::Flush(since_1970(now), done)).await.is_ok() {
                // The sender is only dropped unused when the runtime goes down.
                let _ = wait.await;
            }
        }
    }

    /// What reads the other instances' reports.
    pub fn peers(&self) -> PeerReader {
        self.peers.clone()
    }

    /// How the pushes fare.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }
}

/// How a call ended, and how long it took.
type Ended = (Result<(), call::Error>, Duration);
type Call = Pin<Box<dyn Future<Output = Ended> + Send>>;

struct Task<S> {
    client: Client,
    namespace: Namespace,
    interval: Duration,
    jitter: Duration,
    buffer: Buffer<Sample>,
    save: S,
    view: watch::Sender<View>,
    reported: watch::Sender<Reported>,
    /// The push that is due, and the wall clock then.
    due: Option<(Pin<Box<Sleep>>, Duration)>,
    /// The push in flight, and the wall clock when it was sent.
    call: Option<(Call, Duration)>,
    /// Where the last push went.
    pushed_to: String,
}

impl<S, F, E> Task<S>
where
    S: Fn(Saved) -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + 'static,
{
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            // Dropping the futures of the branches not taken loses nothing: the sleep and the call stay in `self`.
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Sample(now, sample)) => self.sample(now, sample).await,
                    Some(Message::Flush(now, done)) => {
                        self.flush(now).await;
                        // Whoever stopped waiting does not mind.
                        let _ = done.send(());
                    }
                    None => return,
                },
                now = ring(&mut self.due), if self.due.is_some() && self.call.is_none() => self.push(now),
                ended = finish(&mut self.call), if self.call.is_some() => { self.settle(ended); }
            }
        }
    }

    async fn sample(&mut self, now: Duration, sample: Sample) {
        if self.buffer.offer(now, sample) {
            self.save().await;
        }
        // One push a grain, whether it brought a value or not: older ones may wait.
        if self.buffer.waiting() > 0 {
            // Counted from the end of the grain, not from when the loop got round to telling.
            let late = self.interval.saturating_sub(buffer::until_grain_ends(now, self.interval));
            let wait = self.jitter.saturating_sub(late);
            self.due = Some((Box::pin(tokio::time::sleep(wait)), now + wait));
        }
        self.show(|_| {});
    }

    /// Has the stamps written; only then may their grains be pushed.
    async fn save(&mut self) -> bool {
        let saved = tokio::time::timeout(SAVE_WITHIN, (self.save)(self.buffer.save())).await;
        let failure = match saved {
            Ok(Ok(())) => {
                self.buffer.confirm();
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("failed to write the state within {}", humantime::format_duration(SAVE_WITHIN)),
        };
        self.failed(format!("nothing is pushed to CloudWatch before its stamp is on disk: {failure}"));
        false
    }

    fn push(&mut self, now: Duration) {
        self.due = None;
        // A call is for one namespace; the tag that names the environment can be changed meanwhile.
        let together = |one: &Sample, other: &Sample| one.of.environment == other.of.environment;
        let Some(values) = self.buffer.take(now, BATCH, together) else { return };
        let environment = values.values().next().map(|sample| sample.of.environment.as_str()).unwrap_or_default();
        self.pushed_to = self.namespace.of(environment);
        let datapoints = |(&start, sample): (&u64, &Sample)| metrics::datapoints(start, self.interval, sample);
        let data = values.iter().flat_map(datapoints).collect();
        let request = self.client.put_metric_data().namespace(&self.pushed_to).set_metric_data(Some(data));
        let call = request.customize().config_override(call::once()).send();
        // Before it is sent: a reader of the peers must not take it for theirs.
        self.reported.send_replace(Reported::of(&self.buffer));
        self.call = Some((Box::pin(timed(async { call.await.map(drop) })), now));
    }

    /// Takes note of what came of the push; true if it was accepted.
    fn settle(&mut self, ((ended, took), at): (Ended, Duration)) -> bool {
        self.view.send_modify(|view| {
            view.pushes.note(took);
            view.pushes_failed += u64::from(ended.is_err());
        });
        let (outcome, trouble) = match &ended {
            Ok(()) => (Outcome::Delivered, None),
            Err(error) => {
                let (outcome, trouble) = call::outcome(error, &self.pushed_to);
                (outcome, Some(trouble))
            }
        };
        self.buffer.settle(outcome);
        match trouble {
            None => {
                let recovered = self.view.borrow().last_error.is_some();
                if recovered {
                    info!(event = "datapoints_pushed_again", "datapoints reach CloudWatch again");
                }
                self.show(|view| {
                    view.last_push_at = Some(UNIX_EPOCH + at);
                    view.last_error = None;
                });
            }
            Some(trouble) => self.failed(trouble),
        }
        outcome == Outcome::Delivered
    }

    async fn flush(&mut self, now: Duration) {
        if self.call.is_some() {
            let ended = finish(&mut self.call).await;
            self.settle(ended);
        }
        if !self.save().await {
            return;
        }
        loop {
            self.push(now);
            if self.call.is_none() {
                break;
            }
            let ended = finish(&mut self.call).await;
            if !self.settle(ended) {
                break;
            }
        }
        // What became of the last pushes, for the next agent; a failure only makes it count them as lost.
        self.save().await;
    }

    fn failed(&self, error: String) {
        let known = self.view.borrow().last_error.as_ref() == Some(&error);
        if !known {
            warn!(%error, event = "datapoints_not_pushed", "datapoints do not reach CloudWatch");
        }
        self.show(|view| view.last_error = Some(error));
    }

    fn show(&self, change: impl FnOnce(&mut View)) {
        self.reported.send_replace(Reported::of(&self.buffer));
        self.view.send_modify(|view| {
            change(view);
            view.waiting = self.buffer.waiting();
            view.counts = self.buffer.counts();
        });
    }
}

/// Does it, and says how long it took.
// A duration for a metric: nothing is decided by it.
#[allow(clippy::disallowed_methods)]
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = tokio::time::Instant::now();
    let done = work.await;
    (done, began.elapsed())
}

/// Waits until the push is due.
async fn ring(due: &mut Option<(Pin<Box<Sleep>>, Duration)>) -> Duration {
    match due {
        Some((sleep, at)) => {
            sleep.as_mut().await;
            *at
        }
        None => std::future::pending().await,
    }
}

/// Waits for the call to end, and takes it away.
async fn finish(call: &mut Option<(Call, Duration)>) -> (Ended, Duration) {
    let ended = match call {
        Some((call, at)) => (call.await, *at),
        None => std::future::pending().await,
    };
    *call = None;
    ended
}

fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
