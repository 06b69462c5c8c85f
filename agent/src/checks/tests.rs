use super::catalogue::{self, ALL};
use super::*;
use std::time::{Duration, SystemTime};

fn report() -> Report {
    Report::new("validate", "the image /x", SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_720))
}

#[test]
fn every_check_has_an_id_of_its_own_and_comes_after_what_it_needs() {
    for (place, check) in ALL.iter().enumerate() {
        let before = &ALL[..place];
        assert!(before.iter().all(|other| other.id != check.id), "{} is there twice", check.id);
        assert!(check.needs.iter().all(|need| before.contains(need)), "{} comes too early", check.id);
        assert!(check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", check.id);
        for text in [check.title, check.proves, check.remedy] {
            assert!(!text.is_empty() && !text.contains("  "), "{}: {text}", check.id);
        }
    }
}

#[test]
fn what_depends_on_a_failure_is_skipped() {
    let mut report = report();
    let made = std::cell::Cell::new(0);
    let look = |found: Found| {
        made.set(made.get() + 1);
        found
    };
    report.look(&catalogue::CLOUDFLARED_PRESENT, || look(Found::fail("it is not there")));
    report.look(&catalogue::CLOUDFLARED_VERSION, || look(Found::pass("")));
    report.look(&catalogue::CLOUDFLARED_AGE, || look(Found::pass("")));
    assert_eq!(made.get(), 1);
    let skipped = |check| report.of(check).unwrap().found.outcome;
    let needs = |check| Outcome::Skip(Skipped::Needs(check));
    assert_eq!(skipped(&catalogue::CLOUDFLARED_VERSION), needs(&catalogue::CLOUDFLARED_PRESENT));
    assert_eq!(skipped(&catalogue::CLOUDFLARED_AGE), needs(&catalogue::CLOUDFLARED_PRESENT), "the root of it");
}

#[test]
fn the_verdict_is_that_of_the_worst_finding() {
    let mut report = report();
    assert_eq!(report.verdict(), Verdict::Fine);
    for (check, found, verdict, headline) in [
        (ALL[0], Found::pass("p"), Verdict::Fine, "fine: the image /x fails none of 1 checks"),
        (ALL[1], Found::warn("w"), Verdict::Fine, "fine: the image /x fails none of 2 checks; warnings: agent-runs"),
        (
            ALL[2],
            Found::not_applicable("n"),
            Verdict::Fine,
            "fine: the image /x fails none of 3 checks; warnings: agent-runs",
        ),
        (
            ALL[3],
            Found::not_known("k"),
            Verdict::Unknown,
            "not known: cloudflared-present: k; the image /x could not be checked for 1 of 4 checks",
        ),
        (
            ALL[6],
            Found::fail("f\n1"),
            Verdict::NotFine,
            "NOT FINE: units-installed: f 1; the image /x fails 1 of 5 checks",
        ),
    ] {
        report.record(check, found);
        assert_eq!((report.verdict(), &*report.headline()), (verdict, headline));
    }
}

#[test]
fn failures_come_first_and_the_short_text_fits_into_2500_characters() {
    let mut report = report();
    for check in ALL {
        let long = "é".repeat(5000);
        let wrongs = (0..50).map(|number| format!("{number} {}", &long)).collect();
        report.record(check, Found::from_wrongs(wrongs, vec![], ""));
    }
    let text = report.text(false);
    assert!(text.chars().count() <= 2500, "{}", text.chars().count());
    assert!(text.starts_with("NOT FINE: agent-static: 0 éé"), "{text}");
    assert!(text.contains("\nFAIL agent-static"), "{text}");
    assert!(text.contains("and 47 more"), "{text}");
    assert!(text.contains("more: --verbose shows all: "), "{text}");
    let verbose = report.text(true);
    assert!(ALL.iter().all(|check| verbose.contains(&format!("\nFAIL {}: ", check.id))));
    assert!(verbose.contains("\n  49 é"));
}

#[test]
fn what_is_too_long_is_cut_between_words_and_without_half_of_what_a_service_said() {
    for (text, most, expected) in [
        ("it fits", 7, "it fits"),
        ("it does not\nfit", 14, "it does not…"),
        ("denied: it needs this (Exception: User: arn:x)", 40, "denied: it needs this…"),
        ("denied (by all): it needs this", 24, "denied (by all): it…"),
        ("a ééééééé", 6, "a ééé…"),
    ] {
        assert_eq!(text::shortened(text, most), expected);
    }
}

#[test]
fn colours_are_put_on_the_words_and_nothing_else() {
    let mut report = report();
    report.record(&catalogue::SSM_AGENT, Found::warn("it is \u{1b}[2J not there"));
    report.record(&catalogue::CLOUDFLARED_PRESENT, Found::fail("WARN"));
    let text = coloured(&report.text(false));
    assert!(text.starts_with("\u{1b}[31mNOT FINE\u{1b}[0m: cloudflared-present: WARN; "), "{text}");
    assert!(text.contains("\n\u{1b}[31mFAIL\u{1b}[0m cloudflared-present: WARN\n"), "{text}");
    assert!(text.contains("\n\u{1b}[33mWARN\u{1b}[0m ssm-agent: it is  [2J not there\n"), "{text}");
    let plain: String = text.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "").replace("\u{1b}[32m", "");
    assert_eq!(plain.replace("\u{1b}[0m", ""), report.text(false));
}

#[test]
fn the_whole_of_a_short_text() {
    let mut report = report();
    report.record(&catalogue::AGENT_STATIC, Found::pass("/usr/bin/cflared-agent, for x86_64"));
    report.record(&catalogue::AGENT_RUNS, Found::not_applicable("nothing of an unpacked image is executed"));
    report.record(&catalogue::SSM_AGENT, Found::warn("it is not there"));
    report.record(&catalogue::CLOUDFLARED_PRESENT, Found::fail("/usr/bin/cloudflared is not there"));
    report.look(&catalogue::CLOUDFLARED_VERSION, || unreachable!());
    let wanted = "\
NOT FINE: cloudflared-present: /usr/bin/cloudflared is not there; the image /x fails 1 of 5 checks

FAIL cloudflared-present: /usr/bin/cloudflared is not there
  next: install the package cloudflared from Cloudflare's apt repository

WARN ssm-agent: it is not there
  next: install amazon-ssm-agent (`snap install amazon-ssm-agent --classic`)

SKIP agent-runs: nothing of an unpacked image is executed
SKIP cloudflared-version: needs cloudflared-present
PASS 1 checks
";
    assert_eq!(report.text(false), wanted);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        json["checks"][4],
        serde_json::json!({
            "id": "cloudflared-version",
            "title": "cloudflared is at least validate.min_cloudflared",
            "outcome": "skip",
            "skipped": "needs",
            "evidence": ["needs cloudflared-present"],
            "proves": "it has the fixes and the metrics that the agent relies on",
            "remedy": "install a newer cloudflared, or lower validate.min_cloudflared",
            "needs": ["cloudflared-present"],
        })
    );
    assert_eq!(
        (&json["schema"], &json["verdict"], &json["at"]),
        (&1.into(), &"not_fine".into(), &"2026-01-01T00:02:00.000Z".into())
    );
}
