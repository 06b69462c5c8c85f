use super::*;
use bundle::{Choices, Rule, Service};
use cflared_verdict::Reach;
use evidence::{LONGEST, Try, best, printable};
use testing::{Directory, Full, Refusing, ended};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener};

fn edges(arguments: &[&str]) -> Edges {
    edges_of(arguments, &Choices::default())
}

fn edges_of(arguments: &[&str], file: &Choices) -> Edges {
    Edges::of(&arguments.iter().copied().map(String::from).collect::<Vec<_>>(), file)
}

#[test]
fn the_edges_place_is_read_from_the_arguments_as_cloudflared_does() {
    let named = |edges: &[&str]| Place::Named(edges.iter().copied().map(String::from).collect());
    let nowhere = Place::Discovered { region: None };
    for (arguments, expected) in [
        (&[][..], nowhere.clone()),
        (&["--protocol", "http2", "--edge-bind-address", "10.0.0.1"], nowhere.clone()),
        (&["--edge", "1.2.3.4:7844"], named(&["1.2.3.4:7844"])),
        (&["--edge=a:1,b:2", "--no-prechecks", "-edge", "c:3"], named(&["a:1", "b:2", "c:3"])),
        (&["--region", "us", "--loglevel=debug"], Place::Discovered { region: Some("us".into()) }),
        (&["--region=us", "--edge", "a:1"], named(&["a:1"])),
        (&["--edge"], nowhere.clone()),
        (&["--edge", "", "--region="], nowhere),
    ] {
        assert_eq!(edges(arguments).place, expected, "{arguments:?}");
    }
    let many = "a:1,".repeat(1000);
    assert!(matches!(edges(&["--edge", &many]).place, Place::Named(edges) if edges.len() == 8));
}

