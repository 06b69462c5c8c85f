//! Whose fault it is.
//!
//! One function over evidence that is fresh, in one order: a cause that explains others comes before them, so that a
//! crash loop because of a bad configuration is the configuration's. It is never more certain than what it rests on.

use crate::condemn::Others;
use crate::connectors::{CRASH_LOOP, WAY};
use crate::outage::Told;
use crate::{Complaint, DecisionKind, Mono, Probes, Reach, Ready, Run, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Whose fault it is that the tunnel is not served, or not well. It decides what may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// cloudflared itself, on this host: it crashes, hangs, or cannot be executed.
    Process,
    /// Another process has the port that cloudflared's metrics server needs.
    Port,
    /// This host's way to the edge, while others have one.
    HostNetwork,
    /// This availability zone: all its instances are out, and another zone's are not.
    Zone,
    /// The edge, or something that all instances share: nobody in the tunnel is registered.
    Edge,
    /// The edge answered the registrations, and said no: it may be any cause, but none of this host.
    Refused,
    /// The tunnel's credentials: the edge does not take them.
    Credentials,
    /// The configuration: cloudflared or a rule refuses it.
    Config,
    /// Where the tunnel leads to: it is registered, and an origin does not answer.
    Origin,
    /// It cannot be told, or not yet.
    Unknown,
}

/// What the guard must know before an instance is condemned for a blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condemns {
    /// A new instance would meet the same: it is held, and a person is needed.
    Never,
    /// Nothing beyond the group: the fault is this host's alone.
    Alone,
    /// Whether other connectors of the tunnel are registered.
    WithOthers,
    /// Whether another one is registered with the same version of the secret: else it may be the bundle.
    WithSameVersion,
}

/// Whether a living child may be restarted for a blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// It would say or meet the same.
    Never,
    /// `restart_after` into the outage, then after 5, 10, 20 … 60 minutes.
    Soon,
    /// After 5, 10, 20 … 60 minutes: the edge may change its mind.
    Seldom,
}

impl Blame {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Process,
        Self::Port,
        Self::HostNetwork,
        Self::Zone,
        Self::Edge,
        Self::Refused,
        Self::Credentials,
        Self::Config,
        Self::Origin,
        Self::Unknown,
    ];

    /// Whether, and on what evidence, the instance may be condemned for it.
    pub fn may_condemn(self) -> Condemns {
        match self {
            Self::Process => Condemns::Alone,
            Self::HostNetwork | Self::Edge => Condemns::WithOthers,
            Self::Unknown => Condemns::WithSameVersion,
            Self::Port | Self::Zone | Self::Refused | Self::Credentials | Self::Config | Self::Origin => {
                Condemns::Never
            }
        }
    }

    /// Whether, and how soon, the connector may be restarted for it.
    pub fn may_restart(self) -> Restarts {
        match self {
            Self::Process | Self::Port | Self::HostNetwork | Self::Zone | Self::Edge | Self::Unknown => Restarts::Soon,
            Self::Refused => Restarts::Seldom,
            Self::Credentials | Self::Config | Self::Origin => Restarts::Never,
        }
    }

    /// Its name in metrics and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Port => "port",
            Self::HostNetwork => "host_network",
            Self::Zone => "zone",
            Self::Edge => "edge",
            Self::Refused => "refused",
            Self::Credentials => "credentials",
            Self::Config => "config",
            Self::Origin => "origin",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Something else would look the same.
    Guess,
    /// Several things agree.
    Likely,
    /// The one who knows said so: the edge of the credentials, cloudflared of its configuration.
    Certain,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guess => "a guess",
            Self::Likely => "likely",
            Self::Certain => "certain",
        })
    }
}

/// A blame with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Finding {
    /// Whose fault it is.
    pub blame: Blame,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, for a person.
    pub evidence: String,
}

