//! The fault library in virtual time: every scenario of tests/faults/scenarios.yml, with exact times.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test may fail, and says why

mod answers;
mod child;
#[path = "../../../../tests/faults/reader.rs"]
mod reader;
mod record;
mod world;

use std::collections::BTreeSet;

#[test]
fn every_scenario_comes_out_right() {
    let mut wrong = 0;
    for scenario in reader::scenarios() {
        let record = world::live(&scenario);
        let faults = record.faults(&scenario);
        if !faults.is_empty() {
            wrong += 1;
            eprintln!("## {}: {}\n{}\n{}", scenario.id, scenario.title, faults.join("\n"), record.trace);
        }
    }
    assert_eq!(wrong, 0, "scenarios went wrong");
}

#[test]
fn the_table_is_whole() {
    let scenarios = reader::scenarios();
    let ids: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
    assert_eq!(ids.len(), scenarios.len(), "two scenarios have the same id");
    assert!(scenarios.len() >= 45);
    assert!(scenarios.iter().all(|scenario| !scenario.why.is_empty()), "each follows from the design");
}
