use super::{SECRET, TUNNEL, config, credentials, differential, payload};
use crate::payload::{Payload, PayloadError};
use crate::{Bundle, Policy, RuleBroken, check_pushed};
use cflared_verdict::VersionId;
use testing::fuzz::{from_the_field, fuzz};

fn policy() -> Policy {
    Policy { own_ports: [2000, 2001].into(), ..Policy::default() }
}

/// How a check ended, without what it is about.
fn behaviour(checked: &Result<Bundle, RuleBroken>) -> String {
    match checked {
        Ok(bundle) => {
            let policy = policy();
            for service in bundle.services() {
                assert_eq!(policy.forbids(service), None, "{service}");
            }
            format!("taken {}", bundle.services().len().min(8))
        }
        Err(rule) => {
            let text = rule.to_string();
            assert!(text.chars().count() < 600 && !text.contains(char::is_control) && !text.contains(SECRET), "{text}");
            format!("{} {:?}", rule.rule(), std::mem::discriminant(rule))
        }
    }
}

#[test]
fn fuzz_secret() {
    let text = |config: &str| {
        serde_json::json!({ "config_yaml": config, "credentials_json": credentials(TUNNEL, SECRET) }).to_string()
    };
    let field = from_the_field("config.yml").into_iter().map(|config| String::from_utf8(config).unwrap());
    let seeds = differential::corpus().into_iter().step_by(10).chain(field).map(|config| text(&config).into_bytes());
    fuzz("secret", seeds, |input| {
        let Ok(input) = std::str::from_utf8(input) else { return "not UTF-8".into() };
        match Payload::parse(VersionId("v".into()), input) {
            Ok(payload) => behaviour(&Bundle::check(payload, &policy())),
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 600 && !text.contains(char::is_control) && !text.contains(SECRET), "{text}");
                match error {
                    PayloadError::TooLong { .. } => "too long".into(),
                    PayloadError::Fields(_) => error.rule().to_owned(),
                }
            }
        }
    });
}

#[test]
fn fuzz_rules() {
    let seeds = differential::corpus().into_iter().step_by(2).chain([config(TUNNEL)]).map(String::into_bytes);
    fuzz("rules", seeds.chain(from_the_field("config.yml")), |input| {
        let Ok(config) = std::str::from_utf8(input) else { return "not UTF-8".into() };
        behaviour(&Bundle::check(payload("v", config, &credentials(TUNNEL, SECRET)), &policy()))
    });
}

#[test]
fn fuzz_pushed() {
    let recorded = include_str!("../../../../tests/recorded/connected/config.200.txt");
    let rules = |service: &str| {
        format!(
            r#"{{"version":3,"config":{{"ingress":[{{"hostname":"a","service":"{service}"}},{{"service":"http_status:404"}}]}}}}"#
        )
    };
    let seeds = [
        recorded.to_owned(),
        rules("http://169.254.169.254"),
        rules("tcp://[::1]:3306"),
        rules("bastion"),
        rules("unix:/x"),
    ];
    fuzz("pushed", seeds.map(String::into_bytes), |input| {
        let Ok(page) = std::str::from_utf8(input) else { return "not UTF-8".into() };
        match check_pushed(page, &policy()) {
            Ok(services) => {
                assert!(services.iter().all(|service| policy().forbids(service).is_none()));
                format!("taken {}", services.len().min(8))
            }
            Err(rule) => format!("{} {:?}", rule.rule(), std::mem::discriminant(&rule)),
        }
    });
}
