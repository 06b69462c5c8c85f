//! `status --watch`: shows the status until Ctrl-C.

use super::{Exit, Look};
use crate::cli::show;
use input::plain::Plain;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use status::Status;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Time between two looks at the status, in milliseconds: one small file in memory.
const INTERVAL: u16 = 500;

/// What a screen has at least, as lines and columns.
const SMALLEST: (usize, usize) = (24, 80);

/// Shows the status until the reader is gone. It outlives the agent, and shows the next one.
pub(super) fn watch(path: &Path, json: bool) -> Exit {
    let terminal = !json && io::stdout().is_terminal();
    let mut shown = None;
    loop {
        let look = Look::at(path);
        let drawn = terminal.then(|| Plain::text(&look.text()).drawn(|text| screen(text, size())));
        let news = drawn.as_ref().map_or_else(|| essence(&look), Plain::to_string);
        if shown.as_ref() != Some(&news) {
            let text = drawn.unwrap_or_else(|| printed(&look, json));
            shown = Some(news);
            if show(io::stdout().lock(), &text).is_err() {
                return look.exit();
            }
        }
        if reader_left() {
            return look.exit();
        }
    }
}

/// What a change of is worth printing: all but the passing of time.
fn essence(look: &Look) -> String {
    match &look.status {
        Ok(status) => {
            let timeless = Status { written_at: status.agent.started_at, ..status.clone() };
            let json = serde_json::to_string(&timeless).expect("the status has string keys only");
            format!("{:?} {json}", look.exit())
        }
        Err(error) => error.to_string(),
    }
}

/// One object a line, or the text under the time at which it was so.
fn printed(look: &Look, json: bool) -> Plain {
    match &look.status {
        Ok(status) if json => {
            let json = serde_json::to_string(status).expect("the status has string keys only");
            Plain::json(&format!("{json}\n"))
        }
        // There is no status to print: an object that says so keeps to the form.
        Err(error) if json => Plain::json(&format!("{}\n", serde_json::json!({ "error": error.to_string() }))),
        _ => Plain::text(&format!("— {}\n{}\n", humantime::format_rfc3339_seconds(look.now), look.text())),
    }
}

/// A screen's worth of the text, drawn over what is there: what does not fit is cut at the end, for what is wrong comes
/// first.
fn screen(text: &str, (lines, columns): (usize, usize)) -> String {
    let wrapped = |line: &str| -> Vec<String> {
        let chars: Vec<char> = line.chars().collect();
        let pieces: Vec<String> = chars.chunks(columns.max(1)).map(|piece| piece.iter().collect()).collect();
        if pieces.is_empty() { vec![String::new()] } else { pieces }
    };
    // The cursor stays on the last line.
    let all: Vec<String> = text.lines().flat_map(wrapped).collect();
    let shown = all.iter().take(lines.saturating_sub(1));
    let drawn: String = shown.map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{drawn}\x1b[J")
}

/// The lines and columns of the terminal.
fn size() -> (usize, usize) {
    // SAFETY: the kernel fills in the structure, which outlives the call; all-zero is a value of it.
    #[allow(unsafe_code)]
    let (told, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(io::stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size), size)
    };
    match (told, size.ws_row, size.ws_col) {
        (0, lines @ 1.., columns @ 1..) => (lines.into(), columns.into()),
        _ => SMALLEST,
    }
}

/// Waits for the time of the next look, or until nobody reads any more; a pipe tells that without being written to.
fn reader_left() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let told = poll(&mut fds, PollTimeout::from(INTERVAL));
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    // A signal that interrupts it is no news.
    told.is_ok() && fds[0].revents().is_some_and(|events| events.intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_holds_the_beginning_and_clears_what_was_there() {
        assert_eq!(screen("one\n\nthree\n", (24, 80)), "\x1b[Hone\x1b[K\n\x1b[K\nthree\x1b[K\n\x1b[J");
        assert_eq!(screen("abcdefg\nh\ni\n", (4, 3)), "\x1b[Habc\x1b[K\ndef\x1b[K\ng\x1b[K\n\x1b[J");
        assert_eq!(screen("a\nb\n", (1, 80)), "\x1b[H\x1b[J");
        assert_eq!(screen("ä…ö\n", (24, 2)), "\x1b[Hä…\x1b[K\nö\x1b[K\n\x1b[J");
    }
}
