//! Log lines, recorded or ours, made comparable.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A difference between the stand-in and the recordings that is allowed.
pub struct Allowed {
    /// What differs.
    pub what: &'static str,
    /// Why that is no fault of the stand-in.
    pub reason: &'static str,
    /// Makes both sides equal; false drops the line.
    unify: fn(&mut Line) -> bool,
}

/// Every allowed difference. Apart from these, lines must be equal in message, level, and every field.
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        what: "times, UUIDs, addresses and ports",
        reason: "they differ between any two runs of the real program too",
        unify: |line| {
            line.0.remove("time");
            line.0.values_mut().for_each(|value| {
                if let Value::String(text) = value {
                    *text = without_ids(text);
                }
            });
            true
        },
    },
    Allowed {
        what: "the path of `cacert` in the Settings line",
        reason: "each edge has its authority's certificate in a file of its own",
        unify: |line| {
            let masked = |word: &str| match word.split_once("cacert:") {
                Some((before, _)) => format!("{before}cacert:<path>"),
                None => word.to_owned(),
            };
            line.edit("message", |message| message.split(' ').map(masked).collect::<Vec<_>>().join(" "));
            true
        },
    },
    Allowed {
        what: "the collectors `configuration` and `system`",
        reason: "the recorder also read /diag/configuration and /diag/system, which no agent reads and no page records",
        unify: |line| !matches!(line.text("collector"), "configuration" | "system"),
    },
    Allowed {
        what: "EOF or reset in the handshake",
        reason: "when an edge hangs up, the kernel's timing decides which of the two is read: start_drop has both",
        unify: |line| {
            line.edit("error", |error| {
                if error.starts_with("TLS handshake") && error.ends_with("read: connection reset by peer") {
                    "TLS handshake with edge error: EOF".into()
                } else {
                    error.into()
                }
            });
            true
        },
    },
    Allowed {
        what: "`client disconnected` or `context canceled` after a loss",
        reason: "two of its goroutines race to report it: connected has both in one outage",
        unify: |line| {
            line.edit("error", |error| {
                error.replace("control stream: context canceled", "control stream: client disconnected")
            });
            true
        },
    },
    Allowed {
        what: "the level of `Connection terminated`",
        reason: "error, or warn while another connection is registered, which is up to the draws of the back-offs: \
                 connected has both",
        unify: |line| {
            if line.text("message") == "Connection terminated" {
                line.0.remove("level");
            }
            true
        },
    },
    Allowed {
        what: "the order of lines of different connections, and of the servers' start",
        reason: "they come from concurrent goroutines, and the recordings differ in it; see `Line::actor`",
        unify: |_| true,
    },
];

/// One line of a log: its fields, or, for a plain line, only `plain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(pub Map<String, Value>);

impl Line {
    /// A field of text, or nothing.
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn edit(&mut self, field: &str, with: impl Fn(&str) -> String) {
        if let Some(Value::String(text)) = self.0.get_mut(field) {
            *text = with(text);
        }
    }

    /// Who wrote the line: lines of one actor come in order, those of different actors do not.
    fn actor(&self) -> String {
        let message = self.text("message");
        match self.0.get("connIndex") {
            Some(index) => format!("connection {index}"),
            None if message == "failed to serve incoming request" => "requests".into(),
            None if message.starts_with("ICMP proxy will use") => "icmp".into(),
            None if message.starts_with("Starting metrics server") => "metrics server".into(),
            None if message == "Failed to initialize DNS local resolver" => "resolver".into(),
            None if message.starts_with("Collection ") => "collector".into(),
            None => "main".into(),
        }
    }
}

/// Reads a log. `directory` is where the stand-in's files were; the recordings' were in `/etc/cloudflared`.
pub fn parse(log: &str, directory: &str) -> Vec<Line> {
    let log = mend(log).replace(directory, "/etc/cloudflared");
    let lines = log.lines().filter(|line| !line.is_empty()).map(|line| match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Line(fields),
        _ => Line(Map::from_iter([("plain".to_owned(), line.into())])),
    });
    lines.filter_map(|mut line| ALLOWED.iter().all(|allowed| (allowed.unify)(&mut line)).then_some(line)).collect()
}

/// `connected` has one line written into the middle of another: `{"a":1{"b":2}` and then `,"c":3}`.
fn mend(log: &str) -> String {
    let mut mended: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.starts_with(','), mended.last_mut()) {
            (true, Some(torn)) => {
                let inner = torn.split_off(torn.rfind('{').unwrap_or_default());
                torn.push_str(line);
                mended.push(inner);
            }
            _ => mended.push(line.to_owned()),
        }
    }
    mended.join("\n")
}

fn by_actor(lines: &[Line]) -> BTreeMap<String, Vec<Line>> {
    let mut actors: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in lines {
        actors.entry(line.actor()).or_default().push(line.clone());
    }
    actors
}

/// Panics unless each actor of the recording said the same here, line by line. With `more`, ours may go on after it.
pub fn assert_same(recorded: &[Line], ours: &[Line], more: bool) {
    let (recorded, ours) = (by_actor(recorded), by_actor(ours));
    let names = |actors: &BTreeMap<String, Vec<Line>>| actors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&recorded), names(&ours), "who wrote lines");
    for (actor, recorded) in &recorded {
        let ours = &ours[actor];
        for (number, (recorded, ours)) in recorded.iter().zip(ours).enumerate() {
            assert_eq!(recorded, ours, "line {number} of {actor}; allowed to differ:\n{}", allowed());
        }
        assert!(
            ours.len() == recorded.len() || more && ours.len() > recorded.len(),
            "{actor}: {} lines recorded, {} ours: {ours:#?}",
            recorded.len(),
            ours.len()
        );
    }
}

fn allowed() -> String {
    ALLOWED.iter().map(|Allowed { what, reason, .. }| format!("- {what}: {reason}\n")).collect()
}

/// Replaces UUIDs and IPv4 addresses (with their ports).
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside_word = out.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '.');
        let (replacement, length) = match (inside_word, uuid(rest), address(rest)) {
            (false, Some(length), _) => ("<uuid>", length),
            (false, None, Some(length)) => ("<address>", length),
            _ => (&rest[..first.len_utf8()], first.len_utf8()),
        };
        out.push_str(replacement);
        rest = &rest[length..];
    }
    out
}

fn uuid(text: &str) -> Option<usize> {
    let uuid = text.get(..36)?;
    let dashes = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    uuid.bytes().enumerate().all(fits).then_some(36)
}

fn address(text: &str) -> Option<usize> {
    let end = text.find(|next: char| !next.is_ascii_digit() && next != '.' && next != ':').unwrap_or(text.len());
    let candidate = text[..end].trim_end_matches([':', '.']);
    let (ip, port) = candidate.split_once(':').unwrap_or((candidate, "0"));
    (ip.parse::<std::net::Ipv4Addr>().is_ok() && port.parse::<u16>().is_ok()).then_some(candidate.len())
}
