//! The secret: not readable, not there, or not a payload. Each is repaired live.

use crate::bad_input::{assert_ended, bootstrap, fifth, files, installed, said, wait_told, whole};
use bundle::Found;
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Host, Payload, TUNNEL, World, tunnel_secret};

const NAME: &str = "/made-up/dev";
const READ: &str = "GetSecretValue";

type Make = Box<dyn Fn(&World) -> Option<String>>;

/// Something that is wrong with the secret.
struct Case {
    what: &'static str,
    /// Makes it so, after all else has been mended. Returns the bad version, if it is one.
    make: Make,
    /// Whether a wait may mend it.
    passes: bool,
    /// The cause, and the next step.
    told: Vec<&'static str>,
}

fn case(
    what: &'static str,
    passes: bool,
    told: &[&'static str],
    make: impl Fn(&World) -> Option<String> + 'static,
) -> Case {
    Case { what, make: Box::new(make), passes, told: told.to_vec() }
}

fn text(what: &'static str, told: &[&'static str], text: String) -> Case {
    let told: Vec<_> = told.iter().copied().chain([NAME, "store a corrected version"]).collect();
    case(what, false, &told, move |world| Some(world.aws.put_secret(NAME, &text)))
}

fn cases() -> Vec<Case> {
    let good = Payload::default();
    let only = |key: &str, value: &str| serde_json::json!({ key: value }).to_string();
    let both = |config: serde_json::Value| {
        serde_json::json!({ "config_yaml": config, "credentials_json": good.credentials }).to_string()
    };
    vec![
        case("no permission", true, &["access denied", "the role needs secretsmanager:GetSecretValue on", NAME], |w| {
            w.aws.plant(Trouble::Denied.on(READ));
            None
        }),
        case("throttled", true, &["Rate exceeded", "the agent will try again", NAME], |world| {
            world.aws.plant(Trouble::Throttled.on(READ));
            None
        }),
        case("scheduled for deletion", true, &["scheduled for deletion", "restore it", NAME], |world| {
            assert!(world.aws.delete_secret(NAME));
            None
        }),
        case("binary", false, &["is binary (SecretBinary)", "store the payload as text", NAME], |world| {
            Some(world.aws.put_binary_secret(NAME, Payload::default().text().as_bytes()))
        }),
        case("too long", false, &["has 65537 bytes, more than 65536", NAME], |world| {
            Some(world.aws.put_secret(NAME, &padded(65_537)))
        }),
        text("not JSON", &["it is not JSON: line 1, column"], good.config.clone()),
        text("cut short", &["it is not JSON: line 1, column"], good.text()[..200].into()),
        text("brackets", &["it is not a JSON object"], "[".repeat(60_000)),
        text("a list", &["it is not a JSON object"], format!("[{}]", good.text())),
        text("no config", &["its key `config_yaml` is missing"], only("credentials_json", &good.credentials)),
        text("no credentials", &["its key `credentials_json` is missing"], only("config_yaml", &good.config)),
        text("an object as config", &["its key `config_yaml` holds an object, not text"], both(serde_json::json!({}))),
        text("null as config", &["its key `config_yaml` holds null, not text"], both(serde_json::Value::Null)),
        text("an empty config", &["its key `config_yaml` is empty"], both(" \n".into())),
    ]
}

/// A good payload of exactly so many bytes.
fn padded(length: usize) -> String {
    let mut payload = Payload::default();
    payload.config += "# ";
    let missing = length - payload.text().len();
    payload.config += &"x".repeat(missing);
    assert_eq!(payload.text().len(), length);
    payload.text()
}

/// A host whose secret is not there yet.
async fn world() -> anyhow::Result<(World, Host)> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.name", "/made-up/{env}");
    host.set("secret.poll_interval", "1s");
    Ok((world, host))
}

/// Everything but the secret's value is as it should be again.
fn mend(world: &World) {
    world.aws.clear_faults();
    world.aws.restore_secret(NAME);
}

/// No message may quote the payload.
fn assert_quiet(text: &str) {
    assert!(!text.contains(&tunnel_secret(1)[..8]), "{text}");
}

