//! Random lives: one fault after the other, now and then two at once, with quiet days between them.

use super::fault::{Cut, EdgeMode, Fault, Hole, ImageFault, Kind, Scope};
use super::plant::Plant;
use super::rng::{Rng, hash};
use super::secret::Flaw;
use super::{DAY, Fleet, HOUR, Jump, MIN, Ms, S};
use std::collections::BTreeMap;

/// How long before a fault everything runs in full again.
const LEAD: Ms = 20 * MIN;
/// How long after the last fault everybody is registered: a child sleeps for a minute at most, a secret is polled every five
/// and a half, and a replacement takes six.
const MENDS: Ms = 15 * MIN;

/// What a life gave.
#[derive(Debug, Default)]
pub struct Tally {
    pub episodes: u64,
    pub instance_ms: u128,
    /// Episodes by the size of the group.
    pub sizes: BTreeMap<usize, u64>,
    pub faults: BTreeMap<String, u64>,
    pub acts: BTreeMap<&'static str, u64>,
    pub in_time: u64,
    pub excluded: BTreeMap<&'static str, u64>,
    pub by_fault: BTreeMap<String, (u64, BTreeMap<&'static str, u64>)>,
    pub slowest: [Ms; 2],
    /// Two that were replaced in one moment, by the size of their group.
    pub raced: BTreeMap<usize, u64>,
    /// Marks that were ordered, by whose fault it was held to be.
    pub blamed: BTreeMap<String, u64>,
    /// A digest of everything that happened from the lead of an episode to its end, if chance was drawn anew.
    pub digests: Vec<u64>,
    /// The seeds whose lives broke an invariant, with the first violation and what happened before it.
    pub broken: Vec<Broken>,
}

#[derive(Debug, Clone)]
pub struct Broken {
    pub seed: u64,
    pub invariant: &'static str,
    pub told: String,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.episodes += other.episodes;
        self.instance_ms += other.instance_ms;
        self.in_time += other.in_time;
        other.raced.into_iter().for_each(|(size, n)| *self.raced.entry(size).or_default() += n);
        other.blamed.into_iter().for_each(|(blame, n)| *self.blamed.entry(blame).or_default() += n);
        other.sizes.into_iter().for_each(|(size, n)| *self.sizes.entry(size).or_default() += n);
        other.faults.into_iter().for_each(|(what, n)| *self.faults.entry(what).or_default() += n);
        other.acts.into_iter().for_each(|(what, n)| *self.acts.entry(what).or_default() += n);
        other.excluded.into_iter().for_each(|(what, n)| *self.excluded.entry(what).or_default() += n);
        for (fault, (in_time, excluded)) in other.by_fault {
            let mine = self.by_fault.entry(fault).or_default();
            mine.0 += in_time;
            excluded.into_iter().for_each(|(why, n)| *mine.1.entry(why).or_default() += n);
        }
        for (mine, theirs) in self.slowest.iter_mut().zip(other.slowest) {
            *mine = (*mine).max(theirs);
        }
        self.broken.extend(other.broken);
    }

    pub fn instance_years(&self) -> f64 {
        self.instance_ms as f64 / (365.25 * DAY as f64)
    }
}

/// How a life is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// How many episodes it has.
    pub episodes: u64,
    /// The group's size; drawn if not given.
    pub size: Option<usize>,
    pub plant: Plant,
    pub jump: Jump,
    /// The longest quiet time between two episodes.
    pub longest_gap: Ms,
    /// Whether chance is drawn anew before each episode, so that lives can be compared that waited in different ways.
    pub anew: bool,
}

/// Lives one life until its end, or until an invariant is broken.
pub fn live(seed: u64, drawn: Drawn) -> Tally {
    let mut rng = Rng::new(hash(&[seed, 100]));
    let size = drawn.size.unwrap_or_else(|| match rng.between(0, 100) {
        0..30 => 1,
        30..70 => 2,
        70..97 => 4,
        _ => 100,
    });
    let mut fleet = if rng.chance(40) { Fleet::hooked(seed, size) } else { Fleet::steady(seed, size) };
    (fleet.plant, fleet.jump) = (drawn.plant, drawn.jump);
    let mut tally = Tally { instance_ms: u128::from(fleet.now) * size as u128, ..Tally::default() };
    // A life with a hundred instances costs as much as many others.
    let episodes = if size == 100 { drawn.episodes.div_ceil(4) } else { drawn.episodes };
    for number in 0..episodes {
        let gap = if rng.chance(30) { rng.between(MIN, 2 * HOUR) } else { rng.between(HOUR, drawn.longest_gap) };
        let started = fleet.now;
        let start = fleet.now + LEAD + gap;
        fleet.pass_until(start - LEAD);
        if drawn.anew {
            fleet.draw_anew(number);
        }
        episode(&mut fleet, &mut rng, start, &mut tally);
        if drawn.anew {
            tally.digests.push(fleet.digest(start - LEAD + 1));
        }
        tally.episodes += 1;
        *tally.sizes.entry(size).or_default() += 1;
        tally.instance_ms += u128::from(fleet.now - started) * fleet.group.desired as u128;
        if let Some(broken) = fleet.watch.violations.first() {
            let told = tell(&fleet, drawn, size);
            tally.broken.push(Broken { seed, invariant: broken.invariant, told });
            break;
        }
    }
    tally.acts = std::mem::take(&mut fleet.watch.acts);
    tally.excluded = std::mem::take(&mut fleet.watch.excluded);
    tally.by_fault = std::mem::take(&mut fleet.watch.by_fault);
    tally.blamed = std::mem::take(&mut fleet.watch.blamed);
    (tally.in_time, tally.slowest) = (fleet.watch.in_time, fleet.watch.slowest);
    if fleet.watch.raced > 0 {
        tally.raced.insert(size, fleet.watch.raced);
    }
    tally
}

