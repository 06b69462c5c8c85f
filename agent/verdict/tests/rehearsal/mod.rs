//! The rehearsal: what is to change a group is put into one in service, and what comes of it is counted.
//!
//! Groups of 1, 2 and 4 with launch and terminate hooks, all of whose instances are to stay registered. `make sim` rehearses
//! with many seeds and writes the table of `docs/simulation.md`.

use crate::fleet::fault::{EdgeMode, Fault, ImageFault, Kind, Scope};
use crate::fleet::plant::Plant;
use crate::fleet::secret::Flaw;
use crate::fleet::{Fleet, HOUR, MIN, Ms, S, table};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const SIZES: [usize; 3] = [1, 2, 4];

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// An instance refresh with a good image.
    Good,
    /// The same while the edge is out.
    EdgeOut,
    /// The same while a version is published that cannot be used.
    BadVersionToo,
    /// An instance refresh with that image.
    Bad(ImageFault),
    /// A good version of the secret.
    Version,
    /// One with that flaw.
    Flawed(Flaw),
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = vec![Self::Good, Self::EdgeOut, Self::BadVersionToo];
        cases.extend(ImageFault::ALL.map(Self::Bad));
        cases.push(Self::Version);
        cases.extend(Flaw::ALL.map(Self::Flawed));
        cases
    }

    fn title(self) -> &'static str {
        match self {
            Self::Good => "refresh, good image",
            Self::EdgeOut => "refresh, good image, the edge is out for 20 min",
            Self::BadVersionToo => "refresh, good image, but the secret's version is refused by the edge",
            Self::Bad(ImageFault::Crashes) => "refresh, image in which cloudflared crashes",
            Self::Bad(ImageFault::NoNetwork) => "refresh, image that does not reach the edge",
            Self::Bad(ImageFault::NoBinary) => "refresh, image without cloudflared",
            Self::Bad(ImageFault::AgentCrashes) => "refresh, image in which the agent crashes",
            Self::Version => "secret, good version",
            Self::Flawed(Flaw::SeenByRules) => "secret, version that breaks a rule",
            Self::Flawed(Flaw::SeenByCloudflared) => "secret, version that cloudflared refuses",
            Self::Flawed(Flaw::DeadOrigin) => "secret, version that loses an origin",
            Self::Flawed(Flaw::Unauthorized) => "secret, version that the edge refuses",
            Self::Flawed(Flaw::Slow) => "secret, version that registers too slowly",
            Self::Flawed(Flaw::Fades) => "secret, version that is lost soon after it took over",
        }
    }

    fn refreshes(self) -> bool {
        !matches!(self, Self::Version | Self::Flawed(_))
    }
}

/// What came of it.
#[derive(Debug, Clone)]
struct Seen {
    /// The fewest connectors that were registered at a time, outside an outage of the edge.
    lowest: usize,
    /// Instances that were in service before, and are gone.
    replaced: usize,
    /// Instances that came into service and are of the bad image, or installed the bad version beside one that served.
    took: usize,
    /// Instances that were launched and given up.
    given_up: u32,
    /// Until everything was as it stays.
    lasted: Ms,
    violations: Vec<&'static str>,
    told: String,
}

/// How many connectors must be registered all the time. What is lost after it took over is missed until the one before is
/// back.
fn required(size: usize, case: Case) -> usize {
    if case == Case::Flawed(Flaw::Fades) { size - 1 } else { size }
}

