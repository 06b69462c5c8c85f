//! What cloudflared accepts, we accept: thousands of configs, held against `ingress validate` of the real program.
//!
//! Its answers are recorded in `ingress_validate.txt` beside this file, one digit a config. With `CLOUDFLARED` naming a real
//! one (`make real`), it is asked again, and must answer as recorded; `RECORD=write` writes the file anew.

use super::{SECRET, TUNNEL, credentials, payload};
use crate::{Bundle, Policy};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testing::fake::Dir;

const SCHEMES: [&str; 14] =
    ["tcp", "TCP", "http", "HtTp", "https", "wss", "ssh", "vnc", "redis", "ftp", "git+ssh", "a.b", "1x", ""];
const HOSTS: [&str; 22] = [
    "db",
    "DB.Internal",
    "web.1",
    "my_db",
    "10.0.0.5",
    "127.0.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "[::1]",
    "[fd00::1%25eth0]",
    "[fe80::1%25eth0]",
    "[web]",
    "[::1",
    "",
    "a b",
    "bücher.example",
    "a%20b",
    "user@db",
    "user:word@db",
    "*",
    "-db-",
    "a..b",
];
const PORTS: [&str; 6] = ["", ":3306", ":", ":0", ":99999", ":port"];
const ENDS: [&str; 4] = ["", "/", "?a=b", "#c"];

/// Words, and what is no URL.
const SERVICES: [&str; 24] = [
    "bastion",
    "socks-proxy",
    "hello_world",
    "hello-world",
    "helloworld",
    "http_status:404",
    "http_status:99",
    "http_status:999",
    "http_status:",
    "http_status: 404",
    "unix:/run/x.sock",
    "unix:",
    "unix+tls:/x",
    "UNIX:/x",
    "db",
    "db:3306",
    "//db",
    "tcp:db",
    "tcp:/db",
    "tcp:///db",
    "404",
    "true",
    "null",
    "~",
];

/// Rules and documents in forms that people write; `T` stands for the tunnel.
const CONFIGS: [&str; 40] = [
    "ingress:\n  - service: http_status:404\n",
    "ingress:\n  - hostname: a.b\n    service: tcp://x:1\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: '*.a.b', service: 'tcp://x:1'}\n  - {hostname: '*', service: 'http_status:404'}\n",
    "ingress:\n  - {hostname: 'a.*.b', service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: 'a.b:80', service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: bücher.example, service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: 7, service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: true, service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: a, path: 7, service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: a, path: '^/x(', service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: a, path: '(?i)\\.(png|jpg)$', service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - {hostname: [a], service: 'tcp://x:1'}\n  - service: http_status:404\n",
    "ingress:\n  - service: http_status:404\n  - {hostname: a, service: 'tcp://x:1'}\n",
    "ingress:\n  - {hostname: a, service: 'tcp://x:1'}\n",
    "ingress: []\n",
    "ingress:\n",
    "ingress: {service: 'http_status:404'}\n",
    "ingress:\n  - http_status:404\n",
    "ingress:\n  - {originRequest: {bastionMode: true}}\n",
    "ingress:\n  - {originRequest: {bastionMode: yes}}\n",
    "ingress:\n  - {service: 'tcp://x:1', originRequest: {bastionMode: maybe}}\n",
    "originRequest: {bastionMode: true}\ningress:\n  - service: http_status:404\n",
    "ingress:\n  - {service: 'tcp://x:1', originRequest: {proxyType: socks}}\n",
    "ingress:\n  - {service: 'http://x', originRequest: {connectTimeout: 3s, noTLSVerify: true, httpHostHeader: a, caPool: /x}}\n",
    "ingress:\n  - {service: 'http://x', originRequest: {connectTimeout: 3}}\n",
    "ingress:\n  - {service: 'http://x', originRequest: {access: {required: true, teamName: a, audTag: [b]}}}\n",
    "ingress:\n  - {service: 'http://x', originRequest: {access: {required: true, audTag: [b]}}}\n",
    "ingress:\n  - service: http_status:404\n...\n",
    "ingress:\n  - service: http_status:404\n---\nmore: x\n",
    "ingress:\n  - service: http_status:404\n---\n[\n",
    "unknown-key: x\ningress:\n  - service: http_status:404\n",
    "8080: x\ningress:\n  - service: http_status:404\n",
    "ingress: &rules\n  - service: http_status:404\nmore: *rules\n",
    "ingress:\n  - &a {hostname: a, service: 'tcp://x:1'}\n  - {<<: *a, hostname: b}\n  - service: http_status:404\n",
    "ingress:\n  - {service: !!str 'http_status:404'}\n",
    "ingress:\n  - {service: !!binary aHR0cF9zdGF0dXM6NDA0}\n",
    "ingress:\n  - {service: a, service: 'http_status:404'}\n",
    "loglevel: warn\nprotocol: h3\ntag: a=b\nwarp-routing: {connectTimeout: 3s}\ningress:\n  - service: http_status:404\n",
    "metrics: 127.0.0.1:1\nno-autoupdate: true\nretries: 9\ningress:\n  - service: http_status:404\n",
    "\tingress:\n  - service: http_status:404\n",
];

