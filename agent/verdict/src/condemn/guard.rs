//! Whether it is safe to be replaced: asked just before condemning, of facts that AWS holds, so that they survive this
//! instance. What cannot be read is a no.

use super::rules::{self, Objection, Zone};
use super::standing::{Ground, Lift, Question, Standing};
use crate::{Blame, Condemns, DecisionKind, Failure, Group, Member, Mono, Order, Peers, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After so many of the same answer, which is about 20 minutes, what should pass by itself has not: a person is needed.
const SHOULD_HAVE_PASSED: u32 = 6;

/// What is said where nothing is known of a connector's tries.
const UNREAD: &str = "why this connector is not registered is not known: its /metrics cannot be read";

/// Whether other connectors of the tunnel are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// At least one is.
    Alive,
    /// None is.
    None,
    /// All of this availability zone are out, and another zone's are not.
    Zone,
    /// The reports that would tell have not come in.
    NotKnown,
}

/// What the guard knows and remembers.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Guard {
    pub others: Option<(Mono, Others)>,
    /// Since when it has been waited for the others' reports.
    waiting_since: Option<Mono>,
    next_verify: Mono,
    /// When the last mark was made.
    marked_at: Mono,
    /// What it answered last, and how often in a row.
    said: Option<(String, u32)>,
}

impl Guard {
    /// What is known of the others, if that is younger than `lasts`.
    pub fn others(&self, now: Mono, lasts: Duration) -> Option<Others> {
        self.others.filter(|(at, _)| now.since(*at) <= lasts).map(|(_, others)| others)
    }

    /// The last answer, in words.
    pub fn said(&self) -> Option<&str> {
        self.said.as_ref().map(|(said, _)| said.as_str())
    }

    /// Takes an answer, and says how often in a row it was the same. What is asked next is waited for anew.
    fn says(&mut self, why: &str) -> u32 {
        self.waiting_since = None;
        let times = match self.said.take() {
            Some((said, times)) if said == why => times.saturating_add(1),
            _ => 1,
        };
        self.said = Some((why.into(), times));
        times
    }

    /// The outage is over.
    pub fn over(&mut self) {
        *self = Self::default();
    }

    /// An earlier agent of this boot left a mark that may stand: it is looked at as soon as it would show, as if it had just been made.
    pub fn inherits(&mut self, now: Mono, lag: Duration) {
        (self.marked_at, self.next_verify) = (now, now + lag);
    }

    /// When a mark that is shown is looked at again.
    pub fn next_verify(&self) -> Mono {
        self.next_verify
    }
}

impl Verdict {
    /// Asks, or goes on asking: called while condemning is called for and no answer is out.
    pub(crate) fn step_guard(&mut self, now: Mono) {
        if self.guard_is_busy() {
            return;
        }
        match &mut self.condemn.ladder.standing {
            Standing::Called { question: Question::Go { ground }, .. } => {
                let ground = *ground;
                return self.go(now, ground);
            }
            Standing::Called { question: Question::Clear { at, ground }, .. } => {
                let (at, ground) = (*at, *ground);
                if now < at {
                    return;
                }
                self.condemn.ask(Question::Again { ground });
            }
            Standing::Called { question: question @ Question::Idle, ask_at, .. } if now >= *ask_at => {
                *question = Question::Group;
            }
            Standing::Called { .. }
            | Standing::Calm
            | Standing::Marking { .. }
            | Standing::Shown { .. }
            | Standing::Lifting { .. } => return,
        }
        self.orders.give(Order::ReadGroup);
    }

    /// Looks after a mark that may stand, whatever else is to be waited for: whether it shows, whether another one does too. One that is
    /// being taken back is taken back on.
    pub(crate) fn step_mark(&mut self, now: Mono) {
        if self.guard_is_busy() {
            return;
        }
        let due = now >= self.condemn.guard.next_verify;
        match &mut self.condemn.ladder.standing {
            Standing::Called { question: question @ Question::Idle, may_stand: true, .. } if due => {
                *question = Question::Verify;
            }
            Standing::Shown { verifying } if !*verifying && due => *verifying = true,
            Standing::Lifting { lift, .. } => {
                let lift = *lift;
                return self.lift(now, lift, "");
            }
            Standing::Called { .. } | Standing::Calm | Standing::Marking { .. } | Standing::Shown { .. } => return,
        }
        self.condemn.guard.next_verify = now + self.verify_again(now);
        self.orders.give(Order::ReadGroup);
    }

