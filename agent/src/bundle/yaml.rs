//! A YAML document as a small tree, read within bounds.
//!
//! The reader below this one does not limit what aliases expand to (one long list, named a thousand times), takes time
//! with the square of the brackets that are open (60,000: 9 s, measured in a dev build), nests deeper than a small stack
//! allows, and quotes values in its errors. So brackets are counted before it, every node within it, and only positions
//! get out.

use super::broken::RuleBroken;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// The deepest nesting that is read. cloudflared's own deepest key, a rule's `originRequest.access.audTag`, is at 6.
pub const MAX_DEPTH: usize = 16;
/// How many brackets may be open at a place, those in quotes counted.
const MAX_OPEN: usize = 256;
/// How many values are read, aliases expanded: a config of 64 KiB with a rule in every 40 bytes has about 10,000.
const MAX_NODES: usize = 20_000;
/// How many bytes of text are read, aliases expanded: four times the longest payload.
const MAX_TEXT: usize = 4 * crate::secret::payload::MAX_BYTES;

/// One value.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// Nothing, `null` or `~`: as if the key were not there.
    Null,
    /// Text, quoted or not.
    Text(String),
    /// A number or a truth value: its kind, of which no rule needs to know more, and its value in one form, whichever the
    /// file has.
    Other(&'static str, String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the file's order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What kind of value it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "text",
            Self::Other(kind, _) => kind,
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// The value of a mapping's key; failing that, what the key `<<` merges into the mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Self::Map(entries) = self else { return None };
        let find = |name: &str| entries.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        find(key).or_else(|| match find("<<")? {
            Self::List(merged) => merged.iter().find_map(|one| one.get(key)),
            merged => merged.get(key),
        })
    }
}

impl Node {
    /// The keys of a mapping, and those that the key `<<` merges into it; a key may come twice.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| if key == "<<" { value.keys() } else { vec![key.as_str()] })
                .collect(),
            Self::List(merged) => merged.iter().flat_map(Self::keys).collect(),
            Self::Null | Self::Text(_) | Self::Other(..) => vec![],
        }
    }
}

/// Reads the first document of `text`, which is all that cloudflared reads.
pub fn parse(text: &str) -> Result<Node, RuleBroken> {
    // Editors put it there, cloudflared ignores it, and the reader takes it for a document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    control_characters(text)?;
    tags(text)?;
    open_brackets(text)?;
    let bounds = Bounds { nodes: Cell::new(MAX_NODES), text: Cell::new(MAX_TEXT), problem: Cell::new(None) };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(document) = documents.next() else { return Ok(Node::Null) };
    Reader { bounds: &bounds, depth: 0 }
        .deserialize(document)
        .map_err(|error| explain(text, bounds.problem.get(), &error))
}

/// Refuses what YAML does not allow (YAML 1.2, 5.1 "Character Set"): the reader tells no position of it.
fn control_characters(text: &str) -> Result<(), RuleBroken> {
    for (index, line) in text.split('\n').enumerate() {
        let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}');
        if let Some(column) = line.chars().position(bad) {
            return Err(RuleBroken::ConfigControlCharacter { line: index + 1, column: column + 1 });
        }
    }
    Ok(())
}

/// Refuses tags of YAML's own (`!!binary`), which the reader passes over while cloudflared's decodes by them: what was checked
/// would not be what is used. It knows neither quotes nor comments, so `!!` at the beginning of a word is refused there as well.
fn tags(text: &str) -> Result<(), RuleBroken> {
    let begins_tag = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        let after = &line[at + 1..];
        before.is_none_or(|c| c.is_whitespace() || "[{,:?-".contains(c)) && after.starts_with(['!', '<'])
    };
    for (index, line) in text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).enumerate() {
        if line.starts_with("%TAG") || line.match_indices('!').any(|(at, _)| begins_tag(line, at)) {
            return Err(RuleBroken::ConfigTag { line: index + 1 });
        }
    }
    Ok(())
}

/// Refuses brackets that nothing closes. It knows neither quotes nor comments, so it allows far more than a config has.
fn open_brackets(text: &str) -> Result<(), RuleBroken> {
    let mut open = 0usize;
    for (index, line) in text.split('\n').enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_OPEN {
                return Err(RuleBroken::ConfigTooDeep { limit: MAX_DEPTH, line: index + 1 });
            }
        }
    }
    Ok(())
}

/// Turns the reader's error into one that quotes nothing.
fn explain(text: &str, problem: Option<Problem>, error: &serde_yaml::Error) -> RuleBroken {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    match problem {
        Some(Problem::TooDeep) => RuleBroken::ConfigTooDeep { limit: MAX_DEPTH, line },
        Some(Problem::TooLarge) => RuleBroken::ConfigTooLarge,
        Some(Problem::KeyTwice) => RuleBroken::ConfigKeyTwice { line },
        Some(Problem::KeyNotText) => RuleBroken::ConfigKeyNotText { line },
        Some(Problem::Tag) => RuleBroken::ConfigTag { line },
        None => match tab_indent(text, line) {
            Some(line) => RuleBroken::ConfigTab { line },
            // Only the reader's own limit on jumps to aliases has no place in the text.
            None if error.location().is_none() && text.contains('*') => RuleBroken::ConfigTooLarge,
            None => RuleBroken::ConfigNotYaml { line, column },
        },
    }
}

/// The first line up to `last` that is indented with a tab. Within some block scalars a tab is allowed there, so this
/// is asked only when the text could not be read.
fn tab_indent(text: &str, last: usize) -> Option<usize> {
    let indented = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    text.lines().take(last).position(indented).map(|index| index + 1)
}

/// What is left of the bounds, and which rule stopped the reading.
struct Bounds {
    nodes: Cell<usize>,
    text: Cell<usize>,
    problem: Cell<Option<Problem>>,
}

/// A rule that is noticed while reading.
#[derive(Clone, Copy)]
enum Problem {
    TooDeep,
    TooLarge,
    KeyTwice,
    KeyNotText,
    Tag,
}

impl Bounds {
    fn stop<E: serde::de::Error>(&self, problem: Problem) -> E {
        self.problem.set(Some(problem));
        E::custom("a rule is broken")
    }

    fn spend<E: serde::de::Error>(&self, left: &Cell<usize>, cost: usize) -> Result<(), E> {
        left.set(left.get().checked_sub(cost).ok_or_else(|| self.stop(Problem::TooLarge))?);
        Ok(())
    }
}

/// Reads one value, at that depth.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bounds: &'a Bounds,
    depth: usize,
}

impl Reader<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.bounds.stop(Problem::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

const NUMBER: &str = "a number";

fn number(value: impl fmt::Display) -> Node {
    Node::Other(NUMBER, value.to_string())
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.bounds.spend(&self.bounds.nodes, 1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Other("true or false", value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(number(value))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(number(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(number(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // So that 1.0 is not 1.
        Ok(Node::Other(NUMBER, format!("{value:?}")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        self.bounds.spend(&self.bounds.text, text.len())?;
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let below = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(below)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let below = self.deeper()?;
        let mut entries = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key_seed(below)? {
            let key = match key {
                // cloudflared takes a number or a truth value for text.
                Node::Text(key) | Node::Other(_, key) => key,
                Node::Null => String::new(),
                Node::List(_) | Node::Map(_) => return Err(self.bounds.stop(Problem::KeyNotText)),
            };
            if !keys.insert(key.clone()) {
                return Err(self.bounds.stop(Problem::KeyTwice));
            }
            entries.push((key, map.next_value_seed(below)?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(self.bounds.stop(Problem::Tag))
    }
}
