use super::*;
use crate::{Connection, Connector, Decision, End, Held, Kind, Life, Missing, Moment, Span};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[test]
fn the_policy_allows_this_style_and_this_script_and_nothing_else() {
    assert_eq!((STYLE_HASH, SCRIPT_HASH), (&*hash(STYLE), &*hash(SCRIPT)));
    for (text, end) in [(STYLE, "</style"), (SCRIPT, "</script")] {
        assert!(!text.to_lowercase().contains(end));
    }
}

/// Facts in which every text is that one.
fn facts(text: &str) -> Facts {
    let name = || text.to_owned();
    let now = Moment::from_ms(1_795_788_645_678);
    let ago = |seconds| now.before(std::time::Duration::from_secs(seconds));
    let span = |from, to: Option<u64>| Span { from: ago(from), to: to.map(ago) };
    let finding =
        |outcome| Finding { id: name(), title: name(), outcome, evidence: vec![name(), name()], next: name() };
    let outcomes = [Outcome::Fail, Outcome::NotKnown, Outcome::Warn, Outcome::Pass, Outcome::Skip];
    let kinds = [Kind::Finding, Kind::Transition, Kind::Action, Kind::Delay, Kind::Refusal, Kind::Other];
    let decision = |(place, kind)| Decision {
        at: ago(900 - 60 * place as u64),
        kind,
        what: name(),
        evidence: name(),
        blame: Some(name()),
    };
    let end = |planned| Some(End { planned, how: name() });
    Facts {
        made_at: now,
        subject: name(),
        condition: Condition::NotFine,
        headline: name(),
        said: Some(name()),
        fault: Some(Fault { blame: name(), confidence: name(), evidence: name() }),
        findings: outcomes.map(finding).into(),
        about: vec![(name(), name())],
        connectors: vec![Connector { run: name(), state: name(), about: vec![(name(), name())] }],
        decisions: kinds.into_iter().enumerate().map(decision).collect(),
        known_until: ago(30),
        agents: vec![Life { name: name(), span: span(1000, None), end: None }],
        lives: vec![
            Life { name: name(), span: span(990, Some(500)), end: end(false) },
            Life { name: name(), span: span(500, Some(100)), end: end(true) },
        ],
        connections: vec![Connection { run: name(), index: 0, place: name(), protocol: name(), span: span(980, None) }],
        datapoints: vec![span(960, Some(60))],
        unpushed: vec![span(300, None)],
        missing: vec![Missing { what: name(), why: name() }],
        files: vec![Held { name: name(), what: name(), bytes: 1025 }],
    }
}

/// The elements and attributes of a page, without the texts.
fn markup(page: &str) -> String {
    let mut tags = String::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        // Places and texts in attributes are another's; how many there are is not.
        let names = tag.split('"').step_by(2).collect::<String>();
        tags.push_str(&names);
        tags.push('\n');
    }
    tags
}

const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)",
    "--><svg/onload=alert(1)>",
    "&lt;b&gt; &#60;script&#62; &amp",
    "javascript:alert(1)//\u{202e}gnp.exe\u{0}\u{1b}[2J\u{2028}",
    "</title></head><base href=//evil.example/>",
];

#[test]
fn no_text_becomes_markup() {
    let wanted = markup(&page(&facts("plain")));
    for text in HOSTILE {
        let page = page(&facts(text));
        assert!(markup(&page) == wanted, "{text}");
        assert!(page.chars().all(|c| c == '\n' || input::plain::is_harmless(c)), "{text}");
        let body = page.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
        assert!(!body.contains("<img") && !body.contains("<base") && !body.contains("onload=alert(1)>"), "{text}");
    }
}

#[test]
fn nothing_on_the_page_is_loaded_from_elsewhere() {
    let page = page(&facts("plain"));
    for way in
        ["http:", "https:", "//", "url(", "@import", "src=", "<link", "<iframe", "<img", "<object", "fetch(", "data:"]
    {
        let found = page.replace("// It begins", "").replace(" // ", " ");
        assert!(!found.contains(way), "{way}");
    }
}

#[test]
fn an_empty_report_is_a_page_and_says_that_nothing_is_known() {
    let page = page(&Facts { headline: "no doctor".into(), ..Facts::default() });
    assert!(page.contains("<h1>No doctor</h1>") && page.contains("Not known"));
    assert!(!page.contains("<svg"), "there is nothing to draw");
}

#[test]
fn a_word_gets_a_capital_and_a_name_does_not() {
    for (text, shown) in [("allow it", "Allow it"), ("broken: x", "Broken: x"), ("tcp://x fails", "tcp://x fails")] {
        assert_eq!(sentence(text), shown);
    }
    assert_eq!((sentence("/ready"), sentence(""), sentence("émile")), ("/ready".into(), String::new(), "émile".into()));
}

#[test]
fn the_scale_that_is_chosen_shows_the_last_trouble() {
    let now = Moment::from_ms(1_795_788_645_678);
    let change = |minutes: u64, what: &str| Decision {
        at: now.before(std::time::Duration::from_secs(60 * minutes)),
        kind: Kind::Transition,
        what: what.into(),
        evidence: String::new(),
        blame: None,
    };
    let chosen = |decisions: Vec<Decision>| {
        let page = page(&Facts { made_at: now, known_until: now, decisions, ..Facts::default() });
        page.split(" checked").next().unwrap().rsplit('"').nth(1).unwrap().to_owned()
    };
    let start = || change(600, "starting → registered");
    assert_eq!(chosen(vec![start()]), "1");
    assert_eq!(chosen(vec![start(), change(20, "registered → broken")]), "16");
    let recovered =
        [start(), change(80, "registered → broken"), change(79, "broken → held"), change(1, "held → registered")];
    assert_eq!(chosen(recovered.into()), "4");
}

#[test]
fn a_line_without_end_is_cut() {
    assert!(page(&facts(&"<&\u{202e}".repeat(100_000))).len() < 1_000_000);
}

proptest! {
    #[test]
    fn whatever_the_texts_are_the_markup_is_the_same(text in "[^\0]{0,40}|[<>\"'&=/a-z ]{0,40}") {
        // Nothing is drawn where there is nothing to say.
        let text = format!("x{text}");
        prop_assert!(markup(&page(&facts(&text))) == markup(&page(&facts("x"))));
    }

    #[test]
    fn whatever_the_times_are_there_is_a_page(times in prop::collection::vec((any::<u64>(), prop::option::of(any::<u64>())), 0..20), now in any::<u64>()) {
        let lives = times.iter().map(|(from, to)| Life {
            name: "x".into(),
            span: Span { from: Moment::from_ms(*from), to: to.map(Moment::from_ms) },
            end: None,
        });
        let now = Moment::from_ms(now);
        let page = page(&Facts { made_at: now, known_until: now, lives: lives.collect(), ..Facts::default() });
        prop_assert!(!page.contains("NaN") && !page.contains("inf%"));
        prop_assert!(page.len() < 2_000_000);
    }
}
