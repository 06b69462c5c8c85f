//! The demo's output: one line for each fact, with its time.

use std::io::{self, IsTerminal, Write};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The widest line, in columns: that of what is not a terminal.
const PAGE: usize = 120;
/// Narrower than this no line is made.
const NARROWEST: usize = 40;
/// The columns of a fact's time.
const MARGIN: usize = 10;

/// Tells the demo on standard output.
///
/// Every method fails if nobody listens any more, as when the pipe is closed.
pub struct Voice {
    started: Instant,
    started_us: u64,
    width: usize,
    colour: bool,
    stage: String,
    stages: usize,
}

/// How a line looks, as the code of an ANSI terminal.
#[derive(Clone, Copy)]
enum Look {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
}

impl Voice {
    /// Its clock starts now. Colours and the width are those of the terminal, if it is one.
    pub fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: any value that is not empty.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| terminal && *columns > 0);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_us: u64::try_from(since_1970.as_micros()).unwrap_or_default(),
            width: columns.unwrap_or(PAGE).clamp(NARROWEST, PAGE),
            colour: terminal && !unwanted && !dumb,
            stage: "setting up".into(),
            stages: 0,
        }
    }

    /// What comes before the first stage, a paragraph each.
    pub fn opening(&self, paragraphs: &[String]) -> io::Result<()> {
        paragraphs.iter().try_for_each(|paragraph| self.put(Look::Plain, "", paragraph))
    }

    /// Begins a stage.
    pub fn stage(&mut self, title: &str) -> io::Result<()> {
        self.stages += 1;
        self.stage = format!("stage {} ({title})", self.stages);
        self.put(Look::Plain, "", "")?;
        self.put(Look::Bold, "", &format!("{}. {title}", self.stages))
    }

    /// The time of `moment` on the clock of the demo, in seconds.
    pub fn at(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.started).as_secs_f64()
    }

    /// The same of what a stand-in recorded, in microseconds since 1970.
    #[allow(clippy::cast_precision_loss)] // microseconds of a minute
    pub fn at_us(&self, moment: u64) -> f64 {
        moment.saturating_sub(self.started_us) as f64 / 1e6
    }

    /// Something that has just been seen.
    pub fn fact(&self, text: &str) -> io::Result<()> {
        self.fact_at(self.at(Instant::now()), text)
    }

    /// Something that happened at that second of the demo.
    pub fn fact_at(&self, second: f64, text: &str) -> io::Result<()> {
        self.put(Look::Plain, &format!("{second:>6.1} s  "), text)
    }

    /// Lines of a file or a program, as they are.
    pub fn quote(&self, lines: &[String]) -> io::Result<()> {
        let margin = " ".repeat(MARGIN);
        lines.iter().try_for_each(|line| self.put(Look::Dim, &margin, line))
    }

    /// The end, if all went well: what was shown, and where to go from here.
    pub fn closing(&self, text: &str, next: &[&str]) -> io::Result<()> {
        self.put(Look::Plain, "", "")?;
        self.put(Look::Green, "", &format!("Done in {:.0} s. {text}", self.started.elapsed().as_secs_f64()))?;
        next.iter().try_for_each(|line| self.put(Look::Plain, "", line))
    }

    /// The end, if it did not.
    pub fn failed(&self, why: &str) -> io::Result<()> {
        self.put(Look::Plain, "", "")?;
        why.lines().enumerate().try_for_each(|(number, line)| {
            let head = if number == 0 { format!("FAILED in {}: ", self.stage) } else { String::new() };
            self.put(Look::Red, "", &format!("{head}{line}"))
        })
    }

    /// One line, folded where the page ends. What goes on stands below the text, not below its margin, and a little to the
    /// right of it, unless it is a paragraph.
    fn put(&self, look: Look, margin: &str, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (on, off) = if self.colour { look.codes() } else { ("", "") };
        let mut margin = margin.to_owned();
        let hang = if margin.is_empty() { 0 } else { 2 };
        for line in fold(text, self.width - margin.len(), hang) {
            let whole = if line.is_empty() { String::new() } else { format!("{margin}{on}{line}{off}") };
            writeln!(out, "{whole}")?;
            margin = " ".repeat(margin.len());
        }
        out.flush()
    }
}

impl Look {
    fn codes(self) -> (&'static str, &'static str) {
        match self {
            Look::Plain => ("", ""),
            Look::Bold => ("\x1b[1m", "\x1b[0m"),
            Look::Dim => ("\x1b[2m", "\x1b[0m"),
            Look::Red => ("\x1b[31m", "\x1b[0m"),
            Look::Green => ("\x1b[32m", "\x1b[0m"),
        }
    }
}

/// Breaks a line so that no part is longer than `width`: at spaces, or within a word that has no room. Later parts are
/// indented by `hang` more than the line itself.
fn fold(text: &str, width: usize, hang: usize) -> Vec<String> {
    // At least half of each line is text.
    let indent = (text.len() - text.trim_start_matches(' ').len() + hang).min(width / 2);
    let mut lines = Vec::new();
    let mut rest = text.to_owned();
    while let Some((over, _)) = rest.char_indices().nth(width) {
        let start = rest.len() - rest.trim_start_matches(' ').len();
        // The character that has no room may itself be the space.
        let room = rest[over..].chars().next().map_or(over, |c| over + c.len_utf8());
        let cut = rest[..room].rfind(' ').filter(|at| *at > start).unwrap_or(over);
        let tail = rest[cut..].trim_start_matches(' ').to_owned();
        lines.push(rest[..cut].trim_end().to_owned());
        rest = format!("{:indent$}{tail}", "");
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn a_long_line_is_folded_at_spaces_and_loses_no_word() {
        assert_eq!(fold("short", 10, 2), ["short"]);
        assert_eq!(fold("", 10, 2), [""]);
        assert_eq!(fold("one two three four", 9, 2), ["one two", "  three", "  four"]);
        assert_eq!(fold("  id     abc defg", 12, 2), ["  id     abc", "    defg"]);
        assert_eq!(fold("averylongword and more", 10, 2), ["averylongw", "  ord and", "  more"]);
        assert_eq!(fold("no hanging indent", 10, 0), ["no hanging", "indent"]);
        assert_eq!(fold("→→→ →→→", 5, 2), ["→→→", "  →→→"], "columns are characters, not bytes");
    }
}
