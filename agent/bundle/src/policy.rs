//! The rules beyond cloudflared's own: they refuse what would harm the host.
//!
//! Whoever writes the secret decides what the tunnel serves. That must not be the role's credentials, the agent's own ports and
//! sockets, files of this host, or an open proxy into its network.

use super::broken::RuleBroken;
use super::service::{Origin, Proxy, Service};
use cloudflared::Destination;
use input::yaml::Node;
use settings::Settings;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// What belongs to this host and is not served, and what its operator allows.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where the bundle will be installed.
    pub config_dir: PathBuf,
    /// Where the agent's files and sockets are.
    pub runtime_dir: PathBuf,
    /// The ports on loopback that the agent and its connectors listen on.
    pub own_ports: BTreeSet<u16>,
    /// Where the metadata service is, if the environment puts it elsewhere.
    pub metadata: Option<SocketAddr>,
    /// What is allowed beyond the rules: open proxies by their words, `warp-routing`, and top-level keys by name.
    pub allow: BTreeSet<String>,
}

/// Why a target is not served. The text continues "the service of ingress rule 1 …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The instance metadata service and its like.
    #[error(
        "leads to a link-local address, where the instance metadata service hands out this host's AWS credentials; name the origin itself"
    )]
    LinkLocal,
    /// A port of the agent or of its connectors.
    #[error(
        "leads to a port of this agent on loopback; name the origin itself, or move the agent's port in its settings"
    )]
    OwnPort,
    /// A socket by which the agent, or the host, is controlled.
    #[error(
        "leads to a socket that controls this agent or this host, such as systemd's or a container engine's; name the origin's own \
         socket"
    )]
    OwnSocket,
    /// An open proxy.
    #[error(
        "is an open proxy into this host's network; name the origins one by one, or allow it with `secret.allow` in the agent's settings"
    )]
    Proxy,
}

/// Sockets, and folders of sockets: who reaches them controls the host. By `/proc` and `/dev/fd` a process has another name for
/// each of its files.
const SYSTEM_SOCKETS: [&str; 13] = [
    "/run/systemd",
    "/run/dbus",
    "/run/docker.sock",
    "/run/docker",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/snapd.socket",
    "/run/snapd-snap.socket",
    "/var/snap/lxd",
    "/dev/log",
    "/dev/fd",
    "/proc",
];
/// The same in the abstract namespace (unix(7)), without the `@` in front.
const SYSTEM_NAMES: [&str; 2] = ["/org/freedesktop/", "/containerd-shim/"];
/// What the C library asks for a name or a user: for a connection of the program's own.
const LOOK_UPS: [&str; 3] = ["/run/systemd/resolve", "/run/systemd/userdb", "/run/dbus"];

/// The port of name servers.
const DNS: u16 = 53;

/// The networks of EC2's own services over IPv6: metadata at fd00:ec2::254, time, DNS.
const EC2_SERVICES: [u16; 2] = [0xfd00, 0x0ec2];

impl Policy {
    /// The policy of a host with those settings, whose metadata service is there if not at its link-local address.
    pub fn of(settings: &Settings, metadata: Option<SocketAddr>) -> Self {
        let listen = settings.metrics.listen.iter().chain(&settings.connector.metrics);
        Self {
            config_dir: settings.paths.config_dir.clone(),
            runtime_dir: settings.paths.runtime_dir.clone(),
            own_ports: listen.map(SocketAddr::port).collect(),
            metadata,
            allow: settings.secret.allow.iter().cloned().collect(),
        }
    }

    /// Why that service is not served, as far as it can be known without looking up a name.
    pub fn forbids(&self, service: &Service) -> Option<Forbidden> {
        match service {
            Service::Network(origin) => match origin.address() {
                Some(address) => self.forbids_address(address, origin.port),
                None => self.forbids_name(origin),
            },
            Service::Socket { path, .. } => self.forbids_socket(path).then_some(Forbidden::OwnSocket),
            Service::Proxy(proxy) => (!self.allows(proxy.name())).then_some(Forbidden::Proxy),
            Service::Answer(_) => None,
        }
    }

    /// The same, where connectors have those metrics addresses as well: the kernel gives one where those of the settings are taken.
    #[must_use]
    pub fn with_ports(mut self, addresses: &[SocketAddr]) -> Self {
        self.own_ports.extend(addresses.iter().map(SocketAddr::port));
        self
    }

