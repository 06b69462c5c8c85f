//! The program's words, in a form that may be shown to everyone.

use super::Line;
use input::plain;

/// From how many characters on a word without a break may be a key: a tunnel's secret has 44.
const KEY: usize = 20;

/// How much of a line is shown, in characters.
const SHOWN: usize = 200;

/// What a line says, in a few printable words, without anything that may be a key: its error, or else its message.
pub fn shown(line: &Line) -> String {
    let said = line.error.as_deref().filter(|error| !error.is_empty()).unwrap_or(&line.message);
    // Cut before it is looked through, with room for what a key takes more than its replacement.
    redacted(&plain::line(said, 2 * SHOWN)).chars().take(SHOWN).collect()
}

/// The text without what may be a key: the program quotes values of its files, and a file that went wrong may hold
/// anything.
pub fn redacted(text: &str) -> String {
    let in_a_key = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
    let mut safe = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(in_a_key) {
        let end = rest[start..].find(|c| !in_a_key(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        safe.push_str(&rest[..start]);
        safe.push_str(if may_be_a_key(word) { "[redacted]" } else { word });
        rest = &rest[end..];
    }
    safe + rest
}

/// Paths and URLs are long too; what tells them from base64 is that they do not mix cases and digits.
fn may_be_a_key(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    word.len() >= KEY && (mixed || !word.contains('/'))
}

#[cfg(test)]
mod tests;
