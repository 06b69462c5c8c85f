//! Secrets Manager: versions, staging labels, deletion.

use super::time::now_ms;
use super::wire::ServiceError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
const RECOVERY_DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// All secrets of the account.
#[derive(Debug)]
pub struct Secrets {
    arn_prefix: String,
    by_name: BTreeMap<String, Secret>,
}

/// One secret with its versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Secret {
    /// ARN, with the six characters that the service appends to the name.
    pub arn: String,
    /// Versions, oldest first.
    pub versions: Vec<Version>,
    /// When it will be gone, in milliseconds since 1970; none: it is not scheduled for deletion.
    pub deletion_at_ms: Option<u64>,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// `VersionId`.
    pub id: String,
    /// Staging labels.
    pub stages: BTreeSet<String>,
    /// The value.
    pub value: SecretValue,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A secret's value; over the wire it is `SecretString` or `SecretBinary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SecretValue {
    /// Text.
    #[serde(rename = "text")]
    Text(String),
    /// Bytes, as base64.
    #[serde(rename = "binary_base64")]
    Binary(String),
}

impl SecretValue {
    /// A binary value.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::Binary(BASE64.encode(bytes))
    }
}

impl Secrets {
    /// No secret yet.
    pub fn new(region: &str, account: &str) -> Self {
        Self { arn_prefix: format!("arn:aws:secretsmanager:{region}:{account}:secret:"), by_name: BTreeMap::new() }
    }

    /// Every secret, by name.
    pub fn all(&self) -> &BTreeMap<String, Secret> {
        &self.by_name
    }

    /// Makes `value` the current version of a secret, which is created or taken back from deletion as needed.
    pub fn put(&mut self, name: &str, value: SecretValue) -> String {
        if !self.by_name.contains_key(name) {
            self.insert_empty(name);
        }
        let secret = self.by_name.get_mut(name).expect("it was made above if it was missing");
        secret.deletion_at_ms = None;
        let id = uuid::Uuid::new_v4().to_string();
        secret.add_version(id.clone(), value, &[CURRENT.to_owned()]);
        id
    }

    /// Moves AWSCURRENT to a version that is there. Gives false if there is none of that id.
    pub fn make_current(&mut self, name: &str, id: &str) -> bool {
        let Some(secret) = self.by_name.get_mut(name) else { return false };
        let Some(to) = secret.versions.iter().position(|version| version.id == id) else { return false };
        secret.take_labels(&[CURRENT.to_owned()]);
        secret.versions[to].stages.insert(CURRENT.to_owned());
        true
    }

    /// Schedules a secret for deletion. Gives false if there is none.
    pub fn schedule_deletion(&mut self, name: &str) -> bool {
        self.by_name
            .get_mut(name)
            .map(|secret| secret.deletion_at_ms = Some(now_ms() + RECOVERY_DAYS * DAY_MS))
            .is_some()
    }

    /// Takes a secret back from deletion. Gives false if there is none.
    pub fn restore(&mut self, name: &str) -> bool {
        self.by_name.get_mut(name).map(|secret| secret.deletion_at_ms = None).is_some()
    }

    /// Does an action of the API.
    ///
    /// # Errors
    /// Those of the API.
    pub fn call(&mut self, action: &str, input: &Value) -> Result<Value, ServiceError> {
        match action {
            "GetSecretValue" => self.get_secret_value(input),
            "CreateSecret" => self.create_secret(input),
            "PutSecretValue" => self.put_secret_value(input),
            "DeleteSecret" => self.delete_secret(input),
            "RestoreSecret" => self.restore_secret(input),
            _ => Err(ServiceError::sender("UnknownOperationException", format!("{action} is not stood in for"))),
        }
    }

    fn get_secret_value(&mut self, input: &Value) -> Result<Value, ServiceError> {
        let (name, secret) = self.find(input)?;
        secret.refuse_if_deleted()?;
        let wanted_id = text(input, "VersionId");
        let wanted_stage = text(input, "VersionStage").or(wanted_id.is_none().then_some(CURRENT));
        let matches = |version: &&Version| {
            wanted_id.is_none_or(|id| version.id == id)
                && wanted_stage.is_none_or(|stage| version.stages.contains(stage))
        };
        let version = secret.versions.iter().find(matches).ok_or_else(|| no_version(wanted_id, wanted_stage))?;
        let mut output = json!({
            "ARN": secret.arn, "Name": name, "VersionId": version.id, "VersionStages": version.stages,
            "CreatedDate": version.created_at_ms as f64 / 1000.0,
        });
        let (member, value) = match &version.value {
            SecretValue::Text(text) => ("SecretString", text),
            SecretValue::Binary(base64) => ("SecretBinary", base64),
        };
        output[member] = json!(value);
        Ok(output)
    }

    fn create_secret(&mut self, input: &Value) -> Result<Value, ServiceError> {
        let name = text(input, "Name").ok_or_else(|| invalid("Name is missing"))?.to_owned();
        let value = value_of(input)?;
        if let Some(secret) = self.by_name.get(&name) {
            secret.refuse_if_deleted()?;
            let message = format!("The operation failed because the secret {name} already exists.");
            return Err(ServiceError::sender("ResourceExistsException", message));
        }
        let secret = self.insert_empty(&name);
        let mut output = json!({"ARN": secret.arn, "Name": name});
        if let Some(value) = value {
            let id = version_id_of(input);
            secret.add_version(id.clone(), value, &[CURRENT.to_owned()]);
            output["VersionId"] = json!(id);
        }
        Ok(output)
    }

