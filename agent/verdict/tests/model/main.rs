//! Every order of events, not a sample: real verdicts of one group, and all interleavings of reads, late reads, marks, lost answers,
//! restarts, returns, replacements and new versions of the secret, to a depth.
//!
//! Where the simulation draws its times, this makes every choice. The properties: never two on their way out by our doing; the
//! budget; every mark is acted upon, undone, or stands for a reason that a person was told; and from every end, a fair course
//! comes to rest (no livelock). `make sim` explores deeper.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may fail, and says how much it explored

mod explorer;
mod world;

use explorer::{Explored, explore};
use world::{Chances, Fault, Plant, Setting, World};

const FAULTS: [Fault; 3] = [Fault::Process, Fault::Network, Fault::Edge];
const NONE: Chances = Chances { lost: 0, reborn: 0, back: 0, late: 0, versions: 0 };
const EACH: Chances = Chances { lost: 1, reborn: 1, back: 1, late: 1, versions: 0 };

/// Explores from a moment before the first one asks.
fn explored(setting: Setting, chances: Chances, depth: usize) -> Explored {
    let explored = explore(World::new(setting, chances), depth);
    let Explored { states, steps, ends, .. } = explored;
    println!("{setting:?} {chances:?}, depth {depth}: {states} states, {steps} steps, {ends} ends");
    explored
}

fn setting(verdicts: usize, fault: Fault) -> Setting {
    Setting { verdicts, fault, bystanders: 1, replaced: 1, plant: Plant::Nothing }
}

fn assert_unbroken(verdicts: usize, chances: Chances, depth: usize) {
    for fault in FAULTS {
        assert_eq!(explored(setting(verdicts, fault), chances, depth).broken, None);
    }
}

#[test]
fn two_of_a_group_in_every_order() {
    assert_unbroken(2, NONE, 10);
    assert_unbroken(2, EACH, 4);
}

#[test]
fn three_of_a_group_in_every_order() {
    assert_unbroken(3, NONE, 6);
}

#[test]
#[ignore = "minutes long: make sim"]
fn every_order_to_the_full_depth() {
    assert_unbroken(2, NONE, 18);
    assert_unbroken(2, EACH, 9);
    assert_unbroken(2, Chances { reborn: 2, ..NONE }, 12);
    assert_unbroken(2, Chances { versions: 1, ..NONE }, 7);
    assert_unbroken(3, NONE, 9);
}

/// That a mistake is found, by the property that it breaks.
#[test]
fn planted_mistakes_are_found() {
    let usual = setting(2, Fault::Process);
    for (setting, chances, expected) in [
        (Setting { plant: Plant::OthersUnseen, ..usual }, NONE, "goes while another one is on its way"),
        (Setting { plant: Plant::ReplacementsUnseen, replaced: 2, ..usual }, NONE, "the budget was used up"),
        (Setting { plant: Plant::NoLift, verdicts: 1, ..usual }, Chances { back: 1, ..NONE }, "and its mark stands"),
        (Setting { plant: Plant::NoReads, ..usual }, NONE, "held that could be replaced"),
    ] {
        let broken = explored(setting, chances, 7).broken;
        assert!(broken.as_ref().is_some_and(|broken| broken.contains(expected)), "{setting:?}: {broken:?}");
    }
}
