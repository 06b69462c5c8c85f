//! Cuts a stream of bytes into lines of bounded length.

use std::mem;

/// How much of a line is kept, in bytes.
pub(super) const LIMIT: usize = 16 * 1024;

/// The line that is being received.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Vec<u8>,
    discarded: u64,
}

impl Splitter {
    /// Takes the next bytes, and gives away each line that they end: its beginning, and how many bytes are missing.
    pub fn push(&mut self, bytes: &[u8], mut ended: impl FnMut(&[u8], u64)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let kept = text.len().min(LIMIT - self.line.len());
            self.line.extend_from_slice(&text[..kept]);
            self.discarded += (text.len() - kept) as u64;
            if text.len() < piece.len() {
                self.end(&mut ended);
            }
        }
    }

    /// The stream has ended: what is there is the last line.
    pub fn end(&mut self, mut ended: impl FnMut(&[u8], u64)) {
        let discarded = mem::take(&mut self.discarded);
        if !self.line.is_empty() {
            ended(&self.line, discarded);
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests;
