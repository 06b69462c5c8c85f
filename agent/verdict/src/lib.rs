//! The judgement of cflared-agent.
//!
//! Facts and the time go in ([`Verdict::handle`]); orders ([`Verdict::poll_order`]) and decisions
//! ([`Verdict::poll_decision`]) come out, and [`Verdict::wake_at`] says when it wants to look again. This crate must not
//! know tokio, AWS, a clock, a file or a process: the daemon, the end-to-end tests and a simulation in virtual time
//! drive the same interface, and the same inputs always give the same outputs.

#![deny(clippy::wildcard_enum_match_arm)]

mod carried;
mod change;
mod condemn;
mod config;
mod connectors;
mod duty;
mod facts;
mod fleet;
mod jitter;
mod journal;
mod machine;
mod orders;
mod outage;
mod reports;
mod time;
mod view;

pub use carried::Carried;
pub use condemn::Mark;
pub use config::{Config, Mode};
pub use connectors::{Attempts, Refusals, Role, Run};
pub use duty::{Hold, Holder, tag_holds};
pub use facts::{
    Ending, Event, Failure, FailureKind, Generation, Installed, Observation, Ready, Request, RequestId, RunFact, RunId,
    SecretRead, Taken, Transport, Tries, VersionId,
};
pub use fleet::{Group, Launch, Member, Memory, Notices, PeerGrain, Peers, Place, Target};
pub use journal::{Decision, DecisionKind};
pub use machine::Verdict;
pub use orders::{Answer, Ended, Hook, HookResult, Order, OrderId, Purpose, Reason, Stop};
pub use outage::{
    Blame, Complaint, Condemns, Confidence, Finding, Health, OriginProbe, Probe, Probes, Reach, Restarts,
};
pub use reports::Report;
pub use time::Mono;
pub use view::View;
