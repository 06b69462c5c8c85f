//! What the tunnel never serves: the credentials of the instance's role, in no spelling and behind no name.

use cflared_tests::edge::{Carry, Route};
use cflared_tests::world::{Agent, Host, Payload, SECRET, TUNNEL, World, eventually};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// What a visitor asks the metadata service for, and the agent never does.
const ASKED: &str = "/latest/meta-data/iam/asked-by-a-visitor";
const HELLO: &str = "hello from the origin";
/// The name in the rules.
const NAME: &str = "origin.example.test";
/// Ports of the metadata service in a world, and of the origins here.
const PORT: u16 = 8080;

/// Payload number `n`, whose rules lead there.
fn leading_to(n: u8, services: &[(&str, &str)]) -> String {
    let mut payload = Payload::numbered(n);
    let rules: String = services
        .iter()
        .map(|(hostname, service)| format!("  - hostname: {hostname}\n    service: \"{service}\"\n"))
        .collect();
    payload.config = format!("tunnel: {TUNNEL}\ningress:\n{rules}  - service: http_status:404\n");
    payload.text()
}

async fn clients(world: &World, at: u8, hostname: &str, carry: Carry) -> anyhow::Result<SocketAddr> {
    let route = Route { tunnel: Some(TUNNEL.into()), hostname: Some(hostname.into()), carry };
    Ok(world.edge.listen_clients(world.block.address(at, 80), route).await?)
}

/// All that comes back to a visitor.
async fn ask(at: SocketAddr, hostname: &str) -> String {
    let mut heard = vec![];
    if let Ok(mut client) = TcpStream::connect(at).await {
        let request = format!("GET {ASKED} HTTP/1.1\r\nHost: {hostname}\r\nConnection: close\r\n\r\n");
        // Who is hung up on has heard what came until then.
        let _ = client.write_all(request.as_bytes()).await;
        let _ = client.read_to_end(&mut heard).await;
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn served(host: &Host) -> Vec<String> {
    let all = host.imds.requests().all().into_iter().map(|request| request.what);
    all.filter(|what| what.contains(ASKED)).collect()
}

/// Where the metadata service of the world is, and the real one's addresses.
fn spellings(metadata: SocketAddr) -> Vec<String> {
    let SocketAddr::V4(at) = metadata else { unreachable!("the worlds are of IPv4") };
    let [a, b, c, d] = at.ip().octets();
    let (number, port) = (u32::from(*at.ip()), at.port());
    let real = [
        "http://169.254.169.254",
        "HTTP://169.254.169.254:80",
        "tcp://169.254.169.254:80",
        "redis://169.254.169.254:80",
        "http://169.254.169.254.",
        "http://0xa9fea9fe",
        "http://2852039166",
        "http://0251.0376.0251.0376",
        "http://169.254.43518",
        "http://[::ffff:169.254.169.254]",
        "http://[fd00:ec2::254]",
        "http://[fe80::a9fe:a9fe%25eth0]:80",
        "http://[::ffff:0:169.254.169.254]",
        "http://[64:ff9b:1::a9fe:a9fe]",
        "http://[2001:db8::5efe:169.254.169.254]",
        "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④",
        "http://１６９.２５４.１６９.２５４",
        "http://169。254。169。254",
        "http://%EF%BC%91%EF%BC%96%EF%BC%99.254.169.254",
    ];
    let here = [
        format!("http://{at}"),
        format!("TCP://{at}"),
        format!("http://0x{number:x}:{port}"),
        format!("http://{number}:{port}"),
        format!("http://0{a:o}.0{b:o}.0{c:o}.0{d:o}:{port}"),
        format!("http://{a}.{}:{port}", number & 0xff_ffff),
        format!("http://[::ffff:{}]:{port}", at.ip()),
        format!("http://[::ffff:{:x}:{:x}]:{port}", number >> 16, number & 0xffff),
        format!("tcp://{}.:{port}", at.ip()),
        format!("http://[64:ff9b::{}]:{port}", at.ip()),
        format!("http://{}:{port}", wide(&at.ip().to_string())),
    ];
    real.map(String::from).into_iter().chain(here).collect()
}

/// The same in full-width digits, which a client of HTTP takes for ours.
fn wide(text: &str) -> String {
    let wide = |c: char| c.to_digit(10).and_then(|digit| char::from_u32(0xff10 + digit)).unwrap_or(c);
    text.chars().map(wide).collect()
}

#[tokio::test]
async fn the_credentials_of_the_role_are_served_in_no_spelling() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "1h");
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let metadata = world.block.address(101, PORT);
    let all = spellings(metadata);
    assert!(all.len() >= 20);
    let visitors = [
        (clients(&world, 210, "creds.example.dev", Carry::Http).await?, "creds.example.dev"),
        (clients(&world, 211, "creds.example.dev", Carry::Tcp).await?, "creds.example.dev"),
    ];
    for service in all {
        let version = world.aws.put_secret(SECRET, &leading_to(1, &[("creds.example.dev", &service)]));
        let reloaded = host.run(["reload"]).await?;
        assert!(!reloaded.status.success(), "{service} is taken");
        let status = agent.wait_status("a refusal", |status| status["refusing"] == version.as_str()).await?;
        let why = status["trouble"].as_str().unwrap_or_default();
        assert!(why.contains("link-local") && !why.contains(&service), "{service}: {why}");
        for (at, hostname) in visitors {
            let heard = ask(at, hostname).await;
            assert!(!heard.contains(" 200 ") && !heard.contains(" 401 "), "{service}: {heard}");
        }
    }
    assert_eq!(served(&host), Vec::<String>::new());
    agent.wait_health("registered").await?;
    anyhow::ensure!(agent.stop().await?.success());
    Ok(())
}

