use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::OwnedFd;

fn piped() -> (Queue, Guard, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let (queue, guard) = start(Form::Text(File::from(OwnedFd::from(writer)))).unwrap();
    (queue, guard, reader)
}

fn record(number: usize, length: usize) -> Record {
    let mut record = Record::new(Level::INFO, "test", Arc::default());
    record.message = format!("{number} {}", "x".repeat(length));
    record
}

#[test]
fn what_finds_no_room_is_counted_and_told_when_there_is_room_again() {
    let (queue, guard, reader) = piped();
    let lost = guard.lost();
    // More than the pipe (64 KiB) and the queue hold together.
    for number in 0..3000 {
        queue.push(record(number, 100));
    }
    let first = lost.get();
    assert!((3000 - RECORDS - 700..=3000 - RECORDS).contains(&(first as usize)), "{first}");

    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let (mut written, mut told) = (0, 0);
    while written + told < 3000 {
        let line = lines.next().unwrap();
        match line.split_once(" log lines lost event=log_lines_lost lost=") {
            Some((_, count)) => told += count.parse::<u64>().unwrap(),
            None => written += 1,
        }
    }
    assert_eq!(told, first);
    drop(guard);
    assert_eq!(lost.get(), first);
}

#[test]
fn memory_is_bounded_too() {
    let (queue, guard, reader) = piped();
    for number in 0..RECORDS {
        queue.push(record(number, 16_000));
    }
    let kept = RECORDS as u64 - guard.lost().get();
    // Some are in the pipe.
    assert!((60..80).contains(&kept), "{kept}");
    assert!(guard.counts.bytes.load(Ordering::Relaxed) <= BYTES);
    drop(reader);
}

#[test]
fn the_end_waits_until_all_is_written() {
    let (queue, guard, reader) = piped();
    let reader = thread::spawn(move || BufReader::new(reader).lines().count());
    for number in 0..500 {
        queue.push(record(number, 100));
    }
    drop(guard);
    drop(queue);
    assert_eq!(reader.join().unwrap(), 500);
}

#[test]
fn a_reader_that_is_gone_costs_lines_and_nothing_else() {
    let (queue, guard, reader) = piped();
    drop(reader);
    for number in 0..10 {
        queue.push(record(number, 10));
    }
    let lost = guard.lost();
    drop(guard);
    assert_eq!(lost.get(), 10);
}

#[test]
fn what_repeats_is_counted_and_the_end_tells_the_count() {
    let (queue, guard, reader) = piped();
    let reader = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    for _ in 0..500 {
        queue.push(record(7, 0));
    }
    let lost = guard.lost();
    drop(guard);
    drop(queue);
    let lines = reader.join().unwrap();
    assert_eq!((lines.len(), lost.get()), (11, 0), "{lines:?}");
    assert!(lines[..10].iter().all(|line| line.ends_with("test: 7 ")), "{lines:?}");
    assert!(lines[10].ends_with("test: 7  repeated=490"), "{lines:?}");
}

#[test]
fn a_count_that_cannot_be_written_is_lost_as_all_its_lines() {
    let (queue, guard, reader) = piped();
    drop(reader);
    for _ in 0..500 {
        queue.push(record(7, 0));
    }
    let lost = guard.lost();
    drop(guard);
    assert_eq!(lost.get(), 500);
}
