//! `report`: one archive of a host in whatever state, complete or absent, and without a secret.

use crate::bad_input::{is_root, said};
use crate::doctor::Patient;
use crate::image::execute;
use crate::support::registered_pid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cflared_agent::checks;
use cflared_tests::documents::{Documents, repository};
use cflared_tests::edge::{Order, Scope};
use cflared_tests::world::{Agent, Clock, Host, TUNNEL, World, eventually, left_out, tunnel_secret};
use hmac::{Hmac, KeyInit, Mac};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A report, unpacked.
struct Unpacked {
    archive: PathBuf,
    files: BTreeMap<String, String>,
    told: String,
}

impl Unpacked {
    fn file(&self, name: &str) -> &str {
        let names: Vec<_> = self.files.keys().collect();
        self.files.get(name).unwrap_or_else(|| panic!("{name} is not among {names:?}"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.file(name)))
    }

    fn page(&self) -> &str {
        self.file("report.html")
    }
}

/// Every file below a directory, by its path there without the archive's own directory.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(directory).unwrap().components().skip(1).collect::<PathBuf>();
                found.insert(name.display().to_string(), String::from_utf8(fs::read(&path).unwrap()).unwrap());
            }
        }
    }
    found
}

/// Runs `report`, and unpacks the archive with another program.
async fn report(host: &Host, arguments: &[&str]) -> anyhow::Result<Unpacked> {
    let out = host.directory().join("out");
    fs::create_dir_all(&out)?;
    let output = host.run([&["report", "--output", out.to_str().unwrap()], arguments].concat()).await?;
    println!("{}", said(&output));
    anyhow::ensure!(output.status.code() == Some(0), "{}", said(&output));
    let archive = only(&out);
    let unpacked = host.directory().join("unpacked");
    let unzip =
        std::process::Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&archive).arg(&unpacked).status()?;
    anyhow::ensure!(unzip.success(), "the archive cannot be read");
    let files = files(&unpacked);
    fs::remove_dir_all(&unpacked)?;
    if let Some(kept) = std::env::var_os("REPORTS") {
        // For whoever wants to look at them.
        fs::create_dir_all(&kept)?;
        fs::copy(&archive, Path::new(&kept).join(format!("{}.zip", host.directory().file_name().unwrap().display())))?;
    }
    let report = Unpacked { told: said(&output), files, archive };
    fs::rename(&report.archive, host.directory().join("last.zip"))?;
    Ok(Unpacked { archive: host.directory().join("last.zip"), ..report })
}

fn only(directory: &Path) -> PathBuf {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 1, "one file and nothing beside it: {names:?}");
    names.remove(0)
}

/// The agent's log so far, as a file.
fn log(host: &Host, agent: &Agent) -> String {
    let path = host.directory().join("agent.log");
    let lines: String = agent.log().into_iter().map(|line| format!("{}\n", line.json)).collect();
    fs::write(&path, lines).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn of_a_host_that_is_well_it_says_so_and_holds_everything() -> anyhow::Result<()> {
    let (patient, agent) = Patient::with_agent().await?;
    let host = &patient.host;
    let found = report(host, &["--log", &log(host, &agent)]).await?;
    assert!(found.told.starts_with("fine: this host fails none of "), "{}", found.told);
    assert_eq!(fs::metadata(&found.archive)?.permissions().mode() & 0o7777, 0o600);
    assert!(fs::metadata(&found.archive)?.len() < 512 * 1024);
    assert_eq!(found.json("doctor.json")["verdict"], "fine");
    assert_eq!(found.json("status.json")["instance"]["id"], host.id.as_str());
    assert_eq!(found.json("state.json")["schema"], 1);
    assert_eq!(found.json("cloudflared-1/ready.json")["readyConnections"], 4);
    assert_eq!(found.json("cloudflared-1/config.json")["version"], -1);
    assert_eq!(found.json("cloudflared-1/diag-tunnel.json")["connections"].as_array().unwrap().len(), 4);
    assert!(found.file("cloudflared-1/metrics.txt").contains("\ncloudflared_tunnel_ha_connections 4\n"));
    assert!(found.file("cloudflared-1/process.txt").contains("\nState:\t"));
    assert!(found.file("settings/agent.yml").contains("poll_interval"));
    assert!(found.file("units.txt").contains("ActiveState=active"));
    assert!(found.file("versions.txt").contains("cflared-agent: "));
    assert!(found.file("decisions.txt").contains("starting → registered"));
    assert!(found.file("log-agent.txt").contains("connector started"));
    assert!(found.file("log-cloudflared.txt").contains("Registered tunnel connection"));
    let page = found.page();
    assert!(page.contains(&format!("<title>Fine: report of {}</title>", host.id)), "{page}");
    // A life, four connections, and the health are drawn.
    assert!(page.contains("class=\"bar life\"") && page.matches("class=\"bar p0\"").count() == 4, "{page}");
    assert!(page.contains("class=\"bar h-registered\""), "{page}");
    Ok(())
}

#[tokio::test]
async fn of_an_outage_it_says_whose_fault_it_is() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.probe_after", "2s");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.outage().await?;
    agent.wait_status("a blame", |status| !status["blame"].is_null()).await?;
    let found = report(&host, &["--log", &log(&host, &agent)]).await?;
    assert!(found.told.starts_with("NOT FINE: edge-tcp: "), "{}", found.told);
    let page = found.page();
    assert!(page.contains("<title>Not fine: report of ") && page.contains("Whose fault"), "{page}");
    assert!(page.contains("class=\"bar h-broken\"") || page.contains("class=\"bar h-remediating\""), "{page}");
    assert!(found.file("cloudflared-1/goroutines.txt").starts_with("goroutine "));
    Ok(())
}

