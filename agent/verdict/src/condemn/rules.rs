//! The rules: the objections to a replacement, and the conclusions from the others' reports.
//!
//! Only minutes count that ended at least 20 s after this instance was lost, the newest that is conclusive first. The others are *alive* if
//! a quarter of those who report are registered, and *none* if every other instance in service reports that it is not, or three minutes
//! show nobody. If they were out and are back, five minutes must show it, because this instance may be about to follow. If this one comes
//! and goes, three minutes must show them alive while it was out, and ten minutes the same number of them out each time.

use super::Others;
use crate::outage::Clock;
use crate::{Config, Group, Mono, PeerGrain, Peers};
use std::collections::BTreeSet;
use std::time::Duration;

/// Processes of a group without which an unhealthy instance is not replaced, or not judged
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>).
const NEEDED: [&str; 4] = ["Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// So many grains in a row are enough to go by, where one is not.
pub(super) const ENOUGH: usize = 3;
/// In so many of them others that were out have stayed, so that this one should have followed.
const BACK: usize = 5;

/// What speaks against being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    pub why: String,
    /// The group itself brings it to an end.
    pub passes: bool,
}

impl Objection {
    fn passing(why: String) -> Self {
        Self { why, passes: true }
    }
}

/// One that ends when a person ends it.
impl From<String> for Objection {
    fn from(why: String) -> Self {
        Self { why, passes: false }
    }
}

/// What speaks against being replaced, in a group like this; an instance with a mark of its own is judged elsewhere.
pub(super) fn objection(config: &Config, group: &Group) -> Option<Objection> {
    let Some(me) = group.myself() else {
        return Some(format!("the group {} does not list this instance", group.name).into());
    };
    if !me.in_service() {
        return Some(format!("this instance is {} in its group, not InService", me.lifecycle).into());
    }
    if !me.healthy {
        return Some("the group already considers this instance unhealthy, without our mark".to_owned().into());
    }
    if let Some(process) = NEEDED.iter().find(|process| group.suspended.iter().any(|name| name == *process)) {
        let why = format!("the group's process {process} is suspended: resume it (aws autoscaling resume-processes)");
        return Some(why.into());
    }
    if let Some(state) = &group.refresh {
        return Some(Objection::passing(format!("an instance refresh of the group is under way ({state})")));
    }
    if let Some(other) = group.others().find(|other| !other.settled()) {
        let health = if other.healthy { "" } else { ", unhealthy" };
        return Some(Objection::passing(format!(
            "another instance of the group comes or goes: {} is {}{health}",
            other.id, other.lifecycle
        )));
    }
    let within = |span| group.replaced.iter().filter(|age| **age < span).count();
    let budgets = [(HOUR, config.replacements_per_hour, "hour"), (DAY, config.replacements_per_day, "day")];
    let used = budgets.into_iter().find(|(span, most, _)| within(*span) >= *most as usize);
    used.map(|(span, most, name)| {
        let replaced = within(span);
        format!(
            "the group's budget is used up: {replaced} replaced for health within a {name}, at most {most} are allowed"
        )
        .into()
    })
}

/// For so long an instance that came for an unhealthy one, and never registered, is not replaced in its turn.
const LEARNS: Duration = Duration::from_secs(6 * 3600);

/// Whether this instance came for an unhealthy one, and has never registered itself: a replacement did not help.
fn did_not_help(group: &Group, registered_ever: bool) -> Option<Duration> {
    group.launch.filter(|launch| launch.for_unhealthy && !registered_ever).map(|launch| launch.age)
}

/// What the last replacement taught: it did not help, so another one is not tried soon.
pub(super) fn learned(group: &Group, registered_ever: bool) -> Option<String> {
    let age = did_not_help(group, registered_ever)?;
    let alone = group.others().all(|member| !member.in_service());
    (age < LEARNS || alone).then(|| {
        "this instance came for an unhealthy one and has never registered: a replacement did not help; see what both have in \
         common"
            .into()
    })
}

/// Two or more instances of one availability zone, this one among them, in a group that has others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Zone {
    mine: String,
    /// How many others are in service there.
    others: usize,
    /// The zones in which an instance is in service.
    pub all: Vec<String>,
}

