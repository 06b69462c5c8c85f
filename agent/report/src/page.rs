//! `report.html`: one page without outside parts, for a tired person with a phone. What is wrong comes first, then whose
//! fault it is and what to do, then what happened, then everything else.

mod html;
mod sections;
mod timeline;

use crate::moment::span;
use crate::{Condition, Facts, Fault, Finding, Outcome};
use html::Html;

/// All of the page's looks.
const STYLE: &str = include_str!("page/page.css");
/// Moves and scales the timeline; without it the buttons still do.
const SCRIPT: &str = include_str!("page/page.js");
/// What the browser may execute, load and draw: these two, by their SHA-256, and nothing from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'STYLE'; script-src 'SCRIPT'; base-uri 'none'; form-action 'none'";
const STYLE_HASH: &str = "sha256-kziEJO0l9SoF7p1EZ6xAbOVF6245GZmYzbrvCg2dBjY=";
const SCRIPT_HASH: &str = "sha256-Ue+yUDxsGfGYeEo6+agwiihoVBANz5Fc2M7uOldURMo=";

/// The page.
pub fn page(facts: &Facts) -> String {
    let mut page = Html::default();
    head(&mut page, facts);
    page.open("main", "");
    verdict(&mut page, facts);
    timeline::section(&mut page, facts);
    sections::findings(&mut page, facts);
    sections::connectors(&mut page, facts);
    sections::decisions(&mut page, facts);
    sections::about(&mut page, facts);
    sections::missing(&mut page, facts);
    sections::files(&mut page, facts);
    page.close("main");
    page.raw("<script>");
    page.raw(SCRIPT);
    page.raw("</script></body></html>\n");
    page.done()
}

fn head(page: &mut Html, facts: &Facts) {
    let policy = POLICY.replace("STYLE", STYLE_HASH).replace("SCRIPT", SCRIPT_HASH);
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"));
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">");
    page.element("title", "", &format!("{}: report of {}", word(facts.condition), facts.subject));
    page.raw("<style>");
    page.raw(STYLE);
    page.raw("</style></head><body>");
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Fine => "Fine",
        Condition::NotFine => "Not fine",
        Condition::Unknown => "Not known",
    }
}

/// What is wrong, whose fault it is, and what to do.
fn verdict(page: &mut Html, facts: &Facts) {
    let class = match facts.condition {
        Condition::Fine => "fine",
        Condition::NotFine => "wrong",
        Condition::Unknown => "unknown",
    };
    page.open("header", &format!("class=\"verdict {class}\""));
    page.open("p", "class=\"top\"");
    page.element("span", "class=\"word\"", word(facts.condition));
    page.element("span", "class=\"who\"", &format!("{} · {} UTC", facts.subject, facts.made_at));
    page.close("p");
    let cause = cause(facts);
    page.element("h1", "", &sentence(cause.as_ref().map_or(&*facts.headline, |(why, _)| why)));
    if let Some((_, rest)) = &cause {
        page.element("p", "class=\"headline\"", rest);
    }
    page.open("dl", "class=\"answers\"");
    fault(page, facts);
    if let Some(finding) = first_wrong(facts).filter(|finding| !finding.next.is_empty()) {
        answer(page, "Next step", &finding.next, None);
    }
    if let Some(said) = &facts.said {
        answer(page, "The agent says", said, None);
    }
    page.close("dl");
    page.close("header");
}

/// The evidence of what failed first, and the headline that it is from.
fn cause(facts: &Facts) -> Option<(String, String)> {
    let first = first_wrong(facts).filter(|finding| finding.outcome == Outcome::Fail)?;
    let why = first.evidence.first().filter(|why| !why.is_empty())?;
    Some((why.clone(), facts.headline.clone()))
}

fn first_wrong(facts: &Facts) -> Option<&Finding> {
    let first = |outcome| facts.findings.iter().find(|finding| finding.outcome == outcome);
    first(Outcome::Fail).or_else(|| first(Outcome::NotKnown))
}

fn fault(page: &mut Html, facts: &Facts) {
    match &facts.fault {
        Some(Fault { blame, confidence, evidence }) => {
            let sure = if confidence.is_empty() { String::new() } else { format!(" ({confidence})") };
            answer(page, "Whose fault", &format!("{}{sure}", whose(blame)), Some(evidence));
        }
        None if facts.condition == Condition::Fine => answer(page, "Whose fault", "Nobody's: nothing fails.", None),
        None => answer(page, "Whose fault", "The agent blames nobody.", None),
    }
}

/// Names of the agent's blames, for who does not know them; one that is not known is shown as it is.
fn whose(blame: &str) -> String {
    let known = match blame {
        "process" => "cloudflared on this host: it crashes, hangs or cannot be run",
        "port" => "Another program on this host, which has cloudflared's port",
        "host_network" => "This host's network: other connectors of the tunnel are registered",
        "zone" => "This availability zone's network",
        "edge" => "Cloudflare's edge, or the way of everybody to it: no connector of the tunnel is registered",
        "refused" => "The edge was reached and refuses this tunnel, and does not say why",
        "credentials" => "The tunnel's credentials, which the edge does not accept",
        "config" => "The configuration in the secret, which cannot be used",
        "origin" => "The origin behind the tunnel; the tunnel itself is up",
        "unknown" => "Not known yet",
        other => other,
    };
    known.to_owned()
}

fn answer(page: &mut Html, question: &str, answer: &str, why: Option<&str>) {
    page.raw("<div>");
    page.element("dt", "", question);
    page.open("dd", "");
    page.text(&sentence(answer));
    if let Some(why) = why.filter(|why| !why.is_empty()) {
        page.element("small", "", why);
    }
    page.close("dd");
    page.raw("</div>");
}

/// With a capital at its beginning, if that is a word, and not a name such as `/ready` or `tcp://…`.
fn sentence(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let word = word.strip_suffix([':', ',', ';']).unwrap_or(word);
    let plain = !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase());
    if plain { text[..1].to_uppercase() + &text[1..] } else { text.to_owned() }
}

/// How long before the report that was.
fn ago(facts: &Facts, at: crate::Moment) -> String {
    format!("{} before", span(facts.made_at.since(at)))
}

#[cfg(test)]
mod tests;
