//! The secret's value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The tunnel of every payload that names no other.
pub const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

/// The tunnel's secret number `n`, as base64 of 32 bytes.
pub fn tunnel_secret(n: u8) -> String {
    STANDARD.encode([n.wrapping_mul(37).wrapping_add(91); 32])
}

/// What a version of the secret holds.
#[derive(Debug, Clone)]
pub struct Payload {
    /// `config_yaml`.
    pub config: String,
    /// `credentials_json`.
    pub credentials: String,
}

impl Default for Payload {
    fn default() -> Self {
        Self::numbered(1)
    }
}

impl Payload {
    /// A good payload with that secret of the tunnel.
    pub fn numbered(n: u8) -> Self {
        let config = format!(
            "# version {n}\ntunnel: {TUNNEL}\ningress:\n  - hostname: db-{n}.example.dev\n    service: tcp://127.0.0.1:3306\n  \
             - service: http_status:404\n"
        );
        let credentials = serde_json::json!({
            "AccountTag": "0123456789abcdef0123456789abcdef",
            "TunnelSecret": tunnel_secret(n),
            "TunnelID": TUNNEL,
        });
        Self { config, credentials: credentials.to_string() }
    }

    /// The text of the secret.
    pub fn text(&self) -> String {
        serde_json::json!({ "config_yaml": self.config, "credentials_json": self.credentials }).to_string()
    }
}
