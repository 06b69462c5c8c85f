//! What AWS, the metadata service and the probes answer in a scenario.

use crate::child::Present;
use crate::reader::{What, Who};
use cflared_verdict::{
    Failure, FailureKind, Group, Launch, Member, OriginProbe, PeerGrain, Peers, Place, Probe, Probes, Reach, Transport,
};
use std::time::Duration;

type Answer<T> = Result<T, Failure>;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const INSTANCE: &str = "i-0000000000000050";

/// Where the group has this instance.
pub fn place(present: Present<'_>, marked: bool, rival: bool) -> Answer<Place> {
    let group = group(present, marked, rival)?;
    let lifecycle = group.myself().map(|me| me.lifecycle.clone()).unwrap_or_default();
    Ok(Place { lifecycle, rank: group.rank(), ..Place::default() })
}

/// The group, in which our mark stands or does not.
pub fn group(present: Present<'_>, marked: bool, rival: bool) -> Answer<Group> {
    refused(
        present,
        &[
            (What::GroupDenied, FailureKind::Denied),
            (What::GroupThrottled, FailureKind::Throttled),
            (What::GroupUnreachable, FailureKind::Unreachable),
            (What::GroupSkewed, FailureKind::Host),
            (What::NoGroup, FailureKind::Missing),
        ],
    )?;
    let (setting, time) = (&present.scenario.world, present.time.unwrap_or_default());

    let zone = |n: u32| Some(zone(n % setting.zones));
    let ids = (0..setting.group).map(|n| format!("i-{:016}", 50 + i64::from(n) - i64::from(setting.rank)));
    let member = |(n, id)| Member { id, lifecycle: "InService".into(), healthy: true, zone: zone(n) };
    let mut members: Vec<Member> = (0..).zip(ids).map(member).collect();
    let is = |what| present.scenario.now(what, time).and_then(|happening| happening.is.clone());
    for member in members.iter_mut().filter(|member| member.id == INSTANCE) {
        member.healthy = !marked;
        member.lifecycle = is(What::This).unwrap_or(member.lifecycle.clone());
    }
    if let Some(other) = members.iter_mut().find(|member| member.id != INSTANCE) {
        match is(What::Other) {
            Some(state) if state == "unhealthy" => other.healthy = false,
            Some(state) => other.lifecycle = state,
            None => {}
        }
    }
    if rival {
        let lower = is(What::MarkedAtOnce).as_deref() == Some("lower");
        let with = |member: &&mut Member| {
            (lower && member.id.as_str() < INSTANCE) || (!lower && member.id.as_str() > INSTANCE)
        };
        members.iter_mut().find(with).expect("there is such an instance").healthy = false;
    }
    let gone = present.scenario.happens.iter().filter(|happening| happening.is.as_deref() == Some("unhealthy"));
    let gone = gone.filter_map(|happening| time.checked_sub(happening.at + happening.lasts?));
    Ok(Group {
        name: "tunnel-prd".into(),
        me: INSTANCE.into(),
        members,
        suspended: is(What::Suspended).into_iter().collect(),
        refresh: is(What::Refresh),
        launch: setting.came_for_unhealthy.map(|before| Launch { age: before + time, for_unhealthy: true }),
        replaced: setting.replaced.iter().map(|before| *before + time).chain(gone).collect(),
    })
}

