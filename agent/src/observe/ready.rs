//! What an answer of `/ready` means.

use super::printable;
use cflared_verdict::Ready;
use serde::Deserialize;

/// The body of `/ready`, with 200 and with 503 alike (observed, 2026.8.2). Its `status` only repeats the HTTP status.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    ready_connections: u32,
    connector_id: String,
}

/// What is known after `/ready` answered `status` and `body`, if our own child is called `expected`.
pub fn judge(status: u16, body: &[u8], expected: Option<&str>) -> Ready {
    let unanswered = |why: String| Ready::Unanswered { why };
    if status != 200 && status != 503 {
        return unanswered(format!("/ready answered HTTP {status}, which cloudflared never does: who has the port?"));
    }
    let body: Body = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => return unanswered(format!("/ready answered something else than cloudflared's JSON: {error}")),
    };
    match expected {
        None => unanswered("our connector has not said its id yet, so the answer may be another's".into()),
        Some(ours) if ours != body.connector_id => {
            Ready::Foreign { owner: format!("another cloudflared (connector {})", printable(&body.connector_id, 64)) }
        }
        // A 200 without a connection would contradict itself; nothing can flow, so it is not registered.
        Some(_) if status == 200 && body.ready_connections > 0 => Ready::Yes { connections: body.ready_connections },
        Some(_) => Ready::No,
    }
}