fn tell(fleet: &Fleet, drawn: Drawn, size: usize) -> String {
    let broken = &fleet.watch.violations[0];
    let last = fleet.trace_until(broken.at, 150, broken.who);
    let zone = fleet.instances[broken.who].zone;
    let there = |fault: &&Fault| fault.concerns(broken.who, zone) && fault.from <= broken.at;
    let faults: Vec<String> = fleet.faults.iter().filter(there).map(|fault| format!("{fault:?}\n")).collect();
    let faults = faults.concat();
    format!(
        "seed {}, {size} instances: {} ({:?}), #{} at {} s\n{faults}{last}\
         rerun alone: SIM_SEED={} cargo test -p cflared-verdict --test sim lives::one_life -- --nocapture  # {drawn:?}\n",
        fleet.seed,
        broken.invariant,
        broken.what,
        broken.who,
        broken.at / S,
        fleet.seed,
    )
}

fn episode(fleet: &mut Fleet, rng: &mut Rng, start: Ms, tally: &mut Tally) {
    fleet.run_until(start - S);
    let mut faults = draw(fleet, rng, start);
    if rng.chance(30) {
        let length = faults.iter().map(|fault| fault.until).max().unwrap_or(start).min(start + HOUR) - start;
        let second = start + rng.between(0, length.max(S));
        faults.extend(draw(fleet, rng, second));
    }
    let end = faults.iter().map(|fault| fault.until).max().unwrap_or(start);
    if rng.chance(25) {
        // What an agent carries over is put to the proof at any moment.
        let one = Scope::One(*rng.pick(&fleet.living));
        let at = rng.between(start, end.min(start + HOUR));
        faults.push(Fault::new(Kind::AgentKilled, one, at, at + S));
    }
    for fault in faults {
        *tally.faults.entry(name(&fault)).or_default() += 1;
        fleet.add_fault(fault);
    }
    fleet.run_until(end);
    // A person repairs what nobody may replace.
    fleet.repair();
    fleet.run_until(end + MENDS);
    fleet.everybody_is_registered();
    fleet.everybody_is_answered();
}

/// What it is called where faults are counted.
pub fn name(fault: &Fault) -> String {
    let whole = format!("{:?}", fault.kind);
    let flaps = if fault.flaps.is_some() { ", flapping" } else { "" };
    let scope = match (fault.kind, fault.scope) {
        (Kind::Network(_), Scope::Zone(_)) => " of a zone",
        (Kind::Dropped, Scope::All) => " everywhere",
        _ => "",
    };
    whole + scope + flaps
}

/// Between the two, small ones as likely as large ones.
fn spread(rng: &mut Rng, low: Ms, high: Ms) -> Ms {
    let share = rng.between(0, 1001) as f64 / 1000.0;
    (low as f64 * (high as f64 / low as f64).powf(share)) as Ms
}

