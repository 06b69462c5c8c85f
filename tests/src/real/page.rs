//! `docs/generated/cloudflared.md`, and what must hold of it.

use super::case::{Case, Start};
use super::hard::{Hard, Measure, Pace};
use super::play::Played;
use crate::edge::Transport;
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A case, with the real program and with the stand-in.
pub type Row = (Case, Played, Played);

const HEAD: &str = "\
# cloudflared and the agent, conduct by conduct

Written by `make real CLOUDFLARED=…`; edits are lost. Each row was played with the real program and with the stand-in, in a
network namespace that has only `lo`, with the agent's default times, in a group of two whose other instance reports itself
registered with the same version of the secret: the world in which a wrong judgement replaces an instance. The edge behaves as
the row says for 330 s, and then accepts.

- *cloudflared*: whether it exits by itself, and the [events](../events.md) of the lines that it printed at warning level and above
  in the agent's log. `dns_failed` is of that namespace, which has no name server.
- *stand-in*: `same`, or what it did otherwise.
- *the agent*: each judgement with the seconds since the conduct began; restarts that it ordered; whether the instance was marked.
- *back*: seconds from the edge's return until the connector was registered.
";

/// A part of the page, written by a run of its own. The third is written by `tests/real.sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The conducts, with the head of the page.
    Conducts,
    /// The hard cases.
    Hard,
}

/// What the parts after the first begin with.
const HARD: &str = "\n## Hard cases\n";
const OTHERS: &str = "\n## The other parts\n";

/// Writes a part of the page anew, and leaves the others as they are.
///
/// # Errors
/// The page cannot be written.
pub fn write(path: &Path, part: Part, text: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(path).unwrap_or_default();
    let (rest, others) = page.split_at(page.find(OTHERS).unwrap_or(page.len()));
    let (conducts, hard) = rest.split_at(rest.find(HARD).unwrap_or(rest.len()));
    let page = match part {
        Part::Conducts => [text, hard, others].concat(),
        Part::Hard => [conducts, text, others].concat(),
    };
    fs::write(path, page).with_context(|| format!("failed to write {}", path.display()))
}

/// A hard case, and what came of it.
pub type HardRow = (Hard, anyhow::Result<Vec<Measure>>);

/// The part of the hard cases.
pub fn hard_cases(version: &str, rows: &[HardRow]) -> String {
    let mut page = format!(
        "{HARD}\nWhat happened in the field or was found with the real program, what must come of it, and the time that it may \
         take. With `{version}`, the agent's\ndefault times, after 35 s of calm where a case begins with that; where no mark may \
         come, it was watched for {} s.\n\n| case | what came | seconds | at most |\n|---|---|---|---|\n",
        Pace::LONG.watch.as_secs()
    );
    for (case, played) in rows {
        match played {
            Ok(measures) => {
                for Measure { what, took, most } in measures {
                    let most = most.map_or("–".to_owned(), |most| most.as_secs().to_string());
                    // Writing to a String cannot fail.
                    let _ = writeln!(page, "| {case} | {what} | {:.1} | {most} |", took.as_secs_f64());
                }
            }
            Err(error) => {
                let error = error.to_string();
                let _ = writeln!(page, "| {case} | **wrong**: {} | – | – |", error.lines().next().unwrap_or_default());
            }
        }
    }
    page
}