/// What is known, as far as it counts.
struct Evidence<'a> {
    now: Mono,
    /// What was printed longer ago does not count: cloudflared is never silent for longer between two tries.
    words_last: Duration,
    /// In this time exits are counted.
    crash_window: Duration,
    /// After so long a child that lives has not refused its files, has tried, and answers.
    settled: Duration,
    /// Whether it is known what the connector's tries came to.
    counted: bool,
    run: &'a Run,
    probes: Option<(Mono, &'a Probes)>,
    /// When a probe first found the edge out of reach, since the connector was registered.
    probe_failed: Option<Mono>,
    others: Option<Others>,
    opinion: Option<&'a Told>,
}

/// The words by which a child says that it cannot use its files.
const FILES: [Complaint; 2] = [Complaint::ConfigRefused, Complaint::CredentialsUnreadable];
/// Those by which the edge says that it does not take the credentials.
const KEYS: [Complaint; 2] = [Complaint::Unauthorized, Complaint::TunnelGone];
/// Those of a try whose registration nobody took.
const REGISTRATION: [Complaint; 2] = [Complaint::EdgeSilent, Complaint::EdgeRejected];

impl Evidence<'_> {
    fn find(&self) -> Finding {
        self.files()
            .or_else(|| self.credentials())
            .or_else(|| self.process())
            .or_else(|| self.refused())
            .or_else(|| self.unreachable())
            .or_else(|| self.crash_loop())
            .unwrap_or_else(|| self.unregistered())
    }

    /// The newest of these complaints, if one counts.
    fn said(&self, complaints: &[Complaint]) -> Option<(Mono, &str)> {
        let counts = |complaint: &Complaint| {
            let (at, text) = self.run.complaints.get(complaint)?;
            (self.now.since(*at) <= self.words_last).then_some((*at, text.as_str()))
        };
        complaints.iter().filter_map(counts).max_by_key(|(at, _)| *at)
    }

    fn said_since(&self, complaints: &[Complaint], since: Mono) -> bool {
        self.said(complaints).is_some_and(|(at, _)| at > since)
    }

    /// Whether the child had had its time to listen when it was looked at last: one that was just executed does not yet.
    fn had_its_time(&self) -> bool {
        let (since, observed) = (self.run.since, self.run.observed);
        since.zip(observed).is_some_and(|(since, observed)| observed >= since + self.settled)
    }

    /// A child that was executed later, and answers, has used its files.
    fn files(&self) -> Option<Finding> {
        let (at, text) = self.said(&FILES)?;
        let run = self.run;
        let uses = matches!(run.ready, Some(Ready::Yes { .. } | Ready::No))
            && run.since.is_some_and(|since| since > at && self.now.since(since) >= self.settled);
        (!uses).then(|| found(Blame::Config, Confidence::Certain, format!("cloudflared says: {text}")))
    }

    fn credentials(&self) -> Option<Finding> {
        if let Some(Told { text, .. }) = self.opinion.filter(|told| KEYS.contains(&told.complaint))
            && self.refusals().is_some()
        {
            let evidence = format!("over HTTP/2 cloudflared says: {text}");
            return Some(found(Blame::Credentials, Confidence::Certain, evidence));
        }
        let (at, text) = self.said(&KEYS)?;
        // A later try came to something else.
        let contradicted = self.run.cut_off > Some(at) || self.said_since(&REGISTRATION, at);
        (!contradicted).then(|| found(Blame::Credentials, Confidence::Certain, format!("cloudflared says: {text}")))
    }

    fn process(&self) -> Option<Finding> {
        let run = self.run;
        match (&run.ready, run.pid) {
            (Some(Ready::Foreign { .. }), _) => Some(found(Blame::Port, Confidence::Certain, run.evidence())),
            (Some(Ready::Unanswered { .. }), Some(_)) if self.had_its_time() => {
                Some(found(Blame::Process, Confidence::Likely, run.evidence()))
            }
            (_, None) if run.not_spawned => Some(found(Blame::Process, Confidence::Certain, run.evidence())),
            (_, _) if run.is_killed(self.now, self.crash_window) => Some(self.crashes()),
            (_, _) => {
                let (at, text) = self.said(&[Complaint::PortTaken])?;
                let found = found(Blame::Port, Confidence::Certain, format!("cloudflared says: {text}"));
                // A child that was executed later, and answers, has a port.
                (!run.since.is_some_and(|since| since > at && run.ready.is_some())).then_some(found)
            }
        }
    }

    fn crashes(&self) -> Finding {
        let window = self.crash_window.as_secs();
        let evidence = format!("{CRASH_LOOP} exits within {window} s; {}", self.run.evidence());
        found(Blame::Process, Confidence::Likely, evidence)
    }

    fn crash_loop(&self) -> Option<Finding> {
        self.run.is_crashing(self.now, self.crash_window, Mono::default()).then(|| self.crashes())
    }

    /// The refusals that stand, in words. Those that were counted do not age: they stand until a later try comes to something else.
    fn refusals(&self) -> Option<String> {
        let counted = self.run.attempts.refused().filter(|refusals| !refusals.are_superseded()).map(|refusals| {
            let times = refusals.times;
            (refusals.last, format!("the edge refused {times} registrations of this connector (/metrics)"))
        });
        let said = self.said(&[Complaint::EdgeRejected]).filter(|(at, _)| self.run.cut_off <= Some(*at));
        let said = said.map(|(at, text)| (at, format!("cloudflared says: {text}")));
        let (last, evidence) = counted.into_iter().chain(said).max_by_key(|(at, _)| *at)?;
        // A refusal after a probe that failed shows that the connector reaches the edge where the probe does not.
        let probed = self.probes.is_some_and(|(at, probes)| at > last && self.reachable(probes) == Some(false));
        let cut_off = probed && self.probe_failed.is_none_or(|first| first > last);
        let crashes = self.run.is_crashing(self.now, self.crash_window, last);
        (!cut_off && !crashes).then_some(evidence)
    }

    /// The edge was reached from here, and does not want this connector, whatever its reason.
    fn refused(&self) -> Option<Finding> {
        let evidence = self.refusals()?;
        let told = self.opinion.map(|told| format!("; over HTTP/2 cloudflared says: {}", told.text));
        Some(found(Blame::Refused, Confidence::Certain, evidence + &told.unwrap_or_default()))
    }

    fn reachable(&self, probes: &Probes) -> Option<bool> {
        probes.edge_reachable_by(self.run.pinned)
    }

    /// The edge cannot be reached from here: whether from elsewhere, the others show.
    fn unreachable(&self) -> Option<Finding> {
        let evidence = match self.probes.map(|(_, probes)| (probes, self.reachable(probes))) {
            Some((_, Some(true))) => return None,
            Some((probes, Some(false))) => told(probes),
            Some((_, None)) | None => format!("cloudflared says: {}", self.said(&WAY)?.1),
        };
        Some(self.by_others(Blame::HostNetwork, evidence))
    }

    /// It lives, answers, and is not registered, although the edge answers from here, or nobody has tried yet.
    fn unregistered(&self) -> Finding {
        let words = self.said(&[Complaint::EdgeSilent, Complaint::Other]).map(|(_, text)| text);
        let unanswered = self.run.attempts.unanswered();
        let evidence = match (words, self.probes) {
            (Some(text), _) => format!("cloudflared says: {text}"),
            (None, _) if unanswered > 0 => {
                format!("{unanswered} registrations of this connector were not answered (/metrics)")
            }
            (None, Some(_)) => format!("{}, although the edge answers from here", self.run.evidence()),
            (None, None) => self.run.evidence(),
        };
        if !self.counted {
            // It may have been refused, and its bundle be the reason: then nobody being registered is no reason to try another.
            let evidence = format!("{evidence}; its /metrics cannot be read");
            return found(Blame::Unknown, Confidence::Likely, evidence);
        }
        self.by_others(Blame::Unknown, evidence)
    }

    fn by_others(&self, if_only_here: Blame, evidence: String) -> Finding {
        let (blame, confidence, others) = match self.others {
            Some(Others::Alive) => (if_only_here, Confidence::Likely, "other connectors of the tunnel are registered"),
            Some(Others::Zone) => {
                (Blame::Zone, Confidence::Likely, "nobody in this availability zone is registered, and others are")
            }
            Some(Others::None) => (Blame::Edge, Confidence::Likely, "no other connector of the tunnel is registered"),
            None | Some(Others::NotKnown) => return found(Blame::Unknown, Confidence::Guess, evidence),
        };
        found(blame, confidence, format!("{evidence}; {others}"))
    }
}

