//! YAML that somebody else wrote, read within bounds: the one place where it is read, as a small tree or as what a type wants.
//!
//! The reader below this one does not limit what aliases expand to (one long list, named a thousand times), takes time
//! with the square of the brackets that are open (60,000: 9 s, measured in a dev build), nests deeper than a small stack
//! allows, and quotes values in its errors. So brackets are counted before it, every node within it, and only positions
//! get out.

use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// The deepest nesting that is read. cloudflared's own deepest key, a rule's `originRequest.access.audTag`, is at 6.
pub const MAX_DEPTH: usize = 16;
/// How many brackets may be open at a place, those in quotes counted.
const MAX_OPEN: usize = 256;
/// How many values are read, aliases expanded: a config of 64 KiB with a rule in every 40 bytes has about 10,000.
const MAX_NODES: usize = 20_000;
/// How many bytes of text are read, aliases expanded: four times the longest payload, and the longest settings.
const MAX_TEXT: usize = 256 * 1024;

/// Why a text is not read. The message quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A character that YAML does not allow.
    #[error("line {line}: a control character at column {column}, which YAML does not allow; remove it")]
    ControlCharacter {
        /// Where, from 1.
        line: usize,
        /// Likewise, in characters.
        column: usize,
    },
    /// It is indented with a tab.
    #[error("line {line}: it is indented with a tab, which YAML does not allow; indent with spaces")]
    Tab {
        /// Where, from 1.
        line: usize,
    },
    /// It is not YAML.
    #[error("line {line}: column {column} cannot be read as YAML; correct it")]
    NotYaml {
        /// Where, from 1.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// It is nested too deep.
    #[error("line {line}: it is nested deeper than {limit} levels; remove the nesting")]
    TooDeep {
        /// The most levels that are accepted.
        limit: usize,
        /// Where it gets too deep, from 1.
        line: usize,
    },
    /// Its aliases expand to too much.
    #[error("it is too large once its aliases (`*name`) are expanded; write fewer aliases")]
    TooLarge,
    /// A key is given twice in one mapping.
    #[error("line {line}: a key is given twice in one mapping near here; keep one of the two")]
    KeyTwice {
        /// Where the mapping is, from 1.
        line: usize,
    },
    /// A key is a list or a mapping.
    #[error("line {line}: a key is a list or a mapping near here; correct it")]
    KeyNotText {
        /// Where, from 1.
        line: usize,
    },
    /// A tag, by which another reader may read another value.
    #[error("line {line}: a YAML tag (`!name`) near here; remove it")]
    Tag {
        /// Where, from 1.
        line: usize,
    },
}

/// Why a text is not what a type wants.
#[derive(Debug)]
pub enum Unfit {
    /// It is not read at all.
    Unread(Error),
    /// It is YAML, and not of that type: with the path of keys to the place.
    Type(serde_path_to_error::Error<serde_yaml::Error>),
}

/// Reads what a type wants; `None`: the text holds nothing.
///
/// # Errors
/// It goes beyond the bounds of [`parse`], or is not of that type.
pub fn typed<T: serde::de::DeserializeOwned>(text: &str) -> Result<Option<T>, Unfit> {
    // What the reader below does not bound is bounded by then.
    parse(text).map_err(Unfit::Unread)?;
    serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(Unfit::Type)
}

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
///
/// # Errors
/// It is not YAML, or goes beyond the bounds.
pub fn parse(text: &str) -> Result<Node, Error> {
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
fn control_characters(text: &str) -> Result<(), Error> {
    for (index, line) in text.split('\n').enumerate() {
        let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}');
        if let Some(column) = line.chars().position(bad) {
            return Err(Error::ControlCharacter { line: index + 1, column: column + 1 });
        }
    }
    Ok(())
}

/// Refuses tags of YAML's own (`!!binary`), which the reader passes over while cloudflared's decodes by them: what was checked
/// would not be what is used. It knows no quotes, so `!!` at the beginning of a word is refused there as well.
fn tags(text: &str) -> Result<(), Error> {
    let begins_tag = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        let after = &line[at + 1..];
        before.is_none_or(|c| c.is_whitespace() || "[{,:?-".contains(c)) && after.starts_with(['!', '<'])
    };
    let mut quoted = false;
    for (index, line) in text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).enumerate() {
        let line = without_comment(line, quoted);
        quoted |= line.contains(QUOTES);
        if line.starts_with("%TAG") || line.match_indices('!').any(|(at, _)| begins_tag(line, at)) {
            return Err(Error::Tag { line: index + 1 });
        }
    }
    Ok(())
}

