//! Text that others wrote, as it may reach a terminal: the one place that makes it harmless.
//!
//! A child, a service, a file or a tag may hold what moves a cursor, rings, sets a title, turns a line around or hides a part of
//! it. Such characters are shown as JSON escapes them (`\u001b`), so that what they are in stays JSON if it was.

use std::fmt;

/// How much of one line is shown, in characters: no line of ours is as long.
const LINE: usize = 4000;

/// Text without anything that a terminal obeys, except for what [`Plain::drawn`] added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain(String);

impl Plain {
    /// Lines of text, each cut to 4,000 characters.
    pub fn text(text: &str) -> Self {
        let cut = |line: &str| match line.char_indices().nth(LINE) {
            Some((end, _)) => format!("{}…", escaped(&line[..end])),
            None => escaped(line),
        };
        Self(text.split('\n').map(cut).collect::<Vec<_>>().join("\n"))
    }

    /// JSON, which means the same as before.
    pub fn json(text: &str) -> Self {
        Self(text.split('\n').map(escaped).collect::<Vec<_>>().join("\n"))
    }

    /// What `draw` makes of it, which may put in colours and movements of its own.
    #[must_use]
    pub fn drawn(&self, draw: impl FnOnce(&str) -> String) -> Self {
        Self(draw(&self.0))
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The beginning of a text, on one line: a character that is not harmless is a blank.
pub fn line(text: &str, most: usize) -> String {
    let blank = |c| if is_harmless(c) { c } else { ' ' };
    text.chars().map(blank).collect::<String>().trim().chars().take(most).collect()
}

fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            _ if is_harmless(c) => escaped.push(c),
            '\t' => escaped.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    escaped
}

/// Whether it is shown as itself, to the right of what came before: no control character, and none of Unicode's invisible ones
/// (category Cf, and the separators of lines).
pub fn is_harmless(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\u{1b}]0;title\u{7}\u{1b}[2Jb\r\u{8}\u{9b}31m\u{202e}c\u{2066}\u{200b}d\u{2028}\u{feff}\u{e0041}\u{7f}é…";

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        for shown in [Plain::text(HOSTILE).to_string(), Plain::json(HOSTILE).to_string(), line(HOSTILE, 500)] {
            assert!(shown.chars().all(is_harmless), "{shown:?}");
            assert!(shown.starts_with('a') && shown.ends_with("é…"), "{shown}");
        }
        assert_eq!(Plain::text("one\n\ttwo\n\nthree\n").to_string(), "one\n\ttwo\n\nthree\n");
        assert_eq!(Plain::text("a\u{1b}[0m").to_string(), "a\\u001b[0m");
        assert_eq!(line("  a\nb\u{1b}c  ", 3), "a b");
    }

    #[test]
    fn a_line_is_cut_and_json_is_not() {
        let long = "é".repeat(10_000);
        let shown = Plain::text(&format!("{long}\nnext")).to_string();
        assert_eq!(shown.lines().map(|line| line.chars().count()).collect::<Vec<_>>(), [LINE + 1, 4]);
        assert_eq!(Plain::json(&long).to_string(), long);
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "text": HOSTILE, "\u{202e}key": [HOSTILE] });
        let shown = Plain::json(&format!("{value:#}")).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.chars().all(|c| c == '\n' || is_harmless(c)));
    }
}
