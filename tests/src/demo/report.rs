//! The report that the demo leaves: the only thing of it that stays.

use super::show;
use crate::world::{Agent, Host, beside, tunnel_secret};
use anyhow::{Context, ensure};
use flate2::read::DeflateDecoder;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What was made, and what the command said of it.
pub struct Made {
    /// The page, unpacked.
    pub page: PathBuf,
    /// The command with what it printed.
    pub told: Vec<String>,
}

/// Has `cflared-agent report` make one in a directory beside the programs, and unpacks its page there.
///
/// # Errors
/// It fails, does not show what happened, or holds the tunnel's secret.
pub async fn make(host: &Host, agent: &Agent) -> anyhow::Result<Made> {
    let (directory, log) = (beside("demo-report"), host.directory().join("agent.log"));
    // That of an earlier demo, if there was one.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let lines: String = agent.log().iter().map(|line| format!("{}\n", line.json)).collect();
    fs::write(&log, lines)?;
    let archive = directory.join("report.zip");
    let output = host.run(["report", "--output", &show::path(&archive), "--log", &show::path(&log)]).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cflared-agent report` ended with {}: {text}", output.status);
    let page = page_of(&archive)?;
    for shown in ["h-registered", "h-remediating", "h-condemned"] {
        ensure!(page.contains(shown), "the page does not show {shown}");
    }
    ensure!(!page.contains(&tunnel_secret(1)), "the page holds the tunnel's secret");
    let unpacked = directory.join("report.html");
    fs::write(&unpacked, page)?;
    let mut told = vec!["$ cflared-agent report --output report.zip".to_owned()];
    told.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
    Ok(Made { page: unpacked, told })
}

/// The first file of the archive, which is the page.
fn page_of(archive: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(archive).with_context(|| format!("failed to read {}", archive.display()))?;
    // The local header of a zip archive has 30 bytes, then a name and an extra field of the lengths at its end.
    let length = |at: usize| bytes.get(at..at + 2).map(|two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let (name, extra) = (length(26).context("no archive")?, length(28).context("no archive")?);
    ensure!(bytes.get(30..30 + name).is_some_and(|name| name.ends_with(b"/report.html")), "the page is not first");
    let mut page = String::new();
    DeflateDecoder::new(&bytes[30 + name + extra..]).read_to_string(&mut page)?;
    Ok(page)
}
