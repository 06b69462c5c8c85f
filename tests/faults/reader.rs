//! Reads the table of scenarios, for the run in virtual time and for the one with real processes. It knows neither.

use cflared_verdict::{Blame, Transport};
use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// Scenarios of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What kind.
    #[serde(rename = "part")]
    pub title: String,
    pub scenarios: Vec<Scenario>,
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub id: String,
    pub title: String,
    #[serde(default)]
    pub world: Setting,
    pub happens: Vec<Happening>,
    pub right: Right,
    /// How it follows from the design.
    pub why: String,
    /// Why it is not run with real processes.
    pub not_end_to_end: Option<String>,
    /// What takes longer than it did before the judgement asked for evidence for this host, and why.
    pub slower: Option<Slower>,
    /// What its times are divided by in the run with real processes.
    #[serde(default = "twenty")]
    pub scale: u32,
}

/// A time that was shorter once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slower {
    pub what: Time,
    #[serde(deserialize_with = "duration")]
    pub before: Duration,
    pub why: String,
}

/// Which time of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    Acted,
    Back,
}

/// What is given before anything breaks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setting {
    pub group: u32,
    pub rank: u32,
    #[serde(deserialize_with = "duration")]
    pub age: Duration,
    #[serde(deserialize_with = "durations")]
    pub replaced: Vec<Duration>,
    #[serde(deserialize_with = "durations")]
    pub refreshed: Vec<Duration>,
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    pub installed: bool,
    pub transport: Transport,
    pub pinned: bool,
    pub zones: u32,
    pub same_version: Option<u32>,
    #[serde(deserialize_with = "maybe")]
    pub came_for_unhealthy: Option<Duration>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            group: 2,
            rank: 0,
            age: Duration::from_secs(3600),
            replaced: vec![],
            refreshed: vec![],
            delay: Duration::from_secs(60),
            grace: Duration::ZERO,
            installed: true,
            transport: Transport::Http2,
            pinned: false,
            zones: 1,
            same_version: None,
            came_for_unhealthy: None,
        }
    }
}

/// Something is so for a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    pub what: What,
    #[serde(default)]
    pub who: Who,
    #[serde(default, deserialize_with = "duration")]
    pub at: Duration,
    #[serde(rename = "for", default, deserialize_with = "maybe")]
    pub lasts: Option<Duration>,
    #[serde(default, deserialize_with = "maybe")]
    pub every: Option<Duration>,
    pub is: Option<String>,
}

/// What may be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Connections to the edge are lost, and new ones refused.
    EdgeRefused,
    /// Packets to the edge are dropped.
    EdgeBlackHole,
    /// The edge's names do not resolve, and connections are lost.
    Dns,
    /// UDP to the edge is dropped.
    UdpBlocked,
    /// Connections are lost, and large packets to the edge are too from now on; small ones pass, a probe's hello among them.
    LargeSentLost,
    /// The same, and large packets from the edge: no hello is answered.
    LargeLost,
    /// The edge takes this host's connections, and its answers to registrations are lost.
    AnswersLost,
    /// The edge takes connections and never answers a registration.
    EdgeHangs,
    /// The edge rejects registrations for a reason of its own.
    EdgeRejects,
    /// The edge refuses the credentials of every bundle but that of `NewVersion`.
    Unauthorized,
    /// The edge does not know the tunnel.
    TunnelGone,
    /// cloudflared stops to answer; so does one that starts.
    Frozen,
    /// cloudflared is killed.
    Killed,
    /// cloudflared is killed, and each one that starts exits without words.
    CrashLoop,
    /// cloudflared is killed, and each one that starts exits with words that nobody knows.
    ExitsWithWords,
    /// cloudflared is killed, and each one that starts panics.
    Panics,
    /// cloudflared is killed, and another process has every port that the next ones are given.
    PortTaken,
    /// cloudflared is killed, and another process has its metrics port.
    OnePortTaken,
    /// cloudflared is killed, and another process has both metrics ports of the settings.
    BothPortsTaken,
    /// Its metrics page cannot be read.
    MetricsUnreadable,
    /// cloudflared is killed, and each one that starts refuses its configuration.
    ConfigRefused,
    /// The secret has a new, good version.
    NewVersion,
    /// The secret has a version that breaks a rule.
    BadVersion,
    /// The secret may not be read.
    SecretDenied,
    /// The origin does not answer; a client asks for it every 20 s.
    OriginDown,
    /// The other instances report nothing.
    PeersDead,
    /// The other instances refuse the newest version of the secret, and serve with the one before.
    PeersRefuse,
    /// The other instances' agents are older and do not report their version of the secret.
    PeersOld,
    /// CloudWatch shows no datapoint.
    PeersLost,
    /// CloudWatch may not be read.
    PeersDenied,
    /// The group may not be read.
    GroupDenied,
    /// Reads of the group are throttled.
    GroupThrottled,
    /// Reads of the group are not answered.
    GroupUnreachable,
    /// The clocks of AWS and of this host differ by an hour.
    GroupSkewed,
    /// The health may not be set.
    MarkDenied,
    /// No group has this instance.
    NoGroup,
    /// This instance's lifecycle state is `is`.
    This,
    /// Another instance's lifecycle state is `is`, or it is `unhealthy`.
    Other,
    /// When our mark is made, another instance is marked too, one with a `lower` or a `higher` id.
    MarkedAtOnce,
    /// An instance refresh is in state `is`.
    Refresh,
    /// The process `is` of the group is suspended.
    Suspended,
    /// An operator holds.
    HoldOperator,
    /// The instance's tag holds.
    HoldTag,
    /// The metadata service does not answer.
    ImdsAway,
    /// The agent is killed and started again.
    AgentRestart,
}

