//! Notices from the metadata service: the state that the group moves this instance to, and its end as a spot instance.

use super::error::Error;
use super::metadata::Metadata;
use super::types::shown;
use cflared_verdict::{Notices, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tracing::warn;

const TARGET: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
const PURCHASE: &str = "/latest/meta-data/instance-life-cycle";
const SPOT: &str = "/latest/meta-data/spot/instance-action";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";

/// How long the boot waits for notices, once the service answers at all.
const SHORT: Duration = Duration::from_secs(2);

/// Reads the notices. Clones know the same.
#[derive(Debug, Clone)]
pub struct NoticeReader(Arc<Reader>);

#[derive(Debug)]
struct Reader {
    metadata: Metadata,
    /// Whether this is a spot instance: that never changes, and no other gets the notices of one.
    spot: OnceCell<bool>,
    /// What was last answered to each question that is no answer to it.
    unknown: Mutex<BTreeMap<&'static str, String>>,
}

/// What one question came to.
type Answered<T> = Result<Option<T>, Error>;

impl NoticeReader {
    /// Nothing is asked yet.
    pub fn new(metadata: Metadata) -> Self {
        Self(Arc::new(Reader { metadata, spot: OnceCell::new(), unknown: Mutex::default() }))
    }

    /// Asks: one question, and two more of a spot instance; the first read also asks whether it is one. What is not
    /// known of here counts as not said, and is logged once.
    ///
    /// # Errors
    /// A question got no answer, and nothing that was answered says that the instance goes.
    pub async fn read(&self) -> Result<Notices, Error> {
        let (target, (spot, rebalance)) = tokio::join!(self.question(TARGET, target), self.of_spot());
        let troubles = [target.as_ref().err(), spot.as_ref().err(), rebalance.as_ref().err()];
        let trouble = troubles.into_iter().flatten().next().cloned();
        let notices = Notices {
            target: target.unwrap_or_default(),
            spot: spot.unwrap_or_default(),
            rebalance: rebalance.is_ok_and(|notice| notice.is_some()),
        };
        let goes = notices.target == Some(Target::Terminated) || notices.spot.is_some();
        trouble.filter(|_| !goes).map_or(Ok(notices), Err)
    }

    /// As [`NoticeReader::read`], within 2 s.
    ///
    /// # Errors
    /// As there, or that time was not enough; in words.
    pub async fn read_soon(&self) -> Result<Notices, String> {
        let late = || format!("failed to read {TARGET} from the metadata service within {} s", SHORT.as_secs());
        let read = tokio::time::timeout(SHORT, self.read()).await.map_err(|_| late())?;
        read.map_err(|error| error.to_string())
    }

    async fn of_spot(&self) -> (Answered<String>, Answered<()>) {
        match self.0.spot.get_or_try_init(|| self.is_spot()).await {
            Ok(true) => tokio::join!(self.question(SPOT, instance_action), self.question(REBALANCE, recommendation)),
            Ok(false) => (Ok(None), Ok(None)),
            Err(error) => (Err(error), Ok(None)),
        }
    }

    async fn is_spot(&self) -> Result<bool, Error> {
        Ok(self.question(PURCHASE, purchase).await?.unwrap_or(false))
    }

    async fn question<T>(&self, path: &'static str, parse: fn(&str) -> Option<T>) -> Answered<T> {
        let Some(text) = self.0.metadata.get(path).await? else { return Ok(None) };
        let known = parse(text.trim_ascii());
        if known.is_none() {
            self.say_once(path, &text);
        }
        Ok(known)
    }

    fn say_once(&self, path: &'static str, text: &str) {
        let text = shown(text);
        let mut unknown = self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.get(path) != Some(&text) {
            warn!(
                path,
                text,
                event = "metadata_notice_unknown",
                "the metadata service says something that this version does not know; it is ignored"
            );
            unknown.insert(path, text);
        }
    }
}

/// The states of the user guide, "retrieve the target lifecycle state".
fn target(text: &str) -> Option<Target> {
    match text {
        "InService" => Some(Target::InService),
        "Standby" => Some(Target::Standby),
        "Detached" => Some(Target::Detached),
        "Terminated" => Some(Target::Terminated),
        "Warmed:Stopped" | "Warmed:Running" | "Warmed:Hibernated" | "Warmed:Terminated" => Some(Target::Warmed),
        _ => None,
    }
}

/// Whether it is a spot instance (EC2 user guide, "instance metadata categories").
fn purchase(text: &str) -> Option<bool> {
    match text {
        "spot" => Some(true),
        "on-demand" | "scheduled" | "capacity-block" => Some(false),
        _ => None,
    }
}

/// `{"action": "terminate", "time": …}` (EC2 user guide, "Spot Instance interruption notices").
fn instance_action(text: &str) -> Option<String> {
    let notice: serde_json::Value = serde_json::from_str(text).ok()?;
    let action = notice.get("action")?.as_str()?;
    matches!(action, "terminate" | "stop" | "hibernate").then(|| action.to_owned())
}

/// `{"noticeTime": …}` (EC2 user guide, "EC2 instance rebalance recommendations").
fn recommendation(text: &str) -> Option<()> {
    let notice: serde_json::Value = serde_json::from_str(text).ok()?;
    notice.get("noticeTime")?.is_string().then_some(())
}

#[cfg(test)]
mod tests;
