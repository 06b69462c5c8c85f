//! Trouble with AWS.

use crate::support::{
    Moment, SILENCE, each, longest_silence, nothing_left, registered_pid, short_outage, stopped_in, watched,
};
use anyhow::Context;
use cflared_tests::aws::Health;
use cflared_tests::edge::{Conduct, Edge};
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Agent, GROUP, Host, TUNNEL, Traffic, World, eventually};
use serde_json::json;
use std::time::Duration;

const HINDRANCES: [Traffic; 3] = [Traffic::Refused, Traffic::BlackHoled, Traffic::Silent];

/// A stop with all of AWS away: 3 s for the last datapoints, 1 s for the last status, and a child that stops at once. One
/// call that is waited for to its end takes 8 s.
const STOP: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_boot_goes_on_trying_and_the_loop_goes_on() -> anyhow::Result<()> {
    each(HINDRANCES, async |hindrance| {
        let (world, mut host) = World::with_host().await?;
        let road = world.road().await?;
        road.set(hindrance).await?;
        host.takes(&road);
        watched(&mut host);
        let mut agent = host.start()?;
        let named = |status: &serde_json::Value| status["trouble"].to_string().contains("GetSecretValue");
        let status = agent.wait_status("the trouble to be named", named).await?;
        assert!(status["trouble"].to_string().contains("port 443"), "the next step: {}", status["trouble"]);
        road.set(Traffic::Flows).await?;
        agent.wait_notice("READY=1").await?;
        let began = Moment::of_the_first_notice(&agent)?;
        let silence = longest_silence(&agent, began);
        assert!(silence < SILENCE, "{silence:?}");
        assert!(agent.stop().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn in_mid_life_the_tunnel_and_the_loop_do_not_care_and_a_stop_works_at_once() -> anyhow::Result<()> {
    each(HINDRANCES, async |hindrance| {
        let (world, mut host) = World::with_host().await?;
        host.set("verdict.condemn_after", "60s");
        host.set("verdict.restart_after", "60s");
        let road = world.road().await?;
        host.takes(&road);
        watched(&mut host);
        let mut agent = host.start()?;
        let pid = registered_pid(&mut agent, None).await?;
        let (from, at_edge) = (Moment::now(&agent), world.edge.now());
        road.set(hindrance).await?;
        agent.wait_status("datapoints to fail", |status| !status["cloudwatch"]["last_error"].is_null()).await?;
        agent.wait_status("the secret to fail", |status| !status["secret"]["last_error"].is_null()).await?;
        assert_eq!((agent.health().as_str(), agent.connector_pid()), ("registered", Some(pid)));
        world.edge.never_zero_between(TUNNEL, at_edge, world.edge.now()).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
        // It is looked at as before: an outage shows.
        world.edge.outage().await?;
        agent.wait_health("broken").await?;
        world.edge.set(Conduct::Accept).await?;
        agent.wait_health("registered").await?;
        let silence = longest_silence(&agent, from);
        assert!(silence < SILENCE, "{silence:?}");
        host.imds.plant(Trouble::BlackHole.everywhere());
        let took = stopped_in(&mut agent, &host).await?;
        assert!(took < STOP, "{took:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stop_before_anything_was_ever_answered_works_at_once() -> anyhow::Result<()> {
    each([false, true], async |metadata_answers| {
        let (world, mut host) = World::with_host().await?;
        let road = world.road().await?;
        road.set(Traffic::BlackHoled).await?;
        host.takes(&road);
        if !metadata_answers {
            host.imds.plant(Trouble::BlackHole.everywhere());
        }
        let mut agent = host.start()?;
        agent.wait_notice("STATUS=starting").await?;
        if metadata_answers {
            agent.wait_log("identified").await?;
        }
        let took = stopped_in(&mut agent, &host).await?;
        // A question to a metadata service that does not answer takes 6 s.
        assert!(took < Duration::from_secs(5), "{took:?}");
        Ok(())
    })
    .await
}

/// An agent whose tunnel is lost for good, with the times of an outage as short as they may be.
async fn in_an_outage(host: &mut Host, edge: &Edge) -> anyhow::Result<Agent> {
    short_outage(host);
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    edge.outage().await?;
    Ok(agent)
}

/// The events of the judgement.
const JUDGEMENT: [&str; 5] = ["health", "blame", "decision", "delay", "refusal"];

/// Why a mark is not made.
#[derive(Debug, Clone, Copy)]
enum No {
    Denied,
    Throttled,
    InNoGroup,
    Disabled,
}

#[tokio::test]
async fn a_mark_that_is_refused_is_held_said_once_and_asked_for_again() -> anyhow::Result<()> {
    each([No::Denied, No::Throttled, No::InNoGroup, No::Disabled], async |no| {
        let (world, mut host) = World::with_host().await?;
        // A look that a busy machine cuts short would be another reason.
        host.set("observe.timeout", "10s");
        // What is asked again and again, and why it is refused.
        let (asked, cause) = match no {
            No::Denied => {
                world.aws.plant(Trouble::Denied.on("SetInstanceHealth"));
                ("SetInstanceHealth", "the role needs autoscaling:SetInstanceHealth")
            }
            No::Throttled => {
                world.aws.plant(Trouble::Throttled.on("SetInstanceHealth"));
                ("SetInstanceHealth", "Throttling")
            }
            No::InNoGroup => {
                world.aws.edit_group(GROUP, |group| group.instances.clear());
                ("DescribeAutoScalingInstances", "it is in none, so nothing would replace it")
            }
            No::Disabled => {
                host.set("autoscaling.enabled", false);
                ("", "autoscaling.enabled is false")
            }
        };
        let mut agent = in_an_outage(&mut host, &world.edge).await?;
        let held = |status: &serde_json::Value| {
            status["health"]["state"] == "held" && status["health"]["why"].to_string().contains(cause)
        };
        agent.wait_status(cause, held).await?;
        agent.wait_notice("STATUS=held: ").await?;
        if !asked.is_empty() {
            let first = world.aws.requests().count(asked);
            let more = async || (world.aws.requests().count(asked) > first + 3).then_some(());
            eventually("the next tries", more).await?;
        }
        let judged: Vec<_> = agent.log().into_iter().map(|line| line.json["fields"].clone()).collect();
        let judged: Vec<_> =
            judged.iter().filter(|fields| JUDGEMENT.iter().any(|event| fields["event"] == *event)).collect();
        let again = |pair: &[&serde_json::Value]| {
            pair.iter().all(|fields| fields["event"] == "refusal" && fields["evidence"].to_string().contains(cause))
        };
        assert!(!judged.windows(2).any(again), "it is said once while nothing else changes: {judged:#?}");
        assert_eq!(agent.health(), "held");

        world.edge.set(Conduct::Accept).await?;
        agent.wait_health("registered").await?;
        world.aws.clear_faults();
        assert!(world.aws.marks().is_empty(), "{:?}", world.aws.marks());
        Ok(())
    })
    .await
}

/// All pieces of the first evidence in the log, in order.
async fn first_evidence(agent: &Agent) -> anyhow::Result<Vec<serde_json::Value>> {
    let all = || {
        let mut pieces: Vec<_> = agent.log().into_iter().map(|line| line.json).collect();
        pieces.retain(|line| line["fields"]["event"] == "evidence");
        let first = pieces.first()?["fields"]["evidence"].clone();
        pieces.retain(|piece| piece["fields"]["evidence"] == first);
        let part = |index: usize| format!("{:03}/{:03}", index + 1, pieces.len());
        let whole = pieces.iter().enumerate().all(|(index, piece)| piece["fields"]["part"] == part(index));
        whole.then_some(pieces)
    };
    eventually("the evidence", async || all()).await
}

#[tokio::test]
async fn a_mark_within_the_grace_is_made_again_after_it_and_taken_back_when_the_tunnel_returns() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    world.aws.edit_group(GROUP, |group| group.grace_period_ms = i32::MAX as u64 * 1000);
    let mut agent = in_an_outage(&mut host, &world.edge).await?;
    agent.wait_log("the group took the mark and does not show it").await?;
    let effects = || world.aws.marks().iter().map(|mark| (mark.health, mark.took_effect)).collect::<Vec<_>>();
    assert!(effects().iter().all(|effect| *effect == (Health::Unhealthy, false)), "{:?}", effects());
    assert!(world.aws.marks()[0].respects_grace);
    assert_eq!(agent.health(), "remediating");

    // The evidence was in the log for the whole pause before the mark.
    agent.wait_log("about to be condemned: the evidence follows").await?;
    let pieces = first_evidence(&agent).await?;
    let last = pieces.last().context("no evidence")?;
    let told = humantime::parse_rfc3339(last["timestamp"].as_str().context("no time")?)?;
    let told_us = told.duration_since(std::time::UNIX_EPOCH)?.as_micros();
    let asked_us = u128::from(world.aws.requests().of("SetInstanceHealth")[0].began_us);
    assert!(asked_us - told_us >= 8_000_000, "{} us", asked_us - told_us);
    let of = |kind: &str| {
        pieces
            .iter()
            .filter(|piece| piece["fields"]["kind"] == kind)
            .map(|piece| piece["message"].as_str().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let status: serde_json::Value = serde_json::from_str(&of("status").concat())?;
    assert_eq!(status["instance"]["id"], json!(host.id));
    assert!(of("decision").len() > 3 && of("line of 1").len() > 3 && of("first line").len() > 3);

    world.aws.edit_group(GROUP, |group| {
        group.grace_period_ms = 0;
        // It would be gone before the tunnel is back.
        group.replace_after_ms = 3_600_000;
    });
    agent.wait_health("condemned").await?;
    let without_effect = effects().len() - 1;
    assert_eq!(effects()[without_effect..], [(Health::Unhealthy, true)], "one mark took effect, and it was the last");
    assert_eq!(agent.status()["autoscaling"]["marked"], true);

    world.edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    agent.wait_log("the mark was taken back").await?;
    assert_eq!(effects()[without_effect + 1..], [(Health::Healthy, true)]);
    assert_eq!(agent.status()["autoscaling"]["marked"], false);
    assert!(agent.stop().await?.success());
    nothing_left(&host).await
}
