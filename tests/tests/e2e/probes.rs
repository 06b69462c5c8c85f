//! What the agent's probes find, against the stand-ins and an independent QUIC server.

use crate::support::registered_pid;
use bundle::{Choices, Service};
use cflared_tests::dns::{Dns, EDGE_SERVICE, Trouble};
use cflared_tests::edge::{Block, Conduct, Edge, Knocks, Scope};
use cflared_tests::mysql::{Greeting, MySql};
use cflared_tests::world::{PATIENCE, Payload, SECRET, World};
use cflared_verdict::{Probes, Reach};
use dns::Resolver;
use probe::{Edges, Prober, Streams};
use quinn_proto::{DatagramEvent, Endpoint, EndpointConfig, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const REGIONS: [&str; 2] = ["region1.v2.argotunnel.com.", "region2.v2.argotunnel.com."];

/// An edge that DNS knows, each region by two of its addresses.
struct Network {
    block: Block,
    edge: Edge,
    dns: Dns,
}

impl Network {
    async fn new() -> anyhow::Result<Self> {
        let block = Block::take()?;
        let edge = Edge::start(&block.edge_addresses()).await?;
        let dns = Dns::start(block.address(53, 5353)).await?;
        let ips: Vec<_> = edge.addresses().iter().map(SocketAddr::ip).collect();
        for (region, ips) in REGIONS.iter().zip(ips.chunks(2)) {
            dns.host(region, ips);
        }
        dns.service(EDGE_SERVICE, &REGIONS.map(|region| (region, 7844)));
        Ok(Self { block, edge, dns })
    }

    fn prober(&self) -> Prober {
        self.prober_with(&[])
    }

    fn prober_with(&self, arguments: &[String]) -> Prober {
        let resolver = Resolver::with_name_servers(vec![self.dns.address()]);
        Prober::new(&resolver, Edges::of(arguments, &Choices::default()))
    }

    async fn probe(&self) -> Probes {
        self.prober().probe(vec![], Streams::Try).await
    }
}

fn reaches(probes: &Probes) -> [Reach; 3] {
    [probes.dns.reach, probes.tcp.reach, probes.udp.reach]
}

#[tokio::test]
async fn an_edge_that_is_well_answers_dns_tls_and_quic() -> anyhow::Result<()> {
    let network = Network::new().await?;
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Answered; 3], "{probes:#?}");
    assert_eq!(probes.edge_reachable(), Some(true));
    assert!(
        probes.dns.evidence.starts_with("_v2-origintunneld._tcp.argotunnel.com: 2 SRV records; region1"),
        "{probes:#?}"
    );
    let edges: Vec<_> = network.edge.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(probes.tcp.evidence, format!("{}: TLS answered", edges.join(", ")));
    assert_eq!(probes.udp.evidence, format!("{}: QUIC answered, with 2 versions", edges.join(", ")));
    assert_eq!(network.edge.knocks(), Knocks { tls: 4, quic: 4 });
    assert!(network.edge.events().is_empty(), "a probe is no connector");
    Ok(())
}

#[tokio::test]
async fn each_conduct_of_the_edge_is_told() -> anyhow::Result<()> {
    let network = Network::new().await?;
    for (conduct, tcp, udp, said) in [
        (Conduct::Refuse, Reach::Failed, Reach::Failed, "connection refused"),
        (Conduct::Eof, Reach::Failed, Reach::Silent, "connected, then closed without an answer"),
        (Conduct::Reset, Reach::Failed, Reach::Silent, "connected, then connection reset by peer"),
        (Conduct::BlackHole, Reach::Silent, Reach::Silent, "connected, but got no TLS answer"),
        (Conduct::Garbage, Reach::Failed, Reach::Failed, "connected, but the answer is not TLS"),
        // These refuse who registers, and the edge is there all the same.
        (Conduct::Unauthorized, Reach::Answered, Reach::Answered, "TLS answered"),
        (Conduct::Hang, Reach::Answered, Reach::Answered, "TLS answered"),
    ] {
        network.edge.set(conduct).await?;
        let probes = network.probe().await;
        assert_eq!(reaches(&probes), [Reach::Answered, tcp, udp], "{conduct:?} {probes:#?}");
        assert!(probes.tcp.evidence.contains(said), "{conduct:?} {probes:#?}");
        assert_eq!(probes.edge_reachable(), Some(tcp == Reach::Answered));
    }
    Ok(())
}

