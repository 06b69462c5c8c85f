//! Starts that fail, or are odd: held against `recorded/more/` and `recorded/starts/`.

use crate::FAST;
use crate::recording::{Line, assert_same, parse, until_the_signal};
use crate::world::{Running, TUNNEL, World, recorded};
use cflared_tests::edge::Conduct;
use std::process::ExitStatus;

fn recording(name: &str) -> Vec<Line> {
    parse(&recorded(&format!("{name}.log")), "/etc/cloudflared")
}

/// How a start is asked for.
#[derive(Default)]
struct Start<'a> {
    /// Instead of `config.yml` as it is.
    config: Option<String>,
    /// Instead of the credentials as they are.
    credentials: Option<&'a str>,
    flags: &'a [&'a str],
}

impl Start<'_> {
    async fn ends(&self, world: &World) -> (ExitStatus, String) {
        if let Some(config) = &self.config {
            world.write("config.yml", &config.replace("DIRECTORY", world.directory.to_str().unwrap()));
        }
        if let Some(credentials) = self.credentials {
            world.write(&format!("{TUNNEL}.json"), credentials);
        }
        let mut command = world.command("config.yml", FAST);
        command.args(self.flags).arg("run");
        Running::spawn(command).ends().await
    }

    /// It exits with 1 and says the same.
    async fn fails_as(&self, name: &str, world: &World) {
        self.fails_with(1, name, world).await;
    }

    async fn fails_with(&self, code: i32, name: &str, world: &World) {
        let (status, log) = self.ends(world).await;
        assert_eq!(status.code(), Some(code), "{name}: {log}");
        same_start(&recording(name), &world.parse(&log), name);
        assert_eq!(world.edge.events().len(), 0, "{name}: the edge was not reached");
    }
}

/// The same lines, the settings apart, which differ in what was convenient to record.
fn same_start(recorded: &[Line], ours: &[Line], name: &str) {
    let comparable = |lines: &[Line]| {
        let kept = lines.iter().filter(|line| !line.text("message").starts_with("Settings: "));
        let files = |line: &Line| {
            let mut line = line.clone();
            for value in line.0.values_mut() {
                if let serde_json::Value::String(text) = value {
                    *text = text.replace(&format!("{TUNNEL}.json"), "cred.json").replace("<uuid>.json", "cred.json");
                }
            }
            line
        };
        kept.map(files).collect::<Vec<_>>()
    };
    println!("{name}");
    assert_same(&comparable(recorded), &comparable(ours), false);
}

fn config(world: &World, rest: &str) -> String {
    let credentials = world.directory.join(format!("{TUNNEL}.json"));
    format!("tunnel: {TUNNEL}\ncredentials-file: {}\n{rest}", credentials.display())
}

#[tokio::test]
async fn settings_that_cannot_be() {
    let world = World::new().await;
    for (name, flags) in [
        ("starts/bind_word", vec!["--edge-bind-address", "egress"]),
        ("starts/grace_long", vec!["--grace-period", "5m"]),
        ("more/bad_protocol", vec!["--protocol", "h3"]),
    ] {
        let recording = recorded(&format!("{name}.log"));
        println!("{name}: {}", recording.lines().next_back().unwrap_or_default());
        let (status, log) = Start { flags: &flags, ..Start::default() }.ends(&world).await;
        assert_eq!(status.code(), Some(1), "{name}");
        let (ours, theirs) = (log.lines().next_back().unwrap(), recording.lines().next_back().unwrap());
        assert_eq!(shape(ours), shape(theirs), "{name}");
        assert_eq!(
            world.parse(&log).len(),
            crate::recording::parse(&recording, "/etc/cloudflared").len(),
            "{name}: {log}"
        );
    }
}

/// Words without the value that they are about.
fn shape(words: &str) -> String {
    words.rsplit_once(": ").map_or(words, |(shape, _)| shape).to_owned()
}

#[tokio::test]
async fn a_protocol_that_is_none() {
    let world = World::over("h3").await;
    Start::default().fails_as("more/bad_protocol", &world).await;
}

#[tokio::test]
async fn rules_that_cannot_be() {
    let world = World::new().await;
    let rules = |rules: &str| Start { config: Some(config(&world, &format!("ingress:\n{rules}"))), ..Start::default() };
    let catch_all = "  - service: http_status:404\n";
    let hostname = format!("  - hostname: \"a.*.example.dev\"\n    service: http://127.0.0.1:1\n{catch_all}");
    rules(&hostname).fails_as("more/cfg_bad_hostname", &world).await;
    let regex = format!("  - hostname: a.example.dev\n    path: \"*\"\n    service: http://127.0.0.1:1\n{catch_all}");
    rules(&regex).fails_as("more/cfg_bad_regex", &world).await;
    let pool = format!(
        "  - hostname: a.example.dev\n    service: https://127.0.0.1:1\n    originRequest:\n      caPool: /nonexistent.pem\n{catch_all}"
    );
    rules(&pool).fails_as("more/cfg_ca_pool", &world).await;
}

