//! Other connectors than the agent's, by what is executed and not by a name.

use super::jobs;
use super::root::{Root, Unseen};
use super::units;
use crate::checks::Found;
use nix::errno::Errno;
use std::collections::BTreeSet;

/// The unit that cloudflared's own installer writes (observed, 2026.8.2).
const INSTALLED: [&str; 1] = ["cloudflared.service"];

/// What becomes of places that may not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// They may hold anything: the result is not known.
    Counted,
    /// They are left out, such as crontabs for whoever is not root.
    LeftOut,
}

/// Nothing that runs by itself runs cloudflared for a tunnel, whatever its name is.
pub fn no_other_connector(root: &Root, closed: Closed) -> Found {
    let (mut wrong, mut there) = (vec![], vec![]);
    let looked = units::none_enabled(root, &INSTALLED, &mut wrong, &mut there).and_then(|()| {
        let mut jobs = BTreeSet::new();
        let looked = jobs::each(root, &mut |part| {
            let job = part.job.display().to_string();
            if !INSTALLED.contains(&&*job) && part.commands.iter().any(|command| runs_a_tunnel(command)) {
                jobs.insert(job);
            }
        });
        let unit = |job: &String| if job.starts_with('/') { "" } else { " is enabled, and" };
        wrong.extend(jobs.iter().map(|job| format!("{job}{} runs a cloudflared of its own", unit(job))));
        looked
    });
    let may_be_left = |error: &Unseen| closed == Closed::LeftOut && matches!(error.cause, Errno::EACCES | Errno::EPERM);
    match (looked, there.pop()) {
        (Err(error), _) if wrong.is_empty() && !may_be_left(&error) => Found::not_known(error.to_string()),
        (_, Some(told)) if wrong.is_empty() => Found::warn(told),
        _ => Found::from_wrongs(wrong, vec![], "nothing but the agent's unit runs cloudflared"),
    }
}

/// What cloudflared is asked for without serving a tunnel.
const OTHERWISE: [&str; 20] = [
    "access",
    "update",
    "version",
    "--version",
    "-v",
    "-V",
    "help",
    "--help",
    "-h",
    "service",
    "tail",
    "login",
    "ready",
    "list",
    "info",
    "diag",
    "cleanup",
    "create",
    "validate",
    "rule",
];

/// Whether a command executes cloudflared, or a container of it, for a tunnel: without a command it serves one, too.
fn runs_a_tunnel(command: &str) -> bool {
    let mut words = jobs::words(command).flat_map(|word| word.split([':', '@'])).filter(|word| !word.is_empty());
    let is_it = |word: &str| jobs::base(word) == "cloudflared" || jobs::base(word).starts_with("cloudflared-linux");
    if !words.any(is_it) {
        return false;
    }
    let rest: Vec<&str> = words.collect();
    let says = |wanted: &[&str]| rest.iter().any(|word| wanted.contains(word));
    says(&["tunnel"]) && says(&["run"])
        || says(&["tunnel", "--config", "--token", "--token-file", "--url"]) && !says(&OTHERWISE)
}
