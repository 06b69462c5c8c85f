use super::*;
use cflared_verdict::{Complaint, RunFact};
use cloudflared::Symptom;
use std::fmt::{Debug, Write};
use std::sync::Mutex;
use testing::fuzz::{from_the_field, fuzz};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps events as text.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("{} {}", event.metadata().target(), event.metadata().level()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

async fn relayed(output: &[u8]) -> (Vec<String>, super::super::Seen) {
    let (events, seen, _) = relayed_with_facts(output).await;
    (events, seen)
}

async fn relayed_with_facts(output: &[u8]) -> (Vec<String>, super::super::Seen, Vec<RunFact>) {
    let (kept, seen) = (Kept::default(), Arc::new(Shared::default()));
    seen.new_child(7, "127.0.0.1:2000".parse().unwrap(), None);
    let (sender, mut told) = mpsc::unbounded_channel();
    let complaints = Arc::new(Complaints::new(RunId(3), sender));
    let guard = tracing::subscriber::set_default(kept.clone());
    relay(RunId(3), output, Arc::clone(&seen), complaints).await;
    drop(guard);
    let events = kept.0.lock().unwrap().clone();
    let facts = std::iter::from_fn(|| told.try_recv().ok()).map(|(_, fact)| fact).collect();
    (events, seen.get(), facts)
}

#[tokio::test]
async fn a_complaint_is_told_in_its_words_and_once() {
    let line = "{\"level\":\"error\",\"error\":\"Unauthorized: Invalid tunnel secret\",\"message\":\"Register tunnel error from server side\"}\n";
    let (events, _, facts) = relayed_with_facts(line.repeat(1000).as_bytes()).await;
    assert_eq!(events.len(), 1000);
    let text = "Unauthorized: Invalid tunnel secret".into();
    assert_eq!(facts, [RunFact::Complained { complaint: Complaint::Unauthorized, text }]);
}

#[tokio::test]
async fn lines_become_events_with_their_fields() {
    let output = b"{\"connIndex\":2,\"ip\":\"127.0.0.3\",\"level\":\"info\",\"location\":\"iad01\",\"message\":\"Registered tunnel connection\",\"protocol\":\"http2\"}\nplain words\n{\"level\":\"error\",\"message\":\"Connection terminated\"}";
    let (events, seen) = relayed(output).await;
    let expected = [
        "cloudflared INFO message=Registered tunnel connection run=3 event=\"registered\" conn_index=2 ip=\"127.0.0.3\" location=\"iad01\" protocol=\"http2\"",
        "cloudflared WARN message=plain words run=3 event=\"other\"",
        "cloudflared DEBUG message=Connection terminated run=3 event=\"terminated\"",
    ];
    assert_eq!(events, expected);
    let symptoms = [(Symptom::Registered, 1), (Symptom::Chatter, 1), (Symptom::Unknown, 1)];
    assert_eq!(seen.symptoms, symptoms.into());
    assert_eq!(seen.last_lines.len(), 3);
}

#[tokio::test]
async fn no_field_of_an_event_holds_a_key() {
    const KEY: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0RFRkdISUo=";
    let object = format!(
        r#"{{"level":"error","message":"m {KEY}","error":"e {KEY}","connection":"c {KEY}","ip":"i {KEY}","location":"l {KEY}","protocol":"p {KEY}","token":"{KEY}"}}"#
    );
    let (events, seen) = relayed(format!("{object}\nplain {KEY}\n").as_bytes()).await;
    assert_eq!(events.join("").matches("[redacted]").count(), 8, "{events:?}");
    let text = format!("{events:?} {seen:?}");
    assert!(!text.contains(&KEY[..20]), "{text}");
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_what_is_not_is_counted() {
    let mut output = vec![0xff; 1 << 20];
    output.extend_from_slice(b"\nGenerated Connector ID: dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c\n");
    for number in 0..400 {
        output.extend_from_slice(format!("line {number}\n").as_bytes());
    }
    let (events, seen) = relayed(&output).await;
    assert_eq!(events.len(), 402);
    assert!(events[0].ends_with(" discarded_bytes=1032192"), "{}", &events[0][events[0].len() - 60..]);
    assert_eq!(seen.discarded_bytes, (1 << 20) - 16 * 1024);
    assert_eq!(seen.child.unwrap().connector_id.unwrap().to_string(), "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c");
    assert_eq!(seen.last_lines.iter().map(String::as_str).collect::<Vec<_>>()[..2], ["line 200", "line 201"]);
    assert_eq!(seen.last_lines.len(), 200);
}

/// Lines of a child, in pieces of any size, are cut, understood and passed on without what may be a key.
#[test]
fn fuzz_log_line() {
    let lines = testing::fake::recordings().into_iter().flat_map(|(_, lines)| lines);
    let seeds: std::collections::BTreeSet<Vec<u8>> = lines.chain(from_the_field("lines.txt")).collect();
    fuzz("log-line", seeds, |input| {
        let (mut splitter, mut transcript, mut meant) = (Splitter::default(), Transcript::default(), 0u64);
        let mut ended = |text: &[u8], _: u64| {
            let line = Line::parse(text);
            let meaning = transcript.read(&line);
            let complaint = transcript.complaint(&line, meaning);
            let said = shown(&line);
            assert!(said.chars().count() <= 400, "{said}");
            let _ = (redacted(&line.message), line.error.as_deref().map(redacted), line.connector_id());
            meant = meant.wrapping_mul(31).wrapping_add(meaning.symptom as u64 * 2 + u64::from(complaint.is_some()));
        };
        let (one, two) = input.split_at(input.len() / 2);
        splitter.push(one, &mut ended);
        splitter.push(two, &mut ended);
        splitter.end(ended);
        meant
    });
}
