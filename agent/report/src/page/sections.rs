//! What stands below the timeline.

use super::ago;
use super::html::Html;
use crate::{Facts, Finding, Kind, Outcome};

/// What doctor found: what fails is open, what passed is folded.
pub(super) fn findings(page: &mut Html, facts: &Facts) {
    if facts.findings.is_empty() {
        return;
    }
    page.raw("<section id=\"checks\"><h2>Checks</h2>");
    for outcome in [Outcome::Fail, Outcome::NotKnown, Outcome::Warn] {
        of(facts, outcome).for_each(|one| finding(page, one));
    }
    for (outcome, words) in [(Outcome::Skip, "do not apply, or are explained by another"), (Outcome::Pass, "passed")] {
        let count = of(facts, outcome).count();
        if count > 0 {
            page.open("details", "");
            page.element("summary", "", &format!("{count} {words}"));
            of(facts, outcome).for_each(|one| finding(page, one));
            page.close("details");
        }
    }
    page.raw("</section>");
}

fn of(facts: &Facts, outcome: Outcome) -> impl Iterator<Item = &Finding> {
    facts.findings.iter().filter(move |finding| finding.outcome == outcome)
}

fn finding(page: &mut Html, finding: &Finding) {
    let (class, word) = match finding.outcome {
        Outcome::Fail => ("fail", "FAIL"),
        Outcome::NotKnown => ("unseen", "?"),
        Outcome::Warn => ("warn", "WARN"),
        Outcome::Pass => ("pass", "PASS"),
        Outcome::Skip => ("skip", "SKIP"),
    };
    page.open("article", &format!("class=\"check {class}\""));
    page.raw("<h3>");
    page.element("span", "class=\"mark\"", word);
    page.element("code", "", &finding.id);
    page.raw("</h3>");
    for (place, seen) in finding.evidence.iter().enumerate() {
        page.element("p", if place == 0 { "" } else { "class=\"more\"" }, seen);
    }
    let mended = matches!(finding.outcome, Outcome::Fail | Outcome::NotKnown | Outcome::Warn);
    if mended && !finding.next.is_empty() {
        page.raw("<p class=\"next\"><b>Next: </b>");
        page.text(&finding.next);
        page.raw("</p>");
    }
    page.close("article");
}

/// What runs.
pub(super) fn connectors(page: &mut Html, facts: &Facts) {
    if facts.connectors.is_empty() {
        return;
    }
    page.raw("<section id=\"connectors\"><h2>Connectors</h2><div class=\"cards\">");
    for connector in &facts.connectors {
        page.raw("<article class=\"card\"><h3>");
        page.text(&format!("Connector {}: {}", connector.run, connector.state));
        page.raw("</h3>");
        pairs(page, &connector.about);
        page.close("article");
    }
    page.raw("</div></section>");
}

/// The journal, newest first.
pub(super) fn decisions(page: &mut Html, facts: &Facts) {
    if facts.decisions.is_empty() {
        return;
    }
    page.raw("<section id=\"decisions\"><h2>Decisions, newest first</h2><ol class=\"decisions\">");
    for (place, decision) in facts.decisions.iter().enumerate().rev() {
        page.open("li", &format!("id=\"d{place}\" class=\"{}\"", class(decision.kind)));
        page.raw("<p class=\"when\">");
        page.element("time", "", &decision.at.to_string());
        page.text(&format!(" · {}", ago(facts, decision.at)));
        if let Some(blame) = &decision.blame {
            page.text(&format!(" · blame {blame}"));
        }
        page.raw("</p><p class=\"what\">");
        page.element("span", "class=\"kind\"", kind(decision.kind));
        page.text(&decision.what);
        page.raw("</p>");
        if !decision.evidence.is_empty() {
            page.element("p", "class=\"more\"", &decision.evidence);
        }
        page.close("li");
    }
    page.raw("</ol></section>");
}

/// The class of a kind of decision, here and in the timeline.
pub(super) fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Finding => "finding",
        Kind::Transition => "transition",
        Kind::Action => "action",
        Kind::Delay => "delay",
        Kind::Refusal => "refusal",
        Kind::Other => "other",
    }
}

/// A kind of decision for a person.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Finding => "blame",
        Kind::Transition => "health",
        Kind::Action => "done",
        Kind::Delay => "put off",
        Kind::Refusal => "refused",
        Kind::Other => "other",
    }
}

/// Where and what it is.
pub(super) fn about(page: &mut Html, facts: &Facts) {
    page.raw("<section id=\"about\"><h2>This instance</h2><article class=\"card\">");
    pairs(page, &facts.about);
    page.raw("</article></section>");
}

fn pairs(page: &mut Html, pairs: &[(String, String)]) {
    page.raw("<dl class=\"pairs\">");
    for (name, value) in pairs {
        page.element("dt", "", name);
        page.element("dd", "", value);
    }
    page.raw("</dl>");
}

/// What could not be had, and why.
pub(super) fn missing(page: &mut Html, facts: &Facts) {
    if facts.missing.is_empty() {
        return;
    }
    page.raw("<section id=\"missing\"><h2>What could not be had</h2><ul class=\"plain\">");
    for one in &facts.missing {
        page.raw("<li>");
        page.element("code", "", &one.what);
        page.text(&format!(": {}", one.why));
        page.raw("</li>");
    }
    page.raw("</ul></section>");
}

/// What else is in the archive.
pub(super) fn files(page: &mut Html, facts: &Facts) {
    if facts.files.is_empty() {
        return;
    }
    page.raw("<section id=\"files\"><h2>Files beside this page</h2><ul class=\"plain\">");
    for file in &facts.files {
        page.raw("<li>");
        page.element("code", "", &file.name);
        page.text(&format!(" {} · {}", size(file.bytes), file.what));
        page.raw("</li>");
    }
    page.raw("</ul><p class=\"more\">Keys, tokens and passwords are struck out: [struck out].</p></section>");
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ => format!("{} KiB", bytes.div_ceil(1024)),
    }
}
