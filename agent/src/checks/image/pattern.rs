//! The patterns of credentials, for places that may hold innocent files. Tells what was found and on which line, never
//! the value.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::LazyLock;

/// A form of credential.
struct Pattern {
    what: &'static str,
    needle: &'static [u8],
    then: Then,
}

/// What must follow the needle, so that a mere mention of its name is none.
enum Then {
    /// Nothing: nobody writes it by chance.
    Nothing,
    /// An assignment of at least so many characters of a token, in any quoting.
    Value(usize),
    /// So many more characters of a token at once.
    More(usize),
    /// Sixteen capitals and digits, and then no more: an AWS key id that is not one of the documentation's.
    KeyId,
}

/// The longest stretch that a pattern may need to see behind its beginning.
const AHEAD: usize = 256;
/// How much is held at a time.
const PIECE: usize = 256 * 1024;
/// How many characters of quoting and assignment may stand between a name and its value: three layers of JSON.
const BETWEEN: usize = 24;

const TUNNEL: &str = "tunnel credentials";
const TOKEN: &str = "a tunnel token";
const AWS: &str = "an AWS secret key or session token";
const API: &str = "a Cloudflare API credential";
const GITHUB: &str = "a GitHub token";

/// Tunnel credentials are JSON with `TunnelSecret`, base64 of 32 bytes; encoded as a whole it begins at one of three
/// places of a group. A token is base64 of `{"a":"…` (both observed, cloudflared 2026.8.2). AWS: the names that its CLI,
/// its SDKs and the metadata service use, and the form of a user's key id (IAM user guide, "unique identifiers").
const PATTERNS: [Pattern; 26] = [
    Pattern { what: TUNNEL, needle: b"TunnelSecret", then: Then::Value(40) },
    Pattern { what: TUNNEL, needle: b"VHVubmVsU2VjcmV0", then: Then::Nothing },
    Pattern { what: TUNNEL, needle: b"R1bm5lbFNlY3Jld", then: Then::Nothing },
    Pattern { what: TUNNEL, needle: b"UdW5uZWxTZWNyZX", then: Then::Nothing },
    Pattern { what: TUNNEL, needle: b"TUNNEL_CRED_CONTENTS", then: Then::Value(20) },
    Pattern { what: TOKEN, needle: b"eyJhIjoi", then: Then::More(80) },
    Pattern { what: TOKEN, needle: b"TUNNEL_TOKEN", then: Then::Value(32) },
    Pattern {
        what: "an origin certificate with its key",
        needle: b"-----BEGIN ARGO TUNNEL TOKEN-----",
        then: Then::Nothing,
    },
    Pattern { what: API, needle: b"CLOUDFLARE_API_TOKEN", then: Then::Value(32) },
    Pattern { what: API, needle: b"CLOUDFLARE_API_KEY", then: Then::Value(32) },
    Pattern { what: API, needle: b"CF_API_TOKEN", then: Then::Value(32) },
    Pattern { what: API, needle: b"CF_API_KEY", then: Then::Value(32) },
    Pattern { what: AWS, needle: b"aws_secret_access_key", then: Then::Value(40) },
    Pattern { what: AWS, needle: b"AWS_SECRET_ACCESS_KEY", then: Then::Value(40) },
    Pattern { what: AWS, needle: b"aws_session_token", then: Then::Value(40) },
    Pattern { what: AWS, needle: b"AWS_SESSION_TOKEN", then: Then::Value(40) },
    Pattern { what: AWS, needle: b"SecretAccessKey", then: Then::Value(40) },
    Pattern { what: AWS, needle: b"secretAccessKey", then: Then::Value(40) },
    Pattern { what: "an AWS access key of a user", needle: b"AKIA", then: Then::KeyId },
    Pattern { what: PRIVATE_KEY, needle: b"-----BEGIN PRIVATE KEY-----", then: Then::Nothing },
    Pattern { what: PRIVATE_KEY, needle: b"-----BEGIN RSA PRIVATE KEY-----", then: Then::Nothing },
    Pattern { what: PRIVATE_KEY, needle: b"-----BEGIN EC PRIVATE KEY-----", then: Then::Nothing },
    Pattern { what: PRIVATE_KEY, needle: b"-----BEGIN OPENSSH PRIVATE KEY-----", then: Then::Nothing },
    Pattern { what: GITHUB, needle: b"ghp_", then: Then::More(36) },
    Pattern { what: GITHUB, needle: b"gho_", then: Then::More(36) },
    Pattern { what: GITHUB, needle: b"github_pat_", then: Then::More(60) },
];

/// What a private key is called; in some places, such as below /etc, one belongs.
pub const PRIVATE_KEY: &str = "a private key";

/// A credential that was seen.
#[derive(Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub what: &'static str,
    /// On which line, from 1 on.
    pub line: usize,
}

