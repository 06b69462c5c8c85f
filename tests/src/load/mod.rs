//! Clients that use a tunnel all the time: new streams at a steady rate, and long ones that say something now and then.
//!
//! Each is checked from end to end. A stream counts as there when what it sent has come back, not when it is connected.

mod client;
mod origin;
mod tally;

pub use client::ask;
pub use origin::Origin;
pub use tally::{Counts, Cut};

use client::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tally::Tally;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How many clients, and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// New short streams a second. What a busy machine delays is made up for.
    pub per_second: u32,
    /// Long streams at any time: who loses one, or ends it, opens another.
    pub long: usize,
    /// How often a long stream says something.
    pub heartbeat: Duration,
    /// After how long every second long stream ends itself. The others go on until the load is stopped.
    pub life: Duration,
}

/// Clients at work. Dropping it ends them.
pub struct Load {
    tally: Arc<Tally>,
    began: Instant,
    stop: watch::Sender<bool>,
    long: JoinSet<()>,
    short: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Sends clients to `edge`, where an [`Origin`] is to answer.
    pub fn start(edge: SocketAddr, plan: Plan) -> Self {
        let tally = Arc::<Tally>::default();
        let (stop, stopped) = watch::channel(false);
        let mut long = JoinSet::new();
        for number in 0..plan.long {
            let client = Client { edge, tally: tally.clone() };
            let life = (number % 2 == 0).then_some(plan.life);
            long.spawn(client.keep_long(plan.heartbeat, life, stopped.clone()));
        }
        let client = Client { edge, tally: tally.clone() };
        let short = tokio::spawn(short_streams(client, plan.per_second, stopped));
        Self { tally, began: Instant::now(), stop, long, short }
    }

    /// How it went so far.
    pub fn counts(&self) -> Counts {
        self.tally.counts(self.began.elapsed())
    }

    /// Has every client end its stream by itself, and says how it went.
    ///
    /// # Errors
    /// A client panicked.
    pub async fn stop(mut self) -> Result<Counts, tokio::task::JoinError> {
        let worked = self.began.elapsed();
        self.stop.send_replace(true);
        (&mut self.short).await?;
        while let Some(ended) = self.long.join_next().await {
            ended?;
        }
        Ok(self.tally.counts(worked))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.short.abort();
    }
}

async fn short_streams(client: Client, per_second: u32, mut stopped: watch::Receiver<bool>) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => drop(streams.spawn(client.clone().short())),
            // Its panic is the test's.
            Some(ended) = streams.join_next() => ended.expect("a client does not panic"),
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    streams.join_all().await;
}
