//! The payload: every rule of a bundle, at first boot and over a bundle that serves.

use crate::bad_input::{assert_ended, bootstrap, fifth, installed, said, wait_told, whole};
use bundle::Found;
use cflared_tests::world::{Host, Payload, SECRET, TUNNEL, World, tunnel_secret};
use std::fs;

const OTHER: &str = "00000000-1111-4222-8333-444444444444";

/// A payload that must be refused, and what is said of it: the cause, and the next step.
struct Bad {
    what: &'static str,
    payload: Payload,
    told: [&'static str; 2],
}

fn bad(what: &'static str, told: [&'static str; 2], spoil: impl FnOnce(&mut Payload)) -> Bad {
    let mut payload = Payload::numbered(2);
    spoil(&mut payload);
    Bad { what, payload, told }
}

fn config(what: &'static str, told: [&'static str; 2], from: &str, to: &str) -> Bad {
    bad(what, told, |payload| {
        assert!(payload.config.contains(from), "{what}");
        payload.config = payload.config.replace(from, to);
    })
}

fn credentials(what: &'static str, told: [&'static str; 2], key: &str, value: &str) -> Bad {
    bad(what, told, |payload| {
        let mut credentials: serde_json::Value = serde_json::from_str(&payload.credentials).unwrap();
        credentials[key] = value.into();
        payload.credentials = credentials.to_string();
    })
}

fn bad_payloads() -> Vec<Bad> {
    let unchanged = "store the file that `cloudflared tunnel create` wrote, unchanged";
    let brackets = "[".repeat(60_000);
    vec![
        config(
            "ids that differ",
            ["config_yaml is for tunnel 00000000", "store the two parts of one tunnel"],
            TUNNEL,
            OTHER,
        ),
        config(
            "a tunnel's name",
            ["`tunnel:` in config_yaml is not a UUID", "write `tunnel: 6ff42ae2"],
            TUNNEL,
            "my-tunnel",
        ),
        config("no tunnel", ["config_yaml has no `tunnel:`", "add `tunnel: 6ff42ae2"], "tunnel: ", "# "),
        config("no catch-all", ["so it is not a catch-all", "add a last rule"], "  - service: http_status:404\n", ""),
        config("tabs", ["indented with a tab at line 4", "indent with spaces"], "  - hostname", "\t- hostname"),
        config(
            "a bad service",
            ["the service of ingress rule 1", "correct it"],
            "tcp://127.0.0.1:3306",
            "tcp//127.0.0.1",
        ),
        config(
            "other credentials",
            ["`credentials-file` in config_yaml is not", "remove the key"],
            "ingress:",
            "credentials-file: /tmp/x.json\ningress:",
        ),
        bad("an alias bomb", ["too large once its aliases", "write fewer aliases"], |payload| payload.config = bomb()),
        bad("brackets in the config", ["nested deeper than", "remove the nesting"], |payload| {
            payload.config = brackets.clone()
        }),
        bad("brackets in the credentials", ["it is not a JSON object", unchanged], |payload| {
            payload.credentials = brackets.clone()
        }),
        bad("credentials in base64", ["it is not JSON", unchanged], |payload| payload.credentials = tunnel_secret(2)),
        credentials(
            "a secret that is not base64",
            ["TunnelSecret in credentials_json is not standard base64", unchanged],
            "TunnelSecret",
            "?secret?",
        ),
        credentials("a short secret", ["decodes to 3 bytes", "store the whole file"], "TunnelSecret", "AAAA"),
        credentials(
            "an id that is none",
            ["TunnelID in credentials_json is not a UUID", unchanged],
            "TunnelID",
            &TUNNEL[1..],
        ),
    ]
}

/// Nine levels of ten: a billion nodes from a few hundred bytes.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 lol\n");
    for level in 1..=9 {
        let names = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{names}]\n");
    }
    text + &Payload::numbered(2).config
}

async fn world() -> anyhow::Result<(World, Host)> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "1s");
    Ok((world, host))
}