    /// Marks, unless what allowed it holds no more.
    fn go(&mut self, now: Mono, ground: Ground) {
        if let Some(hold) = self.hold_in_force(now) {
            return self.refuse(now, hold);
        }
        self.condemn.ask(Question::Idle);
        if !self.outage.found().is_some_and(|finding| ground.suffices(finding.blame.may_condemn())) {
            return self.wait_for(now, "what stands in the way changes from one look to the next");
        }
        self.condemn.guard.marked_at = now;
        let again = matches!(self.condemn.standing(), Standing::Called { no: Some(_), .. });
        self.condemn.ladder.standing = Standing::Marking { again };
        self.orders.give(Order::MarkUnhealthy);
    }

    fn is_process_fault(&self) -> bool {
        self.outage.found().is_some_and(|finding| finding.blame == Blame::Process)
    }

    /// How soon a mark is looked at again: soon at first, because what the group shows lags behind.
    fn verify_again(&self, now: Mono) -> Duration {
        // So long may another one's mark have been on its way, from a read that did not show this one's.
        let young = now.since(self.condemn.guard.marked_at) <= self.config.refused_again;
        if young { self.config.group_lag } else { self.config.refused_again }
    }

    fn guard_is_busy(&self) -> bool {
        let asks = |order: &Order| matches!(order, Order::ReadGroup | Order::ReadPeers { .. });
        self.marking() || self.orders.is_open(asks)
    }

    pub(crate) fn group_read(&mut self, now: Mono, result: Result<Group, Failure>) {
        let stage = match &mut self.condemn.ladder.standing {
            Standing::Called { question, .. } => std::mem::take(question),
            Standing::Shown { verifying } if *verifying => {
                *verifying = false;
                Question::Verify
            }
            Standing::Shown { .. } | Standing::Calm | Standing::Marking { .. } | Standing::Lifting { .. } => return,
        };
        if stage == Question::Verify {
            // Unreadable: the mark stays, and is looked at again.
            return if let Ok(group) = result {
                self.verify(now, &group)
            };
        }
        if !matches!(stage, Question::Group | Question::Again { .. }) {
            return;
        }
        let group = match result {
            Ok(group) => group,
            Err(failure) => return self.refuse(now, format!("the group cannot be read: {}", failure.text)),
        };
        let marked = group.myself().is_some_and(|me| !me.healthy);
        if marked && self.condemn.standing().may_stand() {
            return self.shown(now);
        }
        if let Some(hold) = self.hold_in_force(now) {
            return self.refuse(now, hold);
        }
        if let Some(objection) = rules::objection(&self.config, &group) {
            return self.object(now, objection);
        }
        if !self.is_process_fault()
            && let Some(why) = rules::learned(&group, self.outage.registered_ever())
        {
            return self.refuse(now, why);
        }
        let Question::Again { ground } = stage else { return self.ask_peers(now, &group) };
        match rules::canary(&group, self.outage.registered_ever()) {
            Err(objection) if ground == Ground::Canary => self.refuse(now, objection),
            _ => self.condemn.ask(Question::Go { ground }),
        }
    }

    fn ask_peers(&mut self, now: Mono, group: &Group) {
        let others = group.others().filter(|member| member.in_service()).count();
        if self.is_process_fault() {
            return match self.restart_had_its_time(now) {
                Some(from) if now < from => self.wait_until(from),
                Some(_) => self.clear(now, group.rank(), Ground::Process),
                None => self.wait_until(now + self.config.ask_again),
            };
        }
        let canary = rules::canary(group, self.outage.registered_ever());
        if others == 0 {
            // Who else there may be would only allow more than the canary rule does.
            self.condemn.guard.others = Some((now, Others::None));
            self.step_blame(now);
            return match self.may_be_canary(now, canary) {
                Ok(()) => self.clear(now, 0, Ground::Canary),
                Err(objection) => self.refuse(now, objection),
            };
        }
        let zone = Zone::of(group);
        let zones = zone.as_ref().map(|zone| zone.all.clone()).unwrap_or_default();
        self.condemn.ask(Question::Peers {
            others,
            zone,
            rank: group.rank(),
            canary,
            again: rules::another_try(group),
        });
        self.read_peers(now, zones);
    }

