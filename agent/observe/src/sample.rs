//! One line of the text format of Prometheus (its documentation, "exposition formats").

/// More labels than any line of cloudflared has (3, observed, 2026.8.2): a line is bounded by them in memory.
const LABELS: usize = 16;

/// A metric's name, labels and value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub name: &'a str,
    pub value: f64,
    labels: Vec<(&'a str, String)>,
}

impl<'a> Sample<'a> {
    /// Reads `name{label="value",…} number`; a timestamp behind it is passed over. `None` if the line is something else.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_at(line.find(['{', ' ', '\t'])?);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { name, value, labels })
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// The labels up to the closing brace, and what follows that.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        if labels.len() == LABELS {
            return None;
        }
        let (name, assigned) = rest.split_once('=')?;
        let (value, after) = quoted(assigned.trim_ascii_start().strip_prefix('"')?)?;
        labels.push((name.trim_ascii(), value));
        let after = after.trim_ascii_start();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// A value up to its closing quote, its escapes (`\\`, `\"`, `\n`) resolved, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                escaped => escaped,
            }),
            plain => value.push(plain),
        }
    }
}
