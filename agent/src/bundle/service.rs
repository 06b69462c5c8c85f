//! What an ingress rule may send traffic to.

use std::fmt;
use std::path::PathBuf;
use url::{Host, Url};

/// The URL schemes that cloudflared proxies, each with the port that it dials when the URL names none (its
/// `ingress/origin_service.go`; 7864 is its stand-in for "TCP has no default").
const SCHEMES: &[(&str, u16)] =
    &[("http", 80), ("https", 443), ("ws", 80), ("wss", 443), ("tcp", 7864), ("ssh", 22), ("rdp", 3389), ("smb", 445)];

/// An ingress rule: which requests go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The hostname that it matches, in lower case; empty: every one.
    pub hostname: String,
    /// The regular expression that the path must match; empty: every one.
    pub path: String,
    /// Where they go.
    pub service: Service,
}

/// What an ingress rule sends traffic to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// An address on the network.
    Network(Origin),
    /// A socket of this host.
    Socket {
        /// `unix`, or `unix+tls`.
        scheme: &'static str,
        /// Where it is.
        path: PathBuf,
    },
    /// Nothing that has an address: cloudflared answers itself (`http_status:404`, `hello_world`), or the client names
    /// where it wants to go (`bastion`, `socks-proxy`).
    NoAddress(String),
}

impl Service {
    /// Reads a service.
    ///
    /// # Errors
    /// It is none that cloudflared knows; the text continues "the service of ingress rule 1 …" and does not quote it.
    pub fn parse(service: &str) -> Result<Self, &'static str> {
        if let Some(status) = service.strip_prefix("http_status:") {
            return match status.parse::<u16>() {
                Ok(100..=999) => Ok(Self::NoAddress(service.into())),
                _ => Err("is `http_status:` without a status from 100 to 999"),
            };
        }
        for (prefix, scheme) in [("unix:", "unix"), ("unix+tls:", "unix+tls")] {
            match service.strip_prefix(prefix) {
                None => {}
                Some("") => return Err("is a socket without a path"),
                Some(path) => return Ok(Self::Socket { scheme, path: path.into() }),
            }
        }
        match service {
            "hello_world" | "hello-world" | "helloworld" | "bastion" | "socks-proxy" => {
                Ok(Self::NoAddress(service.into()))
            }
            "" => Err("is missing"),
            url => network(url).map(Self::Network),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(origin) => origin.fmt(f),
            Self::Socket { scheme, path } => write!(f, "{scheme}:{}", path.display()),
            Self::NoAddress(word) => f.write_str(word),
        }
    }
}

/// An address on the network that an ingress rule sends traffic to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The service's scheme, such as `tcp`.
    pub scheme: &'static str,
    /// Its host: a name, or an address without brackets.
    pub host: String,
    /// Its TCP port: the one that is given, or the one that cloudflared dials without.
    pub port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{}{close}:{}", self.scheme, self.host, self.port)
    }
}

/// Reads `scheme://host[:port]`.
fn network(service: &str) -> Result<Origin, &'static str> {
    const NO_HOST: &str = "has no host name or address that can be read, or a port that is not one";
    let (scheme, rest) = service.split_once("://").ok_or("has no scheme such as `tcp://`, and is no word it knows")?;
    let &(scheme, default_port) =
        SCHEMES.iter().find(|(known, _)| *known == scheme).ok_or("has a scheme that cloudflared does not proxy")?;
    // The URL reader below would drop or normalise these; cloudflared refuses a path, even `/`.
    if rest.contains(['/', '\\', '?', '#']) {
        return Err("has a path or a query after its host, which cloudflared does not support");
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("contains white space");
    }
    let url = Url::parse(service).map_err(|_| NO_HOST)?;
    let host = match url.host().ok_or(NO_HOST)? {
        Host::Domain("") => return Err(NO_HOST),
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    match url.port().unwrap_or(default_port) {
        0 => Err("names port 0"),
        port => Ok(Origin { scheme, host, port }),
    }
}
