//! HTML that is put together so that no text of others becomes markup.

use input::plain::is_harmless;

/// What a text is cut to, in characters: no page is made unreadable by one line.
const LONGEST: usize = 2000;

/// A page, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of our own.
    pub fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// A text of whomever.
    pub fn text(&mut self, words: &str) {
        self.0.push_str(&text(words));
    }

    /// The beginning of an element, with attributes of our own.
    pub fn open(&mut self, name: &str, attributes: &str) {
        let blank = if attributes.is_empty() { "" } else { " " };
        self.0.push_str(&format!("<{name}{blank}{attributes}>"));
    }

    /// Its end.
    pub fn close(&mut self, name: &str) {
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element that holds a text of whomever.
    pub fn element(&mut self, name: &str, attributes: &str, words: &str) {
        self.open(name, attributes);
        self.text(words);
        self.close(name);
    }

    pub fn done(self) -> String {
        self.0
    }
}

/// A text as it may stand between tags and in quoted attributes. What a browser would not show as itself, such as a character that turns
/// the line around, is written as its number.
pub(super) fn text(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for (place, c) in words.chars().enumerate() {
        if place == LONGEST {
            safe.push('…');
            break;
        }
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            _ if is_harmless(c) => safe.push(c),
            _ => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    safe
}