fn assert_quiet(text: &str) {
    for secret in [&tunnel_secret(1)[..8], &tunnel_secret(2)[..8], "?secret?"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// How many generations there are on the disk.
fn generations(host: &Host) -> usize {
    fs::read_dir(host.config_dir().join("generations")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn bootstrap_refuses_each_at_once_and_installs_nothing() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    for Bad { what, payload, told } in bad_payloads() {
        let version = world.aws.put_secret(SECRET, &payload.text());
        world.aws.requests().forget();
        let output = bootstrap(&host, "60s").await?;
        assert_ended(&output, 78, &[told[0], told[1], "failed to use the secret", SECRET, &version]);
        assert_quiet(&said(&output));
        assert_eq!(world.aws.requests().count("GetSecretValue"), 1, "{what}");
        assert_eq!((installed(&host), generations(&host)), (Found::Nothing, 0), "{what}");
    }
    world.aws.put_secret(SECRET, &Payload::default().text());
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    Ok(())
}

#[tokio::test]
async fn bootstrap_keeps_what_is_installed_when_the_new_version_is_bad() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let before = whole(&host);
    for Bad { payload, told, .. } in bad_payloads().into_iter().take(4) {
        world.aws.put_secret(SECRET, &payload.text());
        assert_ended(&bootstrap(&host, "60s").await?, 78, &told);
        assert_eq!((whole(&host), generations(&host)), (before.clone(), 1));
    }
    Ok(())
}

#[tokio::test]
async fn run_says_what_is_wrong_at_first_boot_and_takes_up_the_repair() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    host.set("verdict.startup_grace", "1s");
    let mut bad = bad_payloads().into_iter();
    world.aws.put_secret(SECRET, &bad.next().unwrap().payload.text());
    let mut agent = host.start()?;
    // Given its time, the start is over all the same: systemd must not restart what waits for a person.
    agent.wait_notice("READY=1").await?;
    agent.wait_health("held").await?;
    for Bad { what, payload, told } in bad.take(2) {
        let version = world.aws.put_secret(SECRET, &payload.text());
        let told = [told[0], told[1], &version];
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(what))?;
        assert_eq!((&status["connectors"], generations(&host)), (&serde_json::json!([]), 0), "{what}");
    }
    world.aws.put_secret(SECRET, &Payload::default().text());
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["trouble"], serde_json::Value::Null);
    assert_eq!(world.aws.marks().len(), 0, "a bad payload is nobody's fault that a replacement would mend");
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn over_a_good_bundle_each_is_refused_and_the_good_one_serves_on() -> anyhow::Result<()> {
    let over = |number| over_a_good_bundle(fifth(bad_payloads(), number));
    tokio::try_join!(over(0), over(1), over(2), over(3), over(4)).map(drop)
}

async fn over_a_good_bundle(bad: impl Iterator<Item = Bad>) -> anyhow::Result<()> {
    let (world, host) = world().await?;
    let mut agent = host.start()?;
    let before = agent.wait_health("registered").await?;
    let (registered, good) = (world.edge.now(), whole(&host));
    for Bad { what, payload, told } in bad {
        let version = world.aws.put_secret(SECRET, &payload.text());
        let told = [told[0], told[1], &version];
        let status = wait_told(&mut agent, &told).await.map_err(|error| error.context(what))?;
        assert_eq!(status["health"]["state"], "registered", "{what}");
        assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"], "{what}");
        assert_eq!((whole(&host), generations(&host)), (good.clone(), 1), "{what}");
    }
    assert_quiet(&agent.log_text());

    // Going back to what runs is no hand-over.
    assert!(world.aws.make_current(SECRET, &good.version.0));
    let status = agent.wait_status("no trouble left", |status| status["trouble"].is_null()).await?;
    assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"]);
    assert_eq!(generations(&host), 1);

    let repaired = world.aws.put_secret(SECRET, &Payload::default().text());
    let status = agent.wait_status("the repair", |status| status["installed"]["version"] == repaired.as_str()).await?;
    assert_eq!((&status["trouble"], &status["installed"]["generation"]), (&().into(), &2.into()));
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}
