//! The fault library with real processes: scenarios of tests/faults/scenarios.yml against the whole agent, in times that
//! are divided by the [`scale`](reader::Scenario::scale) of each. Order and counts are asserted, and no times: those are the matter of the run in
//! virtual time.
//!
//! Without `FAULTS` a part that stands for the rest is run; `FAULTS=all` runs every scenario that can be, and
//! `FAULTS=network-dns,edge-canary` those.
#![allow(clippy::disallowed_methods)] // it lives in real time
#![allow(clippy::print_stderr)] // it says how far it is, and what went wrong

mod changes;
mod peers;
#[path = "../../faults/reader.rs"]
#[allow(dead_code)] // each run reads its own part of the table
mod reader;
mod stage;
mod trial;

use reader::Scenario;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

/// What `make test` runs: each blame, each act, each kind of no, and the ways back.
const PART: [&str; 24] = [
    "network-refused",
    "network-100s",
    "network-back-after-the-mark",
    "network-at-startup",
    "network-agent-restarted-after-the-mark",
    "marked-at-once-higher",
    "edge-canary",
    "edge-not-the-canary",
    "edge-canary-used",
    "edge-hangs",
    "edge-single",
    "process-frozen",
    "process-crash-loop",
    "credentials-rotated",
    "credentials-lost",
    "config-refused",
    "config-bad-version",
    "origin-down",
    "guard-peers-denied",
    "guard-peers-refuse",
    "guard-group-denied",
    "guard-suspended-launch",
    "guard-budget-day",
    "hold-tag",
];

#[test]
fn the_scenarios_come_out_right() {
    let scenarios = chosen();
    let all = scenarios.len();
    let (scenarios, wrong) = (Mutex::new(scenarios), Mutex::new(vec![]));
    // The lock is held for this and no longer.
    let next = || scenarios.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        while let Some(scenario) = next() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made");
            match runtime.block_on(trial::run(&scenario)) {
                Ok(()) => eprintln!("right  {}", scenario.id),
                Err(error) => {
                    eprintln!("wrong  {}: {error:#}", scenario.id);
                    wrong.lock().unwrap_or_else(PoisonError::into_inner).push(scenario.id);
                }
            }
        }
    };
    thread::scope(|scope| (0..threads()).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(wrong.is_empty(), "{} of {all} scenarios went wrong: {wrong:?}", wrong.len());
}

fn chosen() -> VecDeque<Scenario> {
    let wanted = env::var("FAULTS").unwrap_or_else(|_| PART.join(","));
    let wanted: Vec<_> = wanted.split(',').collect();
    let scenarios = reader::parts().into_iter().flat_map(|part| part.scenarios);
    let able = scenarios.filter(|scenario| scenario.not_end_to_end.is_none());
    let chosen: VecDeque<_> =
        able.filter(|scenario| wanted == ["all"] || wanted.contains(&scenario.id.as_str())).collect();
    assert!(wanted == ["all"] || chosen.len() == wanted.len(), "not all of these can be run: {wanted:?}");
    chosen
}

/// Most of a scenario is waiting, so there may be more of them than cores.
fn threads() -> usize {
    env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok()).unwrap_or(6)
}
