//! What pages say of other files: links lead somewhere, CONTRIBUTING names what is there, a picture has the times of a run.
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

/// What stands between backticks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
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

/// Code type that names a file or directory of the repository: a page must not outlive what it names.
#[test]
fn every_path_that_a_page_names_is_there() {
    let top = ["agent/", "docs/", "imagebuilder/", "packaging/", "systemd/", "tests/", "vm-tests/"];
    let (mut gone, mut seen) = (vec![], 0);
    for page in pages(&root()).into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        for path in code(&prose(&read(&page))) {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            if top.iter().any(|top| path.starts_with(top)) && path.chars().all(is_name) {
                seen += 1;
                if !root().join(path).exists() {
                    gone.push(format!("{}: {path}", page.display()));
                }
            }
        }
    }
    assert!(gone.is_empty(), "paths that are not there: {gone:#?}");
    assert!(seen > 40, "{seen} paths were found");
}

#[test]
fn the_index_lists_every_page() {
    let docs = root().join("docs");
    let listed: Vec<PathBuf> = links(&read(&docs.join("README.md"))).iter().map(|link| docs.join(link)).collect();
    let pages = pages(&docs).into_iter().filter(|page| !page.starts_with(docs.join("decisions")));
    let missing: Vec<PathBuf> = pages.filter(|page| !page.ends_with("README.md") && !listed.contains(page)).collect();
    assert!(missing.is_empty(), "not in docs/README.md: {missing:?}");
}

/// Each row of CONTRIBUTING's tables names a file, and in code type what that file has of an example that exists.
#[test]
fn what_contributing_says_of_a_file_is_in_the_file() {
    let page = read(&root().join("CONTRIBUTING.md"));
    let chapter = page.split("\n## How to add …\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let sections: Vec<&str> = chapter.split("\n### ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(titles, ["… a check of doctor", "… a blame", "… a metric", "… an event", "… a setting"]);
    for (section, title) in sections.iter().zip(titles) {
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(rows.len() >= 2, "{title}: {rows:?}");
        for row in rows {
            let cells: Vec<&str> = row.split('|').collect();
            let text = read(&root().join(code(cells[1])[0]));
            let claims = code(cells[2]);
            for claim in claims {
                assert!(text.contains(claim), "{title}: {row}\nhas no {claim}");
            }
        }
    }
    for path in page.split("\n## Layout\n").nth(1).unwrap().lines().filter(|line| line.starts_with("| `")) {
        let path = code(path)[0];
        assert!(root().join(path).exists(), "{path}");
    }
}

/// The versions in the table of packages are those of the lock file, so that an upgrade brings a look at the reasons.
#[test]
fn the_packages_that_are_used_have_the_versions_of_the_page() {
    let (page, lock) = (read(&root().join("docs/architecture.md")), read(&root().join("Cargo.lock")));
    let table = page.split("\n## Packages of the design\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), 10);
    let mut used = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        let Some(here) = cells[2].trim().strip_prefix("used") else { continue };
        let package = code(here).into_iter().next().unwrap_or(code(cells[1])[0]);
        let version =
            here.split([' ', ',', ':', ';']).find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap();
        let locked = format!("name = \"{package}\"\nversion = \"{version}.");
        assert!(lock.contains(&locked), "{package} is not {version}: {row}");
        used += 1;
    }
    assert_eq!(used, 7);
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

#[test]
fn the_figures_of_the_readme_are_those_of_the_last_bench() {
    let (readme, bench) = (read(&root().join("README.md")), read(&root().join("docs/generated/bench.md")));
    let section = readme.split("\n## Figures\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        for figure in row.split('|').skip(2).take(2).map(|cell| cell.trim().trim_matches('*')) {
            assert!(bench.contains(&format!(" {figure} ")), "the bench has no {figure}: {row}");
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