/// The credentials in `text`, each kind once, where it is first seen.
///
/// # Errors
/// It cannot be read to its end.
pub fn scan(mut text: impl Read) -> io::Result<Vec<Hit>> {
    let begins = &*BEGINNINGS;
    let mut hits: Vec<Hit> = vec![];
    // One character before what is looked at is kept, if there was one: a word may begin there.
    let (mut held, mut from, mut lines) = (Vec::with_capacity(PIECE + AHEAD), 0, 0);
    loop {
        let wanted = (PIECE + AHEAD).saturating_sub(held.len());
        let read = text.by_ref().take(wanted as u64).read_to_end(&mut held)?;
        let ended = read < wanted;
        let decided = if ended { held.len().saturating_sub(1) } else { held.len() - AHEAD };
        for at in from..decided {
            if !begins[usize::from(u16::from_be_bytes([held[at], held[at + 1]]))] {
                continue;
            }
            for pattern in PATTERNS.iter().filter(|pattern| held[at..].starts_with(pattern.needle)) {
                if pattern.holds(&held, at) && hits.iter().all(|hit| hit.what != pattern.what) {
                    hits.push(Hit { what: pattern.what, line: lines + 1 + newlines(&held[..at]) });
                }
            }
        }
        if ended {
            return Ok(hits);
        }
        lines += newlines(&held[..decided - 1]);
        held.drain(..decided - 1);
        from = 1;
    }
}

/// Every form that is known: what it is, and what it begins with.
pub fn forms() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Every needle is ASCII.
    PATTERNS.iter().filter_map(|pattern| Some((pattern.what, std::str::from_utf8(pattern.needle).ok()?)))
}

/// Where credentials are in a text: for a named value the value, for any other form the whole word; in order, and apart.
pub fn spans(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let begins = &*BEGINNINGS;
    let mut spans: Vec<Range<usize>> = vec![];
    for at in 0..bytes.len().saturating_sub(1) {
        if !begins[usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))] {
            continue;
        }
        let held = PATTERNS.iter().filter(|one| bytes[at..].starts_with(one.needle) && one.holds(bytes, at));
        for span in held.map(|pattern| pattern.span(bytes, at)) {
            match spans.last_mut().filter(|last| span.start <= last.end) {
                Some(last) => last.end = last.end.max(span.end),
                None => spans.push(span),
            }
        }
    }
    spans
}

/// Which two bytes a needle may begin with: so that one pass will do for all of them.
static BEGINNINGS: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let mut begins = vec![false; 1 << 16];
    for pattern in &PATTERNS {
        begins[usize::from(u16::from_be_bytes([pattern.needle[0], pattern.needle[1]]))] = true;
    }
    begins
});

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|c| **c == b'\n').count()
}

impl Pattern {
    /// What is to be struck out where it holds.
    fn span(&self, text: &[u8], at: usize) -> Range<usize> {
        let behind = at + self.needle.len();
        let word = |from: usize| from + text[from..].iter().take_while(|c| in_token(**c)).count();
        match self.then {
            Then::Value(_) => {
                let value = behind + between(&text[behind..]);
                value..word(value)
            }
            // The line that begins a key is no word; what follows it is for whoever knows where a key ends.
            Then::Nothing if self.needle.starts_with(b"-----") => at..behind,
            Then::Nothing | Then::More(_) | Then::KeyId => {
                let before = text[..at].iter().rev().take_while(|c| in_token(**c)).count();
                at - before..word(behind)
            }
        }
    }

    fn holds(&self, text: &[u8], at: usize) -> bool {
        let rest = &text[at + self.needle.len()..];
        match self.then {
            Then::Nothing => true,
            Then::More(least) => token(rest) >= least,
            Then::Value(least) => {
                let between = between(rest);
                rest[..between].iter().any(|c| b":=,".contains(c)) && token(&rest[between..]) >= least
            }
            Then::KeyId => {
                let id = rest.iter().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit()).count();
                let begins = at == 0 || !text[at - 1].is_ascii_alphanumeric();
                let ends = !rest.get(id).is_some_and(u8::is_ascii_alphanumeric);
                begins && ends && id == 16 && !rest[..id].ends_with(b"EXAMPLE")
            }
        }
    }
}

/// How many characters of quoting and assignment come first.
fn between(text: &[u8]) -> usize {
    text.iter().take(BETWEEN).take_while(|c| b"\\\"': =,\t".contains(c)).count()
}

/// How many characters of a token come first.
fn token(text: &[u8]) -> usize {
    text.iter().take(AHEAD).take_while(|c| in_token(**c)).count()
}

/// Base64 of either alphabet, and what tokens are joined with.
fn in_token(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"+/=_-.".contains(&c)
}

#[cfg(test)]
mod tests;
