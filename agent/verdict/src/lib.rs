//! The judgement of cflared-agent.
//!
//! Facts and the time go in ([`Verdict::handle`]); orders ([`Verdict::poll_order`]) and decisions
//! ([`Verdict::poll_decision`]) come out, and [`Verdict::wake_at`] says when it wants to look again. This crate must not
//! know tokio, AWS, a clock, a file or a process: the daemon, the end-to-end tests and a simulation in virtual time
//! drive the same interface, and the same inputs always give the same outputs.

#![deny(clippy::wildcard_enum_match_arm)]

mod attempts;
mod blame;
mod blip;
mod carried;
mod config;
mod evidence;
mod facts;
mod fleet;
mod guard;
mod handover;
mod health;
mod hold;
mod inquiry;
mod jitter;
mod journal;
mod ladder;
mod lifecycle;
mod opinion;
mod orders;
mod outage;
mod probation;
mod reload;
mod reports;
mod runs;
mod supply;
mod time;
mod turn;
mod verdict;
mod view;

pub use attempts::{Attempts, Refusals};
pub use blame::{Blame, Condemns, Confidence, Finding, Restarts};
pub use carried::Carried;
pub use config::{Config, Mode};
pub use evidence::{Complaint, OriginProbe, Probe, Probes, Reach};
pub use facts::{
    Ending, Event, Failure, FailureKind, Generation, Installed, Observation, Ready, Request, RequestId, RunFact, RunId,
    SecretRead, Taken, Transport, Tries, VersionId,
};
pub use fleet::{Group, Launch, Member, Memory, Notices, PeerGrain, Peers, Place, Target};
pub use health::Health;
pub use hold::{Hold, Holder, tag_holds};
pub use journal::{Decision, DecisionKind};
pub use ladder::{Lift, Mark};
pub use orders::{Answer, Ended, Hook, HookResult, Order, OrderId, Purpose, Reason, Stop};
pub use reports::Report;
pub use runs::{Role, Run};
pub use time::Mono;
pub use verdict::Verdict;
pub use view::View;
