//! The rules: what speaks against being replaced, and what the reports say of the others.

use super::Others;
use crate::outage::Outage;
use crate::{Config, Group, Mono, Peers};
use std::time::Duration;

/// Processes of a group without which an unhealthy instance is not replaced, or not judged
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>).
const NEEDED: [&str; 4] = ["Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// So many grains without a live connector show that there is none, also if some of the others do not report.
const GRAINS_WITHOUT: usize = 3;

/// What speaks against being replaced, in a group like this; an instance with a mark of its own is judged elsewhere.
pub(super) fn objection(config: &Config, group: &Group) -> Option<String> {
    let Some(me) = group.myself() else {
        return Some(format!("the group {} does not list this instance", group.name));
    };
    if !me.in_service() {
        return Some(format!("this instance is {} in its group, not InService", me.lifecycle));
    }
    if !me.healthy {
        return Some("the group takes this instance for unhealthy already, not by our mark".into());
    }
    if let Some(process) = NEEDED.iter().find(|process| group.suspended.iter().any(|name| name == *process)) {
        return Some(format!(
            "the group's process {process} is suspended: resume it (aws autoscaling resume-processes)"
        ));
    }
    if let Some(state) = &group.refresh {
        return Some(format!("an instance refresh of the group is under way ({state})"));
    }
    if let Some(other) = group.others().find(|other| !other.settled()) {
        let health = if other.healthy { "" } else { ", unhealthy" };
        return Some(format!(
            "another instance of the group comes or goes: {} is {}{health}",
            other.id, other.lifecycle
        ));
    }
    let within = |span| group.replaced.iter().filter(|age| **age < span).count();
    let budgets = [(HOUR, config.replacements_per_hour, "hour"), (DAY, config.replacements_per_day, "day")];
    let used = budgets.into_iter().find(|(span, most, _)| within(*span) >= *most as usize);
    used.map(|(span, most, name)| {
        let replaced = within(span);
        format!(
            "the group's budget is used up: {replaced} replaced for health within a {name}, at most {most} are allowed"
        )
    })
}

/// Whether this instance may be the one that tries whether a replacement helps: the lowest id in service, once an hour.
pub(super) fn canary(group: &Group) -> Result<(), String> {
    if group.replaced.iter().any(|age| *age < HOUR) {
        return Err("nobody in the tunnel is registered, and a replacement was tried within the last hour".into());
    }
    match group.rank() {
        0 => Ok(()),
        _ => {
            Err("nobody in the tunnel is registered; the instance with the lowest id tries a replacement, not this"
                .into())
        }
    }
}

/// What the reports say of the others: only grains count that ended when this instance had been out for a moment, so
/// that an outage which reaches one instance after the other is not taken for this one's own.
pub(super) fn judge_peers(peers: &Peers, outage: &Outage, now: Mono, config: &Config, others: usize) -> Others {
    let margin = config.grain / 3;
    let mut grains: Vec<_> = peers
        .grains
        .iter()
        .filter(|grain| outage.bad_before(now, now.before(grain.age), margin, config.flapping_window))
        .collect();
    grains.sort_by_key(|grain| grain.age);
    let conclusive = |grain: &&&crate::PeerGrain| grain.live > 0 || grain.reporting as usize >= others;
    if outage.is_unsteady(now, config.flapping_window) {
        // When all come and go, each sees another one alive now and then: only others that stay are alive.
        let told: Vec<_> = grains.iter().filter(conclusive).collect();
        let alive = told.iter().filter(|grain| grain.live > 0).count();
        return match told.len() {
            0..GRAINS_WITHOUT => Others::NotKnown,
            all if alive == all => Others::Alive,
            _ => Others::None,
        };
    }
    match grains.iter().find(conclusive) {
        Some(grain) if grain.live > 0 => Others::Alive,
        Some(_) => Others::None,
        None if grains.len() >= GRAINS_WITHOUT => Others::None,
        None => Others::NotKnown,
    }
}