/// Over QUIC the edge does not say why it refuses; the page says whose fault it is all the same.
#[tokio::test]
async fn of_a_refused_secret_it_says_that_it_is_not_this_host() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.condemn_after", "1h");
    world.edge.require_secret(TUNNEL, &tunnel_secret(2));
    let mut agent = host.start()?;
    let blamed = |status: &Value| ["refused", "credentials"].contains(&status["blame"]["blame"].as_str().unwrap_or(""));
    agent.wait_status("a blame", blamed).await?;
    let found = report(&host, &["--log", &log(&host, &agent)]).await?;
    assert!(found.told.starts_with("NOT FINE: "), "{}", found.told);
    let fault = [
        "The tunnel&#39;s credentials, which the edge does not accept",
        "The edge was reached and refuses this tunnel",
    ];
    assert!(fault.iter().any(|words| found.page().contains(words)), "{}", found.page());
    Ok(())
}

/// Has a connector that serves do that, until another child has taken its place; `first` is given the file in which it is to be kept.
/// Gives the process id of the child that hung, too.
async fn hung(order: &Order, first: impl FnOnce(&Path)) -> anyhow::Result<(Host, Agent, World, u32)> {
    let (world, mut host) = World::with_host().await?;
    // A look that a busy machine cuts short would be another hang, and a child that it starts slowly another restart.
    host.set("observe.timeout", "10s");
    host.set("verdict.restart_after", "40s");
    host.set("verdict.condemn_after", "80s");
    let clock = Clock::of(&mut host)?;
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    assert!(!kept(&host).exists(), "all is well");
    first(&kept(&host));
    // The outage that every start is ends after 30 s of good looks.
    clock.set_ahead(Duration::from_secs(31))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.edge.order(&Scope::default(), order);
    agent.wait_health("broken").await?;
    clock.set_ahead(Duration::from_secs(31 + 40))?;
    registered_pid(&mut agent, Some(pid)).await?;
    Ok((host, agent, world, pid))
}

fn kept(host: &Host) -> PathBuf {
    host.runtime_dir().join("hung-connector.txt")
}

#[tokio::test]
async fn of_a_connector_that_hangs_the_goroutines_are_kept_before_it_is_restarted() -> anyhow::Result<()> {
    if left_out("a hung `/ready` in a report", "to hang on order") {
        return Ok(());
    }
    let (host, _agent, _world, pid) = hung(&Order::HangReady, |_| ()).await?;
    assert_eq!(fs::metadata(kept(&host))?.permissions().mode() & 0o7777, 0o600);
    let found = report(&host, &[]).await?;
    let hung = found.file("hung-connector.txt");
    assert!(hung.contains(&format!("pid {pid}, is alive and does not answer")), "{hung}");
    assert!(hung.contains("\ngoroutine 1 [select, 3 minutes]:\n") && hung.contains("\n-- thread "), "{hung}");
    assert!(found.page().contains("last hang"));
    Ok(())
}

