mod differential;
mod equivalence;
mod fuzz;
mod rules;
mod store;

use crate::payload::{Payload, SecretText};
use cflared_verdict::VersionId;

/// A made-up tunnel, and its made-up secret: base64 of 32 bytes.
pub const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
pub const OTHER_TUNNEL: &str = "7ff42ae2-765d-4adf-8112-31c55c1551ef";
pub const SECRET: &str = "bWFkZSB1cCBmb3IgYSB0ZXN0LCBvZiAzMiBieXRlcyE=";

pub fn credentials(tunnel: &str, secret: &str) -> String {
    format!(r#"{{"AccountTag":"made-up","TunnelSecret":"{secret}","TunnelID":"{tunnel}"}}"#)
}

pub fn config(tunnel: &str) -> String {
    format!(
        "tunnel: {tunnel}\ningress:\n  - hostname: db.example.com\n    service: tcp://127.0.0.1:3306\n  - service: http_status:404\n"
    )
}

pub fn payload(version: &str, config: &str, credentials: &str) -> Payload {
    Payload {
        version: VersionId(version.into()),
        config_yaml: SecretText::new(config.to_owned()),
        credentials_json: SecretText::new(credentials.to_owned()),
    }
}