/// The grains that CloudWatch shows by now. The break lies 45 s into one, so that the first that can tell is the second.
pub fn peers(present: Present<'_>, since: Duration, zones: &[String]) -> Answer<Peers> {
    refused(present, &[(What::PeersDenied, FailureKind::Denied)])?;
    let scenario = present.scenario;
    if present.is(What::PeersLost) {
        return Ok(Peers::default());
    }
    let last = Duration::from_secs(present.now.as_secs() / 60 * 60);
    let ends = (0..30).map_while(|n| last.checked_sub(MINUTE * n));
    let shown = ends.filter(|end| *end + scenario.world.delay <= present.now && present.now - *end <= since + MINUTE);
    let mine = scenario.world.rank % scenario.world.zones;
    // How many others there are of which `of` the zone is so, and whether they are out at that end of a grain.
    let count = |end: Duration, of: &dyn Fn(u32) -> bool| {
        let time = present.time.and_then(|time| time.checked_sub(present.now - end));
        let at = Present { time, now: end, ..present };
        let holds = |who| scenario.happens.iter().any(|it| it.who == who && time.is_some_and(|time| it.holds(time)));
        let out = |zone| holds(Who::All) || (holds(Who::Zone) && zone == mine);
        let all = (0..scenario.world.group).filter(|n| *n != scenario.world.rank).map(|n| n % scenario.world.zones);
        let all: Vec<u32> = all.filter(|zone| of(*zone)).collect();
        let reporting = if at.is(What::PeersDead) { 0 } else { all.len() as u32 };
        let live = if reporting == 0 { 0 } else { all.iter().filter(|zone| !out(**zone)).count() as u32 };
        let same_version = match () {
            () if reporting == 0 || at.is(What::PeersOld) => None,
            () if at.is(What::PeersRefuse) => Some(0),
            () => Some(scenario.world.same_version.map_or(live, |most| live.min(most))),
        };
        PeerGrain { age: present.now - end, live, reporting, same_version }
    };
    let shown: Vec<Duration> = shown.collect();
    let of = |wanted: &String| {
        let grains = shown.iter().map(|end| count(*end, &|n| zone(n) == *wanted));
        grains.map(|grain| PeerGrain { same_version: None, ..grain }).collect()
    };
    let zones = zones.iter().map(|wanted| (wanted.clone(), of(wanted))).collect();
    Ok(Peers { grains: shown.iter().map(|end| count(*end, &|_| true)).collect(), zones })
}

/// The name of an availability zone.
fn zone(number: u32) -> String {
    format!("us-east-1{}", char::from(b'a' + number as u8))
}

/// What a try of the edge by one transport gives.
pub fn edge(present: Present<'_>, transport: Transport) -> Reach {
    let (_, probes) = probes(present);
    let Probe { reach, .. } = if transport == Transport::Quic { probes.udp } else { probes.tcp };
    reach
}

/// What a probe gives, and how long it takes.
pub fn probes(present: Present<'_>) -> (Duration, Probes) {
    let (dns, tcp, udp) = match () {
        () if present.is(What::Dns) => (Reach::Failed, Reach::Untried, Reach::Untried),
        () if present.is(What::EdgeRefused) => (Reach::Answered, Reach::Failed, Reach::Failed),
        () if present.is(What::EdgeBlackHole) => (Reach::Answered, Reach::Silent, Reach::Silent),
        () if present.is(What::LargeLost) => (Reach::Answered, Reach::Silent, Reach::Silent),
        // A datagram is as large as a connector's; a TLS hello is small.
        () if present.is(What::UdpBlocked) || present.is(What::LargeSentLost) => {
            (Reach::Answered, Reach::Answered, Reach::Silent)
        }
        () => (Reach::Answered, Reach::Answered, Reach::Answered),
    };
    let probe = |reach| Probe { reach, evidence: format!("{reach:?}") };
    let origin = if present.is(What::OriginDown) { Reach::Failed } else { Reach::Answered };
    let origins = vec![OriginProbe { service: "tcp://db.internal:3306".into(), probe: probe(origin) }];
    let silent = [dns, tcp, udp].contains(&Reach::Silent);
    let takes = if silent { SECOND * 3 } else { SECOND / 10 };
    (takes, Probes { dns: probe(dns), tcp: probe(tcp), udp: probe(udp), origins })
}

/// The hold tag.
pub fn hold_tag(present: Present<'_>) -> Answer<Option<String>> {
    refused(present, &[(What::ImdsAway, FailureKind::Unreachable)])?;
    Ok(present.is(What::HoldTag).then(|| "2 h, for the migration".into()))
}

/// The version that the secret holds.
pub fn secret(present: Present<'_>) -> Answer<&'static str> {
    refused(present, &[(What::SecretDenied, FailureKind::Denied)])?;
    Ok(match () {
        () if present.is(What::BadVersion) => "bad",
        () if present.is(What::NewVersion) => "v2",
        () => "v1",
    })
}

/// The mark: whether it shows.
pub fn mark(present: Present<'_>) -> Answer<bool> {
    refused(present, &[(What::MarkDenied, FailureKind::Denied)])?;
    Ok(present.time.unwrap_or_default() >= present.scenario.world.grace)
}

fn refused(present: Present<'_>, by: &[(What, FailureKind)]) -> Answer<()> {
    match by.iter().find(|(what, _)| present.is(*what)) {
        Some((what, kind)) => Err(Failure::new(*kind, format!("failed to ask: {what:?}; mend it"))),
        None => Ok(()),
    }
}
