//! Configurations that the edge pushes.

use super::ingress::Rules;
use super::log::Level;
use super::state::Shared;
use crate::tunnelrpc::configuration::{Applied, Push};
use serde_json::json;

/// Applies a configuration, if it is newer than the last.
pub fn apply(shared: &Shared, push: &Push) -> Applied {
    let last = shared.state().rules.version;
    if last >= push.version {
        return Applied { version: last, error: None };
    }
    let fields = json!({"version": push.version, "config": push.config});
    match Rules::of_the_edge(push.version, &push.config) {
        Ok(rules) => {
            shared.state().rules = rules;
            shared.log.line(Level::Info, "Updated to new configuration", fields);
            Applied { version: push.version, error: None }
        }
        Err(error) => {
            let mut fields = fields;
            fields["error"] = error.as_str().into();
            shared.log.line(Level::Error, "Failed to deserialize new configuration", fields);
            Applied { version: last, error: Some(error) }
        }
    }
}