impl Zone {
    /// The zone of this instance, if it has another one there, and the group another zone.
    pub fn of(group: &Group) -> Option<Self> {
        let mine = group.myself()?.zone.clone()?;
        let serving = || group.members.iter().filter(|member| member.in_service());
        let others = serving().filter(|member| member.id != group.me && member.zone.as_ref() == Some(&mine)).count();
        let all: BTreeSet<String> = serving().filter_map(|member| member.zone.clone()).collect();
        (others > 0 && all.len() > 1).then(|| Self { mine, others, all: all.into_iter().collect() })
    }
}

/// Whether in the newest grain that tells of them all others of this zone were out, and somebody of another zone was not.
pub(super) fn zone_is_out(peers: &Peers, zone: &Zone, outage: &Clock, now: Mono, config: &Config) -> bool {
    let (margin, window) = (config.grain / 3, config.flapping_window);
    let while_out = |grain: &&PeerGrain| outage.bad_before(now, now.before(grain.age), margin, window);
    let tells = |grain: &&PeerGrain| grain.live > 0 || grain.reporting as usize >= zone.others;
    let mine = peers.zones.get(&zone.mine).into_iter().flatten().filter(while_out).filter(tells);
    let Some(newest) = mine.min_by_key(|grain| grain.age) else { return false };
    let elsewhere = peers.zones.iter().filter(|(name, _)| **name != zone.mine).flat_map(|(_, grains)| grains);
    let same = |grain: &&PeerGrain| grain.age.abs_diff(newest.age) < config.grain / 2;
    newest.live == 0 && elsewhere.filter(same).any(|grain| grain.live > 0)
}

/// Whether another instance was registered with the same version of the secret while this one was out, in so many of the newest
/// grains that tell.
pub(super) fn same_version(
    peers: &Peers,
    outage: &Clock,
    now: Mono,
    config: &Config,
    enough: usize,
) -> Result<(), String> {
    let (margin, window) = (config.grain / 3, config.flapping_window);
    let while_out = |grain: &&PeerGrain| outage.bad_before(now, now.before(grain.age), margin, window);
    let mut known: Vec<_> =
        peers.grains.iter().filter(while_out).filter(|grain| grain.same_version.is_some()).collect();
    known.sort_by_key(|grain| grain.age);
    let registered = known.iter().take_while(|grain| grain.same_version > Some(0)).count();
    if registered >= enough {
        return Ok(());
    }
    if registered == known.len() {
        return Err(
            "whether another instance is registered with the same version of the secret is not known yet".into()
        );
    }
    Err("no other instance is registered with the same version of the secret: it may be the version; publish one that works"
        .into())
}

/// Whether this instance may be the one that tries whether a replacement helps: the lowest id in service, once an hour, and not
/// one that was such a try itself.
pub(super) fn canary(group: &Group, registered_ever: bool) -> Result<(), String> {
    if did_not_help(group, registered_ever).is_some() {
        return Err("nobody in the tunnel is registered, and this instance is a replacement that did not help".into());
    }
    if group.replaced.iter().any(|age| *age < HOUR) {
        return Err("nobody in the tunnel is registered, and a replacement was tried within the last hour".into());
    }
    match group.rank() {
        0 => Ok(()),
        _ => {
            Err("nobody in the tunnel is registered; the instance with the lowest id tries a replacement, not this one"
                .into())
        }
    }
}

/// Whether the group may try a replacement though the others that are registered prove little: this instance comes and goes, as an
/// edge may in step with the minute, which then is up in each of their reports; or they were out as well. That is a try too: once an
/// hour.
pub(super) fn another_try(group: &Group) -> Result<(), String> {
    if group.replaced.iter().any(|age| *age < HOUR) {
        return Err("the others were out in this outage too, or this instance comes and goes, and one was replaced for its health \
             within the last hour: it may be the edge"
            .into());
    }
    Ok(())
}

