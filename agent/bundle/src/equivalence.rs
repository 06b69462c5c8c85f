//! Whether two bundles mean the same to a connector, however they are written.
//!
//! In doubt they do not: a connector that is replaced in vain costs a hand-over, one that is not replaced runs on with what
//! is no longer meant.

use super::rules::Bundle;
use super::store::Parts;
use input::yaml::{self, Node};
use serde_json::Value;
use zeroize::Zeroize;

/// Whether `new` means the same as what is installed: comments, the order of keys and the form of values differ at most.
pub fn same(installed: &Parts, new: &Bundle) -> bool {
    same_config(installed.config_yaml.expose(), new.config_yaml().expose())
        && same_credentials(installed.credentials_json.expose(), new.credentials_json().expose())
}

pub(super) fn same_config(one: &str, other: &str) -> bool {
    match (yaml::parse(one), yaml::parse(other)) {
        (Ok(one), Ok(other)) => same_node(&one, &other),
        _ => false,
    }
}

fn same_node(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::Text(one), Node::Text(other)) => one == other && !may_be_no_text(one),
        // The order of the rules is what decides between them.
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_node(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            let (mut one, mut other): (Vec<_>, Vec<_>) = (one.iter().collect(), other.iter().collect());
            one.sort_unstable_by_key(|(key, _)| key);
            other.sort_unstable_by_key(|(key, _)| key);
            let pairs = || one.iter().zip(&other);
            one.len() == other.len() && pairs().all(|((a, x), (b, y))| a == b && same_node(x, y))
        }
        (one, other) => one == other,
    }
}

/// Whether cloudflared's reader, which goes by YAML 1.1, may take this for a truth value, a number or a date when it stands
/// there without quotes, while ours takes it for text either way, so that nothing tells whether the quotes were there.
fn may_be_no_text(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off"];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_hexdigit() || b"xXoO_.+-".contains(&byte))
        // An address has more points than a number, and a UUID more hyphens.
        && unsigned.matches('.').count() <= 1
        && unsigned.matches('-').count() <= 1;
    let doubtful = number || words.contains(&text.to_ascii_lowercase().as_str()) || is_date(text);
    // What ours takes for a number was in quotes, or would be none here.
    doubtful && matches!(yaml::parse(text), Ok(Node::Text(_)))
}

/// Whether it begins as a date does: `2001-01-01`.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, of: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| of.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (year, month) = (digits(parts.next(), 4..=4), digits(parts.next(), 1..=2));
    year && month && parts.next().is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

pub(super) fn same_credentials(one: &str, other: &str) -> bool {
    match (Credentials::parse(one), Credentials::parse(other)) {
        (Some(one), Some(other)) => one.0 == other.0,
        _ => false,
    }
}

/// Credentials as values, wiped when they are dropped.
struct Credentials(Value);

impl Credentials {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
