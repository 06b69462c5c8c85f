//! Over QUIC, which is the default in production: held against `recorded/quic/`. It is silent about causes, never exits, and
//! counts in its metrics.

use crate::pages::{assert_same_json, page, series};
use crate::recording::{Line, assert_same, parse, until_the_signal, until_wait};
use crate::world::{Running, World, get, patience, recorded};
use crate::{FAST, QUARTER};
use cflared_tests::edge::{Conduct, Scope};
use std::collections::BTreeMap;

const LATENCY: &str =
    "cloudflared_rpc_client_latency_secs_bucket{handler=\"registration\",method=\"register_connection\",le=";
const REGISTER_FAIL: &str =
    "cloudflared_tunnel_tunnel_register_fail{error=\"server_error\",rpcName=\"registerConnection\"}";

/// Without the lines that the recorder's last questions made.
fn recording(name: &str) -> Vec<Line> {
    let recording = parse(&recorded(&format!("quic/{name}/cloudflared.log")), "/etc/cloudflared");
    let asked = |line: &Line| line.0.contains_key("collector");
    until_the_signal(recording).into_iter().filter(|line| !asked(line)).collect()
}

/// `/metrics` once `fits` it.
async fn metrics(world: &World, fits: impl Fn(&BTreeMap<String, f64>) -> bool) -> String {
    let fitting = async {
        loop {
            if let Ok((200, page)) = get(world.metrics(), "/metrics").await
                && fits(&series(&page))
            {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience(), fitting).await.expect("the page says so in time")
}

fn value(page: &BTreeMap<String, f64>, name: &str) -> f64 {
    page.get(name).copied().unwrap_or_default()
}

/// The names of series, but for those of Go's runtime, and those of bytes, frames and path, which depend on timing: the
/// stand-in has none of a connection that never came about.
fn names(page: &str) -> Vec<String> {
    let measured = [
        "go_",
        "process_",
        "promhttp_",
        "build_info",
        "quic_client_sent_",
        "quic_client_received_",
        "quic_client_receive_",
        "quic_client_mtu",
        "quic_client_max_udp",
    ];
    let all = series(page).into_keys().filter(|name| !measured.iter().any(|measured| name.starts_with(measured)));
    all.map(|name| name.split(",edge_location").next().unwrap_or_default().to_owned()).collect()
}

/// An edge that treats it so from the start: as long as it was recorded, and it is still there.
async fn from_the_start(name: &str, conduct: Conduct, scale: f64) {
    let world = World::over("quic").await;
    world.edge.set(conduct).await.unwrap();
    let mut running = world.run(scale);
    let recording = recording(name);
    let waits = |log: &str| log.matches("Retrying connection in up to").count();
    let tries = recording.iter().filter(|line| line.text("message").starts_with("Retrying")).count();
    running.says(|log| waits(log) >= tries).await;
    let theirs = recorded(&format!("quic/{name}/end.metrics.txt"));
    let theirs = theirs.trim_end().trim_end_matches("200").trim_end();
    let ours = metrics(&world, |page| value(page, "quic_client_closed_connections") >= tries as f64).await;
    assert_eq!(names(theirs), names(&ours));
    told_apart(&series(theirs), &series(&ours));
    assert_eq!(page(&world, "/ready", 503).await.matches("\"readyConnections\":0").count(), 1);
    assert!(running.runs(), "it never exits");
    assert_same(&until_wait(recording, tries), &until_wait(world.parse(&running.kill().await), tries), true);
}

/// Refused and unanswered tries: both fail, and only refused ones are answered in time.
fn told_apart(theirs: &BTreeMap<String, f64>, ours: &BTreeMap<String, f64>) {
    let share = |page: &BTreeMap<String, f64>| {
        let of = |le: &str| value(page, &format!("{LATENCY}\"{le}\"}}"));
        let (in_time, all) = (of("4.050000000000001"), of("+Inf"));
        (all > 0.0).then(|| in_time / all)
    };
    assert_eq!(share(theirs), share(ours));
    assert_eq!(theirs.contains_key(REGISTER_FAIL), ours.contains_key(REGISTER_FAIL));
    let failed = |page: &BTreeMap<String, f64>| value(page, REGISTER_FAIL) > 0.0;
    assert_eq!(failed(theirs), failed(ours));
    for page in [theirs, ours] {
        assert!(value(page, "quic_client_total_connections") >= value(page, "quic_client_closed_connections"));
        assert!(value(page, "cloudflared_tunnel_ha_connections") == 1.0, "it counts the attempt");
    }
}

#[tokio::test]
async fn every_refusal_looks_the_same_and_none_ends_it() {
    for (name, conduct) in [
        ("start_unauthorized_quic", Conduct::Unauthorized),
        ("start_notfound_quic", Conduct::Deleted),
        ("start_permanent_quic", Conduct::Permanent),
        ("start_retry_quic", Conduct::Retry),
    ] {
        from_the_start(name, conduct, FAST).await;
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_and_tried_again() {
    // Unscaled: what tells it from a refusal is the time that it takes.
    from_the_start("start_hang_quic", Conduct::Hang, 1.0).await;
}

#[tokio::test]
async fn an_edge_that_is_not_there_is_tried_for_ever() {
    from_the_start("start_drop_quic", Conduct::Refuse, FAST).await;
    from_the_start("start_blackhole_quic", Conduct::BlackHole, FAST).await;
}

/// Registered, then dropped and treated so.
async fn after_a_registration(name: &str, conduct: Conduct) {
    let world = World::over("quic").await;
    let mut running = world.run(FAST);
    running.registers().await;
    world.edge.set(conduct).await.unwrap();
    assert_eq!(world.edge.drop_connections(&Scope::default()), 4);
    // Two waits of each: the one after the loss, and the one after the first refusal.
    let each = |log: &str| {
        (0..4).all(|index| {
            let own = format!("{{\"connIndex\":{index},");
            log.lines().filter(|line| line.starts_with(&own) && line.contains("Retrying connection")).count() >= 2
        })
    };
    running.says(each).await;
    assert!(running.runs(), "it never exits");
    let lines = |log: &[Line]| until_wait(log.to_vec(), 2);
    let recorded = lines(&recording(name));
    assert_same(&recorded, &lines(&world.parse(&running.kill().await)), true);
}

#[tokio::test]
async fn refusals_after_a_registration_look_the_same_too() {
    for (name, conduct) in [
        ("then_unauthorized_quic", Conduct::Unauthorized),
        ("then_notfound_quic", Conduct::Deleted),
        ("then_permanent_quic", Conduct::Permanent),
        ("then_retry_quic", Conduct::Retry),
    ] {
        after_a_registration(name, conduct).await;
    }
}

#[tokio::test]
async fn silence_after_a_registration_looks_like_a_refusal() {
    after_a_registration("then_hang_quic", Conduct::Hang).await;
}

#[tokio::test]
async fn the_pages_when_connected() {
    let world = World::over("quic").await;
    let mut running = world.run(FAST);
    running.registers().await;
    let ours = metrics(&world, |page| value(page, "cloudflared_tunnel_ha_connections") == 4.0).await;
    assert_eq!(names(&recorded("quic/connected.metrics.txt")), names(&ours));
    let shown = series(&ours);
    assert_eq!(value(&shown, "quic_client_total_connections"), 4.0);
    assert_eq!(value(&shown, "quic_client_closed_connections"), 0.0);
    assert_same_json(&recorded("quic/connected.tunnel.txt"), &page(&world, "/diag/tunnel", 200).await);
}

/// An edge that falls silent is noticed within its idle time-out.
#[tokio::test]
async fn an_edge_that_falls_silent_is_noticed() {
    let world = World::over("quic").await;
    let mut running = world.run(QUARTER);
    running.registers().await;
    world.edge.set(Conduct::BlackHole).await.unwrap();
    assert_eq!(world.edge.silence(&Scope::default()), 4);
    // An edge that has forgotten a connection may answer its next packet with a reset.
    let noticed = |log: &str| {
        let by = |words: &str| log.matches(&format!("failed to accept QUIC stream: {words}")).count();
        by("timeout: no recent network activity") + by("received a stateless reset") == 4
    };
    running.says(noticed).await;
    page(&world, "/ready", 503).await;
    let again = |log: &str| log.contains("failed to dial to edge with quic: timeout: no recent network activity");
    running.says(again).await;
    world.edge.set(Conduct::Accept).await.unwrap();
    world.connections(4).await;
    assert!(running.runs());
}

/// With UDP dropped and TCP open `auto` falls back, sooner with `--max-edge-addr-retries`. It begins with QUIC only where a name
/// server says so.
#[tokio::test]
async fn auto_falls_back_to_http2() {
    for (name, flags) in [("udp_blocked_auto", None), ("udp_blocked_auto_retries1", Some("1"))] {
        let world = World::over("auto").await;
        world.edge.set_udp(Some(Conduct::BlackHole)).await.unwrap();
        let mut command = world.command_with_names("config.yml", FAST).await;
        command.args(flags.into_iter().flat_map(|retries| ["--max-edge-addr-retries", retries])).arg("run");
        let mut running = Running::spawn(command);
        running.says(|log| log.matches("Registered tunnel connection").count() == 4).await;
        let log = world.parse(&running.kill().await);
        let recorded = until_the_signal(parse(&recorded(&format!("more/{name}.log")), "/etc/cloudflared"));
        // Whether the way is the same, and the same long: the lines of the connections.
        let way =
            |lines: &[Line]| lines.iter().filter(|line| line.0.contains_key("connIndex")).cloned().collect::<Vec<_>>();
        assert_same(&way(&recorded), &way(&log), false);
    }
}