    /// Why a connector must not connect there. It may ask a link-local name server, such as EC2's. `listening` are metrics addresses
    /// of connectors that the settings do not name.
    pub fn forbids_connection(&self, to: &Destination, listening: &[SocketAddr]) -> Option<Forbidden> {
        match to {
            Destination::Address(to) => {
                let own = |port| self.own_ports.contains(&port) || listening.iter().any(|own| own.port() == port);
                let why = self.forbids_at(to.ip(), Some(to.port()), own);
                why.filter(|why| *why != Forbidden::LinkLocal || to.port() != DNS)
            }
            Destination::Socket(path) if LOOK_UPS.iter().any(|own| path.starts_with(own)) => None,
            Destination::Socket(path) => self.forbids_socket(path).then_some(Forbidden::OwnSocket),
        }
    }

    /// Why no origin at that address is served; for an address that a name resolved to, too.
    pub fn forbids_address(&self, address: IpAddr, port: Option<u16>) -> Option<Forbidden> {
        self.forbids_at(address, port, |port| self.own_ports.contains(&port))
    }

    fn forbids_at(&self, address: IpAddr, port: Option<u16>, own: impl Fn(u16) -> bool) -> Option<Forbidden> {
        let address = embedded(address);
        let own_port = || port.is_some_and(own);
        match address {
            _ if self.metadata.is_some_and(|at| embedded(at.ip()) == address && port == Some(at.port())) => {
                Some(Forbidden::LinkLocal)
            }
            IpAddr::V4(four) if four.is_link_local() => Some(Forbidden::LinkLocal),
            IpAddr::V6(six) if six.segments()[..2] == EC2_SERVICES || six.is_unicast_link_local() => {
                Some(Forbidden::LinkLocal)
            }
            _ if (address.is_loopback() || address.is_unspecified()) && own_port() => Some(Forbidden::OwnPort),
            _ => None,
        }
    }

    /// The first of the addresses that a name resolved to at which no origin is served, and why.
    pub fn forbidden_among(&self, addresses: &[IpAddr], port: Option<u16>) -> Option<(IpAddr, Forbidden)> {
        addresses.iter().find_map(|address| Some((*address, self.forbids_address(*address, port)?)))
    }

    /// Names that need no name server.
    fn forbids_name(&self, origin: &Origin) -> Option<Forbidden> {
        let name = origin.name();
        let local = name == "localhost" || name.ends_with(".localhost");
        if local { self.forbids_address(Ipv4Addr::LOCALHOST.into(), origin.port) } else { None }
    }

    fn forbids_socket(&self, path: &Path) -> bool {
        if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
            return SYSTEM_NAMES.iter().any(|own| name.starts_with(own)) || self.forbids_socket(Path::new(name));
        }
        // A path that begins nowhere is the program's: below its directory, which is `/` in the unit.
        let whole = [std::path::absolute(path).unwrap_or_else(|_| path.into()), Path::new("/").join(path)];
        let own = [self.runtime_dir.as_path(), self.config_dir.as_path()];
        let own = own.into_iter().filter(|dir| !dir.as_os_str().is_empty());
        let forbidden: Vec<&Path> = own.chain(SYSTEM_SOCKETS.iter().map(Path::new)).collect();
        whole.iter().any(|path| {
            // Where links lead counts, too; a socket that is not there yet has only its name.
            let names = [path.canonicalize().ok(), Some(plain(path))];
            names.into_iter().flatten().any(|path| {
                let inside =
                    |dir: &Path| path.starts_with(dir) || dir.canonicalize().is_ok_and(|dir| path.starts_with(dir));
                forbidden.iter().any(|dir| inside(dir))
            })
        })
    }

    /// What a rule with those `originRequest` settings serves, whatever its `service` says: nothing else, or an open proxy. Each of its
    /// own settings comes before that of the whole config.
    pub(super) fn proxy(own: Option<&Node>, defaults: Option<&Node>) -> Option<Proxy> {
        let value = |key| [own, defaults].into_iter().flatten().find_map(|settings| settings.get(key).filter(is_given));
        if value("bastionMode").is_some_and(is_on) {
            return Some(Proxy::Bastion);
        }
        value("proxyType").is_some_and(|kind| !is_empty(kind)).then_some(Proxy::Socks)
    }

    /// Checks the names of the top-level keys.
    pub(super) fn check_keys(&self, config: &Node) -> Result<(), RuleBroken> {
        for key in config.keys() {
            let off = config.get(key).is_some_and(|value| matches!(value, Node::Null));
            if off || self.allows(key) || KEYS.contains(&key) {
                continue;
            }
            return Err(RuleBroken::KeyNotAllowed { key: shown(key), why: why_harmful(key) });
        }
        Ok(())
    }

    /// Checks that a configuration from Cloudflare does not route to the whole network, in releases that have a switch for it.
    pub(super) fn check_pushed_routing(&self, config: &Node) -> Result<(), RuleBroken> {
        const KEY: &str = "warp-routing";
        let opens = config.get(KEY).and_then(|routing| routing.get("enabled")).is_some_and(is_on);
        if opens && !self.allows(KEY) {
            return Err(RuleBroken::KeyNotAllowed { key: KEY.into(), why: why_harmful(KEY) });
        }
        Ok(())
    }

    fn allows(&self, word: &str) -> bool {
        self.allow.contains(word)
    }
}