/// Rehearses one case.
fn rehearse(seed: u64, size: usize, case: Case, plant: Plant) -> Seen {
    let mut fleet = Fleet::hooked(seed, size);
    (fleet.plant, fleet.watch.required, fleet.watch.lowest) = (plant, Some(required(size, case)), size);
    let old: BTreeSet<usize> = fleet.living.iter().copied().collect();
    // At any moment of a poll.
    fleet.run_for(seed * 37 % 300 * S);
    let began = fleet.now;
    let end = began + 4 * HOUR;
    let all = |kind, until| Fault::new(kind, Scope::All, began + S, until);
    match case {
        Case::Good => {}
        Case::EdgeOut => edge_out(&mut fleet),
        Case::BadVersionToo => fleet.add_fault(all(Kind::Published(Some(Flaw::Unauthorized)), end)),
        Case::Bad(image) => fleet.add_fault(all(Kind::BadImage(image), end)),
        Case::Version => fleet.add_fault(all(Kind::Published(None), end)),
        Case::Flawed(flaw) => fleet.add_fault(all(Kind::Published(Some(flaw)), end)),
    }
    if case.refreshes() {
        fleet.add_fault(Fault::new(Kind::Refresh, Scope::All, fleet.now + 2 * S, end));
    }
    if case == Case::EdgeOut {
        // What is out is out, and counts again when everybody is back.
        fleet.watch.required = None;
        fleet.run_for(20 * MIN);
        let lost = old.iter().filter(|i| fleet.group.member(**i).is_none()).count();
        assert_eq!(lost, 0, "{size} instances, seed {seed}: replaced while the edge is out\n{fleet}");
        while fleet.living.iter().filter(|i| fleet.instances[**i].registered()).count() < size {
            fleet.run_for(S);
            assert!(fleet.now < end, "{size} instances, seed {seed}: not back after the outage\n{fleet}");
        }
        fleet.watch.required = Some(size);
    }
    let lasted = settle(&mut fleet, case, began, end);
    let bad = matches!(case, Case::Bad(_));
    let took = match case {
        Case::Bad(_) => fleet.living.iter().filter(|i| !old.contains(i) && in_service(&fleet, **i)).count(),
        _ => fleet.watch.installed.iter().filter(|(version, _)| fleet.secret.flaw(*version).is_some()).count(),
    };
    Seen {
        lowest: fleet.watch.lowest,
        replaced: old.iter().filter(|i| fleet.group.member(**i).is_none()).count(),
        took: if bad { took.max(fleet.group.members.len().saturating_sub(size)) } else { took },
        given_up: fleet.group.abandoned,
        lasted,
        violations: fleet.watch.violations.iter().map(|violation| violation.invariant).collect(),
        told: fleet.tell_trace(120, &[]),
    }
}

fn edge_out(fleet: &mut Fleet) {
    let from = fleet.now + S;
    fleet.add_fault(Fault::new(Kind::Edge(EdgeMode::Unreachable), Scope::All, from, from + 20 * MIN).staggered(20 * S));
}

fn in_service(fleet: &Fleet, i: usize) -> bool {
    fleet.group.member(i).is_some_and(|member| member.lifecycle == "InService")
}

/// Lets time pass until nothing more comes of it, and says how long that took.
fn settle(fleet: &mut Fleet, case: Case, began: Ms, end: Ms) -> Ms {
    if !case.refreshes() {
        let version = fleet.secret.published() + u32::from(fleet.now == began);
        let taken = |fleet: &Fleet| fleet.living.iter().all(|i| fleet.version(*i) == Some(version));
        while fleet.now < began + HOUR && !(case == Case::Version && taken(fleet)) {
            fleet.run_for(5 * S);
        }
        return fleet.now - began;
    }
    fleet.run_for(10 * S);
    while fleet.now < end && (fleet.refreshing() || !fleet.group.settled()) {
        fleet.run_for(5 * S);
    }
    let lasted = fleet.now - began;
    fleet.run_for(10 * MIN);
    lasted
}

/// Rehearses a case in groups of every size with those seeds: what is required, and the row of the table.
fn rehearsed(case: Case, seeds: std::ops::Range<u64>) -> String {
    let mut rows = String::new();
    for size in SIZES {
        let all: Vec<Seen> = seeds.clone().map(|seed| rehearse(seed, size, case, Plant::Nothing)).collect();
        for (seen, seed) in all.iter().zip(seeds.clone()) {
            assert_sound(seen, case, size, seed);
        }
        let most = |what: fn(&Seen) -> usize| all.iter().map(what).max().unwrap();
        let (first, last) = (all.iter().map(|seen| seen.lasted).min(), all.iter().map(|seen| seen.lasted).max());
        let minutes = |time: Option<Ms>| time.unwrap().div_ceil(MIN);
        let _ = writeln!(
            rows,
            "| {} | {size} | {} | {} | {} | {}–{} min |",
            case.title(),
            all.iter().map(|seen| seen.lowest).min().unwrap(),
            most(|seen| seen.replaced),
            most(|seen| seen.took),
            minutes(first),
            minutes(last),
        );
    }
    rows
}

