//! The install is killed at every system call that it makes in the config directory, and each of these calls is made to
//! fail: afterwards the old or the new pair is there, whole, and the next run installs the new one.
//!
//! strace kills at the entry of a call, so the call is not made. Killing after a call is the same as killing at the
//! entry of the next one, and after the last one nothing is left to do.

mod faults;
mod trace;
mod world;

use std::path::Path;
use trace::{Call, calls, inject};
use world::{World, tunnel};

/// From what to what: the versions that are installed before, and the one that is to be.
struct Case {
    name: &'static str,
    before: &'static [u64],
    install: u64,
}

const CASES: &[Case] = &[
    Case { name: "the first install", before: &[], install: 1 },
    Case { name: "a new version", before: &[1, 2], install: 3 },
    Case { name: "a new tunnel", before: &[1, 2], install: 13 },
    Case { name: "nothing new", before: &[1, 2], install: 2 },
];

impl Case {
    /// The version that serves before.
    fn old(&self) -> Option<u64> {
        self.before.last().copied()
    }

    /// What must be true after a run that did not get to its end.
    fn assert_old_or_new(&self, world: &World, point: &str) {
        let shown = world.shown();
        let allowed = [self.old(), Some(self.install)];
        assert!(allowed.contains(&shown), "{}: {shown:?} after {point}", self.name);
        let versions = world.versions();
        assert!(self.old().is_none_or(|old| versions.contains(&old)), "{}: the old one is gone: {point}", self.name);
        world.assert_private();
    }

    /// What must be true after the next run: the new version and the one to go back to, and nothing else.
    fn assert_finished(&self, world: &World, point: &str) {
        world.install(self.install);
        assert_eq!(world.shown(), Some(self.install), "{}: after {point}", self.name);
        let reference = World::with(self.before);
        reference.install(self.install);
        assert_eq!(world.versions(), reference.versions(), "{}: after {point}", self.name);
        assert_eq!(world.names(), reference.names(), "{}: after {point}", self.name);
    }
}

/// Does something for each item, on as many threads as there are processors.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

fn as_strs(command: &[String; 3]) -> [&str; 3] {
    [&command[0], &command[1], &command[2]]
}

/// The calls of a run of the case that is left alone.
fn traced(case: &Case) -> (World, Vec<Call>) {
    let world = World::with(case.before);
    let calls = calls(&as_strs(&world.command(case.install)), &world.dir);
    (world, calls)
}

#[test]
fn killed_at_any_call_the_pair_is_whole_and_the_next_run_finishes() {
    let mut points = 0;
    for case in CASES {
        let (_, calls) = traced(case);
        assert!(calls.len() > 20, "{}: only {} calls were seen", case.name, calls.len());
        let before = World::with(case.before);
        each(&calls, |call| {
            let world = before.copy();
            let output = inject(&as_strs(&world.command(case.install)), call, "signal=SIGKILL");
            let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
            assert_eq!(signal, Some(9), "{}: not killed at {}", case.name, call.line);
            case.assert_old_or_new(&world, &call.line);
            case.assert_finished(&world, &call.line);
        });
        println!("{}: killed at each of {} calls", case.name, calls.len());
        points += calls.len();
    }
    println!("{points} crash points");
}

/// The places of the calls of that name with all these in their lines; there must be one at least.
fn places(calls: &[Call], name: &str, parts: &[&str]) -> Vec<usize> {
    let found: Vec<_> = (0..calls.len()).filter(|&at| calls[at].name == name && calls[at].has(parts)).collect();
    assert!(!found.is_empty(), "no {name} of {parts:?}");
    found
}

/// The place of the one call like that.
fn place(calls: &[Call], name: &str, parts: &[&str]) -> usize {
    let found = places(calls, name, parts);
    assert_eq!(found.len(), 1, "{name} of {parts:?}");
    found[0]
}

fn assert_in_order(steps: &[usize], what: &str) {
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {steps:?}");
}

#[test]
fn every_file_and_link_is_on_the_disk_before_its_name_and_its_name_after() {
    for case in CASES.iter().filter(|case| case.old() != Some(case.install)) {
        let (world, calls) = traced(case);
        let dir = world.dir.to_str().expect("test paths are UTF-8");
        let generations = format!("{dir}/generations");
        let number = case.before.len() + 1;
        let staging = format!("{generations}/.new-{number}");
        let named = place(&calls, "rename", &[&format!("\"{staging}\", \"{generations}/{number}\"")]);
        let directory = place(&calls, "fsync", &[&format!("<{staging}>")]);
        for file in ["config.yml".to_owned(), format!("{}.json", tunnel(case.install)), "meta.json".to_owned()] {
            let path = format!("{staging}/{file}");
            let created = place(&calls, "openat", &[&format!("\"{path}\""), "O_CREAT|O_EXCL", ", 0600)"]);
            let descriptor = format!("<{path}>");
            let written = *places(&calls, "write", &[&descriptor]).last().expect("there is one");
            let synced = place(&calls, "fsync", &[&descriptor]);
            assert_in_order(&[created, written, synced, directory, named], &file);
        }
        let name_synced = *places(&calls, "fsync", &[&format!("<{generations}>")]).first().expect("there is one");
        let swapped = place(&calls, "rename", &[&format!("\"{dir}/current\"")]);
        let last_sync = *places(&calls, "fsync", &[&format!("<{dir}>")]).last().expect("there is one");
        assert_in_order(&[named, name_synced, swapped, last_sync], "current");
        for link in places(&calls, "rename", &[".new\", "]) {
            assert_in_order(&[name_synced, link, last_sync], &calls[link].line);
            assert!(link <= swapped, "the links for people come first: {}", calls[link].line);
        }
        if case.old().is_none() {
            let made = place(&calls, "mkdir", &[&format!("\"{generations}\"")]);
            let synced = places(&calls, "fsync", &[&format!("<{dir}>")])[0];
            assert_in_order(&[made, synced, named], "generations");
        }
    }
}

#[test]
fn with_nothing_new_no_file_but_the_lock_is_written_to() {
    let (world, calls) = traced(&CASES[3]);
    let lock = format!("{}/.lock", world.dir.display());
    let writes = ["write", "pwrite64", "ftruncate", "rename", "symlink", "unlink", "unlinkat", "mkdir", "fsync"];
    let written: Vec<_> = calls.iter().filter(|call| writes.contains(&call.name.as_str())).collect();
    assert!(written.iter().all(|call| call.has(&[&lock])), "{written:?}");
    assert!(!calls.iter().any(|call| call.has(&["O_CREAT"]) && !call.has(&[&lock])), "{calls:?}");
    assert!(Path::new(&lock).exists());
}