    pub(crate) fn peers_read(&mut self, now: Mono, result: Result<Peers, Failure>) {
        let Some(Question::Peers { others, zone, rank, canary, again }) =
            self.condemn.ladder.standing.question().map(std::mem::take)
        else {
            return self.others_told(now, result);
        };
        let peers = match result {
            Ok(peers) => peers,
            Err(failure) => {
                let why = format!("whether other connectors are registered cannot be read: {}", failure.text);
                return self.refuse(now, why);
            }
        };
        let zone_is_out =
            zone.is_some_and(|zone| rules::zone_is_out(&peers, &zone, self.outage.clock(), now, &self.config));
        let answer = match rules::judge_peers(&peers, self.outage.clock(), now, &self.config, others) {
            Others::Alive if zone_is_out => Others::Zone,
            Others::Alive => Others::Alive,
            answer @ (Others::None | Others::Zone | Others::NotKnown) => answer,
        };
        let little = rules::proves_little(&peers, self.outage.clock(), now, &self.config, others);
        self.condemn.guard.others = Some((now, answer));
        self.step_blame(now);
        match answer {
            Others::Alive => {
                match (if little { again } else { Ok(()) }).and_then(|()| self.may_go_alone(now, &peers)) {
                    Ok(ground) => self.clear(now, rank, ground),
                    Err(objection) => self.refuse(now, objection),
                }
            }
            Others::Zone => {
                let why = "all of this availability zone are out, and another zone is not: a new instance here would be out too";
                self.refuse(now, why.into());
            }
            Others::None => match self.may_be_canary(now, canary) {
                Ok(()) => self.clear(now, rank, Ground::Canary),
                Err(objection) => self.refuse(now, objection),
            },
            Others::NotKnown => {
                self.wait_for(now, "whether other connectors are registered is not known: no reports came in");
            }
        }
    }

    /// On what ground this one may go where others are registered, by what the blame needs.
    fn may_go_alone(&self, now: Mono, peers: &Peers) -> Result<Ground, String> {
        let blame = self.outage.found().map_or(Blame::Unknown, |finding| finding.blame);
        match blame.may_condemn() {
            Condemns::Never => Err(format!("a new instance would meet the same: {blame}")),
            // It may be unknown by the time that it goes, as when the edge is just being reached again.
            Condemns::Alone | Condemns::WithOthers => {
                let same = self.has_the_same_version(now, peers);
                Ok(same.map_or(Ground::Others, |()| Ground::SameVersion))
            }
            Condemns::WithSameVersion => self.has_the_same_version(now, peers).map(|()| Ground::SameVersion),
        }
    }

    /// Whether another instance is registered with the same version, and it is known what this one's tries came to.
    fn has_the_same_version(&self, now: Mono, peers: &Peers) -> Result<(), String> {
        let lasts = self.config.evidence_lasts;
        if !self.connectors.serving().is_some_and(|(_, run)| run.tries_are_known(now, lasts)) {
            return Err(UNREAD.into());
        }
        // A version that has not proven itself here may be new to the others too, and fade there a moment later.
        let enough = if self.change.probation().is_some() { rules::ENOUGH } else { 1 };
        rules::same_version(peers, self.outage.clock(), now, &self.config, enough)
    }

    /// Whether it may try a replacement though nobody is registered: for what all share, and not for what nobody could read.
    fn may_be_canary(&self, now: Mono, canary: Result<(), String>) -> Result<(), String> {
        let blame = self.outage.found().map_or(Blame::Unknown, |finding| finding.blame);
        match blame.may_condemn() {
            // The edge answers from here, so it may be the version, and a new instance would start with it.
            Condemns::Alone | Condemns::WithOthers if self.change.probation().is_some() && !self.edge_out(now) => {
                Err("nobody in the tunnel is registered, and the secret's version has not proven itself here: it may be that".into())
            }
            Condemns::Alone | Condemns::WithOthers => canary,
            Condemns::WithSameVersion => Err(UNREAD.into()),
            Condemns::Never => Err(format!("a new instance would meet the same: {blame}")),
        }
    }

    fn read_peers(&mut self, now: Mono, zones: Vec<String>) {
        let since = self.outage.clock().bad_for(now, self.config.flapping_window);
        let version = self.connectors.serving().map(|(_, run)| run.installed.version.clone());
        self.orders.give(Order::ReadPeers { since, version, zones });
    }

    /// Asks for the others beside the question of condemning. Says whether they are asked.
    pub(crate) fn ask_others(&mut self, now: Mono) -> bool {
        if self.guard_is_busy() || self.condemn.standing().is_asking() {
            return false;
        }
        self.read_peers(now, vec![]);
        true
    }

    /// What cannot be read is known to nobody: that decides nothing.
    fn others_told(&mut self, now: Mono, result: Result<Peers, Failure>) {
        let told = |peers: &Peers| rules::judge_peers(peers, self.outage.clock(), now, &self.config, 1);
        let others = result.as_ref().map_or(Others::NotKnown, told);
        self.condemn.guard.others = Some((now, others));
        self.step_blame(now);
    }

