//! What goes wrong, where and when; and what stands in the way of an instance's registration.

use super::rng::hash;
use super::secret::Flaw;
use super::{Fleet, Ms};
use cflared_verdict::Transport;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The network of the hosts.
    Network(Cut),
    /// The edge's side of the tunnel.
    Edge(EdgeMode),
    /// Every child hangs as soon as it runs.
    Frozen,
    /// The child hangs; the next one does not.
    FrozenOnce,
    /// The child lives, lost its registration and tries no more; the next one does.
    StuckOnce,
    /// Every child exits within seconds, without a word.
    CrashLoop,
    /// Every child exits with words that nobody knows.
    UnknownWords,
    /// Somebody else has the metrics port.
    PortTaken,
    /// UDP to the edge is shut; TCP is not.
    UdpShut,
    /// Small packets to the edge pass, and large ones are lost without a word: what is connected stays, and nothing new comes up.
    MtuHole(Hole),
    /// The answers to this host's registrations are lost.
    AnswersLost,
    /// The agent is killed, and started again by systemd.
    AgentKilled,
    /// The connections are closed by the edge, which is well: they come back, with credentials that are good.
    Dropped,
    /// The edge takes another secret than the published one.
    Rotated,
    /// The tunnel is deleted.
    TunnelDeleted,
    /// A new version of the secret is published; one that is flawed is taken back when the fault is over.
    Published(Option<Flaw>),
    /// A version is published that means the same to the connector.
    Reformatted,
    /// Somebody asks for a hand-over.
    Reload,
    /// There is no room for a second connector.
    MemoryShort,
    /// Whatever is launched while it lasts has this fault for good.
    BadImage(ImageFault),
    /// cloudflared cannot be executed.
    NoBinary,
    /// The agent does not come up.
    AgentCrashes,
    /// An origin of the ingress rules does not answer.
    Origin,
    /// CloudWatch takes and answers nothing.
    CloudWatch,
    /// CloudWatch may not be read.
    CloudWatchDenied,
    /// The group may not be read, or the calls are throttled.
    GroupDenied,
    GroupThrottled,
    /// The wall clock of the host is wrong, which the reads notice.
    ClockSkewed,
    /// The marks are answered with a contention.
    MarkContention,
    /// The marks reach the group, and their answers are lost.
    MarkAnswerLost,
    /// Secrets Manager does not answer.
    SecretsAway,
    /// The instance metadata does not answer.
    ImdsAway,
    /// Somebody holds, by the command or by the tag.
    HoldCommand,
    HoldTag,
    /// A process of the group is suspended.
    Suspended(&'static str),
    /// An instance is put aside.
    Standby,
    /// The group replaces its instances one after the other.
    Refresh,
    /// The group grows by one, and shrinks again.
    Scaling,
    /// The host dies: Auto Scaling sees that by itself.
    HostDies,
}

/// How a bad image is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFault {
    Crashes,
    NoNetwork,
    NoBinary,
    AgentCrashes,
}

impl ImageFault {
    pub const ALL: [Self; 4] = [Self::Crashes, Self::NoNetwork, Self::NoBinary, Self::AgentCrashes];

    /// What strikes an instance of such an image.
    pub fn kind(self) -> Kind {
        match self {
            Self::Crashes => Kind::CrashLoop,
            Self::NoNetwork => Kind::Network(Cut::Edge),
            Self::NoBinary => Kind::NoBinary,
            Self::AgentCrashes => Kind::AgentCrashes,
        }
    }
}

/// What of the network is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Port 7844.
    Edge,
    /// The edge's names.
    Dns,
    /// Everything, AWS too, but not the metadata.
    All,
}

/// Which large packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hole {
    /// Those to the edge: a probe's hello is small, and is answered; a connector's is not.
    Out,
    /// Those from the edge too: no hello is answered.
    Both,
}

/// How the edge fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeMode {
    Unreachable,
    Silent,
    Rejects,
}

/// Whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The instance of that number, as long as it lives.
    One(usize),
    /// One availability zone.
    Zone(u8),
    All,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub scope: Scope,
    pub from: Ms,
    pub until: Ms,
    /// Each instance is struck up to so much later than `from`.
    pub stagger: Ms,
    /// It comes and goes: so long there, so long away.
    pub flaps: Option<(Ms, Ms)>,
}

impl Fault {
    pub fn new(kind: Kind, scope: Scope, from: Ms, until: Ms) -> Self {
        Self { kind, scope, from, until, stagger: 0, flaps: None }
    }

    pub fn flapping(self, there: Ms, away: Ms) -> Self {
        Self { flaps: Some((there, away)), ..self }
    }

    pub fn staggered(self, stagger: Ms) -> Self {
        Self { stagger, ..self }
    }

