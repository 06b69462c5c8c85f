//! The control endpoint; its commands are listed in CONTROL.md.

use super::Imds;
use crate::http::requests::summary;
use crate::http::{Answer, Asked, control as common};
use serde_json::{Value, json};

/// Does a command and answers it.
pub fn answer(imds: &Imds, command: &str, request: &Asked) -> Answer {
    if let Some(answer) = common::on_faults(command, request, &mut imds.lock().faults) {
        return answer;
    }
    match command {
        "state" => state(imds),
        "instance" => edit(imds, request),
        "expire-tokens" => {
            imds.expire_tokens();
            common::done()
        }
        "forget" => {
            imds.requests.forget();
            common::done()
        }
        _ => common::unknown(command),
    }
}

fn state(imds: &Imds) -> Answer {
    let requests = imds.requests.all();
    let state = imds.lock();
    common::state(&json!({
        "instance": state.instance,
        "faults": state.faults,
        "summary": summary(&requests),
        "requests": requests,
    }))
}

fn edit(imds: &Imds, request: &Asked) -> Answer {
    common::with_body(request, |patch: Value| {
        let mut state = imds.lock();
        common::merge(&state.instance, patch).map(|instance| state.instance = instance)
    })
}
