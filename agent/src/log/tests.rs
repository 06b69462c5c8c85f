// The subject is how long a call takes.
#![allow(clippy::disallowed_methods)]

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testing::fake::{Dir, until};
use tokio::process::{Child, Command};
use tracing::{debug, info};

const REPORT: &str = "CFLARED_TEST_REPORT";
const FORMAT: &str = "CFLARED_TEST_FORMAT";
const LINES: u32 = 5000;

/// A process that logs much; executed by the tests below.
#[test]
#[ignore = "is executed by other tests"]
fn a_process_that_logs() {
    let Some(report) = std::env::var_os(REPORT) else { return };
    let format = if std::env::var(FORMAT).as_deref() == Ok("json") { LogFormat::Json } else { LogFormat::Auto };
    let log = init(format).unwrap();
    let handle = log.handle();
    let mut slowest = Duration::ZERO;
    for number in 0..LINES {
        let begun = Instant::now();
        info!(number, padding = "x".repeat(100), "logged");
        debug!(number, "not logged");
        tracing::info!(target: "aws_smithy_runtime", "SECRET of another crate");
        slowest = slowest.max(begun.elapsed());
    }
    let begun = Instant::now();
    drop(log);
    let report_text = format!("{} {} {}", handle.lines_lost(), slowest.as_millis(), begun.elapsed().as_millis());
    std::fs::write(report, report_text).unwrap();
}

fn logger(dir: &Dir) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "log::tests::a_process_that_logs", "--nocapture"])
        .env(REPORT, dir.join("report"))
        .env_remove("JOURNAL_STREAM")
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The lines lost, the slowest call and the length of the shutdown, both in milliseconds. How long anything may take is
/// not asserted, for a busy machine makes all of it slow: where a call would wait for its reader, there is none.
fn report(dir: &Dir) -> [u64; 3] {
    let text = dir.read("report");
    let numbers: Vec<_> = text.split(' ').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

async fn ended(mut child: Child) {
    assert!(testing::ended(child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_reader_that_never_reads_blocks_nobody() {
    let dir = Dir::new();
    let (reader, writer) = io::pipe().unwrap();
    let child = logger(&dir).stderr(writer).spawn().unwrap();
    ended(child).await;
    let [lost, slowest, shutdown] = report(&dir);
    println!("nobody reads: {lost} of {LINES} lost, slowest call {slowest} ms, shutdown {shutdown} ms");
    assert!(lost > 2000 && lost < u64::from(LINES), "{lost}");
    assert!(shutdown >= 900, "{shutdown} ms");
    drop(reader);
}

#[tokio::test]
async fn json_lines_are_all_written_when_they_are_read() {
    let dir = Dir::new();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut command = logger(&dir);
    let child = command.env(FORMAT, "json").env(LEVEL, "trace").stderr(writer).spawn().unwrap();
    drop(command);
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    ended(child).await;
    let text = text.await.unwrap();
    let [lost, ..] = report(&dir);
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count() as u64;
    assert_eq!(count("\"message\":\"logged\"") + count("\"message\":\"not logged\"") + lost, 2 * u64::from(LINES));
    assert_eq!(count("SECRET"), 0);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[tokio::test]
async fn a_journal_that_stands_still_blocks_nobody() {
    let dir = Dir::new();
    let journal = UnixDatagram::bind(dir.join("socket")).unwrap();
    let (queue, guard) = queue::start(write::Form::journal(dir.join("socket")).unwrap()).unwrap();
    // Nobody reads: were one of these to wait, this would never end.
    for number in 0..LINES {
        let mut record = Record::new(tracing::Level::INFO, "test", Default::default());
        record.message = number.to_string();
        queue.push(record);
    }
    let lost = guard.lost().get();
    assert!(lost > 0);
    // It moves again: nothing that was not counted is missing.
    journal.set_nonblocking(true).unwrap();
    let (mut written, mut bytes) = (0, [0; 4096]);
    until("all is received", || {
        while let Ok(length) = journal.recv(&mut bytes) {
            written += u64::from(!String::from_utf8_lossy(&bytes[..length]).contains(" log lines lost"));
        }
        written + lost == u64::from(LINES)
    })
    .await;
}

#[test]
fn an_event_is_taken_down_with_its_types_and_bounded() {
    let (reader, writer) = io::pipe().unwrap();
    let (queue, guard) = queue::start(write::Form::Json(File::from(OwnedFd::from(writer)))).unwrap();
    let error: &dyn std::error::Error = &Error::Twice;
    let levels = "debug".parse().unwrap();
    let context = context::Shared::default();
    tracing::subscriber::with_default(
        Front { levels, queue, context: context.clone(), first: First::default() },
        || {
            context.set(Context { environment: Some("dev".into()), ..Context::default() });
            debug!(error, on = true, small = -1, none = None::<u32>, took = ?Duration::from_millis(5), "a{}", "é".repeat(9000));
            tracing::trace!("not logged");
            drop(tracing::info_span!("not logged", secret = "in a span").entered());
        },
    );
    drop(guard);
    let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let fields = serde_json::json!({"error": Error::Twice.to_string(), "on": true, "small": -1, "took": "5ms"});
    assert_eq!(line["fields"], fields);
    assert_eq!(line["environment"], "dev", "what held when it happened");
    assert_eq!(line["target"], "cflared_agent::log::tests");
    let message = line["message"].as_str().unwrap();
    assert_eq!(message.len(), 16 * 1024 - 1, "one byte of the next character would still have fit");
}
