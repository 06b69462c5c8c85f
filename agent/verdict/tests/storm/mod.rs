//! An outage of the edge in which a whole fleet acts at once: what the edge gets to do before and after its end.
//!
//! `make sim` writes the table of `docs/simulation.md`.

use crate::fleet::fault::{EdgeMode, Fault, Kind, Scope};
use crate::fleet::watch::Load;
use crate::fleet::{Fleet, MIN, Ms, S, table};
use cflared_verdict::Transport;
use std::fmt::Write as _;

/// Instances in the fleet.
const SIZE: usize = 100;
/// How long the edge is out: longer than any back-off.
const OUT: Ms = 20 * MIN;
/// While it is out an instance starts a connector so often in a minute at most, and so often in the minute after. One that was
/// refused over HTTP/2 exits, and is started again after 30 to 60 s; what comes back is started once more at most.
const STARTS: [u64; 2] = [2, 2];
/// The same of dials: cloudflared backs off to 64 s, and a new child that the edge takes dials once.
const DIALS: [u64; 2] = [2, 2];

/// What came of one outage.
#[derive(Debug)]
struct Storm {
    /// In the last minute of the outage, and in the two after it.
    minutes: [Load; 3],
    /// From the end of the outage until everybody was registered.
    back: Ms,
    /// Instances that were replaced.
    replaced: usize,
}

fn storm(seed: u64, mode: EdgeMode, transport: Transport) -> Storm {
    let mut fleet = Fleet::over(seed, SIZE, transport);
    fleet.watch.load = Some(Default::default());
    // At the full minute, so that the minutes are those before and after the end.
    let from = fleet.now.div_ceil(MIN) * MIN + MIN;
    let end = from + OUT;
    fleet.add_fault(Fault::new(Kind::Edge(mode), Scope::All, from, end).staggered(20 * S));
    let there: Vec<usize> = fleet.living.clone();
    fleet.run_until(end);
    let mut back = None;
    while fleet.now < end + 10 * MIN {
        fleet.run_for(S);
        let all = fleet.living.len() == SIZE && fleet.living.iter().all(|i| fleet.instances[*i].registered());
        back = back.or_else(|| all.then(|| fleet.now - end));
    }
    assert!(fleet.watch.violations.is_empty(), "{mode:?}, {transport:?}, seed {seed}: {:?}", fleet.watch.violations);
    let back = back.unwrap_or_else(|| panic!("{mode:?}, {transport:?}, seed {seed}: not all are back"));
    let load = fleet.watch.load.take().unwrap();
    let minutes =
        [end / MIN - 1, end / MIN, end / MIN + 1].map(|minute| load.get(&minute).copied().unwrap_or_default());
    let replaced = there.iter().filter(|i| fleet.instances[**i].gone).count();
    Storm { minutes, back, replaced }
}

#[test]
fn a_fleet_that_acts_at_once_does_not_storm_the_edge() {
    let seeds = std::env::var("STORMS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut rows = String::new();
    for mode in [EdgeMode::Unreachable, EdgeMode::Silent, EdgeMode::Rejects] {
        for transport in [Transport::Quic, Transport::Http2] {
            let all: Vec<Storm> = (1..=seeds).map(|seed| storm(seed, mode, transport)).collect();
            let most = |of: fn(&Storm) -> u64| all.iter().map(of).max().unwrap();
            let [starts, dials] = [
                [most(|s| s.minutes[0].starts), most(|s| s.minutes[1].starts), most(|s| s.minutes[2].starts)],
                [most(|s| s.minutes[0].dials), most(|s| s.minutes[1].dials), most(|s| s.minutes[2].dials)],
            ];
            for (counted, bounds) in [(starts, STARTS), (dials, DIALS)] {
                let [before, after] = bounds.map(|each| each * SIZE as u64);
                let told = format!("{mode:?}, {transport:?}: {all:?}");
                assert!(counted[0] <= before && counted[1] <= after && counted[2] <= after, "{told}");
            }
            let _ = writeln!(
                rows,
                "| {} | {} | {} / {} / {} | {} / {} / {} | {} s | {} |",
                told(mode),
                if transport == Transport::Quic { "QUIC" } else { "HTTP/2" },
                starts[0],
                starts[1],
                starts[2],
                dials[0],
                dials[1],
                dials[2],
                most(|storm| storm.back) / S,
                most(|storm| storm.replaced as u64),
            );
        }
    }
    println!("{TABLE}{rows}");
    if table::wanted("STORM_TABLE") {
        table::write("storm", &format!("{TABLE}{rows}"));
    }
}

fn told(mode: EdgeMode) -> &'static str {
    match mode {
        EdgeMode::Unreachable => "cannot be reached",
        EdgeMode::Silent => "answers no registration",
        EdgeMode::Rejects => "rejects every registration",
    }
}

const TABLE: &str = "\
| the edge | over | connectors started in the last minute of the outage, and in the two after it | dials in the same | all are back after | replaced |
|---|---|---|---|---|---|
";
