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
    let config = page.get("config").unwrap_or(&yaml::Node::Null);
    policy.check_pushed_routing(config)?;
    let rules = rules::ingress(config)?;
    rules::targets(&rules, policy)?;
    Ok(rules::services(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(rest: &str, allow: &[&str]) -> Result<usize, &'static str> {
        let page = format!(r#"{{"version":3,"config":{{"ingress":[{{"service":"http_status:404"}}]{rest}}}}}"#);
        let policy = Policy { allow: allow.iter().map(|word| (*word).to_owned()).collect(), ..Policy::default() };
        check_pushed(&page, &policy).map(|services| services.len()).map_err(|rule| rule.rule())
    }

    #[test]
    fn the_whole_network_is_opened_only_where_that_is_allowed() {
        // What 2026.8.2 has of it opens nothing: it has routed to private networks without a key for years.
        for rest in [
            "",
            r#","warp-routing":{}"#,
            r#","warp-routing":{"connectTimeout":3}"#,
            r#","warp-routing":{"enabled":false}"#,
        ] {
            assert_eq!(checked(rest, &[]), Ok(1), "{rest}");
        }
        for rest in [r#","warp-routing":{"enabled":true}"#, r#","warp-routing":{"enabled":"yes"}"#] {
            assert_eq!(checked(rest, &[]), Err("key_not_allowed"), "{rest}");
            assert_eq!(checked(rest, &["warp-routing"]), Ok(1), "{rest}");
        }
        assert_eq!(checked(r#","originRequest":{"bastionMode":true}"#, &[]), Ok(1), "it answers by itself");
    }
}