#[tokio::test]
async fn one_protocol_or_one_address_that_answers_is_enough() -> anyhow::Result<()> {
    let network = Network::new().await?;
    network.edge.set_udp(Some(Conduct::BlackHole)).await?;
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Answered, Reach::Answered, Reach::Silent], "{probes:#?}");
    network.edge.set_udp(Some(Conduct::Accept)).await?;
    network.edge.set(Conduct::Refuse).await?;
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Answered, Reach::Failed, Reach::Answered], "{probes:#?}");
    network.edge.set_udp(None).await?;
    let well = network.edge.addresses()[3];
    network.edge.set_at(well, Conduct::Accept).await?;
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Answered; 3], "{probes:#?}");
    assert!(probes.tcp.evidence.starts_with(&format!("{well}: TLS answered; ")), "{probes:#?}");
    assert!(probes.tcp.evidence.ends_with(": connection refused"), "{probes:#?}");
    Ok(())
}

#[tokio::test]
async fn trouble_of_dns_is_told_and_what_can_be_tried_is_tried() -> anyhow::Result<()> {
    let network = Network::new().await?;
    for (trouble, dns, said) in [
        (Trouble::ServFail, Reach::Failed, "the name server answered Server Failure"),
        (Trouble::NxDomain, Reach::Failed, "there is no such name"),
        (Trouble::Empty, Reach::Failed, "the name has no such record"),
        (Trouble::Silent, Reach::Silent, "no name server answered in time"),
        (Trouble::Garbage, Reach::Silent, "no name server answered in time"),
    ] {
        network.dns.set(Some(trouble));
        let probes = network.probe().await;
        assert_eq!(reaches(&probes), [dns, Reach::Untried, Reach::Untried], "{trouble:?} {probes:#?}");
        let names = "_v2-origintunneld._tcp.argotunnel.com, region1.v2.argotunnel.com, region2.v2.argotunnel.com";
        assert_eq!(probes.dns.evidence, format!("{names}: {said}"), "{trouble:?}");
        assert_eq!(probes.tcp.evidence, "no address of the edge is known");
        assert_eq!(probes.edge_reachable(), Some(false));
    }
    network.dns.set(None);
    network.dns.set_for(EDGE_SERVICE, Some(Trouble::ServFail));
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Failed, Reach::Answered, Reach::Answered], "{probes:#?}");
    network.dns.set_for(EDGE_SERVICE, None);
    network.dns.set_for(REGIONS[0], Some(Trouble::Silent));
    let probes = network.probe().await;
    assert_eq!(reaches(&probes), [Reach::Answered; 3], "one region is enough: {probes:#?}");
    assert!(probes.dns.evidence.contains("region1.v2.argotunnel.com: no name server answered in time"), "{probes:#?}");
    Ok(())
}

#[tokio::test]
async fn what_dns_said_before_is_not_believed_now() -> anyhow::Result<()> {
    let network = Network::new().await?;
    let prober = network.prober();
    assert_eq!(prober.dns().await.probe.reach, Reach::Answered);
    network.dns.set(Some(Trouble::ServFail));
    assert_eq!(prober.dns().await.probe.reach, Reach::Failed);
    Ok(())
}