/// Whom it meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    #[default]
    This,
    /// Every instance of this one's availability zone.
    Zone,
    All,
}

/// What is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Right {
    pub blame: Option<Blame>,
    pub act: Act,
    #[serde(default, deserialize_with = "duration")]
    pub after: Duration,
    #[serde(default, deserialize_with = "maybe")]
    pub within: Option<Duration>,
    pub restarts: u32,
    pub blips: Option<u32>,
    #[serde(default)]
    pub restarts_least: u32,
    #[serde(default)]
    pub marks: u32,
    #[serde(default)]
    pub unmarks: u32,
    pub ends: Option<Ends>,
    #[serde(default, deserialize_with = "maybe")]
    pub back: Option<Duration>,
    #[serde(default = "quarter", deserialize_with = "duration")]
    pub watch: Duration,
    #[serde(default)]
    pub stop_at_act: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Nothing,
    Restart,
    HandOver,
    Refuse,
    Condemn,
    Hold,
    Report,
}

/// How the tunnel is in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    Registered,
    Unregistered,
}

impl Happening {
    /// Whether it is so at that time after the break.
    pub fn holds(&self, time: Duration) -> bool {
        let Some(since) = time.checked_sub(self.at) else { return false };
        let Some(lasts) = self.lasts else { return true };
        match self.every {
            Some(every) => since.as_millis() % every.as_millis() < lasts.as_millis(),
            None => since < lasts,
        }
    }

    /// When it begins and ends, up to `until` after the break.
    pub fn changes(&self, until: Duration) -> Vec<Duration> {
        let rounds = self.every.map_or(1, |every| (until.as_millis() / every.as_millis()) as u32 + 1);
        let begins = (0..rounds).map(|round| self.at + self.every.unwrap_or_default() * round);
        let both = begins.flat_map(|begin| [Some(begin), self.lasts.map(|lasts| begin + lasts)]);
        both.flatten().filter(|time| *time <= until).collect()
    }
}

impl Scenario {
    /// A time of the table in the run with real processes.
    pub fn scaled(&self, time: Duration) -> Duration {
        time / self.scale
    }

    /// Whether `what` is so, at that time after the break.
    pub fn is(&self, what: What, time: Duration) -> bool {
        self.now(what, time).is_some()
    }

    /// The happening of that kind that goes on at that time after the break.
    pub fn now(&self, what: What, time: Duration) -> Option<&Happening> {
        self.happens.iter().find(|happening| happening.what == what && happening.holds(time))
    }

    /// When the last trouble ends; `None` if some is for good.
    pub fn well_at(&self) -> Option<Duration> {
        let moments = [What::NewVersion, What::AgentRestart];
        let trouble = self.happens.iter().filter(|happening| !moments.contains(&happening.what));
        let ends = trouble.map(|happening| match happening.every {
            None => Some(happening.at + happening.lasts?),
            Some(_) => None,
        });
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// The whole table.
pub fn parts() -> Vec<Part> {
    serde_yaml::from_str(include_str!("scenarios.yml")).expect("the table is well-formed")
}

fn twenty() -> u32 {
    20
}

fn quarter() -> Duration {
    Duration::from_secs(900)
}

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    humantime::parse_duration(&String::deserialize(value)?).map_err(D::Error::custom)
}

fn maybe<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    duration(value).map(Some)
}

fn durations<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(value)?;
    texts.iter().map(|text| humantime::parse_duration(text).map_err(D::Error::custom)).collect()
}