/// The faults of one episode that begins at `start`.
pub fn draw(fleet: &Fleet, rng: &mut Rng, start: Ms) -> Vec<Fault> {
    let one = Scope::One(*rng.pick(&fleet.living));
    let zone = Scope::Zone(rng.between(0, u64::from(fleet.zones)) as u8);
    let short = start + spread(rng, 10 * S, 4 * MIN);
    let long = start + spread(rng, 7 * MIN, 2 * HOUR);
    let until = if rng.chance(50) { short } else { long };
    let cut = *rng.pick(&[Cut::Edge, Cut::Edge, Cut::Edge, Cut::Dns, Cut::All]);
    let mode = *rng.pick(&[EdgeMode::Unreachable, EdgeMode::Unreachable, EdgeMode::Silent, EdgeMode::Rejects]);
    let fault = |kind, scope| Fault::new(kind, scope, start, until);
    let lasting = |kind, scope| Fault::new(kind, scope, start, long);
    let dropped = Fault::new(Kind::Dropped, if rng.chance(50) { Scope::All } else { one }, start + S, start + 2 * S);
    let stagger = rng.between(0, 20 * S);
    let (there, away) = (spread(rng, 15 * S, 3 * MIN), spread(rng, 15 * S, 3 * MIN));
    let hole = Kind::MtuHole(*rng.pick(&[Hole::Out, Hole::Both]));
    // What shows a hole: connections that are there stay.
    let shown = |scope| Fault::new(Kind::Dropped, scope, start + 1, start + 2 * S);
    match rng.between(0, 50) {
        0..3 => vec![fault(Kind::Network(cut), one)],
        3 => vec![lasting(Kind::Network(Cut::Edge), one)],
        4 => vec![fault(Kind::Frozen, one)],
        5 => vec![fault(Kind::CrashLoop, one)],
        6 => vec![fault(Kind::PortTaken, one)],
        7 => vec![lasting(*rng.pick(&[Kind::Frozen, Kind::CrashLoop, Kind::PortTaken]), one)],
        8 => vec![Fault::new(Kind::FrozenOnce, one, start, start + 5 * MIN)],
        9 => vec![Fault::new(Kind::StuckOnce, one, start, start + 5 * MIN)],
        10 => vec![fault(Kind::Network(cut), zone).staggered(stagger)],
        11..14 => {
            let until = start + spread(rng, 20 * S, 4 * HOUR);
            vec![Fault::new(Kind::Edge(mode), Scope::All, start, until).staggered(stagger)]
        }
        14 => vec![lasting(Kind::Edge(mode), Scope::All).flapping(there, away)],
        15 => vec![lasting(Kind::Network(Cut::Edge), one).flapping(there, away)],
        16..18 => vec![fault(Kind::Rotated, Scope::All), dropped],
        18 => vec![fault(Kind::TunnelDeleted, Scope::All), dropped],
        19 => vec![fault(Kind::Published(Some(*rng.pick(&Flaw::ALL))), Scope::All), dropped],
        20 => {
            let image = *rng.pick(&ImageFault::ALL);
            let trigger = *rng.pick(&[Kind::HostDies, Kind::Scaling, Kind::Refresh, Kind::CrashLoop]);
            vec![lasting(Kind::BadImage(image), Scope::All), Fault::new(trigger, one, start + S, long)]
        }
        21 => vec![lasting(*rng.pick(&[Kind::CloudWatch, Kind::CloudWatchDenied]), Scope::All)],
        22 => vec![lasting(*rng.pick(&[Kind::GroupDenied, Kind::GroupThrottled, Kind::MarkContention]), Scope::All)],
        23 => vec![lasting(Kind::ImdsAway, if rng.chance(50) { Scope::All } else { one })],
        24 => vec![lasting(*rng.pick(&[Kind::HoldCommand, Kind::HoldTag]), Scope::All)],
        25 => vec![lasting(Kind::Refresh, Scope::All)],
        26 => vec![lasting(Kind::Suspended(rng.pick::<&str>(&super::group::PROCESSES)), Scope::All)],
        27 => vec![lasting(*rng.pick(&[Kind::Standby, Kind::ClockSkewed, Kind::Origin]), one)],
        28 => vec![lasting(Kind::Scaling, Scope::All)],
        29 => vec![Fault::new(Kind::HostDies, one, start, start + 5 * MIN)],
        30 => vec![Fault::new(Kind::AgentKilled, one, start, start + MIN)],
        31..35 => vec![lasting(Kind::Published(Some(*rng.pick(&Flaw::ALL))), Scope::All)],
        35 => vec![lasting(Kind::Published(None), Scope::All)],
        36 => vec![lasting(Kind::Published(None), Scope::All), lasting(Kind::MemoryShort, one)],
        37 => vec![lasting(Kind::Reformatted, Scope::All)],
        38 => {
            let version = lasting(Kind::Published(rng.chance(50).then_some(*rng.pick(&Flaw::ALL))), Scope::All);
            let asked = start + spread(rng, 1, 20 * MIN);
            vec![version, Fault::new(Kind::Reload, one, asked, asked + S)]
        }
        40 => vec![fault(Kind::UdpShut, one)],
        41 => vec![fault(Kind::UdpShut, if rng.chance(50) { Scope::All } else { zone })],
        42 | 43 => vec![fault(Kind::AnswersLost, one)],
        44 => vec![fault(Kind::UnknownWords, if rng.chance(50) { Scope::All } else { one })],
        45 => vec![lasting(Kind::Network(Cut::Edge), zone).staggered(stagger)],
        46 => vec![lasting(hole, one), shown(one)],
        47 => {
            let scope = if rng.chance(50) { Scope::All } else { zone };
            vec![fault(hole, scope), shown(scope)]
        }
        48 | 49 => {
            // Nothing heals: what comes in its place has the same fault.
            let image = *rng.pick(&ImageFault::ALL);
            vec![lasting(Kind::BadImage(image), Scope::All), lasting(image.kind(), one)]
        }
        _ => vec![fault(Kind::SecretsAway, Scope::All), Fault::new(Kind::AgentKilled, one, start + S, start + MIN)],
    }
}
