//! A configuration that Cloudflare pushed over an installed one, held against the same rules as far as they apply: it names no
//! tunnel, no file and no top-level key of a config.

use super::broken::RuleBroken;
use super::policy::Policy;
use super::rules;
use super::service::Service;
use input::yaml;

/// Checks the page `/config` of a connector: JSON, which is YAML as well. What its rules send traffic to, each once.
///
/// # Errors
/// The first rule that is broken.
pub fn check_pushed(page: &str, policy: &Policy) -> Result<Vec<Service>, RuleBroken> {
    let page = yaml::parse(page)?;
    let rules = rules::ingress(page.get("config").unwrap_or(&yaml::Node::Null))?;
    rules::targets(&rules, policy)?;
    Ok(rules::services(rules))
}
