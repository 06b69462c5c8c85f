//! CloudWatch: when a datapoint of the number of live connectors can be read.
//!
//! Nothing is pushed: what an instance said at the end of a minute follows from its record, and when that becomes visible
//! from the seed, so a datapoint costs nothing until somebody reads it, and counts once however often it is read.

use super::fault::{Cut, Kind};
use super::rng::hash;
use super::{Fleet, MIN, Ms, S};
use cflared_verdict::{Failure, FailureKind, PeerGrain, Peers};
use std::time::Duration;

/// How many of the last minutes are asked for what others refuse.
const REFUSALS: u64 = 5;

impl Fleet {
    /// What the others reported, minute by minute, as far as it can be read by now.
    pub fn read_peers(
        &mut self,
        i: usize,
        since: Duration,
        version: Option<u32>,
        zones: &[String],
    ) -> Result<Peers, Failure> {
        self.can_read(i)?;
        let since = u64::try_from(since.as_millis()).unwrap_or(Ms::MAX / 4);
        let first = self.now.saturating_sub(since + MIN) / MIN + 1;
        let grains = |zone: Option<&String>| {
            let of = |minute| self.grain(i, minute, version, zone);
            (first..=self.now / MIN).rev().filter_map(of).collect::<Vec<_>>()
        };
        let by_zone = zones.iter().map(|zone| (zone.clone(), grains(Some(zone)))).collect();
        Ok(Peers { grains: grains(None), zones: by_zone })
    }

    /// How many others refused a version of the secret at the end of one of the last minutes, as far as it can be read.
    pub fn read_refusals(&self, i: usize) -> Result<u32, Failure> {
        self.can_read(i)?;
        let last = self.now / MIN;
        let others = self.living.iter().chain(&self.buried).filter(|other| **other != i);
        let refuses =
            |other: &&usize| (last.saturating_sub(REFUSALS - 1)..=last).any(|minute| self.refusal(**other, minute));
        Ok(u32::try_from(others.filter(refuses).count()).unwrap_or(u32::MAX))
    }

    fn can_read(&self, i: usize) -> Result<(), Failure> {
        let fail = |kind| Err(Failure::new(kind, "the metrics were not read"));
        if !self.reaches_aws(i) || self.struck(i, |kind| *kind == Kind::CloudWatch) {
            return fail(FailureKind::Unreachable);
        }
        if self.struck(i, |kind| *kind == Kind::CloudWatchDenied) {
            return fail(FailureKind::Denied);
        }
        if self.struck(i, |kind| *kind == Kind::ClockSkewed) {
            return fail(FailureKind::Host);
        }
        Ok(())
    }

    fn grain(&self, i: usize, minute: u64, version: Option<u32>, zone: Option<&String>) -> Option<PeerGrain> {
        let mut any = self.datapoint(i, minute).is_some();
        let (mut live, mut reporting, mut same) = (0, 0, None);
        let there = |other: &&usize| zone.is_none_or(|zone| self.zone_name(**other) == *zone);
        let others = self.living.iter().chain(&self.buried).filter(|other| **other != i).filter(there);
        for (other, value) in others.filter_map(|other| Some((*other, self.datapoint(*other, minute)?))) {
            // An instance reports for a version from the first time on that it is registered with it.
            if let Some(serves) = version.and_then(|version| self.serves(other, minute, version)) {
                *same.get_or_insert(0) += u32::from(value && serves);
            }
            any = true;
            reporting += 1;
            live += u32::from(value);
        }
        let age = Duration::from_millis(self.now - minute * MIN);
        any.then_some(PeerGrain { age, live, reporting, same_version: same })
    }

    /// Whether the instance served with that version at the end of that minute; `None`: it never did.
    fn serves(&self, i: usize, minute: u64, version: u32) -> Option<bool> {
        let until = self.instances[i].served.iter().filter(|(since, _)| *since <= minute * MIN);
        let mut last = None;
        let mut ever = false;
        for (_, served) in until {
            ever |= *served == version;
            last = Some(*served);
        }
        ever.then_some(last == Some(version))
    }

    /// The name of the instance's availability zone.
    pub fn zone_name(&self, i: usize) -> String {
        format!("us-east-1{}", char::from(b'a' + self.instances[i].zone))
    }

    /// What the instance said at the end of that minute, if it can be read by now.
    fn datapoint(&self, i: usize, minute: u64) -> Option<bool> {
        let end = minute * MIN;
        let at = self.instances[i].reported.iter().rev().find(|(since, _)| *since <= end)?;
        let value = at.1?;
        self.visible(i, minute).then_some(value)
    }

    /// Whether the instance refused a version at the end of that minute, if that can be read by now.
    fn refusal(&self, i: usize, minute: u64) -> bool {
        let at = self.instances[i].refused.iter().rev().find(|(since, _)| *since <= minute * MIN);
        at.is_some_and(|(_, refused)| *refused) && self.visible(i, minute)
    }

    /// Whether what the instance reported of that minute can be read by now.
    fn visible(&self, i: usize, minute: u64) -> bool {
        let chance = |what| hash(&[self.seed, i as u64, minute, what]);
        if chance(3) % 1000 < self.loss_per_mille {
            return false;
        }
        let jitter = hash(&[self.seed, i as u64, 4]) % (15 * S);
        let delay = match chance(5) % 100 {
            0..70 => chance(6) % (30 * S),
            70..95 => 30 * S + chance(6) % (60 * S),
            _ => 90 * S + chance(6) % (90 * S),
        };
        let pushed = self.pushed_after(i, minute * MIN + jitter);
        pushed + delay <= self.now
    }

    /// What cannot be pushed waits until it can be.
    fn pushed_after(&self, i: usize, due: Ms) -> Ms {
        let zone = self.instances[i].zone;
        let away = |kind: Kind| matches!(kind, Kind::CloudWatch | Kind::Network(Cut::All));
        let held = self.faults.iter().filter(|fault| away(fault.kind) && fault.strikes(i, zone, due));
        held.map(|fault| fault.until.saturating_add(hash(&[self.seed, i as u64, due]) % MIN)).max().unwrap_or(due)
    }
}