    /// Asks again soon, as long as it is worth waiting for; then it is a no.
    fn wait_for(&mut self, now: Mono, why: &str) {
        let since = *self.condemn.guard.waiting_since.get_or_insert(now);
        if now.since(since) >= self.config.peers_wait {
            return self.refuse(now, why.into());
        }
        self.wait_until(now + self.config.ask_again);
    }

    fn wait_until(&mut self, at: Mono) {
        if let Standing::Called { ask_at, .. } = &mut self.condemn.ladder.standing {
            *ask_at = at;
        }
    }

    /// Nothing speaks against it. The evidence has its time to leave the host; and instances of one group, which all have that
    /// pause, do not act in the same moment, so that each sees what the one before it did.
    fn clear(&mut self, now: Mono, rank: u32, ground: Ground) {
        let shipped =
            self.condemn.ladder.testified.map_or(now, |testified| now.max(testified + self.config.evidence_pause));
        let at = shipped + (self.config.stagger * rank).min(self.config.longest_stagger);
        self.condemn.ask(if at > now { Question::Clear { at, ground } } else { Question::Go { ground } });
    }

    /// The group shows our mark.
    pub(crate) fn shown(&mut self, now: Mono) {
        if !matches!(self.condemn.standing(), Standing::Shown { .. }) {
            self.condemn.ladder.standing = Standing::Shown { verifying: false };
            self.condemn.guard.next_verify = now;
            (self.condemn.guard.said, self.condemn.guard.waiting_since) = (None, None);
            self.note(now, DecisionKind::Action, "this instance is condemned", "the group shows it unhealthy");
        }
    }

    /// A mark that was made at the same time as another one: of two, the higher id gives way, and each to one that is on its
    /// way out.
    fn verify(&mut self, now: Mono, group: &Group) {
        let Some(me) = group.myself() else { return };
        let goes = |lifecycle: &str| lifecycle.starts_with("Terminating");
        if goes(&me.lifecycle) {
            return;
        }
        if let Standing::Called { may_stand, .. } = &mut self.condemn.ladder.standing {
            if me.healthy {
                // By now it would show.
                *may_stand &= now.since(self.condemn.guard.marked_at) <= self.config.refused_again;
                return;
            }
            // It shows after all.
            self.shown(now);
        }
        if me.healthy && now.since(self.condemn.guard.marked_at) <= self.config.ask_again {
            return;
        }
        if me.healthy {
            return self.refuse(now, "the group no longer shows our mark: somebody took it back".into());
        }
        // One that is on its way out cannot give way any more.
        let first = |other: &&Member| goes(&other.lifecycle) || (!other.healthy && other.id < group.me);
        if let Some(other) = group.others().find(first) {
            let why = format!("{} goes at the same time, and goes first", other.id);
            self.note(now, DecisionKind::Action, "take the mark back", &why);
            let retry_at = now + self.config.ask_again;
            self.condemn.ladder.standing = Standing::Lifting { retry_at, lift: Lift::Yields, times: 1 };
            self.orders.give(Order::MarkHealthy);
        }
    }

    /// Not yet; said once for each reason.
    pub(crate) fn wait(&mut self, now: Mono, why: &str) {
        if self.condemn.guard.says(why) == 1 {
            self.note(now, DecisionKind::Delay, "not condemned yet", why);
        }
        self.condemn.drop_question();
        let may_stand = self.condemn.standing().may_stand();
        self.condemn.ladder.standing = Standing::called(now + self.config.ask_again, None, may_stand);
        self.condemn.guard.next_verify = now + self.config.group_lag;
    }

    /// Says no, once for each reason, and asks again later: ever more seldom, for an outage of the edge has the whole
    /// fleet ask.
    pub(crate) fn refuse(&mut self, now: Mono, why: String) {
        self.object(now, why.into());
    }

    fn object(&mut self, now: Mono, Objection { why, passes }: Objection) {
        let times = self.condemn.guard.says(&why);
        if times == if passes { SHOULD_HAVE_PASSED } else { 1 } {
            self.note(now, DecisionKind::Refusal, "not condemned: a person is needed", &why);
        } else if times == 1 {
            self.note(now, DecisionKind::Delay, "not condemned for now", &why);
        }
        self.condemn.drop_question();
        // What the group was read to show may be older than a mark of ours.
        let may_stand = self.condemn.standing().may_stand();
        let again = self.config.refused_again * (1 << (times - 1).min(3));
        self.condemn.ladder.standing = Standing::called(now + again, Some(why), may_stand);
    }
}
