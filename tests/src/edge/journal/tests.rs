use super::*;

fn journal(events: &[(Micros, &str, &str, What)]) -> Journal {
    let mut journal = Journal::default();
    for (at, connector, connection, what) in events {
        journal.push(Event {
            at: *at,
            wall: 0,
            who: Who { tunnel: "t".into(), connector: (*connector).into(), index: 0 },
            connection: (*connection).into(),
            edge: "127.0.0.1:1".parse().unwrap(),
            what: what.clone(),
        });
    }
    journal
}

#[test]
fn counts_connectors_and_connections_at_a_moment() {
    let journal = journal(&[
        (10, "a", "a0", What::Registered),
        (20, "a", "a1", What::Registered),
        (30, "b", "b0", What::Registered),
        (40, "a", "a0", What::Lost),
        (50, "b", "b0", What::Unregistered),
    ]);
    let count = |at| journal.registered("t", at);
    assert_eq!(count(9), Registered { connectors: 0, connections: 0 });
    assert_eq!(count(10), Registered { connectors: 1, connections: 1 });
    assert_eq!(count(35), Registered { connectors: 2, connections: 3 });
    assert_eq!(count(60), Registered { connectors: 1, connections: 1 });
    assert_eq!(journal.registered("other", 60).connections, 0);
}

#[test]
fn a_gap_is_found_wherever_it_lies() {
    let journal = journal(&[
        (10, "a", "a0", What::Registered),
        (20, "a", "a0", What::Dropped),
        (25, "a", "", What::Rejected("Unauthorized: Invalid tunnel secret".into())),
        (30, "b", "b0", What::Registered),
        (40, "c", "c0", What::Registered),
        (45, "b", "b0", What::Unregistered),
        (60, "c", "c0", What::Lost),
    ]);
    let gap = |from, until| journal.first_gap("t", from, until);
    assert_eq!(gap(0, 15), Some(Gap { from: 0, until: Some(10) }), "nothing before the first registration");
    assert_eq!(gap(10, 19), None);
    assert_eq!(gap(12, 28), Some(Gap { from: 20, until: None }), "still open at the end");
    assert_eq!(gap(12, 59), Some(Gap { from: 20, until: Some(30) }));
    assert_eq!(gap(30, 59), None, "a hand-over that overlaps");
    assert_eq!(gap(30, 61), Some(Gap { from: 60, until: None }));
    assert_eq!(gap(22, 29), Some(Gap { from: 22, until: None }), "zero all along");
}
