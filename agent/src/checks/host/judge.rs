//! Turns the facts into findings.

use super::{Facts, agent, bundle, cloud, machine, network, process, unit};
use crate::checks::catalogue::{self, Check, host};
use crate::checks::release::{new_enough, young_enough};
use crate::checks::{Found, Outcome, Report};
use cloudflared::Version;

type Judge = fn(&Facts, &Report) -> Found;

/// Every check and its judge, a cause before what it explains: the first that fails is the one to mend.
static JUDGES: &[(&Check, Judge)] = &[
    (&catalogue::SETTINGS, |facts, _| facts.settings_found.clone()),
    (&host::HOLD, |facts, _| agent::hold(facts)),
    (&host::METADATA, |facts, _| cloud::metadata(facts)),
    (&host::METADATA_V2, |facts, _| cloud::version_2_only(facts)),
    (&host::TAGS, |facts, _| cloud::tags(facts)),
    (&host::ENVIRONMENT_TAG, |facts, _| cloud::environment_tag(facts)),
    (&host::ROLE, |facts, _| cloud::role(facts)),
    (&host::DNS, |facts, _| network::dns(facts)),
    (&host::AWS, cloud::aws),
    (&host::CLOCK, |facts, _| cloud::clock(facts)),
    (&host::SECRET_READABLE, |facts, _| cloud::secret_readable(facts)),
    (&host::SECRET_VALID, |facts, _| cloud::secret_valid(facts)),
    (&host::DISK, |facts, _| machine::disk(facts)),
    (&host::MEMORY, |facts, _| machine::memory_left(facts)),
    (&host::CONFIG_DIR, |facts, _| bundle::directory(facts)),
    (&host::CREDENTIALS_PRIVATE, |facts, _| bundle::credentials_private(facts)),
    (&host::AGENT_ACCESS, |facts, _| access(facts)),
    (&catalogue::CLOUDFLARED_PRESENT, |facts, _| present(facts)),
    (&catalogue::CLOUDFLARED_VERSION, |facts, _| version(facts)),
    (&catalogue::CLOUDFLARED_AGE, |facts, _| age(facts)),
    (&catalogue::UNITS_ENABLED, |facts, _| unit::enabled(facts)),
    (&host::UNIT_ACTIVE, |facts, _| unit::active(facts)),
    (&catalogue::NO_OTHER_CONNECTOR, |facts, _| unit::no_other_connector(facts)),
    (&host::AGENT_ALIVE, agent::alive),
    (&host::AGENT_VERSION, |facts, _| agent::version(facts)),
    (&host::BUNDLE_INSTALLED, bundle::whole),
    (&host::LINKS, |facts, _| bundle::links(facts)),
    (&host::INGRESS_ACCEPTED, |facts, _| bundle::ingress(facts)),
    (&host::VERSIONS, |facts, _| bundle::versions(facts)),
    (&host::PROCESSES, |facts, _| process::tree(facts)),
    (&host::NO_SECRET_IN_ARGV, |facts, _| process::no_secret_in_argv(facts)),
    (&host::METRICS_PORT, |facts, _| process::metrics_port(facts)),
    (&host::EDGE_TCP, |facts, _| network::tcp(facts)),
    (&host::EDGE_UDP, |facts, _| network::udp(facts)),
    (&host::ORIGINS, |facts, _| network::origins(facts)),
    (&host::READY, |facts, _| network::ready(facts)),
    (&host::CONFIGURATION, |facts, _| network::configuration(facts)),
    (&host::EDGE_METRO, |facts, _| network::metro(facts)),
    (&host::RESTARTS, |facts, _| unit::restarts(facts)),
    (&host::CLOUDWATCH, agent::cloudwatch),
    (&host::AUTOSCALING, agent::autoscaling),
    (&host::ALLOWANCES, |facts, _| machine::allowances(facts)),
    (&host::IMAGE_AGE, |facts, _| machine::image_age(facts)),
];

/// The checks, in the order in which they are told.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    JUDGES.iter().map(|(check, _)| *check)
}

/// Judges everything.
pub fn judge(facts: &Facts, report: &mut Report) {
    for (check, judge) in JUDGES {
        if report.wants(check) {
            let found = judge(facts, report);
            report.record(check, found);
        }
    }
}

/// The agent's user may use what it needs. Where root may and that user may not, it says so.
fn access(facts: &Facts) -> Found {
    if facts.is_a_stranger() {
        return Found::not_known(facts.stranger());
    }
    let (early, now) = match (&facts.early.access, &facts.access) {
        (Ok(early), Ok(now)) => (early, now),
        (Err(why), _) | (_, Err(why)) => return Found::not_known(why),
    };
    let (root, owner) = (&facts.early.user, facts.early.owner.as_ref().ok().and_then(Option::as_ref));
    let dropped = root.uid != facts.user;
    let user = owner.filter(|_| dropped).unwrap_or(root);
    let mut wrong = vec![];
    for access in now {
        let Some(refusal) = access.refusal else { continue };
        let may = early.iter().any(|before| before.path == access.path && before.refusal.is_none());
        let differs =
            if dropped && may { format!("; {root} may, so a test as {root} misleads") } else { String::new() };
        wrong.push(format!("{user} may not {} {}: {refusal}{differs}", access.how, access.path.display()));
    }
    let told = if dropped { format!("checked as {user}, started by {root}") } else { format!("checked as {user}") };
    Found::from_wrongs(wrong, vec![], told)
}

fn present(facts: &Facts) -> Found {
    let path = facts.settings.connector.binary.display();
    match &facts.release {
        Ok(None) => Found::fail(format!("{path} is not there")),
        Ok(Some(Ok(_))) => Found::pass(format!("{path} runs")),
        Ok(Some(Err(error))) => Found::fail(error),
        Err(why) => Found::not_known(why),
    }
}

fn version(facts: &Facts) -> Found {
    let Ok(Some(Ok(known))) = &facts.release else { return Found::needs(&catalogue::CLOUDFLARED_PRESENT) };
    let found = new_enough(known, Version::from(facts.settings.validate.min_cloudflared));
    let connectors = facts.live_status().into_iter().flat_map(|status| &status.connectors);
    let Some(installed) = known.version.map(|version| version.to_string()) else { return found };
    let other = connectors.filter_map(|one| one.version.as_ref()).find(|runs| **runs != installed);
    match other {
        Some(runs) if found.outcome == Outcome::Pass => Found::warn(format!(
            "version {runs} runs, and {installed} is installed: the agent uses it after its next restart"
        )),
        _ => found,
    }
}

fn age(facts: &Facts) -> Found {
    let known = facts.release.as_ref().ok().and_then(|known| known.as_ref()?.as_ref().ok());
    young_enough(known, facts.now)
}
