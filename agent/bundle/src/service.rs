//! The services that an ingress rule may name.
//!
//! Read as cloudflared reads it (Go's `net/url`, and its own words before that; 2026.8.2), and no stricter: `ingress
//! validate` is asked anyway. What is refused beyond that is in [`super::policy`].

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use url::Host;

/// The port that cloudflared dials for a scheme when the service names none (7864 is its stand-in for "TCP has no default").
/// Every other scheme is TCP as well, and has no default: such an origin cannot be dialled.
const DEFAULT_PORTS: &[(&str, u16)] =
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
    /// cloudflared answers itself: `http_status:404`, `hello_world`.
    Answer(String),
    /// The client names where it wants to go: an open proxy.
    Proxy(Proxy),
}

/// An open proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proxy {
    /// `bastion`, or a rule with `bastionMode`.
    Bastion,
    /// `socks-proxy`, or a rule with `proxyType: socks`.
    Socks,
}

impl Proxy {
    /// The word for it in a config, and in the setting that allows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bastion => "bastion",
            Self::Socks => "socks-proxy",
        }
    }
}

impl Service {
    /// Reads a service.
    ///
    /// # Errors
    /// It is none that cloudflared takes; the text continues "the service of ingress rule 1 …" and does not quote it.
    pub fn parse(service: &str) -> Result<Self, &'static str> {
        if let Some(status) = service.strip_prefix("http_status:") {
            return match status.parse::<u16>() {
                Ok(100..=999) => Ok(Self::Answer(service.into())),
                _ => Err("is `http_status:` without a status from 100 to 999"),
            };
        }
        for (prefix, scheme) in [("unix:", "unix"), ("unix+tls:", "unix+tls")] {
            if let Some(path) = service.strip_prefix(prefix) {
                return Ok(Self::Socket { scheme, path: path.into() });
            }
        }
        match service {
            "hello_world" | "hello-world" => Ok(Self::Answer(service.into())),
            "bastion" => Ok(Self::Proxy(Proxy::Bastion)),
            "socks-proxy" => Ok(Self::Proxy(Proxy::Socks)),
            "" => Err("is missing"),
            url => Origin::parse(url).map(Self::Network),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(origin) => origin.fmt(f),
            Self::Socket { scheme, path } => write!(f, "{scheme}:{}", path.display()),
            Self::Answer(word) => f.write_str(word),
            Self::Proxy(proxy) => f.write_str(proxy.name()),
        }
    }
}

/// An address on the network that an ingress rule sends traffic to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The service's scheme in lower case, such as `tcp`.
    pub scheme: String,
    /// Its host in lower case: a name, or an address without brackets, with its zone if it has one.
    pub host: String,
    /// Its TCP port: the one that is given, or the one that cloudflared dials without. None: cloudflared accepts the rule and
    /// cannot dial, for the scheme has no default or the number is none of a port.
    pub port: Option<u16>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{}{close}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Origin {
    /// Reads `scheme://host[:port][?query]`.
    fn parse(service: &str) -> Result<Self, &'static str> {
        if service.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return Err("contains white space or a control character");
        }
        let (scheme, rest) = service.split_once(':').ok_or(NO_SCHEME)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let rest = rest.strip_prefix("//").filter(|_| is_scheme).ok_or(NO_SCHEME)?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        if rest.contains('/') {
            return Err("has a path after its host, which cloudflared does not support");
        }
        if rest.contains('@') {
            return Err(USER_INFO);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        let default = || DEFAULT_PORTS.iter().find(|(known, _)| *known == scheme).map(|(_, port)| *port);
        let port = if port.is_empty() { default() } else { port.parse().ok().filter(|port| *port != 0) };
        Ok(Self { scheme, host, port })
    }

    /// The host's address, if it is one and no name.
    pub fn address(&self) -> Option<IpAddr> {
        address(&self.host)
    }

    /// The host's name as it is looked up: without a dot at its end, and letters of other scripts as IDNA has them (RFC 5891).
    pub fn name(&self) -> String {
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        Host::parse(name).map_or_else(|_| name.to_owned(), |host| host.to_string())
    }
}

/// A password in a service is written into cloudflared's log, and shown by its `/config` page.
pub(super) const USER_INFO: &str =
    "holds a user name or a password, which cloudflared writes into its log; take it out";
const NO_SCHEME: &str = "has no scheme such as `tcp://`, and is no word it knows";
const NO_HOST: &str = "has no host name or address that can be read, or a port that is not one";

/// Splits `host[:port]`; the host in lower case, without brackets, percent-encoding taken out.
fn host_and_port(authority: &str) -> Result<(String, &str), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.rsplit_once(']').ok_or(NO_HOST)?;
            let (plain, _zone) = host.split_once("%25").unwrap_or((host, ""));
            plain.parse::<Ipv6Addr>().map_err(|_| NO_HOST)?;
            match port.strip_prefix(':') {
                Some(port) => (host.replacen("%25", "%", 1), port),
                None if port.is_empty() => (host.replacen("%25", "%", 1), port),
                None => return Err(NO_HOST),
            }
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            if host.contains(|c: char| "\\^`{|}".contains(c)) {
                return Err(NO_HOST);
            }
            (decoded(host).ok_or(NO_HOST)?, port)
        }
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    if host.is_empty() || !is_number { Err(NO_HOST) } else { Ok((host.to_lowercase(), port)) }
}

