//! The metadata service: tags that are missing, off or hostile; a service that is away, slow, or refuses.

use crate::bad_input::{assert_ended, bootstrap, fifth, files, installed, said, wait_told, whole};
use crate::support::stopped_in;
use bundle::Found;
use cflared_tests::aws::Credentials;
use cflared_tests::http::faults::Trouble;
use cflared_tests::imds::Instance;
use cflared_tests::world::{ENVIRONMENT, Host, Payload, SECRET, TUNNEL, World, eventually};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const TAG: &str = "adv:env";
const TOKEN: &str = "PUT /latest/api/token";
const READ: &str = "secretsmanager.GetSecretValue";

/// What somebody did to the tag, its value then, and what the agent says about it: the cause, and the next step.
type BadTag = (&'static str, Option<String>, [&'static str; 2]);

fn bad_tags() -> Vec<BadTag> {
    let malformed = "correct the tag";
    vec![
        ("missing", None, ["the instance does not have it", "add it"]),
        ("a path", Some("../x".into()), ["`../x` is not an environment", malformed]),
        ("two lines", Some("dev\nprd".into()), [r"`dev\nprd` is not an environment", malformed]),
        ("a trailing newline", Some("dev\n".into()), [r"`dev\n` is not an environment", malformed]),
        ("300 bytes", Some("d".repeat(300)), ["dddd…` is not an environment", malformed]),
        ("upper case", Some("Dev".into()), ["`Dev` is not an environment", malformed]),
        ("empty", Some(String::new()), ["`` is not an environment", malformed]),
        ("a placeholder", Some("{env}".into()), ["`{env}` is not an environment", malformed]),
        ("an escape sequence", Some("\u{1b}[2J".into()), [r"`\u{1b}[2J` is not an environment", malformed]),
        ("not allowed", Some("prd".into()), ["`prd` is not in identity.allowed_environments (dev, stg)", malformed]),
    ]
}

fn set(instance: &mut Instance, value: Option<&str>) {
    match value {
        Some(value) => instance.set_tag(TAG, value),
        None => instance.remove_tag(TAG),
    }
}

async fn world() -> anyhow::Result<(World, Host)> {
    let (world, mut host) = World::with_host().await?;
    host.set("identity.allowed_environments", vec![ENVIRONMENT, "stg"]);
    host.set("secret.poll_interval", "1s");
    Ok((world, host))
}

#[tokio::test]
async fn run_waits_for_a_tag_that_names_an_environment_and_takes_it_up_live() -> anyhow::Result<()> {
    let waits = |number| waits_for_a_good_tag(fifth(bad_tags(), number));
    tokio::try_join!(waits(0), waits(1), waits(2), waits(3), waits(4)).map(drop)
}

async fn waits_for_a_good_tag(bad: impl Iterator<Item = BadTag>) -> anyhow::Result<()> {
    let (world, host) = world().await?;
    host.imds.edit(|instance| instance.tags = None);
    let mut agent = host.start()?;
    let told = wait_told(&mut agent, &["shows no tags", "set InstanceMetadataTags=enabled"]).await?;
    assert_eq!(told["instance"]["id"], host.id.as_str(), "the rest of the identity is known");
    for (what, value, told) in bad {
        host.imds.edit(|instance| {
            instance.tags.get_or_insert_default();
            set(instance, value.as_deref());
        });
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(what))?;
        assert_eq!(status["instance"]["environment"], serde_json::Value::Null, "{what}");
    }
    assert_eq!(world.aws.requests().count(READ), 0, "a bad tag never becomes part of a secret's name");

    host.imds.edit(|instance| instance.set_tag(TAG, ENVIRONMENT));
    let status = agent.wait_health("registered").await?;
    assert_eq!((&status["instance"]["environment"], &status["trouble"]), (&ENVIRONMENT.into(), &().into()));
    assert_eq!(host.imds.requests().count(TOKEN), 1);
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn bootstrap_gives_up_at_once_on_a_malformed_tag_and_tries_on_without_one() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    for (what, value, told) in bad_tags() {
        host.imds.edit(|instance| set(instance, value.as_deref()));
        // A malformed tag ends it long before its time is over.
        let (timeout, exit) = if value.is_some() { ("60s", 78) } else { ("300ms", 75) };
        let began = Instant::now();
        let output = bootstrap(&host, timeout).await?;
        assert_ended(&output, exit, &told);
        assert_eq!(said(&output).lines().count(), 1, "{what}: one line, whatever the tag holds: {}", said(&output));
        assert!(began.elapsed() < Duration::from_secs(30), "{what} took {:?}", began.elapsed());
    }
    host.imds.edit(|instance| instance.tags = None);
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &["shows no tags", "set InstanceMetadataTags=enabled"]);
    assert_eq!((installed(&host), world.aws.requests().count(READ)), (Found::Nothing, 0));

    host.imds.edit(|instance| instance.set_tag(TAG, ENVIRONMENT));
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1", TUNNEL]);
    Ok(())
}

