//! The document `cflared-fleet` of `packaging/aws`, executed as the SSM agent does: its commands, one after the other, in a shell.

use crate::bad_input::{assert_ended, said};
use crate::image::execute;
use crate::support::registered_pid;
use cflared_tests::documents::repository;
use cflared_tests::world::{Host, Payload, SECRET, World};

/// The script of the document, with its two parameters filled in.
fn script(secret_version: &str, image: &str) -> String {
    let text = std::fs::read_to_string(repository().join("packaging/aws/ssm/fleet.yml")).unwrap();
    let document: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let commands = document["mainSteps"][0]["inputs"]["runCommand"].as_sequence().unwrap();
    let lines: Vec<_> = commands.iter().filter_map(|command| command.as_str()).collect();
    lines.join("\n").replace("{{ SecretVersion }}", secret_version).replace("{{ ImageId }}", image)
}

async fn asked(host: &Host, secret_version: &str, image: &str, exit: i32, parts: &[&str]) -> anyhow::Result<String> {
    let output = execute(host, &script(secret_version, image)).await?;
    assert_ended(&output, exit, parts);
    Ok(said(&output))
}

#[tokio::test]
async fn the_fleet_document_succeeds_when_an_instance_has_come_to_what_is_wanted_and_not_before() -> anyhow::Result<()>
{
    let (world, host) = World::with_host().await?;
    asked(&host, "", "", 2, &["status.json"]).await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let first = world.aws.secret(SECRET).unwrap().current().unwrap().id.clone();
    let image = host.imds.instance().ami_id;
    let whole =
        asked(&host, "", "", 0, &[&format!("converged: {}: registered, secret {first}, image {image}", host.id)])
            .await?;
    assert_eq!(whole.lines().count(), 1, "one line an instance: {whole}");
    asked(&host, &first, &image, 0, &["last refusal: none"]).await?;
    asked(&host, "another", &image, 1, &["not converged: ", "version another is to serve"]).await?;
    asked(&host, "", "ami-00000000", 1, &["image ami-00000000 is to run"]).await?;

    let second = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    world.edge.require_secret(cflared_tests::world::TUNNEL, &cflared_tests::world::tunnel_secret(2));
    agent.wait_status("the new version", |status| status["connectors"][0]["secret_version"] == second.as_str()).await?;
    agent
        .wait_status("the old one gone", |status| status["connectors"].as_array().is_some_and(|all| all.len() == 1))
        .await?;
    asked(&host, &second, "", 0, &[&second]).await?;
    asked(&host, &first, "", 1, &["not converged", &second]).await?;

    let bad = world.aws.put_secret(SECRET, "{}");
    agent.wait_status("the bad version", |status| status["trouble"].is_string()).await?;
    let refused = asked(&host, &bad, "", 1, &["not converged", &second]).await?;
    assert!(!refused.contains("last refusal: none"), "{refused}");
    agent.crash().await?;
    Ok(())
}