#[tokio::test]
async fn files_that_cannot_be() {
    let world = World::new().await;
    // Where the command line lacks something, the status is another.
    Start { config: Some(String::new()), ..Start::default() }.fails_with(255, "more/cfg_empty", &world).await;
    let head = config(&world, "ingress:\n  - service: http_status:404\n");
    let secret = "{\"AccountTag\":\"a\",\"TunnelSecret\":\"!\",\"TunnelID\":\"6ff42ae2-765d-4adf-8112-31c55c1551ef\"}";
    let start = Start { config: Some(head), credentials: Some(secret), ..Start::default() };
    start.fails_as("more/cred_secret_not_base64", &world).await;
    std::fs::remove_file(world.directory.join(format!("{TUNNEL}.json"))).unwrap();
    std::fs::create_dir(world.directory.join(format!("{TUNNEL}.json"))).unwrap();
    Start::default().fails_as("more/cred_dir", &world).await;
}

#[tokio::test]
async fn an_origin_request_of_the_wrong_type() {
    let world = World::new().await;
    let rules = "ingress:\n  - hostname: a.example.dev\n    service: http://127.0.0.1:1\n    originRequest:\n      connectTimeout: many\n  - service: http_status:404\n";
    let (status, log) = Start { config: Some(config(&world, rules)), ..Start::default() }.ends(&world).await;
    assert_eq!(status.code(), Some(1));
    let line = |text: &str| text.replace(['1', '2', '3', '4', '5', '6', '7', '8', '9'], "n");
    let theirs = recorded("more/cfg_bad_origin_request.log");
    let ours = log.replace(world.directory.to_str().unwrap(), "/etc/cloudflared");
    assert_eq!(line(ours.trim_end()), line(theirs.trim_end()));
}

#[tokio::test]
async fn no_rules_at_all_and_a_socket_of_this_host() {
    for (name, rules) in [
        ("more/cfg_no_ingress", ""),
        (
            "more/cfg_unix",
            "ingress:\n  - hostname: web.example.dev\n    service: unix:/nonexistent.sock\n  - service: http_status:404\n",
        ),
    ] {
        let world = World::new().await;
        world.write("config.yml", &config(&world, rules));
        let mut running = world.run(FAST);
        world.connections(4).await;
        running.says(|log| log.matches("Registered tunnel connection").count() == 4).await;
        let log = world.parse(&running.kill().await);
        // No client asked for it here.
        let recording =
            until_the_signal(recording(name)).into_iter().filter(|line| !line.0.contains_key("ingressRule"));
        let recording: Vec<_> =
            recording.filter(|line| line.text("message") != "failed to serve incoming request").collect();
        same_start(&recording, &log, name);
    }
}

/// Roots that do not fit, over each transport: it tries for ever.
#[tokio::test]
async fn an_edge_that_nobody_signs_for() {
    for (protocol, name) in [("http2", "more/wrong_ca_http2"), ("quic", "more/wrong_ca_quic")] {
        let world = World::over(protocol).await;
        let other = World::new().await;
        let foreign = foreign_authority(&other);
        let mut running = world.run_with("config.yml", FAST, &["--cacert", &foreign]);
        let recording = until_the_signal(recording(name));
        let tries = recording.iter().filter(|line| line.text("message").starts_with("Retrying")).count();
        running.says(|log| log.matches("Retrying connection").count() >= tries).await;
        assert!(running.runs());
        assert_same(&recording, &world.parse(&running.kill().await), true);
    }
}

fn foreign_authority(world: &World) -> String {
    let foreign = rcgen::generate_simple_self_signed(vec!["elsewhere.example".into()]).unwrap();
    world.write("foreign.pem", &foreign.cert.pem()).to_str().unwrap().to_owned()
}

/// Its own checks, which say the same whatever it is told to do.
#[tokio::test]
async fn the_checks_beside_the_start() {
    for (name, protocol, conduct) in
        [("more/prechecks_ok", "http2", Conduct::Accept), ("more/prechecks_blocked", "http2", Conduct::Refuse)]
    {
        let world = World::over(protocol).await;
        world.edge.set(conduct).await.unwrap();
        let mut running = world.run_with("config.yml", FAST, &["--no-prechecks=false"]);
        running.says(|log| log.contains("precheck complete")).await;
        let log = world.parse(&running.kill().await);
        let checks = |lines: Vec<Line>| {
            let checks = lines.into_iter().filter(|line| {
                let message = line.text("message");
                message.starts_with("precheck")
                    || message.starts_with('|') && !message.contains("COMPONENT") && !message.contains("<address>")
            });
            let words = |mut line: Line| {
                line.0.remove("target");
                let words = line.text("message").trim_matches(['|', ' ']).to_owned();
                line.0.insert("message".into(), words.into());
                line
            };
            checks.map(words).collect::<Vec<_>>()
        };
        println!("{name}");
        assert_same(&checks(recording(name)), &checks(log), false);
    }
}
