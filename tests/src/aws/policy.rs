//! What the callers' policy allows: the rules of IAM for one identity policy, with the elements that the policies of
//! `packaging/aws` have (IAM user guide, "Policy evaluation logic", "IAM JSON policy elements reference"). What is not stood in
//! for is refused when the policy is put there, so that nothing is passed over unseen.

#[cfg(test)]
mod tests;

use super::wire::{Call, Service};
use super::{ACCOUNT, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// An identity policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Policy {
    version: Version,
    statement: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Of2012,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Statement {
    sid: Option<String>,
    effect: Effect,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(default)]
    condition: BTreeMap<Operator, BTreeMap<String, OneOrMany>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Operator {
    StringEquals,
    StringLike,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What a policy is asked.
#[derive(Debug)]
pub struct Question {
    /// `secretsmanager:GetSecretValue`.
    action: String,
    /// The ARN that the action is for; `*` if the service knows none for it.
    resource: String,
    /// Condition keys that the service fills in.
    context: BTreeMap<&'static str, String>,
}

impl Policy {
    /// Whether it allows what is asked: something allows it, and nothing denies it.
    pub fn allows(&self, asked: &Question) -> bool {
        Self::any_allows(std::slice::from_ref(self), asked)
    }

    /// The same of several policies of one role.
    pub fn any_allows(policies: &[Self], asked: &Question) -> bool {
        let all = || policies.iter().flat_map(|policy| &policy.statement);
        let matching = |effect| all().any(|each| each.effect == effect && each.is_about(asked));
        matching(Effect::Allow) && !matching(Effect::Deny)
    }
}

impl Statement {
    fn is_about(&self, asked: &Question) -> bool {
        let action = asked.action.to_ascii_lowercase();
        self.action.any(|pattern| like(&pattern.to_ascii_lowercase(), &action))
            && self.resource.any(|pattern| like(pattern, &asked.resource))
            && self
                .condition
                .iter()
                .all(|(operator, keys)| keys.iter().all(|(key, values)| operator.holds(key, values, asked)))
    }
}

impl Operator {
    /// A key that the service did not fill in never matches.
    fn holds(self, key: &str, values: &OneOrMany, asked: &Question) -> bool {
        let given = asked.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        given.is_some_and(|(_, given)| match self {
            Self::StringEquals => values.any(|value| value == given),
            Self::StringLike => values.any(|value| like(value, given)),
        })
    }
}

impl OneOrMany {
    fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(one) => test(one),
            Self::Many(many) => many.iter().any(|one| test(one)),
        }
    }
}

/// Whether `text` is like `pattern`: `*` is any characters or none, `?` is one.
fn like(pattern: &str, text: &str) -> bool {
    let mut of_pattern = pattern.chars();
    match of_pattern.next() {
        None => text.is_empty(),
        Some('*') => {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(of_pattern.as_str(), &text[at..]))
        }
        Some(wanted) => {
            let mut of_text = text.chars();
            of_text.next().is_some_and(|found| wanted == '?' || wanted == found)
                && like(of_pattern.as_str(), of_text.as_str())
        }
    }
}

impl State {
    /// Whether the policies of the caller's role allow the call, or those of all callers; all is allowed without any.
    pub(super) fn permits(&mut self, call: &Call, by: Option<&str>) -> bool {
        let question = self.question(call);
        match by.and_then(|by| self.roles.get(by)) {
            Some(policies) => Policy::any_allows(policies, &question),
            None => self.policy.as_ref().is_none_or(|policy| policy.allows(&question)),
        }
    }

    /// What IAM is asked about the call: resources and keys as in the service authorization reference.
    fn question(&mut self, call: &Call) -> Question {
        let text = |member: &str| call.input.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mut resource, mut context) = (None, BTreeMap::new());
        match (call.service, call.action.as_str()) {
            (Service::SecretsManager, _) => {
                resource = Some(self.secret_arn(&text("SecretId")));
                // Which stage a call without one is for, the reference does not say: taken for none.
                let stage = Some(text("VersionStage")).filter(|stage| !stage.is_empty());
                context.extend(stage.map(|stage| ("secretsmanager:VersionStage", stage)));
            }
            (Service::Logs, _) => {
                resource = Some(self.log_arn(&text("logGroupName"), &text("logStreamName"), &call.action))
            }
            (Service::CloudWatch, "PutMetricData") => {
                context.insert("cloudwatch:namespace", text("Namespace"));
            }
            (Service::AutoScaling, "SetInstanceHealth") => resource = self.arn_of_group_with(&text("InstanceId")),
            (Service::AutoScaling, "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat") => {
                resource = Some(self.group_arn(&text("AutoScalingGroupName")));
            }
            _ => {}
        }
        Question { action: call.service.permission(&call.action), resource: resource.unwrap_or("*".into()), context }
    }

    /// Of a secret that is not there, nobody knows the characters after its name.
    fn secret_arn(&self, id: &str) -> String {
        let found = self.secrets.all().iter().find(|(name, secret)| *name == id || secret.arn == id);
        let unknown = || format!("arn:aws:secretsmanager:{}:{ACCOUNT}:secret:{id}", self.region);
        found.map_or_else(unknown, |(_, secret)| secret.arn.clone())
    }

    /// `CreateLogStream` is on the group, `PutLogEvents` on the stream (service authorization reference).
    fn log_arn(&self, group: &str, stream: &str, action: &str) -> String {
        let group = format!("arn:aws:logs:{}:{ACCOUNT}:log-group:{group}", self.region);
        if action == "PutLogEvents" { format!("{group}:log-stream:{stream}") } else { group }
    }

    fn arn_of_group_with(&mut self, instance: &str) -> Option<String> {
        let now_ms = self.now_ms();
        let group = self.scaling.groups(now_ms).values().find(|group| group.instances.contains_key(instance));
        let name = group?.name.clone();
        Some(self.group_arn(&name))
    }

    fn group_arn(&self, name: &str) -> String {
        let id = "5f1d4c8e-0000-4000-8000-000000000000";
        format!("arn:aws:autoscaling:{}:{ACCOUNT}:autoScalingGroup:{id}:autoScalingGroupName/{name}", self.region)
    }
}