/// An origin, which keeps no connection.
async fn origin(at: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hello(stream));
        }
    });
    Ok(())
}

async fn hello(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.read(&mut [0; 4096]).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{HELLO}", HELLO.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The agent and all that it starts find the name in a file of their own; writing it anew changes it for all of them.
fn with_names(host: &mut Host) -> anyhow::Result<impl Fn(SocketAddr) -> anyhow::Result<()> + use<>> {
    let file = host.directory().join("hosts");
    fs::write(&file, "127.0.0.1 localhost\n")?;
    let unshare = if fs::metadata("/proc/self")?.uid() == 0 { "--mount" } else { "--mount --map-root-user" };
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", file.display());
    let words = ["unshare"].into_iter().chain(unshare.split(' ')).chain(["sh", "-c", &mount, "sh"]);
    host.launcher = words.map(String::from).collect();
    Ok(move |to: SocketAddr| Ok(fs::write(&file, format!("127.0.0.1 localhost\n{} {NAME}\n", to.ip()))?))
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_serves_no_credentials() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let point_at = with_names(&mut host)?;
    // The hand-over is not to fail for want of a core.
    host.set("handover.register_timeout", "50s");
    let (good, metadata) = (world.block.address(60, PORT), world.block.address(101, PORT));
    origin(good).await?;
    point_at(good)?;
    let rules =
        [("app.example.dev", &*format!("http://{NAME}:{PORT}")), ("raw.example.dev", &*format!("tcp://{NAME}:{PORT}"))];
    world.aws.put_secret(SECRET, &leading_to(1, &rules));
    let visitors = [
        (clients(&world, 210, "app.example.dev", Carry::Http).await?, "app.example.dev"),
        (clients(&world, 211, "raw.example.dev", Carry::Tcp).await?, "raw.example.dev"),
    ];
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    for (at, hostname) in visitors {
        eventually("the origin", async || ask(at, hostname).await.contains(HELLO).then_some(())).await?;
    }

    point_at(metadata)?;
    for (at, hostname) in visitors {
        // The program may remember the old address for a while (5 s; Go's resolver).
        eventually("the visitor to be turned away", async || {
            let heard = ask(at, hostname).await;
            assert!(heard.contains(HELLO) || !heard.contains(" 200 ") && !heard.contains(" 401 "), "{heard}");
            (!heard.contains(HELLO)).then_some(())
        })
        .await?;
    }
    let line = agent.wait_log("connection_forbidden").await?;
    assert!(line.json.to_string().contains(&metadata.to_string()), "{}", line.json);
    assert_eq!(served(&host), Vec::<String>::new());
    agent.wait_health("registered").await?;

    told_at_probe_and_hand_over(&world, &host, &mut agent, &rules).await?;
    assert_eq!(served(&host), Vec::<String>::new());

    point_at(good)?;
    for (at, hostname) in visitors {
        eventually("the origin again", async || ask(at, hostname).await.contains(HELLO).then_some(())).await?;
    }
    anyhow::ensure!(agent.stop().await?.success());
    Ok(())
}

async fn told_at_probe_and_hand_over(
    world: &World,
    host: &Host,
    agent: &mut Agent,
    rules: &[(&str, &str)],
) -> anyhow::Result<()> {
    let doctor = host.run(["doctor"]).await?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("link-local"), "{said}");

    assert!(host.run(["reload"]).await?.status.success(), "a new connector of the same version, fenced as well");
    agent.wait_log("name_forbidden").await?;

    let version = world.aws.put_secret(SECRET, &leading_to(1, &[rules[0], ("new.example.dev", "http://127.0.0.1:9")]));
    assert!(!host.run(["reload"]).await?.status.success());
    let status = agent.wait_status("a refusal", |status| status["refusing"] == version.as_str()).await?;
    assert!(status["trouble"].as_str().is_some_and(|why| why.contains("resolves to")), "{}", status["trouble"]);
    Ok(())
}

