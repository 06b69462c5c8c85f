//! The test phase of the image's build, with its own commands: a test instance has no environment, and no way to the edge.

use crate::bad_input::{assert_ended, said};
use cflared_tests::world::{Host, World, agent_binary, eventually};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

/// The commands of a step of the component's test phase.
fn commands(step: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../imagebuilder/components/agent.yml");
    let document: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let phases = document["phases"].as_sequence().unwrap();
    let phase = phases.iter().find(|phase| phase["name"] == "test").unwrap();
    let found = phase["steps"].as_sequence().unwrap().iter().find(|found| found["name"] == step).unwrap();
    found["inputs"]["commands"][0].as_str().unwrap().to_owned()
}

/// Executes commands where `cflared-agent` is this instance's, and `/tmp` its directory.
pub async fn execute(host: &Host, commands: &str) -> anyhow::Result<Output> {
    let directory = host.directory().display().to_string();
    let program = host.directory().join("cflared-agent");
    // Writes the settings.
    host.command()?;
    let text = format!("#!/bin/sh\nexec {} --settings {directory}/agent.yml \"$@\"\n", agent_binary().display());
    std::fs::write(&program, text)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let mut bash = tokio::process::Command::new("bash");
    bash.env_clear().env("PATH", format!("{directory}:/usr/bin:/bin"));
    Ok(bash.args(["-c", &commands.replace("/tmp/", &format!("{directory}/"))]).output().await?)
}

#[tokio::test]
async fn the_test_phase_passes_on_an_instance_without_an_environment_and_on_no_other() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    host.imds.edit(|instance| instance.remove_tag("adv:env"));
    let mut agent = host.start()?;
    let told = async || agent.status()["trouble"].is_string().then_some(());
    eventually("the missing tag to be told", told).await?;
    let output = execute(&host, &commands("SaysWhatIsWrong")).await?;
    assert_ended(&output, 0, &["\"trouble\": \"", "adv:env"]);
    assert_ended(&execute(&host, &commands("WaitsInVain")).await?, 0, &["gave up after 1s"]);

    // With an environment it registers: then this is no test instance, and the step says so.
    host.imds.edit(|instance| instance.set_tag("adv:env", cflared_tests::world::ENVIRONMENT));
    agent.wait_health("registered").await?;
    let output = execute(&host, &commands("WaitsInVain")).await?;
    assert!(!output.status.success(), "{}", said(&output));
    assert!(agent.stop().await?.success());
    Ok(())
}
