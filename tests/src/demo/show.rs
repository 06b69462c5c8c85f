//! The demo's displays: the status, the files, the datapoints, the log.

use crate::aws::time::iso;
use crate::world::{Agent, Host, Line, World};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The metric whose Sum is the number of live connectors.
pub const REPLICAS: &str = "cflared_replica_count_per_tunnel";

/// How much of the status is shown.
#[derive(Clone, Copy, PartialEq)]
pub enum Much {
    /// What is wrong, or that nothing is.
    Head,
    /// All of it.
    Whole,
}

/// Runs `cflared-agent status`, and shows what it says. It must begin with `state`, and exit with `exit`.
///
/// # Errors
/// It does not.
pub async fn status(host: &Host, state: &str, exit: i32, much: Much) -> anyhow::Result<Vec<String>> {
    let output = host.run(["status"]).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.code() == Some(exit) && text.starts_with(state),
        "`cflared-agent status` should exit {exit} and say `{state}`; it ended with {} and said:\n{text}",
        output.status
    );
    let mut lines = vec!["$ cflared-agent status".to_owned()];
    lines.extend(text.lines().take(if much == Much::Head { 2 } else { usize::MAX }).map(str::to_owned));
    if much == Much::Head {
        lines.push("...".into());
    }
    lines.push(format!("(exit status {exit})"));
    Ok(lines)
}

/// A path as text.
pub fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The files below `directory`, with their modes and where links lead, but nothing of what is in them.
///
/// # Errors
/// They cannot be read.
pub fn tree(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    add_tree(directory, Path::new(""), &mut lines)
        .with_context(|| format!("failed to list {}", directory.display()))?;
    Ok(lines)
}

fn add_tree(root: &Path, below: &Path, lines: &mut Vec<String>) -> std::io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(root.join(below))?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = below.join(name);
        let metadata = fs::symlink_metadata(root.join(&path))?;
        let mut line = format!("{}  {}", mode(&metadata), path.display());
        if metadata.is_symlink() {
            line += &format!(" -> {}", fs::read_link(root.join(&path))?.display());
        }
        lines.push(line);
        if metadata.is_dir() {
            add_tree(root, &path, lines)?;
        }
    }
    Ok(())
}

/// As `ls -l` writes it.
fn mode(metadata: &Metadata) -> String {
    let kind = if metadata.is_dir() {
        'd'
    } else if metadata.is_symlink() {
        'l'
    } else {
        '-'
    };
    let bits = metadata.permissions().mode();
    let letters = "rwxrwxrwx".chars().enumerate();
    let rights = letters.map(|(place, letter)| if bits & (0o400 >> place) == 0 { '-' } else { letter });
    std::iter::once(kind).chain(rights).collect()
}

/// `Sum` of `metric` by stamp, in milliseconds since 1970, over all its dimensions.
pub fn sums(world: &World, metric: &str) -> BTreeMap<u64, f64> {
    let mut sums = BTreeMap::new();
    for point in world.aws.datapoints().iter().filter(|point| point.metric == metric) {
        *sums.entry(point.timestamp_ms).or_default() += point.value * point.count;
    }
    sums
}

/// The time of day of a stamp, in UTC.
pub fn time(stamp: u64) -> String {
    iso(stamp).split_once('T').map_or_else(String::new, |(_, time)| time.to_owned())
}

/// Every series that has a datapoint with that stamp, and its Sum.
pub fn series(world: &World, stamp: u64) -> Vec<String> {
    let points = world.aws.datapoints();
    let mut lines = vec![];
    for point in points.iter().filter(|point| point.timestamp_ms == stamp) {
        let dimensions: Vec<_> = point.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (time, sum) = (time(stamp), point.value * point.count);
        lines.push(format!("{time}  Sum {sum}  {}  {}", point.metric, dimensions.join(", ")));
    }
    lines
}

/// A line of the agent's log; what is beyond `most` characters is left out.
pub fn log_line(line: &Line, most: usize) -> String {
    let json = &line.json;
    let mut text = match (json["level"].as_str(), json["message"].as_str()) {
        (Some(level), Some(message)) => format!("{level}: {message}"),
        _ => json.to_string(),
    };
    for (name, value) in json["fields"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(" {name}={value}");
    }
    if text.chars().count() > most {
        text = text.chars().take(most).collect::<String>() + " ...";
    }
    text
}

/// The last lines of the agent's log.
pub fn last_lines(agent: &Agent, count: usize) -> Vec<String> {
    let log = agent.log();
    let mut lines = vec!["the last lines of the agent's log:".to_owned()];
    lines.extend(log.iter().skip(log.len().saturating_sub(count)).map(|line| log_line(line, 300)));
    lines
}
