//! Whose fault it is.
//!
//! One function over evidence that is fresh, in one order: a cause that explains others comes before them, so that a
//! crash loop because of a bad configuration is the configuration's. It is never more certain than what it rests on.

use crate::guard::Others;
use crate::runs::CRASH_LOOP;
use crate::{Complaint, DecisionKind, Mono, Probes, Reach, Ready, Run, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Whose fault it is that the tunnel is not served, or not well. It decides what may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// cloudflared itself, on this host: it crashes, hangs, or somebody else has its port.
    Process,
    /// This host's way to the edge, while others have one.
    HostNetwork,
    /// The edge, or something that all instances share: nobody in the tunnel is registered.
    Edge,
    /// The tunnel's credentials: the edge does not take them.
    Credentials,
    /// The configuration: cloudflared or a rule refuses it.
    Config,
    /// Where the tunnel leads to: it is registered, and an origin does not answer.
    Origin,
    /// It cannot be told, or not yet.
    Unknown,
}

impl Blame {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Process, Self::HostNetwork, Self::Edge, Self::Credentials, Self::Config, Self::Origin, Self::Unknown];

    /// Whether replacing the instance can help: a new one would get the same credentials, configuration and origins.
    pub fn may_condemn(self) -> bool {
        !matches!(self, Self::Credentials | Self::Config | Self::Origin)
    }

    /// Its name in metrics and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::HostNetwork => "host_network",
            Self::Edge => "edge",
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whose fault it is.
    pub blame: Blame,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, for a person.
    pub evidence: String,
}

/// What is known, as far as it is fresh.
struct Evidence<'a> {
    now: Mono,
    /// What was said longer ago does not count.
    lasts: Duration,
    /// In this time exits are counted.
    crash_window: Duration,
    run: &'a Run,
    probes: Option<&'a Probes>,
    others: Option<Others>,
}