/// Whether the others prove little, though they are registered: this instance comes and goes, or they were out while it was.
pub(super) fn proves_little(peers: &Peers, outage: &Clock, now: Mono, config: &Config, others: usize) -> bool {
    let (margin, window) = (config.grain / 3, config.flapping_window);
    let while_out = |grain: &&PeerGrain| outage.bad_before(now, now.before(grain.age), margin, window);
    let out = |grain: &PeerGrain| !alive(grain) && by_most(grain, others);
    outage.is_unsteady(now, window) || peers.grains.iter().filter(while_out).any(out)
}

/// Whether others are registered: one of very many is no proof that only this host has trouble.
fn alive(grain: &PeerGrain) -> bool {
    grain.live > 0 && grain.live * 4 >= grain.reporting
}

/// Whether most of them reported, which casts doubt on those that are registered.
fn by_most(grain: &PeerGrain, others: usize) -> bool {
    grain.reporting as usize * 2 > others
}

/// What the reports say of the others.
///
/// Only grains count that ended when this instance had been out for a moment, so that an outage which reaches one instance
/// after the other is not taken for this one's own. Of an outage with good moments in it, more is asked: when everybody comes
/// and goes, each sees another one alive now and then.
pub(super) fn judge_peers(peers: &Peers, outage: &Clock, now: Mono, config: &Config, others: usize) -> Others {
    let (margin, window) = (config.grain / 3, config.flapping_window);
    let while_out = |grain: &&PeerGrain| outage.bad_before(now, now.before(grain.age), margin, window);
    let mut grains: Vec<_> = peers.grains.iter().filter(while_out).collect();
    grains.sort_by_key(|grain| grain.age);
    if grains.len() >= ENOUGH && grains[..ENOUGH].iter().all(|grain| grain.live == 0) {
        return Others::None;
    }
    let tells = |grain: &PeerGrain| alive(grain) || grain.reporting as usize >= others;
    let by_half = |grain: &PeerGrain| grain.reporting as usize * 2 >= others;
    // That nobody is registered may be said by all only; that somebody is may be doubted by most.
    let told: Vec<_> = grains.iter().filter(|grain| alive(grain) || by_most(grain, others)).collect();
    let lately = told.iter().take_while(|grain| alive(grain)).count();
    if outage.is_unsteady(now, window) {
        let told = || peers.grains.iter().filter(|grain| tells(grain));
        let lost = told().any(|grain| !alive(grain));
        // Where only this host comes and goes, as many of the others are out at the end of one grain as of the next.
        let mut out = told().map(|grain| grain.reporting.saturating_sub(grain.live));
        let they_vary = out.next().is_some_and(|first| out.any(|later| later != first));
        return match lately {
            _ if lost || they_vary => Others::None,
            ENOUGH.. => Others::Alive,
            _ => Others::NotKnown,
        };
    }
    match told.first() {
        None => Others::NotKnown,
        Some(newest) if lately == 0 => {
            if tells(newest) {
                Others::None
            } else {
                Others::NotKnown
            }
        }
        Some(_) if lately == told.len() => Others::Alive,
        // They came back, and this one may be about to: cloudflared sleeps for up to a minute between its tries.
        Some(_) if told[..lately].iter().filter(|grain| by_half(grain)).count() < BACK => Others::NotKnown,
        Some(_) => Others::Alive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two others reported, the newest grain first, to an instance that was lost at these seconds of the last ten
    /// minutes and was back after the given time, or is not.
    fn judged(lost: &[(u64, u64)], grains: &[(u32, u32)]) -> Others {
        let (now, outage, peers) = reported(lost, grains);
        judge_peers(&peers, &outage, now, &Config::default(), 2)
    }

    fn reported(lost: &[(u64, u64)], grains: &[(u32, u32)]) -> (Mono, Clock, Peers) {
        let (config, mut outage) = (Config::default(), Clock::default());
        let now = Mono::new(Duration::from_secs(10_000));
        for second in 0..=600 {
            let good = !lost.iter().any(|(from, lasting)| (*from..from + lasting).contains(&second));
            let at = now.before(Duration::from_secs(600 - second));
            outage.note(at, good, config.recovered_after, config.flapping_window);
        }
        let age = |n: usize| Duration::from_secs(10 + 60 * n as u64);
        let grain = |(n, (live, reporting)): (usize, &(u32, u32))| PeerGrain {
            age: age(n),
            live: *live,
            reporting: *reporting,
            same_version: None,
        };
        let peers = Peers { grains: grains.iter().enumerate().map(grain).collect(), ..Peers::default() };
        (now, outage, peers)
    }

    #[test]
    fn others_prove_little_if_they_were_out_in_the_same_outage_or_this_one_comes_and_goes() {
        let lost = [(300, 301)];
        let flapping: Vec<_> = (0..6).map(|n| (n * 100 + 1, 95)).collect();
        for (lost, grains, expected) in [
            (&lost[..], &[(2, 2), (1, 2), (2, 2)][..], false),
            (&lost, &[(1, 2), (1, 2), (1, 2), (0, 2)], true),
            // It may be one report that is late; and what was before this outage is of no matter.
            (&lost, &[(2, 2), (0, 1)], false),
            (&lost, &[(2, 2), (2, 2), (2, 2), (2, 2), (2, 2), (0, 2)], false),
            (&flapping, &[(2, 2), (2, 2), (2, 2)], true),
        ] {
            let (now, outage, peers) = reported(lost, grains);
            assert_eq!(proves_little(&peers, &outage, now, &Config::default(), 2), expected, "{lost:?} {grains:?}");
        }
        let tried = |ages: &[u64]| {
            another_try(&Group {
                replaced: ages.iter().map(|age| Duration::from_secs(*age)).collect(),
                ..Group::default()
            })
        };
        assert!(tried(&[3599]).is_err() && tried(&[3600]).is_ok() && tried(&[]).is_ok());
    }

    #[test]
    fn one_outage_is_judged_by_the_newest_that_tells() {
        let lost = [(300, 301)];
        for (grains, expected) in [
            (&[][..], Others::NotKnown),
            (&[(1, 1)], Others::Alive),
            (&[(0, 2)], Others::None),
            (&[(0, 1)], Others::NotKnown),
            (&[(0, 1), (1, 2)], Others::Alive),
            (&[(0, 1), (0, 0), (0, 1), (2, 2)], Others::None),
            (&[(0, 2), (2, 2), (2, 2)], Others::None),
            // They are back for one minute, for two, for three.
            (&[(2, 2), (0, 2), (0, 2)], Others::NotKnown),
            (&[(2, 2), (1, 2), (0, 2)], Others::NotKnown),
            (&[(2, 2), (1, 2), (1, 1), (0, 2)], Others::NotKnown),
            (&[(2, 2), (1, 2), (2, 2), (1, 2), (1, 1), (0, 2)], Others::Alive),
        ] {
            assert_eq!(judged(&lost, grains), expected, "{grains:?}");
        }
    }

    #[test]
    fn what_was_reported_before_the_break_or_just_after_it_does_not_count() {
        assert_eq!(judged(&[(580, 21)], &[(2, 2)]), Others::NotKnown, "it was out for 10 s when that grain ended");
        assert_eq!(judged(&[(560, 41)], &[(2, 2)]), Others::Alive);
        assert_eq!(judged(&[(560, 41)], &[(0, 1), (2, 2)]), Others::NotKnown);
    }

    #[test]
    fn when_all_come_and_go_a_moment_of_others_is_not_enough() {
        // Out at the end of every minute but one.
        let flapping: Vec<_> = (0..6).map(|n| (n * 100 + 1, 95)).collect();
        for (grains, expected) in [
            (&[(2, 2), (2, 2)][..], Others::NotKnown),
            (&[(2, 2), (2, 2), (1, 1), (2, 2)], Others::Alive),
            // One of them is out all the time; then one now and one later.
            (&[(1, 2), (1, 2), (1, 2), (1, 2)], Others::Alive),
            (&[(1, 2), (2, 2), (2, 2), (1, 2)], Others::None),
            (&[(1, 2), (1, 2), (0, 2), (1, 2)], Others::None),
        ] {
            assert_eq!(judged(&flapping, grains), expected, "{grains:?}");
        }
    }
}
