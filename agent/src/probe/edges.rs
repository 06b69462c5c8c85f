//! Where the connector looks for the edge, as its arguments say.

/// The port of the edge, TCP and UDP.
const PORT: u16 = 7844;
/// The most edges that are taken from the arguments.
const MOST: usize = 8;

/// Where the edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edges {
    /// In DNS, as cloudflared's `edgediscovery/allregions/discovery.go` looks it up.
    Discovered {
        /// `--region`: a part of the network, such as `us`.
        region: Option<String>,
    },
    /// `--edge HOST:PORT`, as given: DNS is not asked for the edge.
    Named(Vec<String>),
}

impl Edges {
    /// What a connector with these arguments does. They are `connector.extra_args` of the settings; a flag in the
    /// tunnel's own config is not looked at.
    pub fn of_arguments(arguments: &[String]) -> Self {
        let (mut edges, mut region) = (Vec::new(), None);
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else { continue };
            // One dash does as well as two in Go.
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                None if matches!(flag, "edge" | "region") => (flag, words.next().map_or("", String::as_str)),
                None => continue,
            };
            match name {
                "edge" => {
                    edges.extend(value.split(',').map(str::trim).filter(|edge| !edge.is_empty()).map(String::from))
                }
                "region" => region = Some(value.to_owned()).filter(|region| !region.is_empty()),
                _ => {}
            }
        }
        edges.truncate(MOST);
        if edges.is_empty() { Self::Discovered { region } } else { Self::Named(edges) }
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
