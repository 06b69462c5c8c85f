//! A world for the measurements: the settings' defaults, and AWS over TLS.

use anyhow::Context;
use cflared_tests::aws::tls::Authority;
use cflared_tests::world::{Host, World};
use serde_json::json;
use std::fs;
use std::path::Path;
use tokio::net::TcpListener;

/// Where Debian and Ubuntu keep the root certificates.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Gives an instance the agent to run, and takes back the scaled-down times that tests have.
pub fn with_defaults(host: &mut Host, agent: &Path) {
    host.program = Some(agent.to_owned());
    if let Some(settings) = host.settings.as_object_mut() {
        settings.retain(|section, _| matches!(section.as_str(), "paths" | "connector" | "log"));
    }
    host.set("connector.grace_period", "30s");
    host.scale_cloudflared(1.0);
}

/// The program that checks the config in a bootstrap: `/bin/true`, for its time is not the bootstrap's.
pub fn without_validation(host: &mut Host) {
    host.settings["connector"]["binary"] = json!("/bin/true");
}

/// Serves the world's AWS over TLS. The instance reaches it there, and trusts it by a file of the system's roots and one
/// more.
///
/// # Errors
/// The address is taken, or the file cannot be written.
pub async fn over_tls(world: &World, host: &mut Host) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let address = world.block.address(251, 4443);
    let listener = TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    tokio::spawn(world.aws.clone().serve_tls(listener, authority.identity(&[address.ip()])?.acceptor()?));
    let roots = fs::read_to_string(ROOTS).with_context(|| format!("{ROOTS}: install ca-certificates"))?;
    let file = host.directory().join("roots.pem");
    fs::write(&file, roots + &authority.certificate_pem)?;
    let file = file.display().to_string();
    let variables =
        [("AWS_ENDPOINT_URL", format!("https://{address}")), ("SSL_CERT_FILE", file.clone()), ("AWS_CA_BUNDLE", file)];
    host.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    Ok(())
}
