//! `docs/runbook.md` has a section for every state, every blame and every remedy that leads there, each with its four parts.
#![allow(clippy::unwrap_used)] // a test may fail

mod sources;

use cflared_agent::checks::host;
use cflared_verdict::{Blame, Health};
use sources::{page, sources};
use std::collections::BTreeSet;

const PARTS: [&str; 4] = ["**Means.**", "**Run.**", "**Do.**", "**Don't.**"];

/// The sections of a chapter: their headings, and what they say.
fn sections(chapter: &str) -> Vec<(String, String)> {
    let page = page("runbook.md");
    let text = page.split(&format!("\n## {chapter}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let sections = text.split("\n### ").skip(1).map(|section| section.split_once('\n').unwrap());
    sections.map(|(heading, text)| (heading.into(), text.into())).collect()
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// The sections that a text leads to.
fn links<'a>(text: &'a str, to: &str) -> Vec<&'a str> {
    let end = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    text.split(to).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

fn headings(chapter: &str) -> BTreeSet<String> {
    sections(chapter).into_iter().map(|(heading, _)| heading).collect()
}

#[test]
fn every_state_and_every_blame_has_its_section() {
    assert_eq!(headings("States"), Health::ALL.iter().map(ToString::to_string).collect());
    assert_eq!(headings("Blames"), Blame::ALL.iter().map(|blame| blame.name().to_owned()).collect());
}

#[test]
fn every_check_of_doctor_has_its_section_in_doctors_order() {
    let told: Vec<String> = sections("Checks").into_iter().map(|(heading, _)| heading).collect();
    assert_eq!(told, host::checks().map(|check| check.id.to_owned()).collect::<Vec<_>>());
}

#[test]
fn every_section_says_what_it_means_what_to_run_what_to_do_and_what_not() {
    for (heading, text) in ["By the page", "States", "Blames", "Checks"].into_iter().flat_map(sections) {
        for part in PARTS {
            assert_eq!(text.matches(part).count(), 1, "{part} in {heading}");
        }
    }
}

#[test]
fn every_link_to_a_section_finds_it() {
    let runbook = page("runbook.md");
    let anchors = anchors(&runbook);
    let unique: BTreeSet<_> = anchors.iter().collect();
    assert_eq!(unique.len(), anchors.len(), "two sections of one name: {anchors:?}");
    let mut led = links(&runbook, "](#");
    let events = page("events.md");
    led.extend(links(&events, "(runbook.md#"));
    let sources = sources();
    led.extend(sources.iter().flat_map(|text| links(text, "docs/runbook.md#")));
    for to in led {
        assert!(anchors.iter().any(|anchor| anchor == to), "there is no section {to}");
    }
}
