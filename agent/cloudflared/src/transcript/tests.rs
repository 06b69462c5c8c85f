use super::*;

/// What each line means, and what it complains of, as the lines of one output.
fn read(lines: &[&str]) -> Vec<(&'static str, Option<Complaint>)> {
    let mut transcript = Transcript::default();
    let lines = lines.iter().map(|line| Line::parse(line.as_bytes()));
    lines
        .map(|line| {
            let meaning = transcript.read(&line);
            (meaning.event, transcript.complaint(&line, meaning))
        })
        .collect()
}

#[test]
fn last_words_mean_what_the_error_meant_that_they_repeat() {
    let refused = r#"{"level":"error","error":"never seen before","message":"Register tunnel error from server side"}"#;
    let shutdown = r#"{"level":"error","error":"never seen before","message":"Initiating shutdown"}"#;
    let rejected = ("rejected", Some(Complaint::EdgeRejected));
    assert_eq!(read(&[refused, shutdown, "never seen before"]), [rejected, ("gave_up", None), rejected]);
    // Whichever comes first.
    assert_eq!(
        read(&[shutdown, refused, "never seen before"]),
        [("gave_up", Some(Complaint::Other)), rejected, rejected]
    );
    let start = r#"{"level":"error","error":"a flag that is new","message":"Couldn't start tunnel"}"#;
    let config = ("config_refused", Some(Complaint::ConfigRefused));
    assert_eq!(read(&[start, "a flag that is new"]), [config, config]);
}

#[test]
fn words_in_no_row_complain_unless_others_have_explained() {
    let other = ("other", Some(Complaint::Other));
    assert_eq!(read(&["never seen", "never seen either"]), [other, other]);
    let unknown = r#"{"level":"fatal","message":"never seen"}"#;
    assert_eq!(read(&[unknown]), [other]);
    let taken =
        r#"{"level":"error","error":"bind: address already in use","message":"Error opening metrics server listener"}"#;
    assert_eq!(read(&[taken, unknown])[1], ("other", None));
    // A client's trouble explains nothing of the program's.
    let origin =
        r#"{"level":"error","error":"dial tcp 127.0.0.1:1: connect: connection refused","message":"Request failed"}"#;
    assert_eq!(read(&[origin, unknown])[1], other);
}

#[test]
fn what_nobody_can_see_is_no_word() {
    for line in ["", "   ", "\t", "\0\0\u{1b}"] {
        assert_eq!(read(&[line])[0].1, None, "{line:?}");
    }
}

#[test]
fn only_errors_and_plain_lines_are_words() {
    for level in ["debug", "info", "warn"] {
        for message in ["Register tunnel error from server side", "Couldn't start tunnel", "never seen"] {
            let line = format!(r#"{{"level":"{level}","error":"Unauthorized: no","message":"{message}"}}"#);
            assert_eq!(read(&[&line])[0].1, None, "{line}");
        }
    }
    for level in ["error", "fatal", "panic"] {
        let line = format!(r#"{{"level":"{level}","error":"Unauthorized: no","message":"Serve tunnel error, or so"}}"#);
        assert_eq!(read(&[&line])[0].1, Some(Complaint::Unauthorized), "{line}");
    }
}

#[test]
fn its_own_checks_count_at_any_level() {
    let hard = r#"{"hard_fail":true,"level":"info","message":"precheck complete","run_id":"x"}"#;
    let fine =
        r#"{"hard_fail":false,"level":"info","message":"precheck complete","run_id":"x","suggested_protocol":"http2"}"#;
    let one = r#"{"component":"UDP Connectivity","level":"info","message":"precheck","status":"fail","target":"127.0.0.1:7844"}"#;
    let found = read(&[one, fine, hard]);
    assert_eq!(found[0], ("precheck_failed", None), "TCP may do");
    assert_eq!(found[1], ("prechecked", None));
    assert_eq!(found[2], ("prechecks_failed", Some(Complaint::EdgeUnreachable)));
}

#[test]
fn a_page_of_plain_text_means_what_its_first_line_does() {
    let usage = read(&[
        "Incorrect Usage. flag provided but not defined: -x",
        "",
        "NAME:",
        "   --tag  panic: Unauthorized",
        "words",
    ]);
    assert_eq!(usage[0], ("usage", Some(Complaint::ConfigRefused)));
    assert!(usage[1..].iter().all(|meaning| *meaning == ("usage", None)), "{usage:?}");
    for first in [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "fatal error: concurrent map writes",
        "runtime: out of memory: cannot allocate 4194304-byte block",
    ] {
        let crash = read(&[first, "goroutine 1 [running]:", "main.main()", "\t/src/main.go:1 +0x1d", "exit status 2"]);
        assert_eq!(crash[0], ("crashed", None), "{first}");
        assert!(crash[1..].iter().all(|meaning| *meaning == ("trace", None)), "{crash:?}");
    }
}