/// Fails if a hard case went wrong, or took longer than it may.
///
/// # Errors
/// All that was wrong.
pub fn judge_hard(rows: &[HardRow]) -> anyhow::Result<()> {
    let mut wrong = vec![];
    for (case, played) in rows {
        match played {
            Ok(measures) => wrong.extend(
                measures
                    .iter()
                    .filter(|measure| measure.is_late())
                    .map(|measure| format!("{case}: {} after {:.1} s", measure.what, measure.took.as_secs_f64())),
            ),
            Err(error) => wrong.push(format!("{case}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{} hard cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// The part of the conducts.
pub fn conducts(version: &str, took: Duration, rows: &[Row]) -> String {
    let minutes = took.as_secs().div_ceil(60);
    let mut page = format!(
        "{HEAD}\nThe real program: `{version}`. The run: {} lives, many side by side, in {minutes} minutes.\n",
        rows.len() * 2
    );
    for (transport, title) in [(Transport::Quic, "QUIC"), (Transport::Http2, "HTTP/2")] {
        for (start, when) in [(Start::FromTheStart, "from the start"), (Start::Later, "after a registration")] {
            let of_these = rows.iter().filter(|(case, ..)| case.transport == transport && case.start == start);
            let table: String = of_these.map(line).collect();
            if !table.is_empty() {
                let columns = "| conduct | cloudflared | stand-in | the agent | back |\n|---|---|---|---|---|\n";
                // Writing to a String cannot fail.
                let _ = write!(page, "\n## Over {title}, {when}\n\n{columns}{table}");
            }
        }
    }
    page
}

/// Fails if something came out that must not, whatever the page says; all of it is named.
///
/// # Errors
/// A line has no meaning, an instance was marked though a replacement would be refused as well, or one never came back.
pub fn judge(rows: &[Row]) -> anyhow::Result<()> {
    let mut wrong = vec![];
    for (case, real, standin) in rows {
        for (program, played) in [("the real one", real), ("the stand-in", standin)] {
            let others: BTreeSet<&String> = played.other.iter().collect();
            wrong.extend(others.into_iter().map(|line| format!("{case}, {program}: a line without a meaning: {line}")));
            if played.marked.is_some() && case.is_refusal() {
                wrong.push(format!("{case}, {program}: the instance was marked"));
            }
            if played.back.is_none() {
                wrong.push(format!("{case}, {program}: it did not come back"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

fn line((case, real, standin): &Row) -> String {
    let back = |played: &Played| played.back.map_or("never".to_owned(), |back| format!("{:.1}", back.as_secs_f64()));
    format!(
        "| {} | {} | {} | {} | {} (stand-in {}) |\n",
        case.conduct_name(),
        behaviour(real),
        difference(real, standin),
        judgement(real),
        back(real),
        back(standin),
    )
}

fn behaviour(played: &Played) -> String {
    let exits = match played.exits.as_slice() {
        [] => "stays".to_owned(),
        [first, ..] => format!("exits {} times, first: {first}", played.exits.len()),
    };
    let said: Vec<&str> = played.complaints().into_iter().collect();
    format!("{exits}; {}", if said.is_empty() { "says nothing of it".into() } else { said.join(", ") })
}

fn difference(real: &Played, standin: &Played) -> String {
    let mut differences = vec![];
    if real.exits.is_empty() != standin.exits.is_empty() {
        differences.push(if standin.exits.is_empty() { "stays".to_owned() } else { "exits".to_owned() });
    }
    let (these, those) = (real.complaints(), standin.complaints());
    let more: Vec<&str> = those.difference(&these).copied().collect();
    let fewer: Vec<&str> = these.difference(&those).copied().collect();
    if !more.is_empty() {
        differences.push(format!("also {}", more.join(", ")));
    }
    if !fewer.is_empty() {
        differences.push(format!("never {}", fewer.join(", ")));
    }
    let (one, other) = (real.last_blame(), standin.last_blame());
    if one != other {
        differences.push(format!("blame {other}"));
    }
    if differences.is_empty() { "same".into() } else { differences.join("; ") }
}

fn judgement(played: &Played) -> String {
    let mut story: Vec<String> = vec![];
    let mut before = None;
    for (at, health, blame) in &played.story {
        let now = if blame == "-" { health.clone() } else { format!("{health}, {blame}") };
        if before.as_ref() != Some(&now) {
            story.push(format!("{:.0} s {now}", at.as_secs_f64()));
        }
        before = Some(now);
    }
    let restarts = match played.restarts {
        0 => "no restart".to_owned(),
        1 => "1 restart".to_owned(),
        more => format!("{more} restarts"),
    };
    let marked = played.marked.map_or("not marked".into(), |at| format!("**marked after {:.0} s**", at.as_secs_f64()));
    format!("{}; {restarts}; {marked}", story.join(" → "))
}

impl Played {
    /// The events that tell of trouble; repeats of a calm life are left out.
    fn complaints(&self) -> BTreeSet<&str> {
        self.complained.iter().map(String::as_str).collect()
    }

    fn last_blame(&self) -> &str {
        self.story.iter().rev().map(|(_, _, blame)| blame.as_str()).find(|blame| *blame != "-").unwrap_or("-")
    }
}
