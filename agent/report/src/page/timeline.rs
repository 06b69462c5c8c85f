//! What happened, drawn: lanes over one axis of time.
//!
//! Places along the axis are percentages, so that a wider drawing is a closer look, and nothing is distorted: the style sheet widens
//! it when a button is chosen, and the script when a finger or a wheel asks for it.

use super::html::{Html, text};
use super::sections::{class, kind};
use crate::moment::span;
use crate::{Connection, Decision, Facts, Kind, Life, Moment, Span};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much closer each button looks. The style sheet and the script know them.
const ZOOMS: [u32; 5] = [1, 4, 16, 64, 256];
/// The longest time that is drawn, and the shortest.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
const SHORTEST: Duration = Duration::from_secs(15);
/// About how many marks of the axis are in sight at a time; a phone has room for as many.
const MARKS: u32 = 5;
/// The most marks at one scale.
const MOST_MARKS: u64 = 400;
/// The most of anything in one lane: the newest.
const MOST: usize = 1500;
/// How many colours there are for places.
const COLOURS: usize = 6;

/// Heights, in pixels.
const AXIS: u32 = 24;
const CAPTION: u32 = 18;
const ROW: u32 = 20;
const GAP: u32 = 10;

/// The section.
pub(super) fn section(page: &mut Html, facts: &Facts) {
    let axis = Axis::of(facts);
    let mut chart = Chart { axis, y: AXIS, captions: vec![], body: Html::default() };
    let places = places(facts);
    chart.health(facts);
    chart.connections(facts, &places);
    chart.decisions(facts);
    chart.lives("Processes: cloudflared, and the agent", facts);
    chart.datapoints(facts);
    if chart.captions.is_empty() {
        return;
    }
    page.raw("<section id=\"timeline\"><h2>What happened</h2>");
    page.element(
        "p",
        "class=\"more\"",
        &format!("{} to {}, times in UTC; the right edge is the moment of this report.", axis.from, axis.to),
    );
    zooms(page, axis, facts);
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"timeline, scrolls sideways\">");
    let height = chart.y;
    // They stay where they are while the drawing moves below them.
    page.raw(&format!("<div class=\"names\"><svg width=\"300\" height=\"{height}\" aria-hidden=\"true\">"));
    for (y, caption) in &chart.captions {
        page.raw(&format!("<text x=\"2\" y=\"{}\">{}</text>", y + 13, text(caption)));
    }
    page.raw("</svg></div>");
    page.open(
        "svg",
        &format!(
            "class=\"chart\" width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"What happened, from {} to {}\"",
            axis.from, axis.to
        ),
    );
    axis.draw(page, height);
    page.raw(&chart.body.done());
    page.raw("</svg></div>");
    legend(page, &places);
    page.raw("</section>");
}

/// The stretch of time that is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    from: Moment,
    to: Moment,
}

impl Axis {
    /// From the first thing that is known on, a week at most.
    fn of(facts: &Facts) -> Self {
        let to = facts.made_at;
        let spans = facts.agents.iter().chain(&facts.lives).map(|life| life.span);
        let spans = spans.chain(facts.connections.iter().map(|one| one.span));
        let spans = spans.chain(facts.unpushed.iter().copied());
        let begins = spans.map(|span| span.from).chain(facts.decisions.iter().map(|one| one.at));
        let earliest = to.before(LONGEST);
        let from = begins.min().unwrap_or(to).max(earliest);
        Self { from: from.min(to.before(SHORTEST)), to }
    }

    fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// How much closer one may look.
    fn zooms(self) -> impl Iterator<Item = u32> + Clone {
        ZOOMS.into_iter().filter(move |zoom| *zoom == 1 || self.length() / *zoom >= SHORTEST)
    }

    /// The place of a moment, in percent.
    #[allow(clippy::cast_precision_loss)] // of milliseconds of a week
    fn place(self, at: Moment) -> f64 {
        let at = at.clamp(self.from, self.to);
        (at.ms() - self.from.ms()) as f64 / (self.to.ms() - self.from.ms()) as f64 * 100.0
    }

    /// Begin and width, in percent; none if nothing of it is drawn.
    fn stretch(self, span: Span) -> Option<(f64, f64)> {
        let to = span.to.unwrap_or(self.to);
        (to >= self.from && span.from <= self.to).then(|| {
            let from = self.place(span.from);
            (from, (self.place(to) - from).max(0.0))
        })
    }

