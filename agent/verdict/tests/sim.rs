//! The fleet in virtual time.

mod fleet;

use cflared_verdict::Health;
use fleet::fault::{Cut, Fault, Kind, Scope};
use fleet::{Fleet, MIN, S};

#[test]
fn a_fleet_comes_up_and_stays_up() {
    for size in [1, 2, 4, 100] {
        let mut fleet = Fleet::steady(1, size);
        fleet.run_for(60 * MIN);
        assert!(fleet.living.iter().all(|i| fleet.instances[*i].health == Health::Registered));
        assert!(fleet.watch.violations.is_empty(), "{:?}", fleet.watch.violations);
    }
}

#[test]
fn a_host_without_network_is_replaced() {
    let mut fleet = Fleet::steady(1, 2);
    fleet.add_fault(Fault::new(Kind::Network(Cut::Edge), Scope::One(0), fleet.now + 10 * S, u64::MAX / 4));
    fleet.run_for(30 * MIN);
    eprintln!("{}", fleet.tell_trace(300, &[0]));
    eprintln!("{:?} {:?}", fleet.watch.violations, fleet.watch);
    assert!(fleet.instances[0].gone);
}

use fleet::episode::{Drawn, Tally, live};
use fleet::plant::Plant;
use fleet::{DAY, Jump};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const USUAL: Drawn =
    Drawn { episodes: 20, size: None, plant: Plant::Nothing, jump: Jump::Quiet, longest_gap: 20 * DAY };

/// Lives the lives of those seeds, on all cores.
fn lives(seeds: std::ops::Range<u64>, drawn: Drawn) -> Tally {
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let tally = live(seed, drawn);
                    sum.lock().unwrap().add(tally);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn one_life() {
    let seed = env("SIM_SEED").unwrap_or(1);
    let tally = live(seed, USUAL);
    for broken in &tally.broken {
        println!("{}", broken.told);
    }
    assert!(tally.broken.is_empty());
}

#[test]
#[ignore = "make sim"]
fn many_lives() {
    let tally = lives(1..env("SIM_LIVES").unwrap_or(5000) + 1, USUAL);
    let mut kinds = std::collections::BTreeMap::<_, Vec<u64>>::new();
    for broken in &tally.broken {
        kinds.entry(broken.invariant).or_default().push(broken.seed);
    }
    println!("{} episodes, {:.0} instance-years", tally.episodes, tally.instance_years());
    println!("faults {:#?}\nacts {:#?}", tally.faults, tally.acts);
    println!("lasting local faults condemned in time: {}, at the latest after {:?} ms", tally.in_time, tally.slowest);
    println!("not expected to be: {:#?}\nraced: {}", tally.excluded, tally.raced);
    for (kind, seeds) in &kinds {
        println!("{kind}: {} {:?}", seeds.len(), &seeds[..seeds.len().min(20)]);
    }
    assert!(tally.broken.is_empty());
}