/// What is required of each.
fn assert_sound(seen: &Seen, case: Case, size: usize, seed: u64) {
    let told = format!("{case:?}, {size} instances, seed {seed}: {:?}", seen.violations);
    let Seen { lowest, replaced, took, given_up, .. } = *seen;
    assert!(seen.violations.is_empty(), "{told}\n{}", seen.told);
    assert!(lowest >= required(size, case), "{told}\n{}", seen.told);
    match case {
        Case::Good | Case::EdgeOut => assert_eq!((replaced, given_up), (size, 0), "{told}\n{}", seen.told),
        Case::BadVersionToo => assert_eq!(replaced, 0, "{told}\n{}", seen.told),
        Case::Bad(_) => assert!((replaced, took) == (0, 0) && given_up > 0, "{told}\n{}", seen.told),
        Case::Version => assert!(seen.lasted < HOUR, "{told}\n{}", seen.told),
        Case::Flawed(_) => assert!(took <= 1, "{took} took it: {told}\n{}", seen.told),
    }
}

const TABLE: &str = "\
| what changes | group of | fewest registered | old instances replaced | instances that took what is bad | until it was over |
|---|---|---|---|---|---|
";

#[test]
fn nothing_that_changes_a_group_takes_its_tunnel_down() {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let (first, seeds) = (number("REHEARSALS_FROM").unwrap_or(1), number("REHEARSALS").unwrap_or(3));
    let rows: String = Case::all().into_iter().map(|case| rehearsed(case, first..first + seeds)).collect();
    println!("{TABLE}{rows}");
    if table::wanted("REHEARSAL_TABLE") {
        table::write("rehearsal", &format!("{TABLE}{rows}"));
    }
}

/// A mistake around the verdict breaks the rehearsal, which holds without it.
mod planted {
    use super::*;

    /// What of the rehearsal fails with the mistake, in one of some seeds; nothing may without it.
    fn fails(plant: Plant, size: usize, case: Case) -> Vec<(&'static str, usize)> {
        let with = |plant| (1..7).map(move |seed| rehearse(seed, size, case, plant));
        with(Plant::Nothing).zip(1..).for_each(|(seen, seed)| assert_sound(&seen, case, size, seed));
        with(plant).map(|seen| (seen.violations.first().copied().unwrap_or(""), seen.took)).collect()
    }

    #[test]
    fn a_group_that_waits_for_nobody_loses_its_connectors() {
        let seen = fails(Plant::NoHook, 2, Case::Bad(ImageFault::NoBinary));
        assert!(seen.iter().any(|(broken, _)| *broken == "as many are registered as the group requires"), "{seen:?}");
    }

    #[test]
    fn without_turns_a_bad_version_is_taken_by_all() {
        let seen = fails(Plant::NoTurns, 4, Case::Flawed(Flaw::Unauthorized));
        assert!(seen.iter().any(|(_, took)| *took > 1), "{seen:?}");
    }

    #[test]
    fn without_a_look_at_the_origins_one_is_lost() {
        let seen = fails(Plant::NoOrigins, 1, Case::Flawed(Flaw::DeadOrigin));
        assert!(seen.iter().any(|(broken, _)| *broken == "no origin is lost by a hand-over"), "{seen:?}");
    }

    #[test]
    fn where_the_old_one_always_ends_first_the_tunnel_is_at_zero() {
        let seen = fails(Plant::NoRoom, 1, Case::Version);
        assert!(seen.iter().any(|(broken, _)| *broken == "the tunnel is never at zero by a hand-over"), "{seen:?}");
    }
}