#[tokio::test]
async fn a_metadata_service_that_comes_up_late_is_waited_for() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    let late = world.block.address(99, 80 + 8000);
    host.environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), format!("http://{late}")));
    let told = ["Connection refused", "is this an EC2 instance, with HttpEndpoint=enabled"];
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &told);

    let mut agent = host.start()?;
    let status = wait_told(&mut agent, &told).await?;
    assert_eq!((&status["health"]["state"], &status["instance"]), (&"starting".into(), &().into()));
    let listener = TcpListener::bind(late).await?;
    tokio::spawn(host.imds.clone().serve(listener));
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["trouble"], serde_json::Value::Null, "what was in the way of the boot is over");
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn bootstrap_goes_on_while_the_metadata_service_comes_up() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    let late = world.block.address(99, 80 + 8000);
    host.environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), format!("http://{late}")));
    let serve = async {
        // Long enough that the first tries are refused, however slowly it starts.
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::spawn(host.imds.clone().serve(TcpListener::bind(late).await?));
        anyhow::Ok(())
    };
    let (output, served) = tokio::join!(bootstrap(&host, "60s"), serve);
    served?;
    assert_ended(&output?, 0, &["installed generation 1"]);
    assert_eq!(whole(&host).tunnel, TUNNEL);
    Ok(())
}

