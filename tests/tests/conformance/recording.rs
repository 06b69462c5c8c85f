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
        what: "the build: its checksum, the Go version, and where that version's library names the field it could not read",
        reason: "the recordings are of several builds of 2026.8.2",
        unify: |line| {
            line.edit("message", |message| match message.split_once("json: cannot unmarshal ") {
                Some((head, field)) => head.to_owned() + field.split_once(": ").map_or(field, |(_, why)| why),
                None => message.into(),
            });
            line.edit("message", |message| match message.split_once(" (Checksum ") {
                Some((version, _)) => version.to_owned(),
                None if message.starts_with("GOOS: ") => "GOOS".into(),
                None => message.into(),
            });
            true
        },
    },
    Allowed {
        what: "the Settings line: its paths, and `cacert` and `grace-period`, which not all recordings had",
        reason: "each was recorded, and is tested, where it was convenient",
        unify: |line| {
            line.edit("message", without_places);
            true
        },
    },
    Allowed {
        what: "a name server's address and answer",
        reason: "the recordings were made on hosts without one, whose addresses differed",
        unify: |line| {
            line.edit("error", |error| match error.split_once(" on <address>: ") {
                Some((lookup, _)) if lookup.contains("lookup ") => format!("{lookup}: not found"),
                _ => error.into(),
            });
            true
        },
    },
    Allowed {
        what: "the locations of the data centres",
        reason: "each edge makes up its own",
        unify: |line| {
            line.0.remove("location");
            true
        },
    },
    Allowed {
        what: "over QUIC, which part of a connection ended first, and what its datagram handler says of that",
        reason: "three of its goroutines race to report a loss: then_drop_quic has two winners in one outage",
        unify: |line| {
            if matches!(
                line.text("message"),
                "failed to serve tunnel connection" | "Serve tunnel error" | "Connection terminated"
            ) {
                line.edit("error", |error| {
                    error.replace("datagram manager encountered", "accept stream listener encountered")
                });
            }
            if line.text("message") == "failed to run the datagram handler" {
                line.0.remove("error");
            }
            true
        },
    },
    Allowed {
        what: "over QUIC, the level of the lines about a connection that is over",
        reason: "error, or warn while another connection is registered: of four that are dropped at once the last one says \
                 error, and which is the last is up to them",
        unify: |line| {
            let ended = line.text("error").ends_with("encountered a failure while serving");
            if ended && matches!(line.text("message"), "failed to serve tunnel connection" | "Serve tunnel error") {
                line.0.remove("level");
            }
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
        what: "`Unauthorized` over HTTP/2, for the third time, before any registration",
        reason: "in the real one two goroutines race, and whichever wins decides whether it exits: start_unauthorized has an \
                 exit after the third, and other runs went on. The stand-in always exits",
        unify: |_| true,
    },
    Allowed {
        what: "the end of the grace period over HTTP/2 with a stream to a `tcp://` rule in flight",
        reason: "the real one then waits for the stream, however long that takes (sigterm_with_streams); the stand-in cuts it",
        unify: |_| true,
    },
    Allowed {
        what: "tries without an address to go to",
        reason: "with one address that cannot be reached the real one tries 10,000 times a second, and the stand-in 100 times",
        unify: |_| true,
    },
    Allowed {
        what: "names",
        reason: "the stand-in asks no name server: on a bare host it fails as the recordings do, and else `auto` begins with \
                 QUIC and no name is found",
        unify: |_| true,
    },
    Allowed {
        what: "origins over TLS, bastions and SOCKS proxies",
        reason: "the stand-in brings no roots, so it trusts no origin; the other two no test needs",
        unify: |_| true,
    },
    Allowed {
        what: "what is behind `Incorrect Usage`, and rare starts of recorded/starts",
        reason: "the help is each program's own; of the starts those are held against it whose rules it has",
        unify: |_| true,
    },
    Allowed {
        what: "the order of lines of different connections, and of a server's start and of the tunnel's end",
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
            Some(index) if message == "failed to run the datagram handler" => format!("datagrams of {index}"),
            Some(index) => format!("connection {index}"),
            None if message == "failed to serve incoming request" => "requests".into(),
            None if message.starts_with("ICMP proxy will use") => "icmp".into(),
            None if message.starts_with("Starting metrics server") => "metrics server".into(),
            None if message == "Failed to initialize DNS local resolver" => "resolver".into(),
            None if message.starts_with("Collection ") => "collector".into(),
            None if message.starts_with("precheck") || message.starts_with(['|', '+']) => "prechecks".into(),
            None if message == "Updated to new configuration" => "configuration".into(),
            None if message == "Tunnel server stopped" => "tunnel server".into(),
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

/// `Settings: map[…]` without what was chosen for a recording and says nothing.
fn without_places(message: &str) -> String {
    let Some(settings) = message.strip_prefix("Settings: map[") else { return message.into() };
    let mut kept: Vec<&str> = vec![];
    for word in settings.split(' ') {
        let key = word.split(':').next().unwrap_or_default();
        match key {
            "cacert" | "grace-period" => {}
            "config" | "cred-file" | "credentials-file" => kept.push(key),
            _ => kept.push(word),
        }
    }
    format!("Settings: map[{}", kept.join(" "))
}

/// A recording without its end: from the signal on, by which whoever recorded it stopped it.
pub fn until_the_signal(mut recording: Vec<Line>) -> Vec<Line> {
    let signal = recording.iter().position(|line| line.text("message").starts_with("Initiating graceful shutdown"));
    recording.truncate(signal.unwrap_or(recording.len()));
    recording
}

/// A recording with no more of each connection than up to the line in which it is about to wait for the `count`th time.
pub fn until_wait(recording: Vec<Line>, count: usize) -> Vec<Line> {
    let mut waits: BTreeMap<String, usize> = BTreeMap::new();
    let keep = |line: &Line| {
        let Some(index) = line.0.get("connIndex") else { return true };
        let waits = waits.entry(index.to_string()).or_default();
        let keep = *waits < count;
        *waits += usize::from(line.text("message").starts_with("Retrying connection in up to"));
        keep
    };
    recording.into_iter().filter(keep).collect()
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