/// One that is stopped cannot say where it is; the kernel can.
#[tokio::test]
async fn of_a_connector_that_is_stopped_its_threads_are_kept() -> anyhow::Result<()> {
    let (host, _agent, _world, pid) = hung(&Order::Freeze, |_| ()).await?;
    let hung = fs::read_to_string(kept(&host))?;
    assert!(hung.contains(&format!("pid {pid}, is alive")) && hung.contains("\nState:\tT (stopped)\n"), "{hung}");
    assert!(hung.contains("== goroutines\nnot known: "), "{hung}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_kept_of_a_hang_is_logged_and_stops_no_restart() -> anyhow::Result<()> {
    let in_its_place = |kept: &Path| fs::create_dir_all(kept.join("full")).unwrap();
    let (host, agent, _world, pid) = hung(&Order::Freeze, in_its_place).await?;
    let logged = agent.log().into_iter().find(|line| line.json["fields"]["event"] == "hang_not_kept");
    let fields = logged.expect("it is logged").json["fields"].clone();
    assert_eq!(fields["pid"], pid);
    assert_eq!(fields["path"], kept(&host).display().to_string());
    Ok(())
}

#[tokio::test]
async fn an_agent_that_hangs_or_is_dead_has_its_report_too() -> anyhow::Result<()> {
    let (patient, mut agent) = Patient::with_agent().await?;
    let host = &patient.host;
    agent.signal(Signal::SIGSTOP)?;
    let found = report(host, &[]).await?;
    assert!(found.file("process-agent.txt").contains("\nState:\tT (stopped)\n"));
    assert_eq!(found.json("cloudflared-1/ready.json")["readyConnections"], 4);
    agent.crash().await?;
    let found = report(host, &[]).await?;
    assert!(found.told.contains("agent-alive"), "{}", found.told);
    assert!(found.page().contains("its process is gone"), "{}", found.page());
    assert!(found.file("cloudflared-1/pages.txt").contains("nobody listens on "));
    assert!(found.json("status.json")["journal"].is_array());
    // Nothing was ever here.
    fs::remove_dir_all(host.runtime_dir())?;
    fs::remove_dir_all(host.config_dir())?;
    let found = report(host, &[]).await?;
    assert!(found.file("status.json").starts_with("not in this report: failed to read "));
    assert!(found.page().contains("What could not be had"));
    Ok(())
}

/// Whatever does not answer, the report is there, and says what is missing and why.
#[tokio::test]
async fn what_hangs_is_a_sentence() -> anyhow::Result<()> {
    let (patient, agent) = Patient::with_agent().await?;
    let host = &patient.host;
    for program in ["systemctl", "journalctl"] {
        let path = host.directory().join("bin").join(program);
        // By another process: a copy of our descriptor in another test's child would make the file busy.
        let write =
            "printf '#!/bin/sh\\nexec sleep 1000\\n' > \"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"";
        assert!(std::process::Command::new("sh").args(["-c", write]).arg(&path).status()?.success());
    }
    patient.world.edge.order(&Scope::default(), &Order::Freeze);
    agent.signal(Signal::SIGSTOP)?;
    let found = report(host, &[]).await?;
    for (file, why) in [
        ("units.txt", "failed to ask systemctl: no end within 3s"),
        ("log-agent.txt", "failed to ask journalctl: no end within 6s"),
        ("cloudflared-1/ready.json", "no complete answer within 4s"),
        ("cloudflared-1/goroutines.txt", "no complete answer within 4s"),
    ] {
        let said = found.file(file);
        assert!(said.starts_with("not in this report: ") && said.contains(why), "{file}: {said}");
        assert!(found.page().contains(file), "{file}");
    }
    assert!(found.told.contains(" could not be had: report.html says why"), "{}", found.told);
    Ok(())
}

#[tokio::test]
async fn where_there_is_no_room_nothing_is_left_and_it_says_where_else() -> anyhow::Result<()> {
    let probe =
        std::process::Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output()?;
    if !is_root() || !probe.status.success() {
        println!("left out: no file system can be mounted here");
        return Ok(());
    }
    let (_world, mut host) = World::with_host().await?;
    let at = host.directory().join("small");
    fs::create_dir(&at)?;
    let kept = host.directory().join("kept");
    // What is there once the command has ended, seen from inside.
    let script = format!(
        "mount -t tmpfs -o size=8k none '{at}'; \"$@\"; ended=$?; ls -A '{at}' >'{kept}'; exit $ended",
        at = at.display(),
        kept = kept.display()
    );
    host.launcher = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).into();
    let output = host.run(["report", "--output", at.to_str().unwrap()]).await?;
    let told = said(&output);
    assert_eq!(output.status.code(), Some(75), "{told}");
    assert!(told.contains("No space left on device") && told.contains("--output /run"), "{told}");
    assert!(told.contains("NOT FINE: "), "the verdict is told all the same: {told}");
    assert_eq!(fs::read_to_string(&kept)?, "", "nothing is left");
    Ok(())
}

