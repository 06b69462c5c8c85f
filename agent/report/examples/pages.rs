//! `cargo run -p cflared-report --example pages -- DIR` writes the pages that `tests/report/browser.py` opens.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or(std::io::ErrorKind::InvalidInput)?);
    std::fs::create_dir_all(&directory)?;
    for (name, facts) in samples::all() {
        std::fs::write(directory.join(format!("{name}.html")), cflared_report::page(&facts))?;
    }
    Ok(())
}