#[tokio::test]
async fn a_metadata_service_that_fails_ten_times_and_then_refuses_is_asked_again() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    host.imds.plant(Trouble::Status(500).on("/latest/"));
    let mut agent = host.start()?;
    wait_told(&mut agent, &["HTTP 500", "the agent will ask again"]).await?;
    eventually("ten tries", async || (host.imds.requests().all().len() >= 10).then_some(())).await?;
    host.imds.clear_faults();
    host.imds.plant(Trouble::Denied.on("/latest/"));
    wait_told(&mut agent, &["HTTP 403", "set HttpEndpoint=enabled"]).await?;
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &["HTTP 403", "set HttpEndpoint=enabled"]);
    host.imds.clear_faults();
    host.imds.plant(Trouble::bad_body("<html>hotel wifi</html>").on("/latest/"));
    let told = ["`<html>hotel wifi</html>` is not", "something else answers at that address"];
    wait_told(&mut agent, &told).await?;
    host.imds.clear_faults();
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_boot_that_waits_ends_at_once_when_told_to_stop() -> anyhow::Result<()> {
    for trouble in [Trouble::BlackHole, Trouble::Denied] {
        let (_world, host) = world().await?;
        host.imds.plant(trouble.everywhere());
        let mut agent = host.start()?;
        agent.wait_notice("STATUS=").await?;
        let took = stopped_in(&mut agent, &host).await?;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn ten_errors_of_the_metadata_service_do_not_end_a_bootstrap() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    host.imds.plant(Trouble::Status(503).on("/latest/").times(10));
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    Ok(())
}

#[tokio::test]
async fn a_slow_metadata_service_is_waited_for() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    host.imds.plant(Trouble::delay(Duration::from_millis(700)).everywhere());
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    assert_eq!(host.imds.requests().count(TOKEN), 1);
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn tokens_that_expire_early_are_replaced_once_and_nobody_notices() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    // Credentials that are over at once are fetched again for each read of the secret.
    host.imds.edit(|instance| instance.credentials_valid_for_s = 60);
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let registered = world.edge.now();
    host.imds.requests().forget();
    host.imds.expire_tokens();
    let version = world.aws.put_secret(SECRET, &Payload::default().text());
    agent.wait_status("the new version installed", |status| status["installed"]["version"] == version.as_str()).await?;
    assert_eq!(host.imds.requests().count(TOKEN), 1, "{:?}", host.imds.requests().all());
    assert!(host.imds.requests().count("iam/security-credentials/cflared") > 0);
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn an_installed_bundle_starts_without_its_tag_and_without_aws() -> anyhow::Result<()> {
    let expired = Trouble::error(403, "ExpiredTokenException", "The security token is expired");
    tokio::try_join!(
        starts_all_the_same(
            |_, host| host.imds.plant(Trouble::Status(503).on("/latest/meta-data/tags")),
            ["/latest/meta-data/tags/instance/adv:env", "HTTP 503"],
        ),
        starts_all_the_same(|_, host| host.imds.edit(|instance| instance.tags = None), ["shows no tags", "set Inst"]),
        starts_all_the_same(|_, host| host.imds.edit(|i| i.set_tag(TAG, "../x")), ["`../x` is not", "correct the tag"]),
        starts_all_the_same(
            |world, _| world.aws.plant(Trouble::BlackHole.everywhere()),
            ["no answer in time", "check the route"]
        ),
        starts_all_the_same(
            |world, _| world.aws.plant(expired.clone().everywhere()),
            ["does not accept the role's", "check that"],
        ),
    )
    .map(drop)
}

async fn starts_all_the_same(spoil: impl FnOnce(&World, &Host), told: [&str; 2]) -> anyhow::Result<()> {
    let (world, host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let before = whole(&host);
    spoil(&world, &host);
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let status = wait_told(&mut agent, &told).await?;
    assert_eq!(status["health"]["state"], "registered");
    assert_eq!((&status["installed"]["generation"], &status["connectors"][0]["generation"]), (&1.into(), &1.into()));
    world.aws.clear_faults();
    host.imds.clear_faults();
    host.imds.edit(|instance| instance.set_tag(TAG, ENVIRONMENT));
    agent.wait_status("no trouble left", |status| status["trouble"].is_null()).await?;
    assert!(agent.stop().await?.success());
    assert_eq!(whole(&host), before);
    Ok(())
}

#[tokio::test]
async fn a_tag_that_turns_bad_in_mid_life_costs_nothing_and_another_environment_hands_over() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    let mut agent = host.start()?;
    let status = agent.wait_health("registered").await?;
    let registered = world.edge.now();
    let before = files(&host.config_dir());
    host.imds.edit(|instance| instance.set_tag(TAG, "../x"));
    let told = wait_told(&mut agent, &["`../x` is not an environment", "correct the tag"]).await?;
    assert_eq!(told["health"]["state"], "registered");
    host.imds.edit(|instance| instance.set_tag(TAG, "stg"));
    let told = wait_told(&mut agent, &["/adventive/cloudflared/stg", "create it"]).await?;
    assert_eq!(told["health"]["state"], "registered");
    assert_eq!(told["connectors"][0]["pid"], status["connectors"][0]["pid"]);
    assert_eq!(files(&host.config_dir()), before);

    let version = world.aws.put_secret("/adventive/cloudflared/stg", &Payload::default().text());
    let status = agent
        .wait_status("the other secret serves", |status| status["installed"]["version"] == version.as_str())
        .await?;
    assert_eq!(status["instance"]["environment"], "stg");
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn keys_that_aws_does_not_know_are_told_apart_from_a_missing_permission() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    host.imds.edit(|instance| instance.credentials = Credentials::made_up("stranger"));
    let told = ["does not accept the role's credentials", "check that the role still exists"];
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &told);
    host.imds
        .plant(Trouble::bad_body("{\"Code\": \"Failed\"}").on("/latest/meta-data/iam/security-credentials/cflared"));
    let told = ["failed to read credentials of the role cflared", "check that the role exists"];
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &told);
    Ok(())
}