    /// The time and the lines of each scale.
    fn draw(self, page: &mut Html, height: u32) {
        for zoom in self.zooms() {
            page.open("g", &format!("class=\"ticks t{zoom}\""));
            let step = step(self.length() / zoom / MARKS);
            let mut at = self.from.ms().next_multiple_of(step);
            let mut marks = 0;
            let mut day = self.from.day();
            while at < self.to.ms() && marks < MOST_MARKS {
                let moment = Moment::from_ms(at);
                let clock = moment.clock();
                let short = if step.is_multiple_of(60_000) { &clock[..5] } else { &clock[..] };
                let label = if moment.day() == day { short.to_owned() } else { format!("{} {short}", moment.day()) };
                day = moment.day();
                let x = self.place(moment);
                page.raw(&format!("<line x1=\"{x:.4}%\" x2=\"{x:.4}%\" y1=\"{AXIS}\" y2=\"{height}\"/>"));
                page.raw(&format!("<text x=\"{x:.4}%\" dx=\"3\" y=\"15\">{label}</text>"));
                (at, marks) = (at + step, marks + 1);
            }
            page.close("g");
        }
    }
}

/// A step that people count in, of `least` or a little more, in milliseconds.
fn step(least: Duration) -> u64 {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    let steps = [1, 2, 5, 10, 15, 30].map(|n| n * SECOND).into_iter();
    let steps = steps.chain([1, 2, 5, 10, 15, 30].map(|n| n * MINUTE));
    let mut steps = steps.chain([1, 2, 3, 6, 12, 24, 48].map(|n| n * HOUR));
    let least = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
    steps.find(|step| *step >= least).unwrap_or(48 * HOUR)
}

/// The buttons. The one that is chosen shows the last trouble and what led to it.
fn zooms(page: &mut Html, axis: Axis, facts: &Facts) {
    let useful = axis.zooms();
    let wanted = trouble(facts).map_or(axis.length(), |at| axis.to.since(at) * 3 / 2);
    let chosen = useful.clone().filter(|zoom| axis.length() / *zoom >= wanted).last().unwrap_or(1);
    for zoom in useful.clone() {
        let checked = if zoom == chosen { " checked" } else { "" };
        page.raw(&format!("<input type=\"radio\" name=\"zoom\" id=\"z{zoom}\" value=\"{zoom}\"{checked}>"));
    }
    page.raw("<p class=\"zooms\">");
    for zoom in useful {
        let length = axis.length() / zoom;
        let words = if zoom == 1 { format!("all ({})", span(length)) } else { span(rounded(length)) };
        page.element("label", &format!("for=\"z{zoom}\""), &words);
    }
    page.raw("</p>");
}

/// When the last trouble began: the tunnel was registered until then.
fn trouble(facts: &Facts) -> Option<Moment> {
    let changes = facts.decisions.iter().rev().filter(|one| one.kind == Kind::Transition);
    let well = |change: &&Decision| into(change) == "registered";
    changes.skip_while(well).take_while(|change| !well(change)).last().map(|change| change.at)
}

/// The health that a transition leads to.
fn into(change: &Decision) -> &str {
    change.what.rsplit('→').next().unwrap_or_default().trim()
}

/// To two digits, for a button.
fn rounded(length: Duration) -> Duration {
    let seconds = length.as_secs();
    let unit = match seconds {
        0..120 => 1,
        120..7200 => 60,
        _ => 3600,
    };
    Duration::from_secs((seconds + unit / 2) / unit * unit)
}

/// The places at the edge, with the number of their colour.
fn places(facts: &Facts) -> BTreeMap<String, usize> {
    let mut names: Vec<&str> = facts.connections.iter().map(|one| &*one.place).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().enumerate().map(|(number, name)| (name.to_owned(), number % COLOURS)).collect()
}

/// The drawing as far as it has come.
struct Chart {
    axis: Axis,
    /// The height so far.
    y: u32,
    captions: Vec<(u32, String)>,
    body: Html,
}

impl Chart {
    fn caption(&mut self, caption: &str) {
        self.captions.push((self.y, caption.to_owned()));
        self.y += CAPTION;
    }

    fn end_of_lane(&mut self) {
        self.y += GAP;
    }

    /// A bar with its words inside, as far as there is room.
    fn bar(&mut self, class: &str, span: Span, words: &str, title: &str) {
        let Some((x, width)) = self.axis.stretch(span) else { return };
        let (y, height) = (self.y, ROW - 3);
        self.body.raw(&format!("<g class=\"bar {class}\"><title>{}</title>", text(title)));
        self.body.raw(&format!("<rect x=\"{x:.4}%\" y=\"{y}\" width=\"{width:.4}%\" height=\"{height}\" rx=\"2\"/>"));
        self.body.raw(&format!("<svg x=\"{x:.4}%\" y=\"{y}\" width=\"{width:.4}%\" height=\"{height}\">"));
        self.body.raw(&format!("<text x=\"5\" y=\"12\">{}</text></svg></g>", text(words)));
    }