impl Evidence<'_> {
    fn find(&self) -> Finding {
        self.words(Blame::Config, &[Complaint::ConfigRefused, Complaint::CredentialsUnreadable])
            .or_else(|| self.words(Blame::Credentials, &[Complaint::Unauthorized, Complaint::TunnelGone]))
            .or_else(|| self.process())
            .or_else(|| self.unreachable())
            .or_else(|| self.crash_loop())
            .unwrap_or_else(|| self.unregistered())
    }

    /// The newest of these complaints, if one is fresh.
    fn said(&self, complaints: &[Complaint]) -> Option<&str> {
        let fresh = |complaint: &&Complaint| {
            let (at, text) = self.run.complaints.get(complaint)?;
            (self.now.since(*at) <= self.lasts).then_some((*at, text.as_str()))
        };
        complaints.iter().filter_map(|complaint| fresh(&complaint)).max_by_key(|(at, _)| *at).map(|(_, text)| text)
    }

    fn words(&self, blame: Blame, complaints: &[Complaint]) -> Option<Finding> {
        self.said(complaints).map(|text| found(blame, Confidence::Certain, format!("cloudflared says: {text}")))
    }

    fn process(&self) -> Option<Finding> {
        let run = self.run;
        match (&run.ready, run.pid) {
            (Some(Ready::Foreign { .. }), _) => Some(found(Blame::Process, Confidence::Certain, run.evidence())),
            (Some(Ready::Unanswered { .. }), Some(_)) => {
                Some(found(Blame::Process, Confidence::Likely, run.evidence()))
            }
            (_, None) if run.not_spawned => Some(found(Blame::Process, Confidence::Certain, run.evidence())),
            _ => self.words(Blame::Process, &[Complaint::PortTaken]),
        }
    }

    /// The edge cannot be reached from here: whether from elsewhere, the others show.
    fn unreachable(&self) -> Option<Finding> {
        let evidence = match self.probes.map(|probes| (probes, probes.edge_reachable())) {
            Some((_, Some(true))) => return None,
            Some((probes, Some(false))) => told(probes),
            _ => format!("cloudflared says: {}", self.said(&[Complaint::DnsFailed, Complaint::EdgeUnreachable])?),
        };
        Some(self.by_others(Blame::HostNetwork, evidence))
    }

    fn crash_loop(&self) -> Option<Finding> {
        if self.said(&[Complaint::EdgeSilent, Complaint::EdgeRejected]).is_some() {
            return None;
        }
        self.run.is_crashing(self.now, self.crash_window).then(|| {
            let window = self.crash_window.as_secs();
            let evidence = format!("{CRASH_LOOP} exits within {window} s; {}", self.run.evidence());
            found(Blame::Process, Confidence::Likely, evidence)
        })
    }

    /// It lives, answers, and is not registered, though the edge answers from here, or nobody has tried yet.
    fn unregistered(&self) -> Finding {
        let words = self.said(&[Complaint::EdgeSilent, Complaint::EdgeRejected]);
        let evidence = match (words, self.probes) {
            (Some(text), _) => format!("cloudflared says: {text}"),
            (None, Some(_)) => format!("{}, though the edge answers from here", self.run.evidence()),
            (None, None) => self.run.evidence(),
        };
        self.by_others(Blame::Unknown, evidence)
    }

    fn by_others(&self, if_only_here: Blame, evidence: String) -> Finding {
        match self.others {
            Some(Others::Alive) => found(
                if_only_here,
                Confidence::Likely,
                format!("{evidence}; other connectors of the tunnel are registered"),
            ),
            Some(Others::None) => {
                let evidence = format!("{evidence}; no other connector of the tunnel is registered");
                found(Blame::Edge, Confidence::Likely, evidence)
            }
            None | Some(Others::NotKnown) => found(Blame::Unknown, Confidence::Guess, evidence),
        }
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
        let Some((_, run)) = self.runs.serving() else {
            let evidence = self.supply.refused.as_ref()?.tell();
            return Some(found(Blame::Config, Confidence::Certain, evidence));
        };
        if run.connections() > 0 {
            return self.origin(now, run);
        }
        if run.ready.is_none() && run.complaints.is_empty() && run.silent_exits.is_empty() && !run.not_spawned {
            return None;
        }
        let evidence = Evidence {
            now,
            lasts: self.config.evidence_lasts,
            crash_window: self.config.crash_window,
            run,
            probes: self.inquiry.probes(now, self.config.evidence_lasts),
            others: self.guard.others(now, self.config.evidence_lasts),
        };
        let found = evidence.find();
        // A child that has just been started, or was slow once, is nobody's fault yet.
        let early = self.outage.lasted(now).is_none_or(|lasted| lasted < self.config.ask_again);
        (found.confidence == Confidence::Certain || !early).then_some(found)
    }

    /// Judges anew, and keeps in the journal what it saw if that is news.
    pub(crate) fn step_blame(&mut self, now: Mono) {
        let found = self.find(now);
        let before = self.found.as_ref().map(|finding| finding.blame);
        self.found = found;
        if let Some(Finding { blame, confidence, evidence }) = &self.found
            && before != Some(*blame)
        {
            let what = format!("blame: {blame} ({confidence})");
            let evidence = evidence.clone();
            self.note(now, DecisionKind::Finding, what, evidence);
        }
    }

    fn origin(&self, now: Mono, run: &Run) -> Option<Finding> {
        let lasts = self.config.evidence_lasts;
        let down = self.inquiry.probes(now, lasts).and_then(|probes| probes.origins_down().next().cloned());
        if let Some(origin) = down {
            let evidence = format!("{}: {}", origin.service, origin.probe.evidence);
            return Some(found(Blame::Origin, Confidence::Certain, evidence));
        }
        let (at, text) = run.complaints.get(&Complaint::OriginUnreachable)?;
        let fresh = now.since(*at) <= lasts && self.inquiry.probed_at().is_none_or(|probed| probed < *at);
        fresh.then(|| found(Blame::Origin, Confidence::Guess, format!("cloudflared says: {text}")))
    }
}
