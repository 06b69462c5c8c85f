//! The edge over both transports, with a connector of the test's own in cloudflared's place.

mod connector;
mod hostile;

use super::*;
use crate::tunnelrpc::configuration::{Applied, Push};
use crate::tunnelrpc::registration::{Answer, DUPLICATE, Refusal};
use connector::{Connector, Fate, TUNNEL, fate};

const BOTH: [Transport; 2] = [Transport::Http2, Transport::Quic];
const DEADLINE: Duration = Duration::from_secs(60);

async fn edge() -> Edge {
    Edge::start(&["127.0.0.1:0".parse().unwrap()]).await.unwrap()
}

fn whats(edge: &Edge) -> Vec<What> {
    edge.events().into_iter().map(|event| event.what).collect()
}

/// Waits for an event.
async fn until(edge: &Edge, what: What) {
    let seen = || whats(edge).contains(&what).then_some(());
    assert!(edge.wait_for(DEADLINE, seen).await.is_some(), "{what:?} is not among {:?}", whats(edge));
}

#[tokio::test]
async fn a_connection_is_registered_until_it_is_unregistered_and_closed_then() {
    for transport in BOTH {
        let edge = edge().await;
        let mut connector = Connector::connect(&edge, transport).await.unwrap();
        assert!(whats(&edge).is_empty(), "a handshake is no registration");
        let Answer::Registered(details) = connector.register().await.unwrap() else { panic!("refused") };
        assert_eq!((details.location.as_str(), details.remotely_managed), ("iad01", false));
        let [connection] = &edge.snapshot().connections[..] else { panic!("not one connection") };
        assert_eq!(connection.who, connector.who());
        assert_eq!(connection.transport, transport);
        assert_eq!(connection.connection, uuid::Uuid::from_bytes(details.connection).to_string());
        connector.unregister().await.unwrap();
        assert_eq!(whats(&edge), [What::Registered, What::Unregistered]);
        connector.closed().await;
        assert_eq!(edge.registered_now(TUNNEL), Registered { connectors: 0, connections: 0 });
    }
}

#[tokio::test]
async fn a_connection_that_goes_is_lost_and_one_that_is_dropped_is_closed() {
    for transport in BOTH {
        let edge = edge().await;
        drop(Connector::registered(&edge, transport).await);
        until(&edge, What::Lost).await;
        let connector = Connector::registered(&edge, transport).await;
        assert_eq!(edge.drop_connections(&Scope { index: Some(7), ..Scope::default() }), 0);
        assert_eq!(edge.drop_connections(&Scope { transport: Some(transport), ..Scope::default() }), 1);
        connector.closed().await;
        assert_eq!(whats(&edge), [What::Registered, What::Lost, What::Registered, What::Dropped]);
    }
}

#[tokio::test]
async fn refusals_say_why() {
    let refusals = [
        (Conduct::Unauthorized, "Unauthorized: Invalid tunnel secret", 0),
        (Conduct::Deleted, "Unauthorized: Tunnel not found", 0),
        (Conduct::Permanent, "Internal: tunnel was deleted", 0),
        (Conduct::Retry, "edge is overloaded", 60),
        (Conduct::Duplicate, DUPLICATE, 0),
    ];
    for transport in BOTH {
        let edge = edge().await;
        for (conduct, cause, seconds) in refusals {
            edge.set(conduct).await.unwrap();
            let mut connector = Connector::connect(&edge, transport).await.unwrap();
            let refusal =
                Refusal { cause: cause.into(), retry_after: Duration::from_secs(seconds), should_retry: seconds > 0 };
            assert_eq!(connector.register().await.unwrap(), Answer::Refused(refusal), "{conduct:?}");
        }
        let rejected: Vec<_> = refusals.iter().map(|(_, cause, _)| What::Rejected((*cause).into())).collect();
        assert_eq!(whats(&edge), rejected);
    }
}

