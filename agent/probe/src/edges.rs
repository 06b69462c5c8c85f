//! The way of a connector to the edge: one definition for probes and `doctor`.
//!
//! A flag among its arguments wins over the key of its config file, and that over what the release has for a default
//! (observed, 2026.8.2). The agent passes no other of these flags by itself.

use bundle::Choices;
use std::net::IpAddr;

/// The port of the edge, TCP and UDP.
const PORT: u16 = 7844;
/// The most edges that are taken from the arguments.
const MOST: usize = 8;

/// How a connector reaches the edge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edges {
    /// Where it looks for it.
    pub place: Place,
    /// How it speaks to it.
    pub protocol: Protocol,
    /// To which addresses.
    pub family: Family,
    /// From which address of this host; `None`: whichever the kernel takes.
    pub source: Option<IpAddr>,
}

/// Where the edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In DNS, as cloudflared's `edgediscovery/allregions/discovery.go` looks it up.
    Discovered {
        /// A part of the network: `--region us`, or the `Endpoint` of the credentials, such as `fed` for FedRAMP.
        region: Option<String>,
    },
    /// `--edge HOST:PORT`, as given: DNS is not asked for the edge.
    Named(Vec<String>),
}

/// The transports that a connector may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// QUIC first, then HTTP/2.
    #[default]
    Auto,
    /// HTTP/2 alone: TCP.
    Http2,
    /// QUIC alone: UDP.
    Quic,
}

/// The addresses that a connector may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Those of both, one after the other: the default since 2026.5. Before, it was IPv4.
    #[default]
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Default for Place {
    fn default() -> Self {
        Self::Discovered { region: None }
    }
}

/// What counts of a flag and a key; an empty text is none.
fn one<'a>(flag: Option<&'a String>, key: &'a Option<String>) -> Option<&'a str> {
    flag.or(key.as_ref()).filter(|value| !value.is_empty()).map(String::as_str)
}

impl Edges {
    /// What a connector with these arguments (`connector.extra_args` of the settings) does when it runs from a bundle with
    /// these choices.
    pub fn of(arguments: &[String], file: &Choices) -> Self {
        let flags = Flags::read(arguments);
        let mut edges = if flags.edges.is_empty() { file.edges.clone() } else { flags.edges };
        edges.truncate(MOST);
        let region =
            one(flags.region.as_ref(), &file.region).or(file.endpoint.as_deref().filter(|name| !name.is_empty()));
        let place = match edges.is_empty() {
            true => Place::Discovered { region: region.map(String::from) },
            false => Place::Named(edges),
        };
        let protocol = match one(flags.protocol.as_ref(), &file.protocol) {
            Some("http2" | "h2mux") => Protocol::Http2,
            Some("quic") => Protocol::Quic,
            _ => Protocol::Auto,
        };
        let source: Option<IpAddr> = one(flags.source.as_ref(), &file.bind_address).and_then(|text| text.parse().ok());
        let family = match (source, one(flags.ip_version.as_ref(), &file.ip_version)) {
            // The family of its own address wins.
            (Some(IpAddr::V4(_)), _) => Family::V4,
            (Some(IpAddr::V6(_)), _) => Family::V6,
            // It uses addresses that are given as they are.
            (None, _) if matches!(place, Place::Named(_)) => Family::Both,
            (None, Some("4")) => Family::V4,
            (None, Some("6")) => Family::V6,
            (None, _) => Family::Both,
        };
        Self { place, protocol, family, source }
    }
}

impl Protocol {
    /// Its name, as cloudflared is given it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http2 => "http2",
            Self::Quic => "quic",
        }
    }
}

impl Family {
    /// Whether an address is of it.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// The flags that decide; the last of each counts, and every `--edge`.
#[derive(Debug, Default)]
struct Flags {
    edges: Vec<String>,
    region: Option<String>,
    protocol: Option<String>,
    ip_version: Option<String>,
    source: Option<String>,
}

impl Flags {
    fn read(arguments: &[String]) -> Self {
        let mut flags = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else { continue };
            // One dash does as well as two in Go.
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                None if Self::is_one(flag) => (flag, words.next().map_or("", String::as_str)),
                None => continue,
            };
            flags.set(name, value);
        }
        flags
    }

    fn is_one(name: &str) -> bool {
        matches!(name, "edge" | "region" | "protocol" | "p" | "edge-ip-version" | "edge-bind-address")
    }

    fn set(&mut self, name: &str, value: &str) {
        let place = match name {
            "edge" => {
                let edges = value.split(',').map(str::trim).filter(|edge| !edge.is_empty());
                return self.edges.extend(edges.map(String::from));
            }
            "region" => &mut self.region,
            "protocol" | "p" => &mut self.protocol,
            "edge-ip-version" => &mut self.ip_version,
            "edge-bind-address" => &mut self.source,
            _ => return,
        };
        *place = Some(value.to_owned());
    }
}

/// The name of the SRV record, absolute.
pub(super) fn service(region: Option<&str>) -> String {
    format!("_{}v2-origintunneld._tcp.argotunnel.com.", prefix(region))
}

/// The hosts that the record is known to name (Cloudflare's documentation of the firewall rules that a tunnel needs).
pub(super) fn known_hosts(region: Option<&str>) -> Vec<(String, u16)> {
    [1, 2].map(|number| (format!("{}region{number}.v2.argotunnel.com.", prefix(region)), PORT)).into()
}

fn prefix(region: Option<&str>) -> String {
    region.map(|region| format!("{region}-")).unwrap_or_default()
}