    /// When it strikes the instance of that number.
    pub fn onset(&self, instance: usize) -> Ms {
        self.from + hash(&[self.from, instance as u64]) % (self.stagger + 1)
    }

    pub fn concerns(&self, instance: usize, zone: u8) -> bool {
        match self.scope {
            Scope::One(one) => one == instance,
            Scope::Zone(struck) => struck == zone,
            Scope::All => true,
        }
    }

    /// Whether it is there at `now` for that instance.
    pub fn strikes(&self, instance: usize, zone: u8, now: Ms) -> bool {
        let onset = self.onset(instance);
        let there = match self.flaps {
            Some((there, away)) => now.saturating_sub(onset) % (there + away) < there,
            None => true,
        };
        self.concerns(instance, zone) && onset <= now && now < self.until && there
    }

    /// When it changes next for that instance.
    pub fn changes(&self, instance: usize, now: Ms) -> Option<Ms> {
        let onset = self.onset(instance);
        if now < onset {
            return Some(onset);
        }
        let turn = self.flaps.map_or(self.until, |(there, away)| {
            let period = there + away;
            let start = onset + (now - onset) / period * period;
            if now < start + there { start + there } else { start + period }
        });
        (now < self.until).then_some(turn.min(self.until))
    }
}

/// What stands in the way of a registration, as it truly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    Binary,
    Config,
    Port,
    Crash,
    Words,
    Freeze,
    Dns,
    Unreachable,
    /// The same as the last two, but at the edge.
    EdgeUnreachable,
    /// Over QUIC alone.
    Udp,
    /// Handshakes need large packets.
    Large,
    /// The answers are lost on the way to this host.
    AnswersLost,
    EdgeSilent,
    EdgeRejects,
    Unauthorized,
    TunnelGone,
}

impl Obstacle {
    fn is_edge(self) -> bool {
        matches!(self, Self::EdgeUnreachable | Self::EdgeSilent | Self::EdgeRejects)
    }

    /// Whether a connection that is there does not survive it. New ones are what a rotated secret refuses, and what a hole for large
    /// packets swallows.
    pub fn cuts(self) -> bool {
        self.is_edge() || matches!(self, Self::Unreachable | Self::Udp | Self::AnswersLost)
    }
}

impl Fleet {
    /// Whether a fault of that kind strikes the instance.
    pub fn struck(&self, i: usize, kind: impl Fn(&Kind) -> bool) -> bool {
        let zone = self.instances[i].zone;
        self.faults.iter().any(|fault| kind(&fault.kind) && fault.strikes(i, zone, self.now))
    }

    /// The first thing that a child from that version meets.
    pub fn obstacle(&self, i: usize, version: u32, over: Transport) -> Option<Obstacle> {
        self.obstacles(i, version, over).first().copied()
    }

    /// Everything that stands in the way of a child from that version, in the order in which it is met.
    pub fn obstacles(&self, i: usize, version: u32, over: Transport) -> Vec<Obstacle> {
        let zone = self.instances[i].zone;
        let mut found: Vec<_> = self
            .faults
            .iter()
            .filter(|fault| fault.strikes(i, zone, self.now))
            .filter_map(|fault| match fault.kind {
                Kind::Frozen => Some(Obstacle::Freeze),
                Kind::NoBinary => Some(Obstacle::Binary),
                Kind::CrashLoop => Some(Obstacle::Crash),
                Kind::UnknownWords => Some(Obstacle::Words),
                Kind::UdpShut if over == Transport::Quic => Some(Obstacle::Udp),
                Kind::MtuHole(_) => Some(Obstacle::Large),
                Kind::AnswersLost => Some(Obstacle::AnswersLost),
                Kind::PortTaken => Some(Obstacle::Port),
                Kind::Network(Cut::Dns) => Some(Obstacle::Dns),
                Kind::Network(_) => Some(Obstacle::Unreachable),
                Kind::Edge(EdgeMode::Unreachable) => Some(Obstacle::EdgeUnreachable),
                Kind::Edge(EdgeMode::Silent) => Some(Obstacle::EdgeSilent),
                Kind::Edge(EdgeMode::Rejects) => Some(Obstacle::EdgeRejects),
                Kind::TunnelDeleted => Some(Obstacle::TunnelGone),
                _ => None,
            })
            .collect();
        if self.secret.flaw(version) == Some(Flaw::SeenByCloudflared) {
            found.push(Obstacle::Config);
        }
        if !self.secret.accepts(version) {
            found.push(Obstacle::Unauthorized);
        }
        found.sort();
        found
    }

    /// Whether AWS can be reached from the instance.
    pub fn reaches_aws(&self, i: usize) -> bool {
        !self.struck(i, |kind| *kind == Kind::Network(Cut::All))
    }
}
