//! The drawing of the states in the docs is the table of the code.

use cflared_verdict::Health;
use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../../docs/verdict.md");

#[test]
fn the_docs_draw_every_transition_of_the_table_and_no_other() {
    let drawing = DOCS.split("stateDiagram-v2").nth(1).and_then(|rest| rest.split("```").next()).expect("a drawing");
    let arrow = |line: &str| {
        let (from, to) = line.split_once("-->")?;
        let to = to.split(':').next()?;
        Some((from.trim().to_ascii_lowercase(), to.trim().to_ascii_lowercase()))
    };
    let drawn: Vec<_> = drawing.lines().filter_map(arrow).filter(|(from, to)| from != "[*]" && to != "[*]").collect();
    let set: BTreeSet<_> = drawn.iter().cloned().collect();
    assert_eq!(set.len(), drawn.len(), "an arrow is drawn twice");
    let table = Health::ALL
        .iter()
        .flat_map(|from| from.next().iter().map(move |to| (from.to_string(), to.to_string())))
        .collect();
    assert_eq!(set, table);
}