#[tokio::test]
async fn only_the_right_secret_registers() {
    for transport in BOTH {
        let edge = edge().await;
        // "secret" of the connector, in base64.
        for (secret, fits) in [("c2VjcmV0", true), ("cm90YXRlZA==", false)] {
            edge.require_secret(TUNNEL, secret);
            let mut connector = Connector::connect(&edge, transport).await.unwrap();
            let answer = connector.register().await.unwrap();
            assert_eq!(matches!(answer, Answer::Registered(_)), fits, "{secret}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn who_is_turned_away_sees_how() {
    for (conduct, http2, quic) in [
        (Conduct::Accept, Fate::Registered, Fate::Registered),
        (Conduct::Refuse, Fate::Refused, Fate::Unanswered),
        (Conduct::Eof, Fate::Closed, Fate::ClosedWith(0)),
        (Conduct::Reset, Fate::Reset, Fate::Refused),
        (Conduct::BlackHole, Fate::Unanswered, Fate::Unanswered),
        (Conduct::Garbage, Fate::Garbled, Fate::Unanswered),
        (Conduct::Drop, Fate::Closed, Fate::ClosedWith(1)),
        (Conduct::Hang, Fate::Unanswered, Fate::Unanswered),
    ] {
        let edge = edge().await;
        edge.set(conduct).await.unwrap();
        for (transport, expected) in [(Transport::Http2, http2), (Transport::Quic, quic)] {
            assert_eq!(fate(&edge, transport).await, expected, "{conduct:?} over {transport:?}");
        }
        edge.set(Conduct::Accept).await.unwrap();
        for transport in BOTH {
            assert_eq!(fate(&edge, transport).await, Fate::Registered, "after {conduct:?}, over {transport:?}");
        }
    }
}

#[tokio::test]
async fn one_transport_is_treated_by_itself() {
    for (transport, other) in [(Transport::Http2, Transport::Quic), (Transport::Quic, Transport::Http2)] {
        let edge = edge().await;
        edge.set_over(transport, Some(Conduct::Permanent)).await.unwrap();
        assert_eq!(fate(&edge, other).await, Fate::Registered);
        assert_eq!(fate(&edge, transport).await, Fate::Rejected("Internal: tunnel was deleted".into()));
        edge.set(Conduct::Retry).await.unwrap();
        assert_eq!(fate(&edge, other).await, Fate::Rejected("edge is overloaded".into()));
        assert_eq!(fate(&edge, transport).await, Fate::Rejected("Internal: tunnel was deleted".into()));
        edge.set_over(transport, None).await.unwrap();
        assert_eq!(fate(&edge, transport).await, Fate::Rejected("edge is overloaded".into()));
    }
}

#[tokio::test]
async fn a_rule_is_for_those_whom_it_means() {
    for transport in BOTH {
        let edge = edge().await;
        let rule = |scope, secret: Option<&str>| {
            edge.clear_rules();
            edge.add_rule(Rule { scope, secret: secret.map(str::to_owned), conduct: Conduct::Permanent });
        };
        let of_connector = |connector: &str| Scope { connector: Some(connector.into()), ..Scope::default() };
        let other = if transport == Transport::Quic { Transport::Http2 } else { Transport::Quic };
        for (scope, secret, is_meant) in [
            (Scope { index: Some(0), ..Scope::default() }, None, true),
            (Scope { index: Some(1), ..Scope::default() }, None, false),
            (Scope { transport: Some(transport), ..Scope::default() }, None, true),
            (Scope { transport: Some(other), ..Scope::default() }, None, false),
            (Scope { edge: Some(edge.addresses()[0]), ..Scope::default() }, None, true),
            (of_connector(&connector::who().connector), None, true),
            (of_connector(TUNNEL), None, false),
            (Scope { tunnel: Some(TUNNEL.into()), ..Scope::default() }, Some("c2VjcmV0"), true),
            (Scope::default(), Some("cm90YXRlZA=="), false),
        ] {
            rule(scope.clone(), secret);
            let rejected = fate(&edge, transport).await != Fate::Registered;
            assert_eq!(rejected, is_meant, "{scope:?} and secret {secret:?} over {transport:?}");
        }
        // The last one decides.
        edge.add_rule(Rule { conduct: Conduct::Retry, ..Rule::default() });
        assert_eq!(fate(&edge, transport).await, Fate::Rejected("edge is overloaded".into()));
    }
}

/// What ends a handshake, for one connector only: it begins where the edge knows whose it is.
#[tokio::test]
async fn a_rule_can_turn_away_at_the_registration() {
    for (conduct, http2, quic) in [
        (Conduct::Eof, Fate::Closed, Fate::ClosedWith(0)),
        (Conduct::Drop, Fate::Closed, Fate::ClosedWith(1)),
        (Conduct::Reset, Fate::Reset, Fate::ClosedWith(1)),
        (Conduct::BlackHole, Fate::Unanswered, Fate::Unanswered),
        (Conduct::Garbage, Fate::Garbled, Fate::Garbled),
    ] {
        let edge = edge().await;
        edge.add_rule(Rule { conduct, ..Rule::default() });
        for (transport, expected) in [(Transport::Http2, http2), (Transport::Quic, quic)] {
            assert_eq!(fate(&edge, transport).await, expected, "{conduct:?} over {transport:?}");
        }
    }
}

#[tokio::test]
async fn a_late_answer_is_an_answer() {
    for transport in BOTH {
        let edge = edge().await;
        edge.set(Conduct::Slow).await.unwrap();
        edge.set_late(Duration::from_millis(300));
        let mut connector = Connector::connect(&edge, transport).await.unwrap();
        let asked = edge.now();
        assert!(matches!(connector.register().await.unwrap(), Answer::Registered(_)));
        assert!(edge.now() - asked >= 300_000);
    }
}

#[tokio::test]
async fn silence_begins_after_the_answer_and_is_not_noticed_by_the_record() {
    for transport in BOTH {
        let edge = edge().await;
        edge.set(Conduct::SilentAfter).await.unwrap();
        let mut silent = Connector::registered(&edge, transport).await;
        let unheard = tokio::time::timeout(Duration::from_millis(500), silent.unregister()).await;
        assert!(unheard.is_err(), "{unheard:?}");
        assert_eq!(whats(&edge), [What::Registered]);
        edge.set(Conduct::Accept).await.unwrap();
        let mut other = Connector::registered(&edge, transport).await;
        other.unregister().await.unwrap();
        assert_eq!(whats(&edge), [What::Registered, What::Registered, What::Unregistered]);
        let third = Connector::registered(&edge, transport).await;
        assert_eq!(edge.silence(&Scope::default()), 2);
        drop((silent, third));
        if transport == Transport::Http2 {
            until(&edge, What::Lost).await;
        }
    }
}

#[tokio::test]
async fn configurations_are_taken_and_pushed() {
    for transport in BOTH {
        let edge = edge().await;
        let mut connector = Connector::registered(&edge, transport).await;
        let id = connector.who().connector;
        assert_eq!(edge.configuration(&id), None);
        connector.tell(br#"{"ingress":[]}"#).await.unwrap();
        assert_eq!(edge.configuration(&id), Some(serde_json::json!({"ingress": []})));
        let pushing = tokio::spawn({
            let edge = edge.clone();
            async move { edge.push(&Scope::default(), &Push { version: 3, config: "{}".into() }).await }
        });
        let applied = Applied { version: 2, error: Some("not so".into()) };
        assert_eq!(connector.is_pushed(&applied).await, Push { version: 3, config: "{}".into() });
        let answers: Vec<_> = pushing.await.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [applied]);
        edge.manage_remotely(TUNNEL, true);
        let mut managed = Connector::connect(&edge, transport).await.unwrap();
        let Answer::Registered(details) = managed.register().await.unwrap() else { panic!("refused") };
        assert!(details.remotely_managed);
    }
}

#[tokio::test]
async fn orders_go_to_who_takes_them() {
    for transport in BOTH {
        let edge = edge().await;
        let mut connector = Connector::registered(&edge, transport).await;
        let order = Order::Print { line: "a line".into() };
        assert_eq!(edge.order(&Scope::default(), &order), 1);
        assert_eq!(connector.is_ordered().await, order);
        assert_eq!(edge.processes(&Scope::default()), [std::process::id().cast_signed()]);
        assert_eq!(edge.order(&Scope { index: Some(4), ..Scope::default() }, &order), 0);
    }
}

#[tokio::test]
async fn a_check_before_a_start_is_no_connection() {
    let edge = edge().await;
    for transport in BOTH {
        drop(Connector::handshake(&edge, transport, "probe.cftunnel.com").await.unwrap());
    }
    assert_eq!(fate(&edge, Transport::Http2).await, Fate::Registered);
    let expected = Knocks { tls: 1, quic: 0 };
    assert_eq!(edge.knocks(), expected);
    let registered = whats(&edge).iter().filter(|what| **what == What::Registered).count();
    assert_eq!(registered, 1);
}
