//! The origins that a new bundle's rules would lose.

use super::evidence::printable;
use super::{Prober, Streams, side_by_side};
use bundle::{Rule, Service};
use cflared_verdict::{Probe, Reach};
use input::plain;
use std::collections::BTreeMap;

/// How many services are tried at once by one call of [`Prober::origins`].
const AT_ONCE: usize = 20;
/// How many services are tried, old and new together; hostnames beyond are taken for not lost.
const MOST: usize = 100;
/// How many lost hostnames are told one by one.
const TOLD: usize = 10;

/// A hostname whose service differs.
struct Moved<'a> {
    rule: &'a Rule,
    to: &'a Service,
}

impl Prober {
    /// The hostnames, with their paths, that both have and whose service differs, where the old one answers and the new one
    /// does not: a line each, with what came back. Within 5 s. The rule for everything else counts as a hostname; a hostname
    /// that the new rules no longer have was given up on purpose.
    ///
    /// Only services of such hostnames are connected to, each once: see [`Allowance`](super::Allowance) for why no others.
    pub async fn lost(&self, old: &[Rule], new: &[Rule]) -> Vec<String> {
        let moved = moved(old, new);
        let mut services: Vec<Service> = Vec::new();
        for service in moved.iter().flat_map(|Moved { rule, to }| [&rule.service, *to]) {
            if !services.contains(service) && services.len() < MOST {
                services.push(service.clone());
            }
        }
        let found = self.each(services).await;
        let mut lost: Vec<String> = moved.iter().filter_map(|moved| moved.lost(&found)).collect();
        if lost.len() > TOLD {
            let more = lost.split_off(TOLD).len();
            lost.push(format!("and {more} more hostnames"));
        }
        lost
    }

    async fn each(&self, services: Vec<Service>) -> BTreeMap<Service, Probe> {
        let tries = services.chunks(AT_ONCE).map(|some| {
            let (prober, some) = (self.clone(), some.to_vec());
            async move { prober.origins(some, Streams::Try).await }
        });
        let found = side_by_side(tries.collect::<Vec<_>>()).await.into_iter().flatten().map(|one| one.probe);
        services.iter().cloned().zip(found).collect()
    }
}

/// The first rule of a hostname and path is the one that decides.
fn moved<'a>(old: &'a [Rule], new: &'a [Rule]) -> Vec<Moved<'a>> {
    let same = |one: &Rule, other: &Rule| one.hostname == other.hostname && one.path == other.path;
    let first = old.iter().enumerate().filter(|(place, rule)| !old[..*place].iter().any(|before| same(before, rule)));
    let moved = first.filter_map(|(_, rule)| {
        let to = &new.iter().find(|new| same(new, rule))?.service;
        (*to != rule.service).then_some(Moved { rule, to })
    });
    moved.collect()
}

impl Moved<'_> {
    fn lost(&self, found: &BTreeMap<Service, Probe>) -> Option<String> {
        let (from, to) = (&self.rule.service, self.to);
        let answers = found.get(from)?.reach == Reach::Answered;
        let now = found.get(to)?;
        let gone = matches!(now.reach, Reach::Failed | Reach::Silent);
        (answers && gone).then(|| {
            let line = format!("{}: {to} does not answer ({}); {from} does", name(self.rule), told(to, &now.evidence));
            plain::line(&line, usize::MAX)
        })
    }
}

fn name(rule: &Rule) -> String {
    let hostname = if rule.hostname.is_empty() { "every other hostname" } else { &rule.hostname };
    printable(&format!("{hostname}{}{}", if rule.path.is_empty() { "" } else { " " }, rule.path))
}

/// What came back, without the address that was said just before.
fn told<'e>(service: &Service, evidence: &'e str) -> &'e str {
    let service = service.to_string();
    let address = service.split_once("://").map_or("", |(_, address)| address);
    evidence.strip_prefix(address).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(evidence)
}
