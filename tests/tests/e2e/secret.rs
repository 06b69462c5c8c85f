//! The secret: not readable, not there, or not a payload. Each is repaired live.

use crate::bad_input::{assert_ended, bootstrap, files, installed, said, wait_told, whole};
use cflared_agent::bundle::Found;
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Host, Payload, TUNNEL, World, tunnel_secret};

const NAME: &str = "/made-up/dev";
const READ: &str = "GetSecretValue";

type Make = Box<dyn Fn(&World, &Host) -> Option<String>>;

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
    make: impl Fn(&World, &Host) -> Option<String> + 'static,
) -> Case {
    Case { what, make: Box::new(make), passes, told: told.to_vec() }
}

fn text(what: &'static str, told: &[&'static str], text: String) -> Case {
    let told: Vec<_> = told.iter().copied().chain([NAME, "store a corrected version"]).collect();
    case(what, false, &told, move |world, _| Some(world.aws.put_secret(NAME, &text)))
}

fn cases() -> Vec<Case> {
    let good = Payload::default();
    let only = |key: &str, value: &str| serde_json::json!({ key: value }).to_string();
    let both = |config: serde_json::Value| {
        serde_json::json!({ "config_yaml": config, "credentials_json": good.credentials }).to_string()
    };
    vec![
        case("no role", true, &["the instance has no role", "attach an instance profile"], |_, host| {
            host.imds.edit(|instance| instance.role = None);
            None
        }),
        case(
            "no permission",
            true,
            &["access denied", "the role needs secretsmanager:GetSecretValue on", NAME],
            |w, _| {
                w.aws.plant(Trouble::Denied.on(READ));
                None
            },
        ),
        case("throttled", true, &["Rate exceeded", "it is tried again", NAME], |world, _| {
            world.aws.plant(Trouble::Throttled.on(READ));
            None
        }),
        case("scheduled for deletion", true, &["scheduled for deletion", "restore it", NAME], |world, _| {
            assert!(world.aws.delete_secret(NAME));
            None
        }),
        case("binary", false, &["is binary (SecretBinary)", "store the payload as text", NAME], |world, _| {
            Some(world.aws.put_binary_secret(NAME, Payload::default().text().as_bytes()))
        }),
        case("too long", false, &["has 65537 bytes, more than 65536", NAME], |world, _| {
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
fn mend(world: &World, host: &Host) {
    world.aws.clear_faults();
    world.aws.restore_secret(NAME);
    host.imds.edit(|instance| instance.role = Some("cflared".into()));
}

/// No message may quote the payload.
fn assert_quiet(text: &str) {
    assert!(!text.contains(&tunnel_secret(1)[..8]), "{text}");
}

#[tokio::test]
async fn run_says_what_is_wrong_with_the_secret_and_takes_up_the_repair() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    // Credentials that are over at once are fetched again for each read, so that a role may go and come.
    host.imds.edit(|instance| instance.credentials_valid_for_s = 60);
    let mut cases = cases().into_iter();
    let no_role = cases.next().unwrap();
    (no_role.make)(&world, &host);
    let mut agent = host.start()?;
    wait_told(&mut agent, &no_role.told).await?;
    mend(&world, &host);
    wait_told(&mut agent, &["there is none of that name", NAME, "us-east-1", "create it"]).await?;
    world.aws.put_secret(NAME, "{}");
    for case in cases {
        mend(&world, &host);
        let version = (case.make)(&world, &host);
        let told: Vec<&str> = case.told.iter().copied().chain(version.as_deref()).collect();
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(case.what))?;
        assert_eq!(status["installed"], serde_json::Value::Null);
        assert_quiet(&status.to_string());
    }
    assert_eq!(installed(&host), Found::Nothing);
    world.aws.put_secret(NAME, &padded(65_536));
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["trouble"], serde_json::Value::Null);
    assert_quiet(&agent.log_text());
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn bad_secrets_after_a_good_one_cost_nothing() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    world.aws.put_secret(NAME, &Payload::default().text());
    let mut agent = host.start()?;
    let before = agent.wait_health("registered").await?;
    let (registered, on_disk) = (world.edge.now(), files(&host.config_dir()));
    // Without a role the agent goes on with the credentials that it has.
    for case in cases().into_iter().skip(1) {
        mend(&world, &host);
        let version = (case.make)(&world, &host);
        let told: Vec<&str> = case.told.iter().copied().chain(version.as_deref()).collect();
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(case.what))?;
        assert_eq!(status["health"]["state"], "registered", "{}", case.what);
        assert_eq!(status["installed"], before["installed"], "{}", case.what);
        assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"], "{}", case.what);
    }
    assert_eq!(files(&host.config_dir()), on_disk, "nothing was touched");

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
    assert_ended(&bootstrap(&host, "300ms").await?, 75, &["there is none of that name", NAME, "create it"]);
    world.aws.put_secret(NAME, "{}");
    for case in cases() {
        mend(&world, &host);
        (case.make)(&world, &host);
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