fn found(blame: Blame, confidence: Confidence, evidence: String) -> Finding {
    Finding { blame, confidence, evidence }
}

/// What the probes of the way to the edge gave, in words.
fn told(probes: &Probes) -> String {
    let tried = [("DNS", &probes.dns), ("TCP 7844", &probes.tcp), ("UDP 7844", &probes.udp)];
    let bad = tried.iter().filter(|(_, probe)| matches!(probe.reach, Reach::Silent | Reach::Failed));
    let bad: Vec<String> = bad.map(|(name, probe)| format!("{name}: {}", probe.evidence)).collect();
    bad.join("; ")
}

impl Verdict {
    /// Whose fault it is that the tunnel is not served; `None` while it is served well, or it is too early to ask.
    pub(crate) fn find(&self, now: Mono) -> Option<Finding> {
        let Some((_, run)) = self.connectors.serving() else {
            let evidence = self.change.refused()?.tell();
            return Some(found(Blame::Config, Confidence::Certain, evidence));
        };
        if run.connections() > 0 {
            return self.origin(now, run);
        }
        let seen = run.ready.is_some() || !run.complaints.is_empty() || !run.own_exits.is_empty() || run.not_spawned;
        if !seen && run.attempts.refused().is_none() {
            return None;
        }
        let lasts = self.config.evidence_lasts;
        let evidence = Evidence {
            now,
            words_last: lasts.max(self.config.longest_silence + self.config.ask_again),
            crash_window: self.config.crash_window,
            settled: self.config.ask_again,
            counted: run.tries_are_known(now, lasts),
            run,
            probes: self.outage.probes.probed_at().zip(self.outage.probes.probes(now, lasts)),
            probe_failed: self.outage.probes.failed_first(),
            others: self.condemn.others_of_this_outage(),
            opinion: self.outage.opinion.told(),
        };
        let found = evidence.find();
        // A child that has just been started, or was slow once, is nobody's fault yet.
        let early = self.outage.clock.lasted(now).is_none_or(|lasted| lasted < self.config.ask_again);
        (found.confidence == Confidence::Certain || !early).then_some(found)
    }