#[tokio::test]
async fn it_goes_to_standard_output_where_it_is_asked_to() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let Output { stdout, stderr, status } = host.run(["report", "--output", "-"]).await?;
    assert!(status.success() && stdout.starts_with(b"PK\x03\x04"));
    assert!(String::from_utf8(stderr)?.contains("cflared-agent: written: "));
    Ok(())
}

// ---- the bucket

/// What was put, as S3 would see it: the path, the headers by their names in lower case, and the body.
type Put = (String, BTreeMap<String, String>, Vec<u8>);

/// Takes one object.
async fn bucket(listener: TcpListener) -> anyhow::Result<Put> {
    let (mut stream, _) = listener.accept().await?;
    let (mut bytes, mut head) = (vec![], None);
    loop {
        let mut piece = [0; 65_536];
        let read = stream.read(&mut piece).await?;
        anyhow::ensure!(read > 0, "the request is cut");
        bytes.extend_from_slice(&piece[..read]);
        head = head.or_else(|| bytes.windows(4).position(|four| four == b"\r\n\r\n"));
        let Some(end) = head else { continue };
        let text = String::from_utf8(bytes[..end].to_vec())?;
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<_, _> = lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let length: usize = headers["content-length"].parse()?;
        if bytes.len() == end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            let first = text.lines().next().unwrap_or_default();
            anyhow::ensure!(first.starts_with("PUT "), "{first}");
            return Ok((first.split(' ').nth(1).unwrap_or_default().into(), headers, bytes[end + 4..].to_vec()));
        }
    }
}

/// The signature that S3 wants (version 4), made apart from the document's.
fn signature((path, headers, body): &Put, secret: &str, region: &str) -> String {
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let names = ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
    let lines: String = names.iter().map(|name| format!("{name}:{}\n", headers[*name])).collect();
    let canonical = format!("PUT\n{path}\n\n{lines}\n{}\n{}", names.join(";"), digest(body));
    let (time, day) = (&headers["x-amz-date"], &headers["x-amz-date"][..8]);
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", digest(canonical.as_bytes()));
    let key = [day, region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    hex::encode(mac(&key, &text))
}

/// The document `adv-cflared-report` of `packaging/aws`, executed as the SSM agent does.
#[tokio::test]
async fn the_document_puts_it_into_the_bucket_where_the_policy_allows_it() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let text = fs::read_to_string(repository().join("packaging/aws/ssm/report.yml"))?;
    let document: serde_yaml::Value = serde_yaml::from_str(&text)?;
    let commands = document["mainSteps"][0]["inputs"]["runCommand"].as_sequence().unwrap();
    let lines: Vec<_> = commands.iter().filter_map(|command| command.as_str()).collect();
    let script = lines.join("\n").replace("{{ Bucket }}", "adventive-platform-artifacts").replace("{{ Region }}", "");
    let listener = TcpListener::bind(world.block.address(240, 9000)).await?;
    let exports = format!(
        "export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://{} AWS_ENDPOINT_URL_S3=http://{} AWS_ENDPOINT_URL=http://{}\n",
        host.imds_address(),
        listener.local_addr()?,
        world.aws_address()
    );
    let commands = format!("{exports}{script}");
    let putting = tokio::spawn(bucket(listener));
    let output = execute(&host, &commands).await?;
    let told = said(&output);
    // Without a success there is nothing to wait for.
    assert!(output.status.success(), "{told}");
    let put = putting.await??;
    let (path, headers, body) = &put;
    let place = format!("/adventive-platform-artifacts/cflared/reports/dev/{}/cflared-report-", host.id);
    assert!(path.starts_with(&place) && path.ends_with(".zip"), "{path}");
    assert!(told.contains(&format!("s3:/{path}\n")), "{told}");
    assert!(body.starts_with(b"PK\x03\x04"));
    let instance = host.imds.instance();
    let keys = instance.credentials;
    assert_eq!(headers["x-amz-security-token"], keys.session_token.unwrap_or_default());
    let right = signature(&put, &keys.secret_access_key, &instance.region);
    assert!(headers["authorization"].ends_with(&format!("Signature={right}")), "{}", headers["authorization"]);
    // Where the policy lets the role put it, and nowhere else.
    let policy = Documents::render_for("dev")?.json("iam/report")?;
    let allowed = policy["Statement"][0]["Resource"].as_str().unwrap().trim_end_matches('*').to_owned();
    assert!(format!("arn:aws:s3:::{}", &path[1..]).starts_with(&allowed), "{allowed}");
    let written = told.lines().find_map(|line| line.strip_prefix("written: ")?.split(' ').next()).unwrap_or_default();
    assert!(written.ends_with(".zip") && !Path::new(written).exists(), "it is left on the host: {written}");
    Ok(())
}