/// What a bundle says, of which only some keys are there.
fn file(keys: &[(&str, &str)], endpoint: &str) -> Choices {
    let yaml: Vec<_> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    Choices::read(&yaml.join("\n"), &format!(r#"{{"TunnelSecret":"x"{endpoint}}}"#))
}

#[test]
fn config_credentials_and_arguments_choose_alike_and_the_arguments_win() {
    let region = |edges: Edges| match edges.place {
        Place::Discovered { region } => region,
        Place::Named(_) => panic!("named"),
    };
    let us = file(&[("region", "us")], "");
    let fed = file(&[], r#","Endpoint":"fed""#);
    assert_eq!(region(edges_of(&[], &us)).as_deref(), Some("us"));
    assert_eq!(region(edges_of(&[], &fed)).as_deref(), Some("fed"));
    assert_eq!(region(edges_of(&["--region", "eu"], &us)).as_deref(), Some("eu"));
    assert_eq!(region(edges_of(&[], &file(&[("region", "\"\"")], r#","endpoint":"fed""#))).as_deref(), Some("fed"));
    assert_eq!(region(edges_of(&[], &file(&[], r#","Endpoint":"""#))), None);

    let protocol = |arguments: &[&str], key: &str| edges_of(arguments, &file(&[("protocol", key)], "")).protocol;
    assert_eq!(protocol(&[], "http2"), Protocol::Http2);
    assert_eq!(protocol(&[], "quic"), Protocol::Quic);
    assert_eq!(protocol(&["-p", "quic"], "http2"), Protocol::Quic);
    assert_eq!(protocol(&["--protocol=auto"], "http2"), Protocol::Auto);
    assert_eq!(protocol(&["--protocol", "http2"], "quic"), Protocol::Http2);
    assert_eq!(edges(&[]).protocol, Protocol::Auto);

    let edge = edges_of(&[], &file(&[("edge", "[\"1.2.3.4:7844\"]")], ""));
    assert_eq!(edge.place, Place::Named(vec!["1.2.3.4:7844".into()]));

    let family = |arguments: &[&str], keys: &[(&str, &str)]| {
        let edges = edges_of(arguments, &file(keys, ""));
        (edges.family, edges.source.map(|source| source.to_string()))
    };
    assert_eq!(family(&[], &[]), (Family::Both, None));
    assert_eq!(family(&[], &[("edge-ip-version", "\"6\"")]), (Family::V6, None));
    assert_eq!(family(&["--edge-ip-version", "4"], &[("edge-ip-version", "\"6\"")]), (Family::V4, None));
    assert_eq!(family(&["--edge-ip-version", "auto"], &[("edge-ip-version", "\"6\"")]), (Family::Both, None));
    // Its own address says which family, whatever the other flag says.
    let v4 = ("edge-bind-address", "10.0.0.1");
    assert_eq!(family(&["--edge-ip-version=6"], &[v4]), (Family::V4, Some("10.0.0.1".into())));
    assert_eq!(family(&["--edge-bind-address", "fd00::1"], &[v4]), (Family::V6, Some("fd00::1".into())));
    assert_eq!(family(&["--edge", "a:1", "--edge-ip-version", "6"], &[]), (Family::Both, None));
}

#[test]
fn a_host_of_one_network_says_nothing_of_the_other() {
    let edges: Vec<SocketAddr> = vec!["198.41.192.7:7844".parse().unwrap(), "[2606:4700:a0::1]:7844".parse().unwrap()];
    let no_way = Try::error(&std::io::Error::from_raw_os_error(nix::libc::ENETUNREACH));
    let of = |v4: &Try, v6: &Try| best(&edges, vec![v4.clone(), v6.clone()]);
    let dropped = of(&Try::silent("no answer"), &no_way);
    assert_eq!(dropped.probe.evidence, "198.41.192.7:7844: no answer");
    assert_eq!((dropped.probe.reach, dropped.obstacle), (Reach::Silent, Some(Obstacle::Dropped)));
    let answered = of(&no_way, &Try::answered("TLS answered"));
    assert_eq!(answered.probe.evidence, "[2606:4700:a0::1]:7844: TLS answered");
    let neither = of(&no_way, &no_way);
    assert_eq!((neither.probe.reach, neither.obstacle), (Reach::Failed, Some(Obstacle::NoRoute)));
    assert!(neither.probe.evidence.contains("198.41.192.7:7844, [2606:4700:a0::1]:7844: network is unreachable"));
}

#[test]
fn what_is_in_the_way_is_told_by_what_comes_back() {
    use nix::libc::{EACCES, EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, EPERM, ETIMEDOUT};
    for (errno, obstacle) in [
        (ETIMEDOUT, Obstacle::Dropped),
        (ECONNREFUSED, Obstacle::Refused),
        (ECONNRESET, Obstacle::Refused),
        (ENETUNREACH, Obstacle::NoRoute),
        (EHOSTUNREACH, Obstacle::NoRoute),
        (EPERM, Obstacle::Forbidden),
        (EACCES, Obstacle::Forbidden),
        (EADDRNOTAVAIL, Obstacle::ForeignSource),
    ] {
        let error = std::io::Error::from_raw_os_error(errno);
        assert_eq!(Try::error(&error).obstacle, Some(obstacle), "{error}");
    }
}

#[test]
fn evidence_is_short_and_cannot_move_a_cursor() {
    assert_eq!(printable("Host 'x' is blocked"), "Host 'x' is blocked");
    assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d\0"), "a?[31mb?c?d?");
    assert_eq!(printable("Слишком много"), "Слишком много");
    let long = printable(&"é".repeat(LONGEST + 1));
    assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST, true));
    assert_eq!(printable(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
}

#[test]
fn the_best_of_many_tries_counts_and_is_told_first() {
    let edges: Vec<SocketAddr> = (1..=4).map(|host| SocketAddr::from(([127, 0, 0, host], 7844))).collect();
    let tries = [Try::silent("s"), Try::failed("f"), Try::silent("s"), Try::answered("a")];
    let of = |tries: &[Try]| best(&edges, tries.to_vec());
    let all = of(&tries);
    assert_eq!((all.probe.reach, all.obstacle), (Reach::Answered, None));
    assert_eq!(all.probe.evidence, "127.0.0.4:7844: a; 127.0.0.2:7844: f; 127.0.0.1:7844, 127.0.0.3:7844: s");
    assert_eq!(of(&tries[..3]).probe.reach, Reach::Failed);
    assert_eq!(of(&tries[..1]).probe.reach, Reach::Silent);
    assert_eq!(of(&[]).probe.reach, Reach::Untried);
}

/// What a server does with each client, after it has said something.
#[derive(Clone, Copy)]
enum Then {
    Wait,
    Close,
    Reset,
    Flood,
}

async fn server(says: &'static [u8], then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(says).await.unwrap();
            match then {
                Then::Wait => open.push(stream),
                Then::Close => {}
                Then::Reset => stream.set_zero_linger().unwrap(),
                // It ends when the other side has heard enough.
                Then::Flood => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
            }
        }
    });
    address.to_string()
}

async fn origins(services: &[String]) -> Vec<(Reach, String)> {
    let resolver = Resolver::with_name_servers(vec!["127.0.0.1:9".parse().unwrap()]);
    let services = services.iter().map(|service| Service::parse(service).unwrap()).collect();
    let probes = Prober::new(&resolver, edges(&[])).origins(services, Streams::Try).await;
    probes.into_iter().map(|one| (one.probe.reach, one.probe.evidence)).collect()
}

#[tokio::test]
async fn whatever_an_origin_says_it_is_there() {
    let cases = [
        (b"".as_slice(), Then::Wait, "connected"),
        (b"", Then::Close, "connected, then closed at once"),
        (b"SSH-2.0-x\r\n", Then::Wait, "connected; the server speaks first, but is not MySQL"),
        (b"", Then::Flood, "connected; the server speaks first, but is not MySQL"),
        (b"\x30\0\0\0\x0a8.4", Then::Wait, "connected; the server speaks first, but is not MySQL"),
        (b"\x30\0\0\0\x0a8.4.2\0more", Then::Wait, "connected; MySQL 8.4.2"),
        (b"\x30\0\0\0\x0a8.4.2\0more", Then::Flood, "connected; MySQL 8.4.2"),
        (
            b"\x17\0\0\0\xff\x10\x04Too many connections",
            Then::Close,
            "connected; MySQL refuses with error 1040: Too many connections",
        ),
    ];
    let mut services = Vec::new();
    for (says, then, _) in cases {
        services.push(format!("tcp://{}", server(says, then).await));
    }
    let found = origins(&services).await;
    for ((reach, evidence), (service, (.., expected))) in found.into_iter().zip(services.iter().zip(cases)) {
        let address = service.strip_prefix("tcp://").unwrap();
        assert_eq!((reach, evidence), (Reach::Answered, format!("{address}: {expected}")));
    }
    // A reset may come before the connection is seen, or after it.
    let reset = server(b"", Then::Reset).await;
    let found = origins(&[format!("tcp://{reset}")]).await;
    assert!(found[0].1.contains("connection reset by peer"), "{found:?}");
}

#[tokio::test]
async fn http_and_sockets_are_connected_to_and_no_more() {
    let http = server(b"", Then::Wait).await;
    let directory = Directory::new();
    let (there, gone, dead) = (directory.join("a"), directory.join("b"), directory.join("c"));
    let _listener = UnixListener::bind(&there).unwrap();
    drop(UnixListener::bind(&dead).unwrap());
    let services = [
        format!("http://{http}"),
        format!("unix:{}", there.display()),
        format!("unix+tls:{}", gone.display()),
        format!("unix:{}", dead.display()),
        "hello_world".into(),
        "bastion".into(),
    ];
    let found = origins(&services).await;
    let none = "it has no address of its own".to_owned();
    let expected = [
        (Reach::Answered, format!("{http}: connected")),
        (Reach::Answered, "connected".into()),
        (Reach::Failed, "no such file or directory".into()),
        (Reach::Failed, "connection refused".into()),
        (Reach::Untried, none.clone()),
        (Reach::Untried, none),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_may_be_mysql_can_be_spared() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let services = [format!("tcp://{address}"), format!("http://{address}")];
    let services = services.iter().map(|service| Service::parse(service).unwrap()).collect();
    let prober = Prober::new(&Resolver::with_name_servers(vec![]), edges(&[]));
    let found = prober.origins(services, Streams::Spare).await;
    let reaches: Vec<_> = found.iter().map(|one| one.probe.reach).collect();
    assert_eq!(reaches, [Reach::Untried, Reach::Answered], "{found:?}");
}

fn rules(rules: &[(&str, &str, &str)]) -> Vec<Rule> {
    let rule = |&(hostname, path, service): &(&str, &str, &str)| Rule {
        hostname: hostname.into(),
        path: path.into(),
        service: Service::parse(service).unwrap(),
    };
    rules.iter().map(rule).collect()
}

async fn lost(old: &[(&str, &str, &str)], new: &[(&str, &str, &str)]) -> Vec<String> {
    let resolver = Resolver::with_name_servers(vec!["127.0.0.1:9".parse().unwrap()]);
    Prober::new(&resolver, edges(&[])).lost(&rules(old), &rules(new)).await
}

#[tokio::test]
async fn a_hostname_is_lost_whose_old_origin_answers_and_whose_new_one_does_not() {
    let well = server(b"\x30\0\0\0\x0a8.4.2\0more", Then::Wait).await;
    let (well, other) = (format!("tcp://{well}"), format!("tcp://{}", server(b"", Then::Wait).await));
    let refusing = [Refusing::new(), Refusing::new()];
    let [dead, gone] = refusing.each_ref().map(|refusing| format!("tcp://{}", refusing.address()));
    let (well, other, dead, gone) = (well.as_str(), other.as_str(), dead.as_str(), gone.as_str());
    let line = |name: &str| format!("{name}: {dead} does not answer (connection refused); {well} does");
    let none: Vec<String> = vec![];
    for (old, new, expected) in [
        (&[("db", "", well)][..], &[("db", "", dead)][..], vec![line("db")]),
        (&[("db", "", well)], &[("db", "", other)], none.clone()),
        (&[("db", "", gone)], &[("db", "", dead)], none.clone()),
        (&[("db", "", well)], &[("db", "", "http_status:404")], none.clone()),
        (&[("db", "", "http_status:404")], &[("db", "", dead)], none.clone()),
        // Given up, or new.
        (&[("db", "", well)], &[("db2", "", dead)], none.clone()),
        (&[("db", "", well)], &[("db", "", well), ("db2", "", dead)], none.clone()),
        // Only the first of a name counts, and a path makes another one.
        (&[("db", "", well)], &[("db", "", well), ("db", "", dead)], none.clone()),
        (&[("db", "", well), ("db", "", gone)], &[("db", "", other)], none.clone()),
        (
            &[("db", "^/a", well), ("db", "", well)],
            &[("db", "", dead), ("db", "^/a", dead)],
            vec![line("db ^/a"), line("db")],
        ),
        (&[("", "", well)], &[("", "", dead)], vec![line("every other hostname")]),
        (&[("a\u{1b}[31m", "", well)], &[("a\u{1b}[31m", "", dead)], vec![line("a?[31m")]),
    ] {
        assert_eq!(lost(old, new).await, expected, "{old:?} {new:?}");
    }
    let unknown = lost(&[("db", "", well)], &[("db", "", "tcp://db.invalid:3306")]).await;
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].starts_with("db: tcp://db.invalid:3306 does not answer (db.invalid: "), "{unknown:?}");
}

#[tokio::test]
async fn what_stays_as_it_is_is_not_connected_to_and_the_rest_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let same = format!("tcp://{}", listener.local_addr().unwrap());
    let counted = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let old = format!("tcp://{}", counted.local_addr().unwrap());
    let refusing = Refusing::new();
    let dead = format!("tcp://{}", refusing.address());
    let names: Vec<String> = (0..30).map(|number| format!("db-{number}")).collect();
    let rules = |service: &'static str, changed: &'static str| {
        let changed = names.iter().map(move |name| (name.as_str(), "", changed));
        changed.chain([("same", "", service)]).collect::<Vec<_>>()
    };
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let (same, old, dead) = (leak(same), leak(old), leak(dead));
    let lost = lost(&rules(same, old), &rules(same, dead)).await;
    assert_eq!((lost.len(), lost[10].as_str()), (11, "and 20 more hostnames"));
    let taken = async |listener: &TcpListener| {
        let mut taken = 0;
        while tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_ok() {
            taken += 1;
        }
        taken
    };
    assert_eq!((taken(&listener).await, taken(&counted).await), (0, 1));
}

#[tokio::test]
async fn many_changed_origins_are_all_tried_at_the_same_time() {
    let full = Full::new().await;
    let well = format!("tcp://{}", server(b"", Then::Wait).await);
    let names: Vec<String> = (0..30).map(|number| format!("db-{number}")).collect();
    let silent: Vec<String> = (0..30).map(|number| format!("tcp://127.0.{number}.1:{}", full.address.port())).collect();
    let mut services = silent;
    services[29] = format!("tcp://{}", full.address);
    let old: Vec<_> = names.iter().map(|name| (name.as_str(), "", well.as_str())).collect();
    let new: Vec<_> = names.iter().zip(&services).map(|(name, to)| (name.as_str(), "", to.as_str())).collect();
    let lost = ended(lost(&old, &new)).await;
    assert_eq!(lost[10], "and 20 more hostnames", "{lost:?}");
}

#[test]
fn an_hour_of_probes_and_a_day_of_them_stay_below_what_a_mysql_server_counts() {
    let at = |seconds| cflared_verdict::Mono::new(Duration::from_secs(seconds));
    let mut allowance = Allowance::new(at(1000));
    let mut taken =
        |from: u64, until: u64| (from..until).step_by(30).filter(|now| allowance.take(at(1000 + now))).count();
    assert_eq!(taken(0, 120), 4);
    assert_eq!(taken(120, 900), 0);
    assert_eq!(taken(900, 3600), 3);
    assert_eq!(taken(3600, 86_400), 92, "of the 100 that a server takes: 99 in a day");
    // Rest fills it, and no more than that.
    assert_eq!(taken(200_000, 200_600), 4);
}

#[tokio::test]
async fn an_origin_that_takes_no_connection_is_silent_and_holds_up_nobody() {
    let full = Full::new().await;
    let well = server(b"", Then::Wait).await;
    let services = [format!("tcp://{}", full.address), format!("http://{well}")];
    let found = ended(origins(&services)).await;
    assert_eq!(found[0], (Reach::Silent, format!("{}: no answer", full.address)));
    assert_eq!(found[1].0, Reach::Answered);
}

#[tokio::test]
async fn a_probe_that_is_given_up_ends() {
    let full = Full::new().await;
    let service = Service::parse(&format!("tcp://{}", full.address)).unwrap();
    let resolver = Resolver::with_name_servers(vec!["127.0.0.1:9".parse().unwrap()]);
    let prober = Prober::new(&resolver, edges(&["--edge", &full.address.to_string()]));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let given_up = tokio::time::timeout(Duration::from_millis(200), prober.probe(vec![service], Streams::Try)).await;
    assert!(given_up.is_err());
    let gone = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    ended(gone).await;
}
