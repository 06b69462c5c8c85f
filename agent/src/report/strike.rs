//! Strikes secrets out of a text. It errs on the side of striking out too much: a report goes into tickets.
//!
//! In this order: keys in PEM; the values of the secrets that this host has; every form of credential that `validate` knows; what is
//! assigned to a name such as `password`; what stands before the `@` of a URL; and every word that may be a key.

use crate::checks;
use cloudflared::redacted;
use serde_json::Value;
use settings::without_password;
use std::borrow::Cow;

/// What stands in a secret's place.
const STRUCK: &str = "[struck out]";
/// The shortest value that is looked for everywhere: a shorter one would strike out innocent text.
const SHORTEST: usize = 8;

/// What is struck out beside what can be known by its form.
#[derive(Debug, Default)]
pub struct Strike {
    known: Vec<String>,
}

impl Strike {
    /// Strikes those values out, too.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<_> = known.into_iter().filter(|value| value.len() >= SHORTEST).collect();
        // A value that begins with another one goes first.
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        known.dedup();
        Self { known }
    }

    /// The text without secrets.
    pub fn struck(&self, text: &str) -> String {
        let text = without_keys(text);
        let text = self.known(&text);
        let text = without_forms(&text);
        let text = without_assigned(&text);
        let text = without_passwords(&text);
        without_words(&text)
    }

    /// The same of JSON, which stays JSON: each text in it by itself.
    pub fn struck_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.struck(text).into(),
            Value::Array(values) => values.iter().map(|value| self.struck_json(value)).collect(),
            Value::Object(entries) => {
                let struck = |(name, value): (&String, &Value)| {
                    let secret = value.as_str().is_some_and(|text| !text.is_empty()) && is_secret(name);
                    (self.struck(name), if secret { STRUCK.into() } else { self.struck_json(value) })
                };
                Value::Object(entries.iter().map(struck).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// The text without the values that are known.
    pub fn known(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), STRUCK))
    }
}

/// Without what stands between the lines that begin and end a private key; of one without an end, nothing is left behind it.
fn without_keys(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    if !text.contains(BEGIN) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, key) = rest.split_at(at);
        safe.push_str(before);
        let label = key[BEGIN.len()..].split("-----").next().unwrap_or_default();
        let public = label.contains("CERTIFICATE") || label.contains("PUBLIC KEY");
        let end =
            key.find(END).map(|end| end + key[end + END.len()..].find("-----").map_or(0, |at| at + END.len() + 5));
        let end = end.unwrap_or(key.len());
        safe.push_str(if public { &key[..end] } else { STRUCK });
        rest = &key[end..];
    }
    (safe + rest).into()
}

/// Without the credentials that `validate` knows.
fn without_forms(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut from = 0;
    for span in checks::credentials_in(text) {
        safe.push_str(&text[from..span.start]);
        safe.push_str(STRUCK);
        from = span.end;
    }
    safe + &text[from..]
}

/// What a name ends with whose value is a secret.
const NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "private_key",
    "privatekey",
    "credentials_json",
    "cred_contents",
    "authorization",
    "cookie",
];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|ending| name.ends_with(ending))
}

/// Without what is assigned to a name that says that it is secret: `"password": "…"`, `PASSWORD=…`, a line `password: …`.
fn without_assigned(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut ends: Vec<usize> =
        NAMES.iter().flat_map(|name| lower.match_indices(name).map(|(at, _)| at + name.len())).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut safe = String::with_capacity(text.len());
    let mut from = 0;
    for end in ends.into_iter().filter_map(|end| assigned(text, end)) {
        if end.start >= from {
            safe.push_str(&text[from..end.start]);
            safe.push_str(STRUCK);
            from = end.end;
        }
    }
    safe + &text[from..]
}