// ---- secrets

/// A secret that is planted: its whole text, and what must not be found of it.
#[derive(Debug)]
struct Planted {
    what: String,
    text: String,
    secret: String,
}

/// Letters and digits without an order, the same in every run.
fn noise(seed: usize, length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ALPHABET[(state >> 33) as usize % ALPHABET.len()]
    };
    (0..length).map(|_| char::from(next())).collect()
}

/// One of every form that `validate` knows, and of every name and place that makes a value secret.
fn secrets() -> Vec<Planted> {
    let mut all = vec![];
    for (number, (what, needle)) in checks::credential_forms().enumerate() {
        let value = noise(number + 1, 90);
        let key_id =
            noise(number + 1, 40).to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "")[..16].to_owned();
        let pem = needle.replace("BEGIN", "END");
        let forms = [
            (format!("{needle}{key_id}"), format!("{needle}{key_id}")),
            (format!("{needle}={value}"), value.clone()),
            (format!("{needle}\n{value}\n{pem}"), value.clone()),
            (format!("{needle}{value}"), value.clone()),
        ];
        let known = |(text, _): &&(String, String)| !checks::credentials(text.as_bytes()).unwrap().is_empty();
        let wanted = match needle {
            needle if needle.starts_with("-----") => forms.get(2),
            needle if needle.len() == 4 && needle.chars().all(|c| c.is_ascii_uppercase()) => forms.first(),
            _ => [&forms[1], &forms[3]].into_iter().find(known),
        };
        let (text, secret) = wanted.filter(known).unwrap_or_else(|| panic!("no form of {needle} is known")).clone();
        all.push(Planted { what: format!("{what} ({needle})"), text, secret });
    }
    let value = |number: usize| noise(1000 + number, 24);
    let short = |number: usize| noise(2000 + number, 12);
    for (number, text) in [
        "{\"password\": \"VALUE\"}",
        "DB_PASSWORD=VALUE",
        "Authorization: Bearer VALUE",
        "postgres://user:VALUE@db.internal:5432/x",
        "{\\\"TunnelSecret\\\": \\\"VALUE\\\"}",
        "api_key='VALUE'",
    ]
    .into_iter()
    .enumerate()
    {
        all.push(Planted { what: text.into(), text: text.replace("VALUE", &short(number)), secret: short(number) });
    }
    // Without a name: only their look tells.
    all.push(Planted { what: "a bare key".into(), text: value(1), secret: value(1) });
    let jwt = format!("eyJhbGciOiJSUzI1NiJ9.{}-{}.{}", noise(3001, 30), noise(3002, 30), noise(3003, 40));
    all.push(Planted { what: "a JWT".into(), secret: noise(3002, 30), text: jwt });
    let credentials = json!({"AccountTag": noise(4, 32), "TunnelSecret": STANDARD.encode(noise(5, 32))});
    all.push(Planted {
        what: "encoded credentials".into(),
        text: STANDARD.encode(credentials.to_string()),
        secret: STANDARD.encode(credentials.to_string()),
    });
    all
}

/// A metrics server whose every page is that text.
async fn serve(host: &Host, text: String) -> anyhow::Result<()> {
    let listener = TcpListener::bind(host.metrics[0]).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // Whoever asked may go away.
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(())
}

