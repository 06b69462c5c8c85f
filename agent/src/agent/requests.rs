//! Requests from commands of this host: each gets its number, and its answer when the verdict has one.

use super::Agent;
use crate::act::control::{Asked, Command, Control};
use cflared_verdict::{Answer, Event, Mono, Request, RequestId};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long those who wait are told at the end that it is the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Who waits for what.
#[derive(Debug)]
pub(super) struct Requests {
    pub control: Control,
    waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    last: u64,
}

impl Requests {
    pub fn new(runtime_dir: &Path, now: Mono) -> Self {
        let mut control = Control::new(runtime_dir);
        control.keep(now);
        Self { control, waiting: BTreeMap::new(), last: 0 }
    }

    fn number(&mut self, answer: oneshot::Sender<Answer>) -> RequestId {
        self.last += 1;
        self.waiting.insert(RequestId(self.last), answer);
        RequestId(self.last)
    }

    pub fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&request) {
            // Who went away does not mind.
            let _ = waiting.send(answer);
        }
    }

    /// Nobody is heard any more; those who wait are told that this is the end.
    pub async fn close(&mut self) {
        self.waiting.clear();
        // Who does not listen is cut off by the end of the process.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.control.close()).await;
    }
}

impl Agent {
    pub(super) fn asked(&mut self, Asked { command, answer }: Asked) {
        let id = self.requests.number(answer);
        match command {
            Command::Reload => self.tell(Event::Operator(Request::Reload(id))),
        }
    }
}
