use crate::aws::Credentials;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the metadata service says about its instance. The default is in environment `dev` and fits the default AWS
/// stand-in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// `instance-id`.
    pub id: String,
    /// `placement/region`.
    pub region: String,
    /// `placement/availability-zone`.
    pub availability_zone: String,
    /// `ami-id`.
    pub ami_id: String,
    /// The role's name; none: no instance profile, 404.
    pub role: Option<String>,
    /// The role's keys.
    pub credentials: Credentials,
    /// How long from now the keys are said to be good, in seconds.
    pub credentials_valid_for_s: u32,
    /// Tags by key; none: `InstanceMetadataTags=disabled`, 404.
    pub tags: Option<BTreeMap<String, String>>,
    /// `instance-life-cycle`: `on-demand`, `spot`, `scheduled`, `capacity-block`; none: 404.
    pub life_cycle: Option<String>,
    /// `autoscaling/target-lifecycle-state`; none: 404.
    pub target_lifecycle_state: Option<String>,
    /// `spot/instance-action`; none: 404.
    pub spot_action: Option<SpotAction>,
    /// The time in `events/recommendations/rebalance` (RFC 3339); none: 404.
    pub rebalance_notice_time: Option<String>,
}

/// The notice that a spot instance is to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpotAction {
    /// `terminate`, `stop` or `hibernate`.
    pub action: String,
    /// When (RFC 3339).
    pub time: String,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            id: "i-0123456789abcdef0".to_owned(),
            region: crate::aws::DEFAULT_REGION.to_owned(),
            availability_zone: format!("{}a", crate::aws::DEFAULT_REGION),
            ami_id: "ami-0123456789abcdef0".to_owned(),
            role: Some("cflared".to_owned()),
            credentials: Credentials::default(),
            credentials_valid_for_s: 6 * 3600,
            tags: Some(BTreeMap::from([("adv:env".to_owned(), "dev".to_owned())])),
            life_cycle: Some("on-demand".to_owned()),
            target_lifecycle_state: None,
            spot_action: None,
            rebalance_notice_time: None,
        }
    }
}

impl Instance {
    /// Sets a tag, and switches tags on in metadata if they were off.
    pub fn set_tag(&mut self, key: &str, value: &str) {
        self.tags.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    }

    /// Takes a tag away.
    pub fn remove_tag(&mut self, key: &str) {
        if let Some(tags) = &mut self.tags {
            tags.remove(key);
        }
    }
}