    /// The health, from one transition to the next.
    fn health(&mut self, facts: &Facts) {
        let changes: Vec<_> = facts.decisions.iter().filter(|one| one.kind == Kind::Transition).collect();
        if changes.is_empty() {
            return;
        }
        self.caption("Health");
        // What it was before the first change, from the start of the agent that changed it.
        let before = facts.agents.iter().rev().map(|agent| agent.span.from).find(|from| *from < changes[0].at);
        if let (Some(from), Some((state, _))) = (before, changes[0].what.split_once('→')) {
            let span = Span { from, to: Some(changes[0].at) };
            self.bar(health(state.trim()), span, state.trim(), &title(span, facts, state.trim(), ""));
        }
        for (place, change) in changes.iter().enumerate() {
            let state = into(change);
            let to = changes.get(place + 1).map_or(facts.known_until, |next| next.at);
            let span = Span { from: change.at, to: Some(to) };
            self.bar(health(state), span, state, &title(span, facts, state, &change.evidence));
        }
        let unknown = Span { from: facts.known_until, to: Some(facts.made_at) };
        if facts.known_until < facts.made_at {
            let words = "not known";
            self.bar("h-unknown", unknown, words, &title(unknown, facts, words, "the agent wrote nothing more"));
        }
        self.y += ROW;
        self.end_of_lane();
    }

    /// Connections, each in the first row that is free.
    fn connections(&mut self, facts: &Facts, places: &BTreeMap<String, usize>) {
        let newest = newest(&facts.connections);
        if newest.is_empty() {
            return;
        }
        self.caption("Connections, by place at the edge");
        let rows = rows(newest.iter().map(|one| one.span), facts.made_at);
        for (one, row) in newest.iter().zip(&rows) {
            let Connection { run, index, place, protocol, span } = one;
            let colour = places.get(place).copied().unwrap_or_default();
            let words = format!("{place} {protocol}");
            let about = format!("connection {index} of connector {run}, {protocol}");
            let top = self.y;
            self.y += ROW * row;
            self.bar(&format!("p{colour}"), *span, &words, &title(*span, facts, place, &about));
            self.y = top;
        }
        self.y += ROW * (rows.iter().max().copied().unwrap_or_default() + 1);
        self.end_of_lane();
    }

    /// Decisions but for the transitions, which are drawn as the health.
    fn decisions(&mut self, facts: &Facts) {
        let shown = |kind: Kind| kind != Kind::Transition;
        if !facts.decisions.iter().any(|one| shown(one.kind)) {
            return;
        }
        self.caption("Decisions (choose one to read it)");
        let lanes = [Kind::Action, Kind::Refusal, Kind::Delay, Kind::Finding, Kind::Other];
        let lanes = lanes.into_iter().filter(|lane| facts.decisions.iter().any(|one| one.kind == *lane));
        for lane in lanes {
            let of_lane = facts.decisions.iter().enumerate().filter(|(_, one)| one.kind == lane);
            for (place, one) in of_lane.filter(|(_, one)| one.at >= self.axis.from) {
                let (x, y) = (self.axis.place(one.at), self.y + ROW / 2 - 1);
                let words = format!("{} {}: {}", one.at.clock(), kind(lane), one.what);
                self.body.raw(&format!(
                    "<a href=\"#d{place}\"><svg class=\"pin {}\" x=\"{x:.4}%\" y=\"{y}\" overflow=\"visible\"><title>{}</title>{}</svg></a>",
                    class(lane),
                    text(&words),
                    shape(lane)
                ));
            }
            self.y += ROW;
        }
        self.end_of_lane();
    }

    /// Processes, each in the first row that is free; an end that nobody wanted is marked.
    fn lives(&mut self, caption: &str, facts: &Facts) {
        let (lives, agents) = (newest(&facts.lives), newest(&facts.agents));
        if lives.is_empty() && agents.is_empty() {
            return;
        }
        self.caption(caption);
        for (lives, class) in [(lives, "life"), (agents, "life agent")] {
            let rows = rows(lives.iter().map(|life| life.span), facts.made_at);
            for (life, row) in lives.iter().zip(&rows) {
                let top = self.y;
                self.y += ROW * row;
                self.life(life, class, facts);
                self.y = top;
            }
            self.y += ROW * rows.iter().max().map_or(0, |row| row + 1);
        }
        self.end_of_lane();
    }