/// Where the value is that is assigned to the name that ends at `end`.
fn assigned(text: &str, end: usize) -> Option<std::ops::Range<usize>> {
    const BETWEEN: usize = 24;
    let rest = &text[end..];
    let between: usize = rest.bytes().take(BETWEEN).take_while(|c| b"\\\"': =\t".contains(c)).count();
    let signs = &rest[..between];
    let start = end + between;
    let value = &text[start..];
    const BEFORE: usize = 256;
    let name = text[text.floor_char_boundary(end.saturating_sub(BEFORE))..end].to_ascii_lowercase();
    let header = name.ends_with("authorization") || name.ends_with("cookie");
    let alone = || {
        // A line's end, also within JSON.
        let line = name.rsplit('\n').next().unwrap_or_default();
        let line = line.rsplit("\\n").next().unwrap_or_default();
        line.trim_start().bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.\"'".contains(&c))
    };
    let assigns = match signs.bytes().find(|c| b":=".contains(c)) {
        Some(b'=') => true,
        // In prose a colon follows a name, too.
        Some(_) => header || signs.contains(['"', '\'']) || alone(),
        None => false,
    };
    let length = match signs.bytes().next_back() {
        Some(quote @ (b'"' | b'\'')) => value.find([char::from(quote), '\n']).map(|at| {
            // The backslash belongs to a quotation mark in a text within a text.
            at - value[..at].bytes().rev().take_while(|c| *c == b'\\').count()
        }),
        // Words of a header, such as `Bearer …`, belong together.
        _ if header => value.find(['\n', '"', '\'', '\\']),
        _ => value.find(|c: char| c.is_whitespace() || "\"',;&}])\\".contains(c)),
    };
    let length = length.unwrap_or(value.len());
    let word = &value[..length];
    let nothing = word.is_empty() || word.starts_with(['{', '[']) || ["null", "true", "false"].contains(&word);
    (assigns && !nothing).then_some(start..start + length)
}

/// Without what stands before the `@` of a URL.
fn without_passwords(text: &str) -> String {
    const AROUND: &str = "\"'<>()[]{},;`\\";
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let stops = |c: char| c.is_whitespace() || AROUND.contains(c);
        let start = rest[..at]
            .rfind(stops)
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        let end = rest[at..].find(stops).map_or(rest.len(), |after| at + after);
        safe.push_str(&rest[..start]);
        let url = &rest[start..end];
        safe.push_str(&if url.contains('@') {
            without_password(url).replacen('…', STRUCK, 1)
        } else {
            url.to_owned()
        });
        rest = &rest[end..];
    }
    safe + rest
}

/// Without words that may be keys. An identifier, such as a metric's or a function's name, is none.
fn without_words(text: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(in_word) {
        let end = rest[start..].find(|c| !in_word(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        safe.push_str(&rest[..start]);
        if is_base64url(word) {
            safe.push_str(STRUCK);
        } else {
            let parts = word.split_inclusive('-').map(|part| {
                let (bare, dash) = part.strip_suffix('-').map_or((part, ""), |bare| (bare, "-"));
                if is_identifier(bare) || redacted(bare) == bare { part.to_owned() } else { format!("{STRUCK}{dash}") }
            });
            safe.extend(parts);
        }
        rest = &rest[end..];
    }
    safe + rest
}

/// Whether a word with dashes is random, as base64 for URLs is: what people name changes its kind of letter less often.
fn is_base64url(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().filter(kind).count();
    let mixed = has(u8::is_ascii_uppercase) >= 3 && has(u8::is_ascii_lowercase) >= 3 && has(u8::is_ascii_digit) >= 2;
    word.len() >= 32 && word.contains('-') && mixed && changes(word) >= word.len() / 3
}

/// Letters in short groups, as `cloudflared_tunnel_ha_connections` and `dialContextWithTimeout` have them. Of twenty random letters one
/// in a thousand looks so, and of forty one in a hundred million.
fn is_identifier(word: &str) -> bool {
    const GROUP: usize = 16;
    let groups = word.split(|c: char| c == '_' || c.is_ascii_uppercase());
    word.bytes().all(|c| c.is_ascii_alphabetic() || c == b'_')
        && changes(word) <= word.len() / 3
        && groups.into_iter().all(|group| group.len() <= GROUP)
}

/// How often a letter or digit is of another kind than the one before it.
fn changes(word: &str) -> usize {
    let kind = |c: u8| match c {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    };
    let kinds: Vec<_> = word.bytes().filter(u8::is_ascii_alphanumeric).map(kind).collect();
    kinds.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