fn why_harmful(key: &str) -> &'static str {
    HARMFUL.iter().find(|(keys, _)| keys.contains(&key)).map_or(UNKNOWN, |(_, why)| why)
}

fn is_given(value: &&Node) -> bool {
    !matches!(value, Node::Null)
}

/// Only a false in a form that every YAML reader takes for one is off.
fn is_on(value: &Node) -> bool {
    match value {
        Node::Null => false,
        Node::Other(_, value) => value != "false",
        Node::Text(text) => !["no", "off", "n", "false"].contains(&text.to_ascii_lowercase().as_str()),
        Node::List(_) | Node::Map(_) => true,
    }
}

fn is_empty(value: &Node) -> bool {
    matches!(value, Node::Text(text) if text.is_empty())
}

/// A key as it may be shown: it is no value, and may still be one that lost its place.
fn shown(key: &str) -> String {
    let plain = key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte));
    if plain { key.to_owned() } else { "(a key that is no plain word)".to_owned() }
}

/// An IPv4 address that an IPv6 one stands for: mapped, compatible, translated (RFC 2765), by NAT64 (RFC 6052, RFC 8215), by 6to4
/// (RFC 3056) or ISATAP (RFC 5214).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let [a, b, c, d, e, f, g, h] = six.segments();
    let four = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => {
            four(g, h)
        }
        (_, _, _, _, 0 | 0x200, 0x5efe) => four(g, h),
        (0, 0, 0, 0, 0, 0) if six != Ipv6Addr::LOCALHOST && six != Ipv6Addr::UNSPECIFIED => four(g, h),
        (0x2002, ..) => four(b, c),
        _ => address,
    }
}

/// The path without `.` and `..`, as its text has it; `/var/run` is `/run`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    match plain.strip_prefix("/var/run") {
        Ok(below) => Path::new("/run").join(below),
        Err(_) => plain,
    }
}

/// The top-level keys that a config may have: what the tunnel serves, how it reaches the edge, and what the agent's own arguments
/// override. Read from the flags of 2026.8.2, each of which is a key as well.
const KEYS: &[&str] = &[
    "tunnel",
    "credentials-file",
    "ingress",
    "originRequest",
    // The way to the edge.
    "protocol",
    "region",
    "edge-ip-version",
    "edge-bind-address",
    "ha-connections",
    "retries",
    "max-edge-addr-retries",
    "dial-edge-timeout",
    "rpc-timeout",
    "write-stream-timeout",
    "heartbeat-interval",
    "heartbeat-count",
    "compression-quality",
    "use-reconnect-token",
    "post-quantum",
    "features",
    "quic-disable-pmtu-discovery",
    "quic-connection-level-flow-control-limit",
    "quic-stream-level-flow-control-limit",
    "no-prechecks",
    "max-active-flows",
    "icmpv4-src",
    "icmpv6-src",
    "tag",
    "label",
    "management-diagnostics",
    // The agent's own arguments win over these.
    "grace-period",
    "loglevel",
    "metrics",
    "metrics-update-freq",
    "no-autoupdate",
    "autoupdate-freq",
    "output",
    // How origins are reached: for configs without rules, and without effect beside them.
    "proxy-connect-timeout",
    "proxy-tls-timeout",
    "proxy-tcp-keepalive",
    "proxy-no-happy-eyeballs",
    "proxy-keepalive-connections",
    "proxy-keepalive-timeout",
    "proxy-connection-timeout",
    "proxy-expect-continue-timeout",
    "http-host-header",
    "origin-server-name",
    "origin-ca-pool",
    "no-tls-verify",
    "no-chunked-encoding",
    "http2-origin",
    "max-fetch-size",
    "hostname",
    "lb-pool",
    "<<",
];

