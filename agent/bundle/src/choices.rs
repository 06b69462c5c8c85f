//! The options of a bundle that concern the way to the edge.

use super::{Error, Store, Unusable};
use cflared_verdict::{Generation, Installed};
use input::yaml::{self, Node};
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The keys of a config, and of its credentials, that choose the edge and the way to it; as they are given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choices {
    /// `edge`: HOST:PORT each.
    pub edges: Vec<String>,
    /// `region`.
    pub region: Option<String>,
    /// `protocol`.
    pub protocol: Option<String>,
    /// `edge-ip-version`.
    pub ip_version: Option<String>,
    /// `edge-bind-address`.
    pub bind_address: Option<String>,
    /// `Endpoint` of the credentials: `fed` for a tunnel of the FedRAMP network.
    pub endpoint: Option<String>,
}

impl Choices {
    /// Reads the two texts; of what cannot be read, nothing is chosen.
    pub fn read(config_yaml: &str, credentials_json: &str) -> Self {
        let config = yaml::parse(config_yaml).unwrap_or(Node::Null);
        let text = |key: &str| match config.get(key)? {
            Node::Text(text) | Node::Other(_, text) => Some(text.clone()),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        };
        let edges = match config.get("edge") {
            Some(Node::List(edges)) => edges.as_slice(),
            _ => &[],
        };
        let edge = |node: &Node| if let Node::Text(edge) = node { Some(edge.clone()) } else { None };
        Self {
            edges: edges.iter().filter_map(edge).collect(),
            region: text("region"),
            protocol: text("protocol"),
            ip_version: text("edge-ip-version"),
            bind_address: text("edge-bind-address"),
            endpoint: endpoint(credentials_json),
        }
    }
}

/// The `Endpoint`, whose key Go's reader takes in any case. Nothing else is kept, not for a moment: the secret is beside it.
fn endpoint(credentials_json: &str) -> Option<String> {
    struct Endpoint;
    impl<'de> Visitor<'de> for Endpoint {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
            let mut endpoint = None;
            while let Some(key) = map.next_key::<String>()? {
                if key.eq_ignore_ascii_case("Endpoint") {
                    endpoint = Some(map.next_value().map_err(|_| A::Error::custom("Endpoint is no text"))?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(endpoint)
        }
    }
    serde_json::Deserializer::from_str(credentials_json).deserialize_map(Endpoint).ok().flatten()
}

impl Store {
    /// What a generation says of the way to the edge.
    ///
    /// # Errors
    /// It is not whole.
    pub fn choices(&self, generation: Generation) -> Result<Choices, Error> {
        let broken = |unusable: Unusable| Error::Rules { generation, why: unusable.to_string() };
        let meta = self.inspect(generation).map_err(broken)?;
        let installed = Installed { generation, version: meta.version, tunnel: meta.tunnel };
        let parts = self.parts(&installed).map_err(broken)?;
        Ok(Choices::read(parts.config_yaml.expose(), parts.credentials_json.expose()))
    }
}

#[cfg(test)]
mod tests;
