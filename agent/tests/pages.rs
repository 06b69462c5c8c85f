//! What pages say of other files: links lead somewhere, and a picture has the times of a run.
#![allow(clippy::unwrap_used)] // a test may fail

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

/// Every page of the repository. What is built and what others wrote is left out.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                found.extend(pages(&path));
            }
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    found
}

/// A page without its blocks of code, where brackets mean something else.
fn prose(page: &str) -> String {
    page.split("\n```").step_by(2).collect()
}

/// Where the links and pictures of a page lead.
fn links(page: &str) -> Vec<String> {
    let inline = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    inline.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_link_of_every_page_finds_its_file_and_its_section() {
    let (mut dead, mut seen) = (vec![], 0);
    for page in pages(&root()) {
        for link in links(&prose(&read(&page))) {
            let (file, section) = link.split_once('#').unwrap_or((&link, ""));
            if file.contains("://") {
                continue;
            }
            seen += 1;
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = target.exists()
                && (section.is_empty() || anchors(&prose(&read(&target))).iter().any(|anchor| anchor == section));
            if !there {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
    assert!(seen > 100, "{seen} links were found");
}

/// Each lane of the picture is a scenario of the fault library, with the times that the last run gave.
#[test]
fn the_picture_of_an_outage_has_the_times_of_the_fault_library() {
    let (picture, results) = (read(&root().join("docs/img/timeline.svg")), faults());
    let lanes: Vec<&str> = picture.split("<g data-scenario=\"").skip(1).collect();
    assert_eq!(lanes.len(), 5);
    for lane in lanes {
        let (scenario, rest) = lane.split_once('"').unwrap();
        let row = results.lines().find(|line| line.starts_with(&format!("| {scenario} |")));
        let row = row.unwrap_or_else(|| panic!("no scenario of the library: {scenario}"));
        let lane = rest.split("</g>").next().unwrap();
        let words = lane.split(|c: char| !c.is_ascii_alphanumeric());
        let times: Vec<&str> = words.filter(|word| is_time(word)).collect();
        assert!(!times.is_empty(), "{lane}");
        for time in times {
            assert!(row.split([' ', '(', ')']).any(|word| word == time), "{scenario}: {time} is not in {row}");
        }
    }
}

fn faults() -> String {
    read(&root().join("docs/generated/faults.md"))
}

/// A time as the fault library writes it, such as `2m25s`.
fn is_time(word: &str) -> bool {
    let seconds = word.strip_suffix('s').map(|rest| rest.rsplit_once('m').unwrap_or(("0", rest)));
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    seconds.is_some_and(|(minutes, seconds)| number(minutes) && number(seconds))
}

#[test]
fn links_anchors_and_times_are_read_in_every_form() {
    let page = "# A `b`-c, d\n[x](y.md#z) and ![p](img/q.svg)\n```\n[no](no)\n```\n[last](#a-b-c-d)\n";
    assert_eq!(links(&prose(page)), ["y.md#z", "img/q.svg", "#a-b-c-d"]);
    assert_eq!(anchors(page), ["a-b-c-d"]);
    let times = ["4s", "2m25s", "1m39s"].map(is_time);
    let others = ["s", "m5s", "path", "5m", "2mm5s", "back"].map(is_time);
    assert_eq!((times, others), ([true; 3], [false; 6]));
}
