//! What the control endpoints of the stand-ins have in common. They answer under `/_control/` on the stand-in's own
//! listener, take and give JSON, and are for a person with curl; tests in the same process use the Rust methods.

use super::faults::{Fault, Faults};
use super::{Answer, Asked, json, text};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::fmt::Display;

const PREFIX: &str = "/_control/";

/// The command after `/_control/`, if this is a request to the control endpoint and not to the service.
pub fn command(request: &Asked) -> Option<&str> {
    request.uri().path().strip_prefix(PREFIX)
}

/// The commands on faults that every stand-in has: `fault` and `clear`. Gives nothing when `command` is another one.
pub fn on_faults(command: &str, request: &Asked, faults: &mut Faults) -> Option<Answer> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Scope {
        scope: String,
    }
    match command {
        "fault" => Some(with_body(request, |fault: Fault| {
            faults.plant(fault);
            Ok::<_, Infallible>(())
        })),
        "clear" if request.body().is_empty() => {
            faults.clear();
            Some(done())
        }
        "clear" => Some(with_body(request, |Scope { scope }| {
            faults.clear_scope(&scope);
            Ok::<_, Infallible>(())
        })),
        _ => None,
    }
}

/// Does something with the JSON body of a POST, or answers what is wrong with it.
pub fn with_body<T: DeserializeOwned, E: Display>(request: &Asked, act: impl FnOnce(T) -> Result<(), E>) -> Answer {
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "POST this with a JSON body\n");
    }
    let body = match serde_json::from_slice(request.body()) {
        Ok(body) => body,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("failed to read the JSON body: {error}\n")),
    };
    match act(body) {
        Ok(()) => done(),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("failed to do it: {error}\n")),
    }
}

/// The answer to a command that has no result.
pub fn done() -> Answer {
    text(StatusCode::OK, "done\n")
}

/// The answer to a command that does not exist.
pub fn unknown(command: &str) -> Answer {
    text(StatusCode::NOT_FOUND, format!("there is no control command {command:?}; see --help\n"))
}

/// The answer to `state`.
pub fn state(state: &impl Serialize) -> Answer {
    json(StatusCode::OK, state)
}

/// Edits `target` as a JSON merge patch does (RFC 7386): the fields given replace those there, null takes one away.
///
/// # Errors
/// The result is not a `T`: the patch has an unknown field, or one of the wrong type.
pub fn merge<T: Serialize + DeserializeOwned>(target: &T, patch: Value) -> serde_json::Result<T> {
    let mut merged = serde_json::to_value(target)?;
    merge_value(&mut merged, patch);
    serde_json::from_value(merged)
}

fn merge_value(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let fields = target.as_object_mut().expect("it was just made an object");
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge_value(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}
