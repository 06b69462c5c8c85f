//! `doctor`: a host that is well, and then with one thing wrong at a time.

use crate::bad_input::{assert_ended, said};
use cflared_tests::world::{Host, Payload, SECRET, World};
use serde_json::Value;
use std::process::Output;

/// Runs it, and holds it against what is true of every run.
async fn doctor(host: &Host, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = host.run(["doctor"].iter().chain(arguments)).await?;
    println!("{}", said(&output));
    let text = String::from_utf8(output.stdout.clone())?;
    assert!(arguments.contains(&"--verbose") || arguments.contains(&"--json") || text.chars().count() <= 2500);
    Ok(output)
}

#[tokio::test]
async fn a_host_that_is_well_is_fine() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let output = doctor(&host, &["--verbose"]).await?;
    assert_ended(&output, 0, &["fine: this host fails none of "]);
    assert!(agent.stop().await?.success());
    Ok(())
}