#[tokio::test]
async fn a_region_has_names_of_its_own_wherever_it_is_named() -> anyhow::Result<()> {
    let arguments = ["--region".to_owned(), "us".into()];
    for (arguments, config, credentials, prefix) in [
        (&arguments[..], "", "{}", "us"),
        (&[], "region: us", "{}", "us"),
        (&[], "", r#"{"Endpoint":"fed"}"#, "fed"),
        (&arguments, "region: eu", "{}", "us"),
    ] {
        let network = Network::new().await?;
        let edges = Edges::of(arguments, &Choices::read(config, credentials));
        let looked = network.prober().towards(edges).dns().await;
        assert_eq!(looked.probe.reach, Reach::Failed);
        let mut asked: Vec<_> = network.dns.asked().into_iter().map(|(name, _)| name).collect();
        asked.sort();
        asked.dedup();
        let expected = [
            format!("_{prefix}-v2-origintunneld._tcp.argotunnel.com."),
            format!("{prefix}-region1.v2.argotunnel.com."),
            format!("{prefix}-region2.v2.argotunnel.com."),
        ];
        assert_eq!(asked, expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_addresses_that_are_tried_are_those_that_the_connector_tries() -> anyhow::Result<()> {
    let network = Network::new().await?;
    // Addresses of documentation (RFC 3849) beside the edge's own.
    let six = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("an address"));
    for (region, six) in REGIONS.iter().zip(six) {
        network.dns.host(region, &[network.edge.addresses()[0].ip(), six]);
    }
    let tried = async |version: &str| {
        let edges = Edges::of(&["--edge-ip-version".into(), version.into()], &Choices::default());
        let looked = network.prober().towards(edges).dns().await;
        let four = looked.addresses.iter().filter(|address| address.is_ipv4()).count();
        (looked.probe.reach, four, looked.addresses.len() - four)
    };
    assert_eq!(tried("4").await, (Reach::Answered, 2, 0));
    assert_eq!(tried("6").await, (Reach::Answered, 0, 2));
    assert_eq!(tried("auto").await, (Reach::Answered, 2, 2));
    // Names that have no address of the wanted version are no way to the edge: cloudflared ends at once.
    for region in REGIONS {
        network.dns.host(region, &[network.edge.addresses()[0].ip()]);
    }
    let edges = Edges::of(&[], &Choices::read("edge-ip-version: \"6\"", "{}"));
    let probes = network.prober().towards(edges).probe(vec![], Streams::Try).await;
    assert_eq!(reaches(&probes), [Reach::Failed, Reach::Untried, Reach::Untried], "{probes:#?}");
    assert!(probes.dns.evidence.contains("it has no IPv6 address"), "{probes:#?}");
    assert_eq!(probes.edge_reachable(), Some(false));
    Ok(())
}

#[tokio::test]
async fn edges_that_are_given_are_tried_and_dns_only_for_names() -> anyhow::Result<()> {
    let network = Network::new().await?;
    let probes = network.prober_with(&network.edge.arguments()).probe(vec![], Streams::Try).await;
    assert_eq!(reaches(&probes), [Reach::Untried, Reach::Answered, Reach::Answered], "{probes:#?}");
    assert!(network.dns.asked().is_empty());
    network.dns.host("edge.internal.", &[network.edge.addresses()[0].ip()]);
    let probes = network.prober_with(&["--edge=edge.internal:7844,nonsense".into()]).probe(vec![], Streams::Try).await;
    assert_eq!(reaches(&probes), [Reach::Answered; 3], "{probes:#?}");
    assert!(probes.dns.evidence.contains("nonsense: is not HOST:PORT"), "{probes:#?}");
    network.dns.set(Some(Trouble::NxDomain));
    let probes = network.prober_with(&["--edge".into(), "edge.internal:7844".into()]).probe(vec![], Streams::Try).await;
    assert_eq!(reaches(&probes), [Reach::Failed, Reach::Untried, Reach::Untried], "{probes:#?}");
    Ok(())
}

#[tokio::test]
async fn origins_are_tried_by_name_and_mysql_tells_its_version() -> anyhow::Result<()> {
    let network = Network::new().await?;
    let version = Greeting::Version("8.0.39".into());
    let greets = MySql::start(network.block.address(60, 3306), version).await?;
    let text = "Host '10.0.0.9' is blocked because of many connection errors".to_owned();
    let blocks = MySql::start(network.block.address(61, 3306), Greeting::Error { code: 1129, text }).await?;
    network.dns.host("db.internal.", &[greets.address().ip()]);
    let nobody = network.block.address(62, 3306);
    let services = ["tcp://db.internal:3306".into(), format!("tcp://{}", blocks.address()), format!("tcp://{nobody}")];
    let services = services.into_iter().chain(["http_status:404".into(), "http://gone.internal".into()]);
    let services: Vec<Service> = services.map(|service: String| parse(&service)).collect::<Result<_, _>>()?;
    let probes = network.prober().probe(services, Streams::Try).await;
    let told: Vec<_> =
        probes.origins.iter().map(|one| (one.service.as_str(), one.probe.reach, one.probe.evidence.as_str())).collect();
    let (greets_at, blocks_at) = (greets.address(), blocks.address());
    let expected = [
        ("tcp://db.internal:3306".into(), Reach::Answered, format!("{greets_at}: connected; MySQL 8.0.39")),
        (
            format!("tcp://{blocks_at}"),
            Reach::Answered,
            format!(
                "{blocks_at}: connected; MySQL refuses with error 1129: Host '10.0.0.9' is blocked because of many \
                 connection errors"
            ),
        ),
        (format!("tcp://{nobody}"), Reach::Failed, format!("{nobody}: connection refused")),
        ("http_status:404".into(), Reach::Untried, "it has no address of its own".into()),
        ("http://gone.internal:80".into(), Reach::Failed, "gone.internal: there is no such name".into()),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, reach, said): &(String, _, String)| (name.as_str(), *reach, said.as_str()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!((greets.connections(), blocks.connections()), (1, 1), "each connection counts at the server");
    let down = probes.origins.iter().filter(|origin| matches!(origin.probe.reach, Reach::Silent | Reach::Failed));
    assert_eq!(down.count(), 2);
    Ok(())
}

/// As the rules of a bundle are read.
fn parse(service: &str) -> anyhow::Result<Service> {
    Service::parse(service).map_err(|why| anyhow::anyhow!("{service} {why}"))
}

#[tokio::test]
async fn a_whole_probe_is_over_in_time_when_nothing_answers() -> anyhow::Result<()> {
    let network = Network::new().await?;
    network.edge.set(Conduct::BlackHole).await?;
    network.dns.set_for(EDGE_SERVICE, Some(Trouble::Silent));
    let services = (0..30).map(|number| parse(&format!("tcp://name-{number}.internal:3306")));
    let services = services.collect::<Result<Vec<_>, _>>()?;
    let probes = tokio::time::timeout(Duration::from_secs(20), network.prober().probe(services, Streams::Try)).await?;
    assert_eq!(reaches(&probes), [Reach::Silent; 3], "{probes:#?}");
    assert_eq!(probes.origins.len(), 21);
    let last = &probes.origins[20];
    assert_eq!((last.service.as_str(), last.probe.reach), ("10 more", Reach::Untried));
    assert!(last.probe.evidence.contains("tcp://name-20.internal:3306, tcp://name-21"), "{last:#?}");
    Ok(())
}

#[tokio::test]
async fn an_outage_orders_probes_and_a_tunnel_that_is_well_does_not() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.probe_after", "2s");
    // The origin of its rules.
    let origin = MySql::start(world.block.address(60, 3306), Greeting::Version("8.0.39".into())).await?;
    let mut payload = Payload::default();
    payload.config = payload.config.replace("127.0.0.1:3306", &origin.address().to_string());
    world.aws.put_secret(SECRET, &payload.text());
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_eq!((world.edge.knocks(), origin.connections()), (Knocks::default(), 0), "nothing is tried unasked");
    world.edge.set(Conduct::Reset).await?;
    world.edge.drop_connections(&Scope::default());
    // Where that setting is not acted on, the first probe comes after a minute.
    let deadline = Instant::now() + 2 * PATIENCE;
    while !(world.edge.knocks().tls >= 4 && world.edge.knocks().quic >= 4 && origin.connections() >= 1) {
        anyhow::ensure!(Instant::now() < deadline, "{:?}, {} connections", world.edge.knocks(), origin.connections());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A QUIC server of others' making, which knows nothing of this project.
async fn quic_server(listen: SocketAddr) -> anyhow::Result<()> {
    let identity = cflared_tests::aws::tls::Authority::new()?.identity(&[])?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?;
    let config = Arc::new(ServerConfig::with_single_cert(vec![certificate], key)?);
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), Some(config), true, None);
    let socket = UdpSocket::bind(listen).await?;
    tokio::spawn(async move {
        let (mut packet, mut answer) = ([0; 2048], Vec::new());
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            answer.clear();
            let event = endpoint.handle(Instant::now(), from, None, None, packet[..length].into(), &mut answer);
            if let Some(DatagramEvent::Response(transmit)) = event {
                let _ = socket.send_to(&answer[..transmit.size], from).await;
            }
        }
    });
    Ok(())
}

#[tokio::test]
async fn a_quic_server_that_is_no_stand_in_answers_the_probe() -> anyhow::Result<()> {
    let network = Network::new().await?;
    let address = network.block.address(70, 7844);
    quic_server(address).await?;
    let probe = network.prober().udp(&[address]).await.probe;
    assert_eq!(probe.reach, Reach::Answered, "{probe:?}");
    assert!(probe.evidence.starts_with(&format!("{address}: QUIC answered, with ")), "{probe:?}");
    Ok(())
}
