use serde::{Deserialize, Serialize};

/// Keys that requests are signed with. All of them are made up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Says which key it is; goes over the wire.
    pub access_key_id: String,
    /// What signatures are made with; never goes over the wire.
    pub secret_access_key: String,
    /// What temporary keys come with; goes over the wire. None: requests must not carry one.
    pub session_token: Option<String>,
}

impl Credentials {
    /// Temporary keys made up from `name`, so that several callers can be told apart.
    pub fn made_up(name: &str) -> Self {
        Self {
            access_key_id: format!("ASIAMADEUP{}", name.to_uppercase()),
            secret_access_key: format!("made-up-secret-key-of-{name}"),
            session_token: Some(format!("made-up-session-token-of-{name}")),
        }
    }
}

/// The keys that both stand-ins know without being told.
impl Default for Credentials {
    fn default() -> Self {
        Self::made_up("default")
    }
}