    fn life(&mut self, Life { name, span, end }: &Life, class: &str, facts: &Facts) {
        let how = end.as_ref().map_or("", |end| &*end.how);
        self.bar(class, *span, name, &title(*span, facts, name, how));
        if let (Some(end), Some(at)) = (end, span.to.filter(|at| *at >= self.axis.from)) {
            let (x, y) = (self.axis.place(at), self.y + ROW / 2 - 2);
            let (class, shape) = match end.planned {
                true => ("end planned", "<path d=\"M0-8V8\"/>"),
                false => ("end", "<path d=\"M-5-5L5 5M-5 5L5-5\"/>"),
            };
            let words = format!("{}: {name}: {how}", at.clock());
            self.body.raw(&format!(
                "<svg class=\"{class}\" x=\"{x:.4}%\" y=\"{y}\" overflow=\"visible\"><title>{}</title>{shape}</svg>",
                text(&words)
            ));
        }
    }

    fn datapoints(&mut self, facts: &Facts) {
        if facts.datapoints.is_empty() && facts.unpushed.is_empty() {
            return;
        }
        self.caption("Datapoints for CloudWatch");
        for span in newest(&facts.datapoints) {
            self.bar("points", *span, "every period", &title(*span, facts, "datapoints", "one for each period"));
        }
        for span in newest(&facts.unpushed) {
            let words = "not accepted: they wait, or are lost";
            self.bar("unpushed", *span, "not accepted", &title(*span, facts, "CloudWatch", words));
        }
        self.y += ROW;
        self.end_of_lane();
    }
}

fn newest<T>(all: &[T]) -> &[T] {
    &all[all.len().saturating_sub(MOST)..]
}

/// What is said of a bar when a pointer rests on it.
fn title(span: Span, facts: &Facts, what: &str, more: &str) -> String {
    let to = span.to.unwrap_or(facts.made_at);
    let end = span.to.map_or("now".to_owned(), |to| to.clock());
    let length = crate::moment::span(to.since(span.from));
    let more = if more.is_empty() { String::new() } else { format!(": {more}") };
    format!("{what}, {} to {end} ({length}){more}", span.from)
}

/// For each span the first row in which nothing else is at that time.
fn rows(spans: impl Iterator<Item = Span>, now: Moment) -> Vec<u32> {
    let mut free: Vec<Moment> = vec![];
    let place = |span: Span| {
        let row = free.iter().position(|free| *free <= span.from).unwrap_or(free.len());
        let until = span.to.unwrap_or(now).max(span.from);
        match free.get_mut(row) {
            Some(of_row) => *of_row = until,
            None => free.push(until),
        }
        u32::try_from(row).unwrap_or(u32::MAX)
    };
    spans.map(place).collect()
}

fn health(state: &str) -> &'static str {
    match state {
        "starting" => "h-starting",
        "registered" => "h-registered",
        "degraded" => "h-degraded",
        "broken" => "h-broken",
        "remediating" => "h-remediating",
        "condemned" => "h-condemned",
        "held" => "h-held",
        "draining" => "h-draining",
        _ => "h-unknown",
    }
}

/// A shape for each kind, for who does not tell the colours apart.
fn shape(kind: Kind) -> &'static str {
    match kind {
        Kind::Action => "<path d=\"M0-7L7 6H-7Z\"/>",
        Kind::Refusal => "<path d=\"M-6-6H6V6H-6Z\"/>",
        Kind::Delay => "<path d=\"M0-7L7 0L0 7L-7 0Z\"/>",
        Kind::Finding => "<circle r=\"6\"/>",
        Kind::Transition | Kind::Other => "<circle r=\"4\"/>",
    }
}

/// What the colours and shapes mean.
fn legend(page: &mut Html, places: &BTreeMap<String, usize>) {
    page.raw("<ul class=\"legend\">");
    for kind_shown in [Kind::Action, Kind::Refusal, Kind::Delay, Kind::Finding] {
        page.raw(&format!(
            "<li><svg width=\"16\" height=\"16\" aria-hidden=\"true\"><svg class=\"pin {}\" x=\"8\" y=\"8\" overflow=\"visible\">{}</svg></svg>{}</li>",
            class(kind_shown),
            shape(kind_shown),
            kind(kind_shown)
        ));
    }
    page.raw("<li><svg width=\"16\" height=\"16\" aria-hidden=\"true\"><svg class=\"end\" x=\"8\" y=\"8\" overflow=\"visible\"><path d=\"M-5-5L5 5M-5 5L5-5\"/></svg></svg>ended by itself</li>");
    for (name, colour) in places {
        page.raw(&format!("<li><i class=\"p{colour}\"></i>{}</li>", text(name)));
    }
    page.raw("</ul>");
}
