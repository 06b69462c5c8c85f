//! What can be seen of a connector that is alive and does not answer: where its goroutines are, as it says itself, and where its threads
//! are, as the kernel says.
//!
//! A child whose metrics server answers for its runtime still (`/debug/pprof/`, its public source, `metrics/metrics.go`) tells the
//! first; of one that is stopped or starved there is the second.

use super::Observer;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The file in the runtime directory that holds what was seen last.
pub const FILE: &str = "hung-connector.txt";
/// The most that is kept, in bytes: some 1,000 goroutines.
pub const MOST: usize = 1024 * 1024;
/// Every goroutine with its stack; it stops the program for the time of writing them, some milliseconds for thousands.
pub const GOROUTINES: &str = "/debug/pprof/goroutine?debug=2";

/// The most of one file of the kernel, in bytes; of a process that is looked at, in threads.
const FILE_SIZE: u64 = 16 * 1024;
const THREADS: usize = 64;
/// What a thread is asked for (proc(5)). Its stack in the kernel is root's alone to see.
const OF_THREAD: [&str; 4] = ["wchan", "syscall", "stack", "schedstat"];

/// How long its goroutines are waited for: so are clients, for the restart.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is to be kept of the child of that process id.
pub async fn look(observer: &Observer, metrics: SocketAddr, pid: u32) -> String {
    let kernel = tokio::task::spawn_blocking(move || process(Path::new("/proc"), pid));
    let goroutines = tokio::time::timeout(PATIENCE, observer.page(metrics, GOROUTINES, MOST));
    let (goroutines, kernel) = tokio::join!(goroutines, kernel);
    let goroutines = match goroutines {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("not known: {error}\n"),
        Err(_) => format!("not known: no answer within {}\n", humantime::format_duration(PATIENCE)),
    };
    let kernel = kernel.unwrap_or_else(|error| format!("not known: {error}\n"));
    format!("{kernel}\n== goroutines\n{goroutines}")
}

/// A process as the kernel shows it under `proc`; what may not be seen is said. It reads files of the kernel: not for the loop's own
/// thread.
pub fn process(proc: &Path, pid: u32) -> String {
    let of_process = proc.join(pid.to_string());
    let mut text = String::new();
    for name in ["status", "wchan", "limits", "cgroup", "oom_score"] {
        section(&mut text, &of_process.join(name));
    }
    let descriptors = fs::read_dir(of_process.join("fd")).map(Iterator::count);
    // Writing into a string cannot fail, here and below.
    let _ = match descriptors {
        Ok(count) => writeln!(text, "== descriptors: {count} open"),
        Err(error) => writeln!(text, "== descriptors: not known: {error}"),
    };
    let mut threads: Vec<_> = match fs::read_dir(of_process.join("task")) {
        Ok(threads) => threads.flatten().map(|thread| thread.path()).collect(),
        Err(error) => {
            let _ = writeln!(text, "== threads: not known: {error}");
            return text;
        }
    };
    threads.sort();
    let _ = writeln!(text, "== threads: {}", threads.len());
    for thread in threads.iter().take(THREADS) {
        let state = read(&thread.join("stat")).unwrap_or_else(|error| error);
        // Behind the name, which may hold anything: the state.
        let state = state.rsplit_once(") ").map_or(&*state, |(_, rest)| rest.split(' ').next().unwrap_or_default());
        let name = read(&thread.join("comm")).unwrap_or_default();
        let id = thread.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "-- thread {id} ({}): state {state}", name.trim());
        for name in OF_THREAD {
            let seen = read(&thread.join(name)).unwrap_or_else(|error| format!("not known: {error}"));
            let _ = writeln!(text, "   {name}: {}", seen.trim().replace('\n', "\n     "));
        }
    }
    text
}

fn section(text: &mut String, path: &Path) {
    let seen = read(path).unwrap_or_else(|error| format!("not known: {error}"));
    let _ = writeln!(text, "== {}\n{}", path.display(), seen.trim_end());
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = vec![];
    let read = fs::File::open(path).and_then(|file| file.take(FILE_SIZE).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_shown_with_each_of_its_threads() {
        let text = process(Path::new("/proc"), std::process::id());
        assert!(text.contains("\nState:\t") && text.contains("== descriptors: "), "{text}");
        let threads = text.matches("-- thread ").count();
        assert!(threads > 0 && text.matches("   wchan: ").count() == threads, "{text}");
        let none = process(Path::new("/proc"), u32::MAX);
        assert!(none.contains("== threads: not known: No such file"), "{none}");
    }
}