#[tokio::test]
async fn no_secret_of_any_kind_is_in_it_wherever_it_was() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    // An agent that was here, and left its files.
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    agent.crash().await?;
    eventually("its processes to be gone", async || host.processes().ok()?.is_empty().then_some(())).await?;

    let planted = secrets();
    let texts: Vec<&str> = planted.iter().map(|one| &*one.text).collect();
    let all = texts.join("\n");
    let in_json = Value::String(all.clone()).to_string();
    // Pages, hang and image.
    serve(&host, format!("cloudflared_up 1\n{all}\n{in_json}\n")).await?;
    fs::write(host.runtime_dir().join("hung-connector.txt"), format!("then\n{all}\n"))?;
    fs::write(host.directory().join("image.json"), json!({"image": all}).to_string())?;
    // Status and state: each of its texts.
    let path = host.runtime_dir().join("status.json");
    let mut status: Value = serde_json::from_slice(&fs::read(&path)?)?;
    status["health"]["why"] = all.as_str().into();
    status["trouble"] = all.as_str().into();
    status["blame"] = json!({"blame": "config", "confidence": "certain", "evidence": all});
    status["connectors"][0]["last_exit"] = all.as_str().into();
    let entries = texts.iter().map(|text| {
        json!({"at": "2026-11-27T14:00:00.000Z", "kind": "action", "what": text, "evidence": text, "blame": null})
    });
    status["journal"] = entries.collect();
    fs::write(&path, status.to_string())?;
    let path = host.runtime_dir().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path)?)?;
    state["carried"]["planted"] = all.as_str().into();
    fs::write(&path, state.to_string())?;
    // Settings, and a drop-in.
    let comment = |text: &str| text.lines().map(|line| format!("# {line}\n")).collect::<String>();
    fs::create_dir_all(host.directory().join("agent.d"))?;
    fs::write(host.directory().join("agent.d/50-planted.yml"), comment(&all))?;
    // Journal, units, environment.
    let bin = host.directory().join("bin");
    fs::create_dir(&bin)?;
    let entries = texts.iter().enumerate().map(|(number, text)| {
        json!({"__REALTIME_TIMESTAMP": format!("{}", 1_795_788_645_000_000u64 + number as u64), "PRIORITY": "6", "MESSAGE": text,
            "CFLARED_EVENT": "connector_exited", "CFLARED_RUN": "1", "CFLARED_HOW": text, "CFLARED_PID": text})
        .to_string()
    });
    fs::write(bin.join("entries"), entries.collect::<Vec<_>>().join("\n"))?;
    let line = all.replace('\n', " ");
    fs::write(bin.join("properties"), format!("ActiveState=active\nEnvironment=A={line}\nStatusText={line}\n"))?;
    for (program, file) in [("journalctl", "entries"), ("systemctl", "properties")] {
        let write = "printf '#!/bin/sh\\nexec cat %s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let wrote =
            std::process::Command::new("sh").args(["-c", write]).arg(bin.join(program)).arg(bin.join(file)).status()?;
        assert!(wrote.success());
    }
    host.environment.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
    for (number, one) in planted.iter().enumerate() {
        host.environment.push((format!("PLANTED_{number}"), one.text.clone()));
    }

    let found = report(&host, &[]).await?;
    let archive = fs::read(&found.archive)?;
    for (name, text) in
        found.files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).chain([("zip", &*archive)])
    {
        for Planted { what, secret, .. } in &planted {
            // Not in part either.
            for stretch in secret.as_bytes().windows(9) {
                let at = text.windows(9).position(|window| window == stretch);
                let around =
                    at.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(80)..(at + 80).min(text.len())]));
                assert!(at.is_none(), "{what} is in {name}: …{}…", around.unwrap_or_default());
            }
        }
    }
    // It is still what it was.
    for name in ["status.json", "state.json", "doctor.json"] {
        assert!(found.json(name).is_object(), "{name}");
    }
    assert!(found.page().contains("class=\"decisions\"") && found.page().contains("Whose fault"));
    // The tunnel's own secret, too, and nothing was left out to get there.
    let tunnel = tunnel_secret(1);
    assert!(found.files.values().all(|text| !text.contains(&tunnel)));
    for name in [
        "status.json",
        "state.json",
        "settings/50-planted.yml",
        "log-agent.txt",
        "log-cloudflared.txt",
        "units.txt",
        "hung-connector.txt",
        "versions.txt",
        "cloudflared-1/metrics.txt",
        "cloudflared-1/config.json",
        "cloudflared-1/goroutines.txt",
    ] {
        let struck = found.file(name).matches("[struck out]").count();
        assert!(struck >= planted.len() / 2, "{name}: {struck} struck out: {}", found.file(name));
    }
    Ok(())
}