/// Keys that do harm, and why each is refused. The text continues "`key` in config_yaml …".
const HARMFUL: &[(&[&str], &str)] = &[
    (
        &["token", "token-file", "credentials-contents", "origincert", "api-key", "api-email", "api-ca-key", "api-url"],
        "gives cloudflared other credentials than those that were checked",
    ),
    (&["logfile", "log-directory", "log-file", "pidfile", "trace-output"], "lets cloudflared write files anywhere"),
    (&["transport-loglevel", "proto-loglevel", "log-level"], "logs what visitors send"),
    (&["edge", "cacert"], "ends the tunnel at another place than Cloudflare's edge"),
    (
        &[
            "bastion",
            "socks5",
            "url",
            "unix-socket",
            "hello-world",
            "ssh-server",
            "quick-service",
            "proxy-dns",
            "stdin-control",
        ],
        "opens a way into this host beside the ingress rules",
    ),
    (&["warp-routing", "dns-resolver-addrs"], "opens this host's whole network to whoever may route to the tunnel"),
    (
        &["management-hostname", "service-op-ip", "is-autoupdated", "ui", "force", "name", "id", "config"],
        "is not for a config",
    ),
];

const UNKNOWN: &str = "is a key that this agent does not know: cloudflared ignores it, or a newer release has a use for it that nobody \
                       has checked";

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            runtime_dir: "/run/cflared-agent".into(),
            own_ports: BTreeSet::from([2000, 2001]),
            ..Policy::default()
        }
    }

    fn forbidden(service: &str) -> Option<Forbidden> {
        policy().forbids(&Service::parse(service).expect(service))
    }

    #[test]
    fn the_metadata_service_is_not_served_in_any_spelling() {
        for service in [
            "http://169.254.169.254",
            "tcp://169.254.169.254:80",
            "HTTP://169.254.169.254.",
            "redis://169.254.169.254:80",
            "http://0xa9fea9fe",
            "http://0xA9.0xFE.0xA9.0xFE",
            "http://2852039166",
            "http://0251.0376.0251.0376",
            "http://169.254.43518",
            "http://169.254.170.2",
            "tcp://169.254.169.253:53",
            "http://[fd00:ec2::254]",
            "http://[FD00:EC2:0:0::254]:80",
            "http://[fe80::1%25eth0]:80",
            "http://[::ffff:169.254.169.254]",
            "http://[::ffff:a9fe:a9fe]",
            "http://[::a9fe:a9fe]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://[2002:a9fe:a9fe::1]",
            "http://[::ffff:0:169.254.169.254]",
            "http://[64:ff9b:1::169.254.169.254]",
            "http://[64:ff9b:1:fffe::a9fe:a9fe]",
            "http://[2001:db8::5efe:a9fe:a9fe]",
            "http://[2001:db8::200:5efe:169.254.169.254]",
            "http://0169.254.169.254",
            "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④",
            "https://１６９.２５４.１６９.２５４:80",
            "http://169。254。169。254",
            "http://%EF%BC%91%EF%BC%96%EF%BC%99.254.169.254",
        ] {
            assert_eq!(forbidden(service), Some(Forbidden::LinkLocal), "{service}");
        }
    }

    #[test]
    fn a_connector_may_ask_a_name_server_and_nothing_else_there() {
        let forbidden = |to: &str| {
            let to = Destination::Address(to.parse().unwrap());
            policy().forbids_connection(&to, &["127.0.0.1:41234".parse().unwrap()])
        };
        for to in [
            "169.254.169.253:53",
            "[fd00:ec2::253]:53",
            "127.0.0.53:53",
            "198.41.192.7:7844",
            "127.0.0.1:8080",
            "10.0.0.5:2000",
        ] {
            assert_eq!(forbidden(to), None, "{to}");
        }
        for to in [
            "169.254.169.254:80",
            "169.254.169.253:80",
            "[fd00:ec2::254]:80",
            "[::ffff:169.254.169.254]:80",
            "[fe80::1]:80",
        ] {
            assert_eq!(forbidden(to), Some(Forbidden::LinkLocal), "{to}");
        }
        for to in ["127.0.0.1:2000", "[::1]:2001", "0.0.0.0:2000", "127.0.0.1:41234", "[::ffff:127.0.0.1]:41234"] {
            assert_eq!(forbidden(to), Some(Forbidden::OwnPort), "{to}");
        }
        let elsewhere = Policy { metadata: Some("127.0.0.9:1338".parse().unwrap()), ..policy() };
        let at = |to: &str| elsewhere.forbids_connection(&Destination::Address(to.parse().unwrap()), &[]);
        assert_eq!(at("127.0.0.9:1338"), Some(Forbidden::LinkLocal));
        assert_eq!(at("127.0.0.9:1339"), None);
    }

    #[test]
    fn a_connector_may_use_sockets_for_a_name_and_none_that_controls_the_host() {
        let forbidden = |path: &str| policy().forbids_connection(&Destination::Socket(path.into()), &[]);
        for path in [
            "/run/mysqld/mysqld.sock",
            "/run/systemd/resolve/io.systemd.Resolve",
            "/run/dbus/system_bus_socket",
            "@app",
        ] {
            assert_eq!(forbidden(path), None, "{path}");
        }
        for path in
            ["/run/cflared-agent/control.sock", "/run/systemd/private", "/run/docker.sock", "@/containerd-shim/x"]
        {
            assert_eq!(forbidden(path), Some(Forbidden::OwnSocket), "{path}");
        }
    }

    #[test]
    fn our_own_ports_and_sockets_are_not_served() {
        for service in [
            "http://127.0.0.1:2000",
            "tcp://localhost:2001",
            "tcp://LOCALHOST.:2001",
            "http://0.0.0.0:2000",
            "http://[::1]:2000",
            "http://[::]:2000",
            "http://127.1:2000",
            "http://0:2000",
            "http://a.localhost:2000",
            "http://[::ffff:127.0.0.1]:2000",
            "http://ｌｏｃａｌｈｏｓｔ:2000",
            "http://127.000.000.001:2001",
            "http://１２７.１:2000",
            "http://[::1%25lo]:02000",
        ] {
            assert_eq!(forbidden(service), Some(Forbidden::OwnPort), "{service}");
        }
        for service in [
            "unix:/run/cflared-agent/control.sock",
            "unix+tls:/run/cflared-agent/../cflared-agent/control.sock",
            "unix:/tmp/../run//cflared-agent/./control.sock",
            "unix:run/cflared-agent/control.sock",
            "unix:./run/../run/cflared-agent/control.sock",
            "unix:///run/cflared-agent/control.sock",
            "unix:/var/run/cflared-agent/control.sock",
            "unix:/proc/self/root/run/cflared-agent/control.sock",
            "unix:/proc/1/fd/7",
            "unix:/dev/fd/7",
            "unix:/run/systemd/private",
            "unix:/var/run/dbus/system_bus_socket",
            "unix:/var/run/docker.sock",
            "unix+tls:/run/containerd/containerd.sock",
            "unix:/run/snapd.socket",
            "unix:@/org/freedesktop/systemd1/notify",
            "unix:@/run/cflared-agent/control.sock",
        ] {
            assert_eq!(forbidden(service), Some(Forbidden::OwnSocket), "{service}");
        }
    }

    #[test]
    fn an_origin_is_served() {
        for service in [
            "tcp://10.0.0.5:3306",
            "http://127.0.0.1:8080",
            "http://10.0.0.5:2000",
            "tcp://[::1]:3306",
            "tcp://[fd00::1]:3306",
            "http://169.253.1.1",
            "unix:/run/mysqld/mysqld.sock",
            "unix:/run/cflared-agent-other/x.sock",
            "unix:/dev/shm/app.sock",
            "unix:@app",
            "unix:app.sock",
            "http_status:404",
        ] {
            assert_eq!(forbidden(service), None, "{service}");
        }
    }

    #[test]
    fn an_open_proxy_is_served_where_it_is_allowed() {
        for word in ["bastion", "socks-proxy"] {
            let service = Service::parse(word).unwrap();
            assert_eq!(policy().forbids(&service), Some(Forbidden::Proxy));
            let policy = Policy { allow: BTreeSet::from([word.into()]), ..policy() };
            assert_eq!(policy.forbids(&service), None);
        }
    }
}