#[tokio::test]
async fn a_socket_that_becomes_the_agents_own_serves_nothing() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let (named, good) = (host.directory().join("app.sock"), host.directory().join("good.sock"));
    let control = host.runtime_dir().join("control.sock");
    let listener = UnixListener::bind(&good)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hello(stream));
        }
    });
    symlink(&good, &named)?;
    let rules = [("app.example.dev", &*format!("unix:{}", named.display()))];
    world.aws.put_secret(SECRET, &leading_to(1, &rules));
    let at = clients(&world, 210, "app.example.dev", Carry::Http).await?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    eventually("the origin", async || ask(at, "app.example.dev").await.contains(HELLO).then_some(())).await?;

    let lead_to = |to: &std::path::Path| {
        let next = named.with_extension("next");
        symlink(to, &next)?;
        fs::rename(next, &named)
    };
    lead_to(&control)?;
    // A connection that was kept goes to the origin that it was opened to.
    eventually("the visitor to be turned away", async || {
        (!ask(at, "app.example.dev").await.contains(HELLO)).then_some(())
    })
    .await?;
    let line = agent.wait_log("connection_forbidden").await?;
    assert!(line.json.to_string().contains("app.sock"), "{}", line.json);
    agent.wait_health("registered").await?;
    let version = world.aws.put_secret(SECRET, &leading_to(1, &[rules[0], ("new.example.dev", "http://127.0.0.1:9")]));
    assert!(!host.run(["reload"]).await?.status.success());
    let status = agent.wait_status("a refusal", |status| status["refusing"] == version.as_str()).await?;
    assert!(status["trouble"].as_str().is_some_and(|why| why.contains("socket")), "{}", status["trouble"]);

    lead_to(&good)?;
    eventually("the origin again", async || ask(at, "app.example.dev").await.contains(HELLO).then_some(())).await?;
    anyhow::ensure!(agent.stop().await?.success());
    Ok(())
}
