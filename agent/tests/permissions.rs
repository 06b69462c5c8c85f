//! The list of permissions in the docs is the one that the sources have: whoever writes the role's policy reads that. So is what
//! the policies in `packaging/aws` allow.
#![allow(clippy::unwrap_used)] // a test may fail

mod sources;

use sources::{page, sources};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SERVICES: [&str; 4] = ["secretsmanager:", "kms:", "cloudwatch:", "autoscaling:"];

/// Everything like `autoscaling:SetInstanceHealth` in `text`.
fn permissions(text: &str) -> BTreeSet<String> {
    let starts = SERVICES.iter().flat_map(|service| text.match_indices(service).map(|(at, _)| (at, service.len())));
    let named = starts.filter_map(|(at, service)| {
        let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let action: String = text[at + service..].chars().take_while(word).collect();
        // `autoscaling:EC2_INSTANCE_LAUNCHING` is a transition.
        let is_one = action.starts_with(|c: char| c.is_ascii_uppercase()) && !action.contains('_');
        is_one.then(|| text[at..at + service].to_owned() + &action)
    });
    named.collect()
}

#[test]
fn the_docs_list_every_permission_that_is_used_and_no_other() {
    let docs = page("architecture.md");
    let section = docs.split("## Permissions").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: String = section.lines().filter(|line| line.starts_with("| `")).collect();
    let used = sources().iter().flat_map(|text| permissions(text)).collect();
    assert_eq!(permissions(&listed), used);
    assert!(used.len() >= 9, "{used:?}");
}

#[test]
fn the_policies_allow_what_is_used_and_no_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let used: BTreeSet<_> = sources().iter().flat_map(|text| permissions(text)).collect();
    let policies = ["agent", "agent-kms"].map(|name| root.join(format!("../packaging/aws/iam/{name}.json")));
    let allowed: BTreeSet<_> = policies.iter().flat_map(|path| actions(&fs::read_to_string(path).unwrap())).collect();
    assert_eq!(allowed, used);
}

/// The values of a policy that are actions: `kms:ViaService` is a key of a condition.
fn actions(policy: &str) -> BTreeSet<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let named =
        policy["Statement"].as_array().unwrap().iter().flat_map(|each| permissions(&each["Action"].to_string()));
    named.collect()
}