    fn put_secret_value(&mut self, input: &Value) -> Result<Value, ServiceError> {
        let value = value_of(input)?.ok_or_else(|| invalid("You must provide either SecretString or SecretBinary."))?;
        let id = version_id_of(input);
        let stages: Option<Vec<String>> = serde_json::from_value(input["VersionStages"].clone()).ok();
        let (name, secret) = self.find(input)?;
        secret.refuse_if_deleted()?;
        match secret.versions.iter().find(|version| version.id == id) {
            // A repeated request, told by its token, is done once.
            Some(version) if version.value == value => {}
            Some(_) => {
                let message = format!("The operation failed because the version {id} already exists.");
                return Err(ServiceError::sender("ResourceExistsException", message));
            }
            None => secret.add_version(id.clone(), value, &stages.unwrap_or_else(|| vec![CURRENT.to_owned()])),
        }
        let stages = secret.versions.iter().find(|version| version.id == id).map(|version| &version.stages);
        Ok(json!({"ARN": secret.arn, "Name": name, "VersionId": id, "VersionStages": stages}))
    }

    fn delete_secret(&mut self, input: &Value) -> Result<Value, ServiceError> {
        let forced = input["ForceDeleteWithoutRecovery"].as_bool().unwrap_or(false);
        let (name, secret) = self.find(input)?;
        secret.refuse_if_deleted()?;
        let days = input["RecoveryWindowInDays"].as_u64().unwrap_or(RECOVERY_DAYS);
        let at = now_ms() + if forced { 0 } else { days * DAY_MS };
        secret.deletion_at_ms = Some(at);
        let output = json!({"ARN": secret.arn, "Name": name, "DeletionDate": at as f64 / 1000.0});
        if forced {
            self.by_name.remove(&name);
        }
        Ok(output)
    }

    fn restore_secret(&mut self, input: &Value) -> Result<Value, ServiceError> {
        let (name, secret) = self.find(input)?;
        secret.deletion_at_ms = None;
        Ok(json!({"ARN": secret.arn, "Name": name}))
    }

    fn insert_empty(&mut self, name: &str) -> &mut Secret {
        let suffix: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
        let arn = format!("{}{name}-{suffix}", self.arn_prefix);
        self.by_name.entry(name.to_owned()).or_insert(Secret { arn, versions: Vec::new(), deletion_at_ms: None })
    }

    /// The secret that `SecretId` names, by name or ARN.
    fn find(&mut self, input: &Value) -> Result<(String, &mut Secret), ServiceError> {
        let id = text(input, "SecretId").ok_or_else(|| invalid("SecretId is missing"))?;
        let found = self.by_name.iter_mut().find(|(name, secret)| *name == id || secret.arn == id);
        let (name, secret) = found.ok_or_else(|| not_found("Secrets Manager can't find the specified secret."))?;
        Ok((name.clone(), secret))
    }
}

impl Secret {
    /// The version that is served when none is named.
    pub fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.stages.contains(CURRENT))
    }

    fn refuse_if_deleted(&self) -> Result<(), ServiceError> {
        let message = "You can't perform this operation on the secret because it was marked for deletion.";
        match self.deletion_at_ms {
            Some(_) => Err(ServiceError::sender("InvalidRequestException", message)),
            None => Ok(()),
        }
    }

    /// Each label is on one version; where AWSCURRENT leaves, AWSPREVIOUS comes.
    fn take_labels(&mut self, stages: &[String]) {
        for stage in stages {
            let Some(from) = self.versions.iter().position(|version| version.stages.contains(stage)) else {
                continue;
            };
            self.versions[from].stages.remove(stage);
            if stage == CURRENT {
                self.versions.iter_mut().for_each(|version| {
                    version.stages.remove(PREVIOUS);
                });
                self.versions[from].stages.insert(PREVIOUS.to_owned());
            }
        }
    }

    fn add_version(&mut self, id: String, value: SecretValue, stages: &[String]) {
        self.take_labels(stages);
        // The very first version is current whatever it was labelled.
        let first = self.versions.is_empty().then(|| CURRENT.to_owned());
        let stages = stages.iter().cloned().chain(first).collect();
        self.versions.push(Version { id, stages, value, created_at_ms: now_ms() });
    }
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member)?.as_str()
}

/// SDKs make up the token, and the service uses it as the version's id.
fn version_id_of(input: &Value) -> String {
    text(input, "ClientRequestToken").map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn value_of(input: &Value) -> Result<Option<SecretValue>, ServiceError> {
    match input.as_object().unwrap_or(&Map::new()) {
        members if members.contains_key("SecretString") && members.contains_key("SecretBinary") => {
            Err(invalid("You can't specify both a binary secret value and a string secret value."))
        }
        _ => Ok(text(input, "SecretString")
            .map(|value| SecretValue::Text(value.to_owned()))
            .or_else(|| text(input, "SecretBinary").map(|value| SecretValue::Binary(value.to_owned())))),
    }
}

fn no_version(id: Option<&str>, stage: Option<&str>) -> ServiceError {
    let which = match (id, stage) {
        (Some(id), _) => format!("VersionId: {id}"),
        (None, stage) => format!("staging label: {}", stage.unwrap_or(CURRENT)),
    };
    not_found(&format!("Secrets Manager can't find the specified secret value for {which}"))
}

fn not_found(message: &str) -> ServiceError {
    ServiceError::sender("ResourceNotFoundException", message)
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::sender("InvalidParameterException", message)
}