/// A host without percent-encoding, in which Go takes only what is not ASCII.
fn decoded(host: &str) -> Option<String> {
    let mut parts = host.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok().filter(|byte| !byte.is_ascii())?);
        bytes.extend(rest.as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The address that a host's text stands for, in any spelling that a resolver of this host may take for one: with a zone, a dot
/// at its end, in fewer parts, octal or hexadecimal (inet_aton(3)), decimal with zeros in front, or in digits of other scripts,
/// which Go's HTTP client has IDNA turn into ours.
fn address(host: &str) -> Option<IpAddr> {
    let host = host.split('%').next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let padded = || host.split('.').map(|part| part.parse::<u8>().ok()).collect::<Option<Vec<_>>>()?.try_into().ok();
    let other_script = || match Host::parse(host) {
        Ok(Host::Ipv4(four)) => Some(four.octets()),
        _ => None,
    };
    host.parse().ok().or_else(|| inet_aton(host).or_else(padded).or_else(other_script).map(|four: [u8; 4]| four.into()))
}

/// One to four numbers, the last of which fills the rest of the address.
fn inet_aton(text: &str) -> Option<[u8; 4]> {
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some("") => Some(0),
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok(),
        None => part.parse::<u64>().ok(),
    };
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() <= 3)?;
    let room = 8 * (4 - first.len());
    if first.iter().any(|part| *part > 255) || *last >> room != 0 {
        return None;
    }
    let begin = first.iter().fold(0, |sum, part| sum << 8 | part);
    u32::try_from(begin << room | last).ok().map(u32::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(service: &str) -> Result<String, &'static str> {
        Service::parse(service).map(|service| service.to_string())
    }

    #[test]
    fn what_cloudflared_takes_is_taken() {
        for (service, shown) in [
            ("tcp://db.internal:3306", "tcp://db.internal:3306"),
            ("TCP://10.0.0.5:3306", "tcp://10.0.0.5:3306"),
            ("tcp://DB.Internal", "tcp://db.internal:7864"),
            ("vnc://127.0.0.1:5900", "vnc://127.0.0.1:5900"),
            ("redis://10.0.0.5:6379", "redis://10.0.0.5:6379"),
            ("redis://cache.internal", "redis://cache.internal"),
            ("git+ssh://host:22", "git+ssh://host:22"),
            ("http://web.1:8080", "http://web.1:8080"),
            ("http://web", "http://web:80"),
            ("http://web:", "http://web:80"),
            ("http://web:99999", "http://web"),
            ("http://web:0", "http://web"),
            ("https://web?tenant=1", "https://web:443"),
            ("https://web#part", "https://web:443"),
            ("http://under_score:80", "http://under_score:80"),
            ("http://bücher.example", "http://bücher.example:80"),
            ("http://b%C3%BCcher.example", "http://bücher.example:80"),
            ("https://[fd00::1]", "https://[fd00::1]:443"),
            ("https://[FD00::1%25eth0]:8443", "https://[fd00::1%eth0]:8443"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:", "unix:"),
            ("unix+tls:/run/x.sock", "unix+tls:/run/x.sock"),
            ("http_status:404", "http_status:404"),
            ("hello_world", "hello_world"),
            ("hello-world", "hello-world"),
            ("bastion", "bastion"),
            ("socks-proxy", "socks-proxy"),
        ] {
            assert_eq!(parsed(service), Ok(shown.to_owned()), "{service}");
        }
    }

    #[test]
    fn what_it_refuses_is_refused_without_being_quoted() {
        for service in [
            "",
            "db",
            "db:3306",
            "//db:3306",
            "tcp:db:3306",
            "tcp://",
            "tcp://:3306",
            "http://web/",
            "http://web/path",
            "http://web:80/?x",
            "http://web:port",
            "http://a:1:2",
            "1http://web",
            "http://we b",
            "http://web\n",
            "http://[fd00::1",
            "http://[fd00::1]x",
            "http://[web]:80",
            "http://a%2fb",
            "http://a%41",
            "http://a%c",
            "http://a%zz",
            "http_status:",
            "http_status:99",
            "http_status:1000",
            "helloworld",
            "socks5",
            "http://user:word@web",
        ] {
            let why = parsed(service).expect_err(service);
            assert!(!why.contains("word@"), "{why}");
        }
    }

    #[test]
    fn an_address_is_known_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "0xa9fea9fe",
            "0XA9FEA9FE",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
            "169.16689662",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.254.0xa9fe",
            "0169.254.169.254",
            "１６９.２５４.１６９.２５４",
            "169。254。169。254",
            "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
            "169.254.169.254．",
        ] {
            assert_eq!(address(&host.to_lowercase()), Some("169.254.169.254".parse().unwrap()), "{host}");
        }
        for name in ["web", "web.1", "1.web", "1.2.3.4.5", "256.1.1.1", "0x1g", "4294967296", "08", ""] {
            assert_eq!(address(name), None, "{name}");
        }
        assert_eq!(address("fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
    }
}
