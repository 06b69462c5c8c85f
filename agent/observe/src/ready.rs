//! The meaning of an answer of `/ready`.

use super::printable;
use cflared_verdict::Ready;
use cloudflared::sockets::Listener;
use serde::Deserialize;

/// The body of `/ready`, with 200 and with 503 alike (observed, 2026.8.2). Its `status` only repeats the HTTP status.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    ready_connections: u32,
    connector_id: String,
}

/// More connections than a connector can number (they are counted in a byte in its public source, `connection`).
const MOST: u32 = 256;

/// What is known after `/ready` answered `status` and `body`, if our own child said that its id is `expected`, and `listener` is
/// who has the port.
pub(super) fn judge(status: u16, body: &[u8], expected: Option<&str>, listener: &Listener) -> Ready {
    let unanswered = |why: String| match listener {
        Listener::Stranger(stranger) => Ready::Unanswered { why: format!("{why}; the port is held by {stranger}") },
        Listener::Nobody | Listener::Ours | Listener::Unclear => Ready::Unanswered { why },
    };
    if status != 200 && status != 503 {
        return unanswered(format!("/ready answered HTTP {status}, which cloudflared never does"));
    }
    let Body { ready_connections: connections, connector_id: id } = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => return unanswered(format!("/ready answered something else than cloudflared's JSON: {error}")),
    };
    if connections > MOST {
        return unanswered(format!("/ready answered {connections} connections, which cloudflared cannot hold"));
    }
    let owner = match listener {
        Listener::Stranger(stranger) => Some(stranger.to_string()),
        Listener::Ours => None,
        // Where the socket does not tell, the id does, if there is one; and nobody is called a stranger for want of proof.
        Listener::Nobody | Listener::Unclear => expected
            .is_some_and(|ours| ours != id)
            .then(|| format!("another cloudflared (connector {})", printable(&id, 64))),
    };
    if let Some(owner) = owner {
        return Ready::Foreign { owner };
    }
    match connections {
        // A 200 without a connection would contradict itself; nothing can flow, so it is not registered.
        1.. if status == 200 => Ready::Yes { connections },
        _ => Ready::No,
    }
}
