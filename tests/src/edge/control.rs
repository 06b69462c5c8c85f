//! The edge's HTTP control, for a person or another program.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /_control/state` | | a [`Snapshot`](super::Snapshot) |
//! | `GET /_control/events` | | every [`Event`](super::Event), in order |
//! | `GET /_control/registered?tunnel=T&at=MICROS` | | [`Registered`](super::Registered); without `at`: now |
//! | `GET /_control/never-zero?tunnel=T&from=MICROS&until=MICROS` | | `{"held": true}`, or false with the first `gap` |
//! | `GET /_control/configuration?connector=ID` | | what a connector has told of its configuration, or `null` |
//! | `POST /_control/conduct` | `{"conduct": C}`, with an `edge` or a `transport` if it is for one only | state |
//! | `POST /_control/udp` | `{"conduct": C}`; without `conduct`, UDP is treated as the conduct says | state |
//! | `POST /_control/rule` | a [`Rule`](super::Rule): a [`Scope`], `secret`, `conduct`; `{}` takes all rules back | state |
//! | `POST /_control/late` | `{"ms": N}`: how late `slow` answers | state |
//! | `POST /_control/secret` | `{"tunnel": T, "secret": S}`; without `secret` any is right | state |
//! | `POST /_control/managed` | `{"tunnel": T, "remotely": true}` | state |
//! | `POST /_control/push` | `{"scope": SCOPE, "version": N, "config": {…}}` | what each connection made of it |
//! | `POST /_control/drop` | a [`Scope`]: `{}` or some of `tunnel`, `connector`, `index`, `edge`, `transport` | `{"count": n}` |
//! | `POST /_control/silence` | a [`Scope`]: nothing is heard or said any more | `{"count": n}` |
//! | `POST /_control/outage` | | `{"count": n}`: refuses everything and drops everything |
//! | `POST /_control/order` | `{"scope": SCOPE, "order": {"do": O, …}}` | `{"count": n}` |
//! | `POST /_control/thaw` | a [`Scope`] | `{"count": n}` |
//!
//! Conducts C are those of [`Conduct`]; orders O are those of [`Order`].

