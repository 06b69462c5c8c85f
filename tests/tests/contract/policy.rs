//! The stand-in's policies against moto's, with botocore as the caller. moto 5.2 looks at actions only: it takes every call for
//! one on the resource `*`, and every condition for not fulfilled. So both are given the policy for any resource and without
//! conditions here; what narrows it is in the stand-in's own tests, and parliament knows whether a service looks at it
//! (`tests/aws/check.py`).

use super::cloudwatch::python;
use super::moto::Moto;
use super::peer::stand_in;
use cflared_tests::documents::Documents;
use cflared_tests::world::{Payload, SECRET, World};
use serde::de::DeserializeOwned;
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

async fn ask<T: DeserializeOwned>(endpoint: &str, which: &str, left_out: &[&str]) -> T {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), for_any_resource().to_string()).unwrap();
    let output = python("policy.py", &[&[endpoint, which, file.path().to_str().unwrap()], left_out].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn what_a_policy_allows_is_the_same_as_at_moto() {
    let moto = Moto::start();
    let (_aws, config) = stand_in().await;
    let at_moto: Told = ask(moto.sdk().endpoint_url().unwrap(), "moto", &[]).await;
    let at_stand_in: Told = ask(config.endpoint_url().unwrap(), "stand-in", &[]).await;
    assert_eq!(at_stand_in, at_moto);
    for (missing, calls) in &at_stand_in {
        for (call, denied) in calls {
            assert_eq!(*denied, call == missing, "{call} without {missing}");
        }
    }
    assert_eq!(at_stand_in.len(), 12, "every action of the policy, and none");
}

/// moto has no CloudWatch in the agent's protocol and no instance refreshes, so that a whole life is not to be had there
/// (`tests/tests/e2e/policy.rs` has it at the stand-in); its first call is.
#[tokio::test]
async fn the_agent_installs_its_bundle_as_a_role_of_moto_s_that_may_read_the_secret_and_not_without() {
    for (left_out, exit) in [("nothing", 0), ("secretsmanager:GetSecretValue", 75)] {
        let moto = Moto::start();
        let sdk = moto.sdk();
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
        secrets.create_secret().name(SECRET).secret_string(Payload::default().text()).send().await.unwrap();
        let endpoint = sdk.endpoint_url().unwrap();
        let keys = ask(endpoint, "moto", &[left_out]).await;
        let (_world, mut host) = World::with_host().await.unwrap();
        host.imds.edit(|instance| instance.credentials = keys);
        host.environment.push(("AWS_ENDPOINT_URL".into(), endpoint.into()));
        let ended = host.run(["bootstrap", "--timeout", "5s"]).await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(exit), "without {left_out}: {said}");
        assert_eq!(host.config_dir().join("current").exists(), exit == 0);
        assert_eq!(said.contains("secretsmanager:GetSecretValue"), exit != 0, "{said}");
    }
}