/// Rules that we keep and cloudflared does not: each does harm that it does not look for.
const KEPT: [&str; 4] = [
    // Opens the host: its metadata service, the agent's ports, an open proxy.
    "target_forbidden",
    // Other credentials, files, another edge, or a key that nobody knows the effect of.
    "key_not_allowed",
    // What was checked would not be what is used.
    "config_tag",
    // A password that reaches a log.
    "service_user_info",
];

pub(super) fn corpus() -> Vec<String> {
    let with_tunnel = |text: &str| format!("tunnel: {TUNNEL}\n{text}");
    let mut services: Vec<String> = SERVICES.map(str::to_owned).into();
    for (number, scheme) in SCHEMES.iter().enumerate() {
        for host in HOSTS {
            for (place, port) in PORTS.iter().enumerate() {
                // Each end with each scheme and port; all of them with all hosts would be four times as many.
                for end in ENDS.iter().skip((number + place + host.len()) % 2).step_by(2) {
                    services.push(format!("{scheme}://{host}{port}{end}"));
                }
            }
        }
    }
    let rule = |service: &String| {
        with_tunnel(&format!("ingress:\n  - hostname: a\n    service: '{service}'\n  - service: http_status:404\n"))
    };
    CONFIGS.iter().map(|text| with_tunnel(text)).chain(services.iter().map(rule)).collect()
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/ingress_validate.txt")
}

/// Whether each config is accepted, by what was recorded: the lines after the version, one digit a config.
fn recorded() -> Vec<bool> {
    let text = fs::read_to_string(recording()).expect("the answers are recorded");
    text.lines().skip(1).flat_map(str::chars).map(|digit| digit == '1').collect()
}

fn ask(program: &Path, configs: &[String]) -> Vec<bool> {
    let dir = Dir::new();
    let accepts = |config: &String| {
        let path = dir.join("config.yml");
        fs::write(&path, config).expect("a file is written");
        let mut command = Command::new(program);
        command.args(["tunnel", "--config"]).arg(path).args(["ingress", "validate"]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("cloudflared is executed").success()
    };
    configs.iter().map(accepts).collect()
}

fn version(program: &Path) -> String {
    let printed = Command::new(program).arg("--version").output().expect("cloudflared is executed");
    String::from_utf8_lossy(&printed.stdout).trim().to_owned()
}

#[test]
fn what_cloudflared_accepts_is_accepted_but_for_what_harms() {
    let configs = corpus();
    if let Some(program) = env::var_os("CLOUDFLARED").filter(|program| !program.is_empty()).map(PathBuf::from) {
        let answers = ask(&program, &configs);
        if env::var("RECORD").is_ok_and(|record| record == "write") {
            let digits: String = answers.iter().map(|accepted| if *accepted { '1' } else { '0' }).collect();
            let lines = digits.as_bytes().chunks(100).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
            fs::write(recording(), format!("{}\n{}", version(&program), lines.collect::<String>()))
                .expect("it is written");
        }
        let changed: Vec<_> =
            configs.iter().zip(answers.iter().zip(recorded())).filter(|(_, (now, then))| *now != then).collect();
        assert!(changed.is_empty(), "{} answers differently than recorded: {changed:#?}", version(&program));
    }
    let answers = recorded();
    assert_eq!(answers.len(), configs.len(), "the corpus has changed: record it again with a real cloudflared");
    let policy = Policy { config_dir: "/etc/cloudflared".into(), own_ports: [2000].into(), ..Policy::default() };
    let mut disagree = vec![];
    let (mut accepted, mut kept) = (0, 0);
    for (config, _) in configs.iter().zip(&answers).filter(|(_, accepts)| **accepts) {
        match Bundle::check(payload("v1", config, &credentials(TUNNEL, SECRET)), &policy) {
            Ok(_) => accepted += 1,
            Err(broken) if KEPT.contains(&broken.rule()) => kept += 1,
            Err(broken) => disagree.push(format!("{config}{broken}")),
        }
    }
    println!("{} configs: it accepts {}, of which we refuse {kept} by our own rules", configs.len(), accepted + kept);
    assert!(disagree.is_empty(), "{} disagreements:\n{}", disagree.len(), disagree.join("\n"));
    assert!(accepted > 500 && kept > 50, "{accepted} accepted and {kept} kept prove little");
}
