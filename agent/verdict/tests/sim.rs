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
