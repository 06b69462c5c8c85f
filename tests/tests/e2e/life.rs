//! The main job: boot, registered, an outage, condemned; and the way back.

use cflared_tests::edge::Conduct;
use cflared_tests::world::{TUNNEL, World, eventually};

#[tokio::test]
async fn from_the_instance_tag_to_a_registered_tunnel_and_to_unhealthy() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    agent.wait_notice("READY=1").await?;
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["instance"]["id"], host.id.as_str());
    assert_eq!(status["tunnel"], TUNNEL);
    assert_eq!(host.imds.requests().count("PUT /latest/api/token"), 1);

    world.edge.outage().await?;
    agent.wait_health("broken").await?;
    agent.wait_health("condemned").await?;
    let marks = world.aws.marks();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert_eq!((marks[0].instance.as_str(), marks[0].took_effect), (host.id.as_str(), true));

    world.edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    eventually("the mark to be taken back", async || (world.aws.marks().len() == 2).then_some(())).await?;
    assert!(agent.stop().await?.success());
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 0);
    Ok(())
}
