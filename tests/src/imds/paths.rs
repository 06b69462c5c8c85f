//! Which document a path names.

use super::Instance;
use crate::aws::time::{iso, now_ms};
use percent_encoding::percent_decode_str;
use serde_json::json;

/// The document at `path`; none: 404.
pub fn document(instance: &Instance, path: &str) -> Option<String> {
    let path = percent_decode_str(path.strip_prefix("/latest/meta-data/")?).decode_utf8().ok()?;
    match path.as_ref() {
        "instance-id" => Some(instance.id.clone()),
        "placement/region" => Some(instance.region.clone()),
        "placement/availability-zone" => Some(instance.availability_zone.clone()),
        "ami-id" => Some(instance.ami_id.clone()),
        "iam/security-credentials" | "iam/security-credentials/" => instance.role.clone(),
        "tags/instance" | "tags/instance/" => {
            Some(instance.tags.as_ref()?.keys().map(String::as_str).collect::<Vec<_>>().join("\n"))
        }
        "instance-life-cycle" => instance.life_cycle.clone(),
        "autoscaling/target-lifecycle-state" => instance.target_lifecycle_state.clone(),
        "spot/instance-action" => serde_json::to_string(instance.spot_action.as_ref()?).ok(),
        "events/recommendations/rebalance" => {
            Some(json!({"noticeTime": instance.rebalance_notice_time.as_ref()?}).to_string())
        }
        other => named(instance, other),
    }
}

fn named(instance: &Instance, path: &str) -> Option<String> {
    if let Some(key) = path.strip_prefix("tags/instance/") {
        return instance.tags.as_ref()?.get(key).cloned();
    }
    let role = path.strip_prefix("iam/security-credentials/")?;
    (instance.role.as_deref() == Some(role)).then(|| role_credentials(instance))
}

fn role_credentials(instance: &Instance) -> String {
    let now = now_ms();
    let keys = &instance.credentials;
    json!({
        "Code": "Success",
        "LastUpdated": iso(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "Token": keys.session_token,
        "Expiration": iso(now + u64::from(instance.credentials_valid_for_s) * 1000),
    })
    .to_string()
}
