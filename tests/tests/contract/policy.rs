//! The stand-in's policies against moto's, with botocore as the caller. moto 5.2 looks at actions only: it takes every call for
//! one on the resource `*`, and every condition for not fulfilled. So both are given the policy for any resource and without
//! conditions here; what narrows it is in the stand-in's own tests, and parliament knows whether a service looks at it
//! (`tests/aws/check.py`).

use super::cloudwatch::python;
use super::moto::Moto;
use super::peer::stand_in;
use cflared_tests::documents::Documents;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which calls are denied, by the action that the policy lacks.
type Told = BTreeMap<String, BTreeMap<String, bool>>;

/// The policy, without all that moto does not know.
fn for_any_resource() -> Value {
    let mut policy = Documents::render().unwrap().json("iam/agent").unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement.as_object_mut().unwrap().remove("Condition");
        statement["Resource"] = json!("*");
    }
    policy
}

async fn ask(endpoint: &str, which: &str) -> Told {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), for_any_resource().to_string()).unwrap();
    let output = python("policy.py", &[endpoint, which, file.path().to_str().unwrap()]).await;
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn what_a_policy_allows_is_the_same_as_at_moto() {
    let moto = Moto::start();
    let (_aws, config) = stand_in().await;
    let at_moto = ask(moto.sdk().endpoint_url().unwrap(), "moto").await;
    let at_stand_in = ask(config.endpoint_url().unwrap(), "stand-in").await;
    assert_eq!(at_stand_in, at_moto);
    for (missing, calls) in &at_stand_in {
        for (call, denied) in calls {
            assert_eq!(*denied, call == missing, "{call} without {missing}");
        }
    }
    assert_eq!(at_stand_in.len(), 12, "every action of the policy, and none");
}
