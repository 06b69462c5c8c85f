//! Named text fields of a JSON object that holds secrets, read strictly.
//!
//! serde_json's own errors quote the value that was found, so none of them leaves this file: only the position does.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// The fields that were asked for, as they were found.
pub(crate) struct Fields {
    names: &'static [&'static str],
    found: Vec<Option<Found>>,
    problem: Option<FieldsError>,
}

/// What a key holds.
enum Found {
    Text(Zeroizing<String>),
    Other(&'static str),
}

/// Why the text does not hold the fields. No message quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// The text is not JSON.
    #[error("it is not JSON: line {line}, column {column} cannot be read")]
    NotJson {
        /// Where it goes wrong, from 1; the column counts bytes.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// The text begins as JSON of another kind; whether the rest is JSON at all was not looked at.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// A key is not there.
    #[error("its key `{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key is there more than once: readers differ in which one they take.
    #[error("its key `{key}` is given twice")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A key holds something else than text.
    #[error("its key `{key}` holds {found}, not text")]
    NotText {
        /// The key.
        key: &'static str,
        /// What kind of value it holds.
        found: &'static str,
    },
    /// A key holds nothing but white space.
    #[error("its key `{key}` is empty")]
    Empty {
        /// The key.
        key: &'static str,
    },
}

impl Fields {
    /// Reads the object and remembers the fields of those names. Other keys are skipped, whatever they hold.
    pub(crate) fn parse(text: &str, names: &'static [&'static str]) -> Result<Self, FieldsError> {
        let mut fields = Self { names, found: names.iter().map(|_| None).collect(), problem: None };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json.deserialize_any(&mut fields).and_then(|()| json.end());
        match read {
            Err(error) if error.is_data() => Err(FieldsError::NotAnObject),
            Err(error) => Err(FieldsError::NotJson { line: error.line(), column: error.column() }),
            Ok(()) => fields.problem.take().map_or(Ok(fields), Err),
        }
    }

    /// The text of a field that was asked for; it can be taken once.
    pub(crate) fn take(&mut self, key: &'static str) -> Result<Zeroizing<String>, FieldsError> {
        let found = self.names.iter().position(|name| *name == key).and_then(|index| self.found[index].take());
        match found {
            None => Err(FieldsError::Missing { key }),
            Some(Found::Other(found)) => Err(FieldsError::NotText { key, found }),
            Some(Found::Text(text)) if text.trim().is_empty() => Err(FieldsError::Empty { key }),
            Some(Found::Text(text)) => Ok(text),
        }
    }

    /// Notes a problem; the first one is the one that is told.
    fn note(&mut self, problem: FieldsError) {
        self.problem.get_or_insert(problem);
    }
}

impl<'de> Visitor<'de> for &mut Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(&key)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let name = self.names[index];
            let value = map.next_value()?;
            // cloudflared's reader of JSON takes a key in any letter case.
            if self.found[index].replace(value).is_some() {
                self.note(FieldsError::Twice { key: name });
            }
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for Found {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

/// Takes text, and of everything else only its kind.
struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(Found::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Other("true or false"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other("an object"))
    }
}