const QUOTES: [char; 2] = ['"', '\''];

/// The line without a comment, as far as it surely is one: a line that has quotes, after others that had some (`quoted`), may begin
/// within a text in quotes, and then `#` is a part of that.
fn without_comment(line: &str, quoted: bool) -> &str {
    let Some(at) = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))
    else {
        return line;
    };
    let surely = if quoted { !line.contains(QUOTES) } else { !line[..at].contains(QUOTES) };
    if surely { &line[..at] } else { line }
}

/// Refuses brackets that nothing closes. It knows neither quotes nor comments, so it allows far more than a config has.
fn open_brackets(text: &str) -> Result<(), Error> {
    let mut open = 0usize;
    for (index, line) in text.split('\n').enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_OPEN {
                return Err(Error::TooDeep { limit: MAX_DEPTH, line: index + 1 });
            }
        }
    }
    Ok(())
}

/// Turns the reader's error into one that quotes nothing.
fn explain(text: &str, problem: Option<Problem>, error: &serde_yaml::Error) -> Error {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    match problem {
        Some(Problem::TooDeep) => Error::TooDeep { limit: MAX_DEPTH, line },
        Some(Problem::TooLarge) => Error::TooLarge,
        Some(Problem::KeyTwice) => Error::KeyTwice { line },
        Some(Problem::KeyNotText) => Error::KeyNotText { line },
        Some(Problem::Tag) => Error::Tag { line },
        None => match tab_indent(text, line) {
            Some(line) => Error::Tab { line },
            // Only the reader's own limit on jumps to aliases has no place in the text.
            None if error.location().is_none() && text.contains('*') => Error::TooLarge,
            None => Error::NotYaml { line, column },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count(node: &Node) -> usize {
        match node {
            Node::List(items) => 1 + items.iter().map(count).sum::<usize>(),
            Node::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
            Node::Null | Node::Text(_) | Node::Other(..) => 1,
        }
    }

    #[test]
    fn a_comment_holds_no_tag_and_hides_none() {
        for text in [
            "# !!! made by a machine: don't edit !!!\na: b\n",
            "a: b # !!binary is not used\n",
            "a: 'b'\n# !!! mind the gap\nc: d # !!!\n",
        ] {
            assert!(matches!(parse(text), Ok(Node::Map(_))), "{text}: {:?}", parse(text));
        }
        for text in [
            "a: !!binary aW5mbw== # x\n",
            "a#b: !!binary aW5mbw==\n",
            "{a: \"x # y\", b: !!binary aW5mbw==}\n",
            "{a: \"x\n # y\", b: !!binary aW5mbw==}\n",
            "{a: 'x\n # y', b: !!binary aW5mbw==}\n",
            "a: 'x'\nb: {c: \"x\n # y\", d: !!binary aW5mbw==}\n",
        ] {
            assert!(matches!(parse(text), Err(Error::Tag { .. })), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn fuzz_yaml() {
        let seeds = [
            "a: &x [1, 2]\nb: *x\nc: {<<: {d: e}}\n",
            "- |\n  text\n- >-\n  folded\n- 'it''s'\n- \"\\u0041\"\n",
            "? key\n: value\n---\nsecond: 0x1F\n...\n",
            "\u{feff}a: ~\nb: 1.5e3\nc: .inf\n",
            "[[[[[[[[{a: [b]}]]]]]]]]",
        ];
        let field = ["config.yml", "agent.yml", "credentials.json"].map(testing::fuzz::from_the_field).concat();
        let settings = include_str!("../../settings/src/contract.yml");
        let seeds = seeds.into_iter().chain([settings]).map(|seed| seed.as_bytes().to_vec()).chain(field);
        testing::fuzz::fuzz("yaml", seeds, |input| {
            let Ok(text) = std::str::from_utf8(input) else { return (0, 0) };
            match parse(text) {
                Ok(node) => {
                    assert!(count(&node) <= MAX_NODES);
                    (1, count(&node).min(64))
                }
                Err(Error::TooLarge) => (2, 0),
                Err(Error::TooDeep { .. }) => (3, 0),
                Err(Error::KeyTwice { .. }) => (4, 0),
                Err(Error::KeyNotText { .. }) => (5, 0),
                Err(Error::Tag { .. }) => (6, 0),
                Err(Error::Tab { .. }) => (7, 0),
                Err(Error::ControlCharacter { .. }) => (8, 0),
                Err(Error::NotYaml { line, .. }) => (9, line.min(16)),
            }
        });
    }
}
