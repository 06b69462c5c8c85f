//! Runs programs of this host for their output, bounded in time and size.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How much of an output is kept, in bytes.
const KEPT: u64 = 64 * 1024;

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program to its end. `None` if there is none of that name.
///
/// # Errors
/// It cannot be started, or takes longer than `limit`: then it is killed.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Option<Said>> {
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (told, outputs) = mpsc::channel();
    let out = child.stdout.take();
    let err = child.stderr.take();
    // A reader that never ends, as a grandchild holds the pipe, is left behind.
    let also_told = told.clone();
    std::thread::spawn(move || also_told.send((true, beginning(out))));
    std::thread::spawn(move || told.send((false, beginning(err))));
    let mut texts = [String::new(), String::new()];
    for _ in 0..2 {
        match outputs.recv_timeout(limit) {
            Ok((is_out, text)) => texts[usize::from(!is_out)] = text,
            Err(_) => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no end within {}", humantime::format_duration(limit)),
                ));
            }
        }
    }
    let status = child.wait()?;
    let [stdout, stderr] = texts;
    Ok(Some(Said { status, stdout, stderr }))
}

fn beginning(output: Option<impl Read>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut kept = vec![];
    // An output that cannot be read has ended, as far as what it says goes.
    let _ = output.by_ref().take(KEPT).read_to_end(&mut kept);
    let _ = io::copy(&mut output, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}
