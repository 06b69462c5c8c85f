//! A configuration that Cloudflare pushes over the secret's.

use cflared_tests::edge::Scope;
use cflared_tests::tunnelrpc::configuration::Push;
use cflared_tests::world::{Agent, Host, World, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A configuration whose one origin is that.
fn leading_to(version: i32, service: &str) -> Push {
    let rules = json!([{"hostname": "pushed.example.dev", "service": service}, {"service": "http_status:404"}]);
    Push { version, config: json!({"ingress": rules, "warp-routing": {"enabled": false}}).to_string() }
}

async fn push(world: &World, push: &Push) {
    let answers = world.edge.push(&Scope::default(), push).await;
    assert!(!answers.is_empty());
    for answer in answers {
        assert_eq!(answer.expect("it is answered").version, push.version);
    }
}

fn serves_by(status: &Value, version: i32) -> bool {
    status["connectors"][0]["remote"]["version"] == version
}

/// Waits until doctor finds that, and returns its exit status. On a busy machine a look may not be answered in its time, which doctor
/// calls not known.
async fn doctor_finds(host: &Host, wanted: &str) -> anyhow::Result<i32> {
    eventually(&format!("doctor to say {wanted}"), async || {
        let doctor = host.run(["doctor", "--json"]).await.ok()?;
        let report: Value = serde_json::from_slice(&doctor.stdout).ok()?;
        let outcome =
            report["checks"].as_array()?.iter().find(|check| check["id"] == "configuration")?["outcome"].clone();
        assert!(outcome == wanted || outcome == "skip", "{outcome}");
        (outcome == wanted).then_some(doctor.status.code()?)
    })
    .await
}

/// How often that metric was pushed, with these words among its dimensions.
fn pushed(world: &World, metric: &str, words: &str) -> usize {
    let all = world.aws.datapoints();
    all.iter().filter(|point| point.metric == metric && format!("{:?}", point.dimensions).contains(words)).count()
}

async fn restart_connector(agent: &mut Agent) -> anyhow::Result<()> {
    let pid = agent.connector_pid().expect("it runs");
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
    let another = |status: &Value| status["connectors"][0]["pid"].as_u64().is_some_and(|now| now != u64::from(pid));
    agent.wait_status("another child", another).await?;
    agent.wait_health("registered").await?;
    Ok(())
}

#[tokio::test]
async fn a_configuration_from_cloudflare_is_noticed_shown_and_held_on() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    assert_eq!(agent.status()["connectors"][0]["remote"], Value::Null);

    push(&world, &leading_to(3, "tcp://127.0.0.1:3306")).await;
    let status = agent.wait_status("the configuration", |status| serves_by(status, 3)).await?;
    assert_eq!(status["connectors"][0]["remote"]["broken"], Value::Null);
    let held = |status: &Value| status["holds"][0]["by"] == "configuration from Cloudflare";
    let status = agent.wait_status("a hold", held).await?;
    assert_eq!(status["health"]["state"], "registered");
    agent.wait_log("remote_configuration_refused").await?;
    assert_eq!(doctor_finds(&host, "fail").await?, 1);
    assert!(!host.run(["reload"]).await?.status.success(), "a hand-over would change nothing of it");
    eventually("the metrics", async || {
        let both = [("cflared_remote_configuration", ""), ("cflared_held", "remote_configuration")];
        both.iter().all(|(metric, words)| pushed(&world, metric, words) > 0).then_some(())
    })
    .await?;

    push(&world, &leading_to(4, "http://169.254.169.254")).await;
    let status = agent.wait_status("the next", |status| serves_by(status, 4)).await?;
    let broken = status["connectors"][0]["remote"]["broken"].as_str().unwrap_or_default();
    assert!(broken.contains("link-local"), "{broken}");
    agent.wait_log("pushed configuration 4").await?;

    restart_connector(&mut agent).await?;
    agent.wait_status("no hold", |status| status["holds"].as_array().is_some_and(Vec::is_empty)).await?;
    assert_eq!(agent.status()["connectors"][0]["remote"], Value::Null);
    assert!(host.run(["reload"]).await?.status.success());
    anyhow::ensure!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_configuration_from_cloudflare_is_allowed_where_it_breaks_no_rule() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("connector.remote_configuration", "allow");
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    push(&world, &leading_to(0, "tcp://127.0.0.1:3306")).await;
    agent.wait_status("the configuration", |status| serves_by(status, 0)).await?;
    agent.wait_log("remote_configuration_in_force").await?;
    assert_eq!(agent.status()["holds"], json!([]));
    doctor_finds(&host, "pass").await?;

    push(&world, &leading_to(1, "bastion")).await;
    agent.wait_status("a hold", |status| !status["holds"].as_array().is_none_or(Vec::is_empty)).await?;
    doctor_finds(&host, "fail").await?;
    push(&world, &leading_to(2, "tcp://127.0.0.1:3306")).await;
    agent.wait_status("no hold", |status| status["holds"].as_array().is_some_and(Vec::is_empty)).await?;
    anyhow::ensure!(agent.stop().await?.success());
    Ok(())
}