#[tokio::test]
async fn run_says_what_is_wrong_with_the_secret_and_takes_up_the_repair() -> anyhow::Result<()> {
    let from_nothing = |number| from_nothing(fifth(cases(), number));
    tokio::try_join!(from_nothing(0), from_nothing(1), from_nothing(2), from_nothing(3), from_nothing(4)).map(drop)
}

async fn from_nothing(cases: impl Iterator<Item = Case>) -> anyhow::Result<()> {
    let (world, host) = world().await?;
    let mut agent = host.start()?;
    wait_told(&mut agent, &["no secret of that name", NAME, "us-east-1", "create it"]).await?;
    world.aws.put_secret(NAME, "{}");
    for case in cases {
        mend(&world);
        let version = (case.make)(&world);
        let told: Vec<&str> = case.told.iter().copied().chain(version.as_deref()).collect();
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(case.what))?;
        assert_eq!(status["installed"], serde_json::Value::Null);
        assert_quiet(&status.to_string());
    }
    assert_eq!(installed(&host), Found::Nothing);
    mend(&world);
    world.aws.put_secret(NAME, &padded(65_536));
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["trouble"], serde_json::Value::Null);
    assert_quiet(&agent.log_text());
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_role_is_waited_for_and_later_kept() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    world.aws.put_secret(NAME, &Payload::default().text());
    let role = |role: Option<&str>| host.imds.edit(|instance| instance.role = role.map(String::from));
    let told = ["the instance has no role", "attach an instance profile"];
    role(None);
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &told);
    let mut agent = host.start()?;
    wait_told(&mut agent, &told).await?;
    role(Some("cflared"));
    agent.wait_health("registered").await?;
    // Its credentials are good for hours yet, so a role that goes away is not missed.
    role(None);
    let version = world.aws.put_secret(NAME, &Payload::default().text());
    agent.wait_status("the new version", |status| status["installed"]["version"] == version.as_str()).await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn bad_secrets_after_a_good_one_cost_nothing() -> anyhow::Result<()> {
    let after = |number| after_a_good_one(fifth(cases(), number));
    tokio::try_join!(after(0), after(1), after(2), after(3), after(4)).map(drop)
}

async fn after_a_good_one(cases: impl Iterator<Item = Case>) -> anyhow::Result<()> {
    let (world, host) = world().await?;
    world.aws.put_secret(NAME, &Payload::default().text());
    let mut agent = host.start()?;
    let before = agent.wait_health("registered").await?;
    let (registered, on_disk) = (world.edge.now(), files(&host.config_dir()));
    for case in cases {
        mend(&world);
        let version = (case.make)(&world);
        let told: Vec<&str> = case.told.iter().copied().chain(version.as_deref()).collect();
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(case.what))?;
        assert_eq!(status["health"]["state"], "registered", "{}", case.what);
        assert_eq!(status["installed"], before["installed"], "{}", case.what);
        assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"], "{}", case.what);
    }
    assert_eq!(files(&host.config_dir()), on_disk, "nothing was touched");

    mend(&world);
    let version = world.aws.put_secret(NAME, &padded(65_536));
    let status = agent.wait_status("the repair", |status| status["installed"]["version"] == version.as_str()).await?;
    assert_eq!(status["trouble"], serde_json::Value::Null);
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn bootstrap_gives_up_at_once_only_on_what_a_wait_does_not_mend() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &["no secret of that name", NAME, "create it"]);
    world.aws.put_secret(NAME, "{}");
    for case in cases() {
        mend(&world);
        (case.make)(&world);
        let (timeout, exit) = if case.passes { ("300ms", 75) } else { ("60s", 78) };
        world.aws.requests().forget();
        let output = bootstrap(&host, timeout).await?;
        assert_ended(&output, exit, &case.told);
        assert_quiet(&said(&output));
        if !case.passes {
            assert_eq!(world.aws.requests().count(READ), 1, "{}", case.what);
        }
    }
    assert_eq!(installed(&host), Found::Nothing);
    world.aws.put_secret(NAME, &padded(65_536));
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    assert_eq!(whole(&host).tunnel, TUNNEL);
    Ok(())
}