    /// Judges anew, and keeps in the journal what it saw if that is news.
    pub(crate) fn step_blame(&mut self, now: Mono) {
        let found = self.find(now);
        let before = self.outage.found.as_ref().map(|finding| finding.blame);
        self.outage.found = found;
        let never = |blame: Blame| blame.may_condemn() == Condemns::Never;
        if before.is_some_and(never) && !self.outage.found.as_ref().is_some_and(|finding| never(finding.blame)) {
            // What it was held for holds no more, unless the next looks show it again.
            self.condemn.ask_again(now + self.config.ask_again);
        }
        if let Some(Finding { blame, confidence, evidence }) = &self.outage.found
            && before != Some(*blame)
        {
            let what = format!("blame: {blame} ({confidence})");
            let evidence = evidence.clone();
            self.note(now, DecisionKind::Finding, what, evidence);
        }
    }

    fn origin(&self, now: Mono, run: &Run) -> Option<Finding> {
        let lasts = self.config.evidence_lasts;
        if let Some(origin) = self.outage.probes.origin_down(now, lasts) {
            let evidence = format!("{}: {}", origin.service, origin.probe.evidence);
            return Some(found(Blame::Origin, Confidence::Certain, evidence));
        }
        let (at, text) = run.complaints.get(&Complaint::OriginUnreachable)?;
        let fresh = now.since(*at) <= lasts && self.outage.probes.origins_tried_at().is_none_or(|tried| tried < *at);
        fresh.then(|| found(Blame::Origin, Confidence::Guess, format!("cloudflared says: {text}")))
    }
}