use super::{Conduct, Edge, Micros, Order, Scope, Transport};
use crate::http::{Answer, Asked, json, text};
use crate::tunnelrpc::configuration::Push;
use hyper::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// What `--help` and `GET /_control` say: the table above.
pub const HELP: &str = "\
GET  /_control/state
GET  /_control/events
GET  /_control/registered?tunnel=T[&at=MICROS]
GET  /_control/never-zero?tunnel=T&from=MICROS&until=MICROS
GET  /_control/configuration?connector=ID
POST /_control/conduct  {\"conduct\": C [, \"edge\": \"127.0.0.1:7844\"] [, \"transport\": \"http2\" or \"quic\"]}
       C, from the start:      accept refuse eof reset black-hole garbage drop
       C, to a registration:   unauthorized deleted permanent retry duplicate hang slow silent-after
POST /_control/udp      {\"conduct\": C}    without conduct, UDP is treated as the conduct says
POST /_control/rule     SCOPE and {\"secret\": S, \"conduct\": C}    only for these registrations; {} takes all rules back
POST /_control/late     {\"ms\": N}         how late slow answers
POST /_control/secret   {\"tunnel\": T [, \"secret\": S]}    without secret, any is right
POST /_control/managed  {\"tunnel\": T, \"remotely\": true}
POST /_control/push     {\"scope\": SCOPE, \"version\": N, \"config\": {...}}
POST /_control/drop     SCOPE
POST /_control/silence  SCOPE             nothing is heard or said on these connections any more
POST /_control/outage   refuse everything and drop everything
POST /_control/order    {\"scope\": SCOPE, \"order\": {\"do\": O, ...}}
       O: crash, freeze (of every program whose process can be seen from here);
          exit (status), close-output, flood (bytes), print (line), foreign-id (connector) (of cloudflared-standin)
POST /_control/thaw     SCOPE
SCOPE: {} for all, or any of {\"tunnel\": T, \"connector\": ID, \"index\": 0, \"edge\": \"127.0.0.1:7844\", \"transport\": \"quic\"}
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetConduct {
    conduct: Conduct,
    edge: Option<SocketAddr>,
    transport: Option<Transport>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUdp {
    conduct: Option<Conduct>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLate {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetManaged {
    tunnel: String,
    remotely: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushIt {
    #[serde(default)]
    scope: Scope,
    version: i32,
    config: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetSecret {
    tunnel: String,
    secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Give {
    #[serde(default)]
    scope: Scope,
    order: Order,
}

/// A request that cannot be answered as asked, and why.
type Refusal = (StatusCode, String);

/// Answers one control request.
pub async fn answer(edge: Edge, asked: Asked) -> Answer {
    answer_or_refuse(&edge, &asked).await.unwrap_or_else(|(status, why)| text(status, why + "\n"))
}

async fn answer_or_refuse(edge: &Edge, asked: &Asked) -> Result<Answer, Refusal> {
    let path = asked.uri().path();
    let ok = |body: &serde_json::Value| json(StatusCode::OK, body);
    let answer = match (asked.method(), path.strip_prefix("/_control/").unwrap_or_default()) {
        (&Method::GET, "state") => json(StatusCode::OK, &edge.snapshot()),
        (&Method::GET, "events") => json(StatusCode::OK, &edge.events()),
        (&Method::GET, "registered") => {
            let at = number(asked, "at")?.unwrap_or(Micros::MAX);
            json(StatusCode::OK, &edge.registered(&tunnel(asked)?, at))
        }
        (&Method::GET, "never-zero") => {
            let (from, until) = (number(asked, "from")?.unwrap_or(0), number(asked, "until")?);
            match edge.never_zero_between(&tunnel(asked)?, from, until.unwrap_or_else(|| edge.now())) {
                Ok(()) => ok(&json!({"held": true})),
                Err(gap) => ok(&json!({"held": false, "gap": gap})),
            }
        }
        (&Method::POST, "conduct") => set_conduct(edge, body(asked)?).await?,
        (&Method::POST, "udp") => {
            let SetUdp { conduct } = body(asked)?;
            edge.set_udp(conduct).await.map_err(failed)?;
            json(StatusCode::OK, &edge.snapshot())
        }
        (&Method::GET, "configuration") => {
            let connector = query(asked, "connector").ok_or((StatusCode::BAD_REQUEST, "give ?connector=ID".into()))?;
            json(StatusCode::OK, &edge.configuration(connector))
        }
        (&Method::POST, "rule") => {
            match body::<serde_json::Value>(asked)? {
                rule if rule == json!({}) => edge.clear_rules(),
                _ => edge.add_rule(body(asked)?),
            }
            json(StatusCode::OK, &edge.snapshot())
        }
        (&Method::POST, "late") => {
            let SetLate { ms } = body(asked)?;
            edge.set_late(Duration::from_millis(ms));
            json(StatusCode::OK, &edge.snapshot())
        }
        (&Method::POST, "managed") => {
            let SetManaged { tunnel, remotely } = body(asked)?;
            edge.manage_remotely(&tunnel, remotely);
            json(StatusCode::OK, &edge.snapshot())
        }
        (&Method::POST, "push") => {
            let PushIt { scope, version, config } = body(asked)?;
            let answers = edge.push(&scope, &Push { version, config: config.to_string() }).await;
            let answers: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.to_string())).collect();
            json(StatusCode::OK, &answers)
        }
        (&Method::POST, "silence") => ok(&json!({"count": edge.silence(&body(asked)?)})),
        (&Method::POST, "secret") => {
            let SetSecret { tunnel, secret } = body(asked)?;
            secret.map_or_else(|| edge.accept_any_secret(&tunnel), |secret| edge.require_secret(&tunnel, &secret));
            json(StatusCode::OK, &edge.snapshot())
        }
        (&Method::POST, "drop") => ok(&json!({"count": edge.drop_connections(&body(asked)?)})),
        (&Method::POST, "outage") => ok(&json!({"count": edge.outage().await.map_err(failed)?})),
        (&Method::POST, "order") => {
            let Give { scope, order } = body(asked)?;
            ok(&json!({"count": edge.order(&scope, &order)}))
        }
        (&Method::POST, "thaw") => ok(&json!({"count": edge.thaw(&body(asked)?)})),
        _ => return Err((StatusCode::NOT_FOUND, format!("no such control; there are:\n{HELP}"))),
    };
    Ok(answer)
}

async fn set_conduct(edge: &Edge, set: SetConduct) -> Result<Answer, Refusal> {
    edge.set_where(set.edge, set.transport, Some(set.conduct)).await.map_err(failed)?;
    Ok(json(StatusCode::OK, &edge.snapshot()))
}

fn failed(error: std::io::Error) -> Refusal {
    (StatusCode::CONFLICT, error.to_string())
}

fn body<B: DeserializeOwned>(asked: &Asked) -> Result<B, Refusal> {
    let bytes: &[u8] = if asked.body().is_empty() { b"{}" } else { asked.body() };
    serde_json::from_slice(bytes).map_err(|error| (StatusCode::BAD_REQUEST, format!("bad body: {error}")))
}

fn tunnel(asked: &Asked) -> Result<String, Refusal> {
    query(asked, "tunnel").map(str::to_owned).ok_or((StatusCode::BAD_REQUEST, "give ?tunnel=UUID".into()))
}

fn number(asked: &Asked, key: &str) -> Result<Option<Micros>, Refusal> {
    let parsed = query(asked, key).map(str::parse).transpose();
    parsed.map_err(|error| (StatusCode::BAD_REQUEST, format!("bad {key}, which is in microseconds: {error}")))
}

fn query<'a>(asked: &'a Asked, key: &str) -> Option<&'a str> {
    let pairs = asked.uri().query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}
