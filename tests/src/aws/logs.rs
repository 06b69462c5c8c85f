//! CloudWatch Logs, as far as an agent on a host writes to it: groups that are there, streams, events.

use super::wire::ServiceError;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The log group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// What it says.
    pub message: String,
}

/// All groups of the account.
#[derive(Debug, Default)]
pub struct Logs {
    groups: BTreeSet<String>,
    streams: BTreeSet<(String, String)>,
    events: Vec<Event>,
}

impl Logs {
    /// Makes a group.
    pub fn make_group(&mut self, name: &str) {
        self.groups.insert(name.to_owned());
    }

    /// Every event that was put, in that order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Carries out an action.
    ///
    /// # Errors
    /// The service would refuse it, or it is not stood in for.
    pub fn call(&mut self, action: &str, input: &Value) -> Result<Value, ServiceError> {
        let text = |member: &str| input[member].as_str().unwrap_or_default().to_owned();
        let (group, stream) = (text("logGroupName"), text("logStreamName"));
        let missing = |what: &str| {
            ServiceError::sender("ResourceNotFoundException", format!("The specified log {what} does not exist."))
        };
        match action {
            "CreateLogStream" if !self.groups.contains(&group) => Err(missing("group")),
            "CreateLogStream" => {
                self.streams.insert((group, stream));
                Ok(json!({}))
            }
            "PutLogEvents" if !self.groups.contains(&group) => Err(missing("group")),
            "PutLogEvents" if !self.streams.contains(&(group.clone(), stream.clone())) => Err(missing("stream")),
            "PutLogEvents" => {
                for event in input["logEvents"].as_array().into_iter().flatten() {
                    let message = event["message"].as_str().unwrap_or_default().to_owned();
                    self.events.push(Event { group: group.clone(), stream: stream.clone(), message });
                }
                Ok(json!({ "nextSequenceToken": "1" }))
            }
            _ => Err(ServiceError::sender("UnknownOperationException", format!("{action} is not stood in for"))),
        }
    }
}
