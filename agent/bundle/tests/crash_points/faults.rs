//! The install on a file system that refuses.

use super::trace::{Call, inject};
use super::world::{World, program};
use super::{CASES, as_strs, each, traced};
use std::process::{Command, Output};

/// The calls that change something, and what each can be answered with: the error, and words that the message must have.
fn refusals(call: &Call) -> &'static [(&'static str, &'static [&'static str])] {
    const FULL: (&str, &[&str]) = ("ENOSPC", &["No space left on device", "free space"]);
    const READ_ONLY: (&str, &[&str]) = ("EROFS", &["Read-only file system", "ReadWritePaths="]);
    const DENIED: (&str, &[&str]) = ("EACCES", &["Permission denied", "let the agent's user"]);
    const BROKEN: (&str, &[&str]) = ("EIO", &["Input/output error", "dmesg"]);
    match call.name.as_str() {
        "openat" if call.has(&["O_CREAT"]) => &[FULL, READ_ONLY, DENIED],
        "mkdir" | "symlink" | "rename" => &[FULL, READ_ONLY, DENIED, BROKEN],
        "write" | "fsync" => &[FULL, BROKEN],
        _ => &[],
    }
}

#[test]
fn whichever_call_is_refused_the_cause_is_told_and_the_next_run_finishes() {
    let mut refused = 0;
    for case in CASES {
        let (_, calls) = traced(case);
        let before = World::with(case.before);
        let points: Vec<_> =
            calls.iter().flat_map(|call| refusals(call).iter().map(move |refusal| (call, refusal))).collect();
        each(&points, |(call, (error, words))| {
            let world = before.copy();
            let output = inject(&as_strs(&world.command(case.install)), call, &format!("error={error}"));
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{}: {error} for {}", case.name, call.line);
            assert!(words.iter().all(|word| told.contains(word)), "{told} after {error} for {}", call.line);
            assert!(told.contains(world.dir.to_str().expect("UTF-8")), "the path is named: {told}");
            case.assert_old_or_new(&world, &call.line);
            case.assert_finished(&world, &call.line);
        });
        refused += points.len();
    }
    println!("{refused} calls refused");
}

/// How a script gets to mount: as root, or as root of a user namespace of its own. None if the host allows neither.
fn unshare() -> Option<Vec<&'static str>> {
    [vec!["unshare", "-m"], vec!["unshare", "-U", "-r", "-m"]].into_iter().find(|unshare| {
        let probe = ["sh", "-c", "mount -t tmpfs none /mnt"];
        Command::new(unshare[0]).args(&unshare[1..]).args(probe).output().is_ok_and(|output| output.status.success())
    })
}

/// Runs a shell script with `$dir` and `$install` set.
fn script(wrapper: &[&str], world: &World, script: &str) -> Output {
    let mut words = wrapper.iter().copied().chain(["sh", "-euc", script]);
    Command::new(words.next().expect("there is a word"))
        .args(words)
        .env("dir", &world.dir)
        .env("install", program())
        .output()
        .expect("the script runs")
}

/// The refused run says why, and leaves version 1; after the cause is gone, version 2 follows.
fn assert_told(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{printed}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["refused", "# version 1", "# version 2"], "{told}");
}

#[test]
fn a_full_disk_keeps_the_old_pair() {
    let world = World::with(&[]);
    match unshare() {
        Some(unshare) => assert_told(
            &script(
                &unshare,
                &world,
                "mount -t tmpfs -o size=96k,mode=0700 none $dir; $install $dir 1
                 dd if=/dev/zero of=$dir/filler bs=4k 2>/dev/null || true
                 $install $dir 2 || echo refused
                 head -n1 $dir/config.yml; test -z \"$(ls -A $dir/generations | grep -v '^1$')\"
                 rm $dir/filler; $install $dir 2; head -n1 $dir/config.yml",
            ),
            &["failed to write", "No space left on device", "free space"],
        ),
        // Without a disk of its own, a limit on the size of files refuses the same writes.
        None => assert_told(
            &script(
                &[],
                &world,
                "$install $dir 1; (trap '' XFSZ; ulimit -f 0; exec $install $dir 2) || echo refused
                 head -n1 $dir/config.yml; test -z \"$(ls -A $dir/generations | grep -v '^1$')\"
                 $install $dir 2; head -n1 $dir/config.yml",
            ),
            &["failed to write", "File too large", "LimitFSIZE="],
        ),
    }
}

#[test]
fn a_read_only_directory_keeps_the_old_pair() {
    let world = World::with(&[1]);
    match unshare() {
        Some(unshare) => assert_told(
            &script(
                &unshare,
                &world,
                "mount --bind $dir $dir; mount -o remount,bind,ro $dir
                 $install $dir 2 || echo refused; head -n1 $dir/config.yml
                 mount -o remount,bind,rw $dir; $install $dir 2; head -n1 $dir/config.yml",
            ),
            &["Read-only file system", "ReadWritePaths="],
        ),
        None => assert_told(
            &script(
                &[],
                &world,
                "chmod 0500 $dir $dir/generations; $install $dir 2 || echo refused; head -n1 $dir/config.yml
                 chmod 0700 $dir $dir/generations; $install $dir 2; head -n1 $dir/config.yml",
            ),
            &["Permission denied", "let the agent's user"],
        ),
    }
}
