//! The fault library in virtual time: every scenario of tests/faults/scenarios.yml, with exact times.
//!
//! `FAULTS_PAGE=write` writes docs/generated/faults.md instead of comparing it; `FAULTS_TRACE=network-dns,edge-canary` tells what happens in those.
#![allow(clippy::print_stderr)] // it says what went wrong

mod answers;
mod child;
mod page;
#[path = "../../../../tests/faults/reader.rs"]
#[allow(dead_code)] // each run reads its own part of the table
mod reader;
mod record;
mod world;

use cflared_verdict::Blame;
use reader::Part;
use record::Record;
use std::collections::BTreeSet;
use std::{env, fs};
use world::Words;

#[test]
fn every_scenario_comes_out_right_at_the_times_of_the_page() {
    let results: Vec<(Part, Vec<Record>)> = reader::parts().into_iter().map(lived).collect();
    let (mut wrong, told) = (vec![], env::var("FAULTS_TRACE").unwrap_or_default());
    for (scenario, record) in results.iter().flat_map(|(part, records)| part.scenarios.iter().zip(records)) {
        let faults = record.faults(scenario);
        if !faults.is_empty() || told.split(',').any(|id| id == scenario.id) {
            eprintln!("## {}: {}\n{}\n{}", scenario.id, scenario.title, faults.join("\n"), record.trace);
        }
        if !faults.is_empty() {
            wrong.push(&scenario.id);
        }
    }
    let scenarios = results.iter().flat_map(|(part, records)| part.scenarios.iter().zip(records));
    for (scenario, record) in scenarios {
        if let Some(slower) = &scenario.slower {
            let (name, now) = page::measured(slower.what, scenario, record);
            assert!(
                now.is_some_and(|now| now > slower.before),
                "{}: {name} is not slower any more: {now:?}",
                scenario.id
            );
        }
    }
    let page = page::render(&results);
    if env::var_os("FAULTS_PAGE").is_some_and(|how| how == "write") {
        fs::write(page::PATH, &page).expect("docs/ is there, and ours");
    }
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
    let committed = fs::read_to_string(page::PATH).unwrap_or_default();
    let differs = page.lines().zip(committed.lines()).find(|(line, committed)| line != committed);
    assert!(
        page == committed,
        "docs/generated/faults.md is not what this run gives (`make faults` writes it): {differs:?}"
    );
}

fn lived(part: Part) -> (Part, Vec<Record>) {
    let records = part.scenarios.iter().map(|scenario| world::live(scenario, Words::All)).collect();
    (part, records)
}

/// Silence proves nothing. A process that does not answer, or does not stay, needs no words.
#[test]
fn without_a_word_of_cloudflared_nothing_else_is_marked() {
    let mut wrong = vec![];
    let parts = reader::parts();
    for scenario in parts.iter().flat_map(|part| &part.scenarios) {
        let (with, without) = (world::live(scenario, Words::All), world::live(scenario, Words::Withheld));
        let by_process = without.marked_for.iter().all(|blame| *blame == Some(Blame::Process));
        if without.marks > with.marks && !by_process {
            eprintln!("## {}: {}\n{}", scenario.id, scenario.title, without.trace);
            wrong.push(&scenario.id);
        }
    }
    assert!(wrong.is_empty(), "marked without words, and not with them: {wrong:?}");
}

#[test]
fn the_table_is_whole() {
    let parts = reader::parts();
    let scenarios: Vec<_> = parts.iter().flat_map(|part| &part.scenarios).collect();
    let ids: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
    let titles: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.title.as_str()).collect();
    assert_eq!((ids.len(), titles.len()), (scenarios.len(), scenarios.len()), "an id or a title is there twice");
    assert!(scenarios.len() >= 45, "{}", scenarios.len());
    assert!(scenarios.iter().all(|scenario| !scenario.why.is_empty()), "each follows from the design");
}
