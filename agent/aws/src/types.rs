//! The facts about an instance, as types that hold only valid values.

use std::fmt;

/// How much of a refused text an error shows, in characters.
const SHOWN: usize = 40;

/// A text that is not what it should be. It shows the text escaped and cut, so that it is safe in a log or a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not {what} ({form})")]
pub struct Malformed {
    /// What it should be: `an instance id`.
    pub what: &'static str,
    /// What that looks like.
    pub form: &'static str,
    /// The beginning of the text, escaped.
    pub shown: String,
}

impl Malformed {
    pub(super) fn new(what: &'static str, form: &'static str, text: &str) -> Self {
        Self { what, form, shown: shown(text) }
    }
}

/// The beginning of a text that somebody else wrote, in printable ASCII.
pub(super) fn shown(text: &str) -> String {
    escaped(text, SHOWN)
}

/// As [`shown`], with up to `longest` characters.
pub(super) fn escaped(text: &str, longest: usize) -> String {
    let mut escaped = text.escape_default();
    let mut shown: String = escaped.by_ref().take(longest).collect();
    if escaped.next().is_some() {
        shown.push('…');
    }
    shown
}

macro_rules! validated {
    ($($(#[$doc:meta])* $name:ident is $what:literal, $form:expr, $holds:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes the text if it is one.
            ///
            /// # Errors
            /// It is not, and the error says what one looks like.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                if $holds(text) { Ok(Self(text.into())) } else { Err(Malformed::new($what, $form, text)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

validated! {
    /// `i-0123456789abcdef0`; instances from before 2016 have 8 digits (EC2 user guide, "resource ids").
    InstanceId is "an instance id", "i- and 8 or 17 hexadecimal digits", is_instance_id;
    /// `eu-central-1`, `us-gov-west-1`, `eusc-de-east-1`: it becomes part of a host name.
    Region is "a region", "such as eu-central-1", is_region;
    /// An Availability Zone, Local Zone or Wavelength Zone: `eu-central-1a`, `us-west-2-lax-1a`.
    Zone is "an availability zone", "such as eu-central-1a", is_zone;
    /// `ami-0123456789abcdef0`.
    ImageId is "an image id", "ami- and 8 or 17 hexadecimal digits", is_image_id;
    /// The environment that the instance tag names: it becomes part of the secret's name.
    Environment is "an environment", settings::ENVIRONMENT, settings::is_environment;
}

/// What an instance is told about itself. None of it changes while the instance lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Where it runs, and whose endpoints it uses.
    pub region: Region,
    /// Where in the region.
    pub zone: Zone,
    /// What it was made from.
    pub image: ImageId,
}

fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(is_resource_number)
}

fn is_image_id(text: &str) -> bool {
    text.strip_prefix("ami-").is_some_and(is_resource_number)
}

fn is_resource_number(text: &str) -> bool {
    matches!(text.len(), 8 | 17) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// `^[a-z]{2,}(-[a-z]+)+-[0-9]+$`, at most 32 bytes.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    text.len() <= 32
        && !number.is_empty()
        && number.bytes().all(|c| c.is_ascii_digit())
        && words.len() >= 2
        && words.last().is_some_and(|first| first.len() >= 2)
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase()))
}

/// `^[a-z]{2,}(-[a-z0-9]+)+$`, at most 64 bytes.
fn is_zone(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    text.len() <= 64
        && first.len() >= 2
        && first.bytes().all(|c| c.is_ascii_lowercase())
        && !rest.is_empty()
        && rest.iter().all(|part| !part.is_empty())
        && rest.concat().bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}
