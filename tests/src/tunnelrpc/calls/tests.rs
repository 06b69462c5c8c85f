use super::*;
use crate::tunnelrpc::message::Outcome;
use crate::tunnelrpc::value::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

const INTERFACE: u64 = 0x1122_3344_5566_7788;

type Half = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

fn pipe() -> (Half, Half) {
    let (here, there) = duplex(1 << 16);
    (split(here), split(there))
}

fn number(number: u32) -> Struct {
    Struct::new(1, 0).with(0, number.to_le_bytes())
}

/// A callee that answers every call with one more than its parameter; calls of method 9 fail.
async fn counting((read, write): Half) -> Result<u32, Failure> {
    let mut callee = Callee::new(read, write);
    let mut calls = 0;
    while let Some(call) = callee.next().await? {
        assert_eq!(call.interface, INTERFACE);
        calls += 1;
        let answer = match call.method {
            9 => Err(Exception::failed("as asked")),
            _ => Ok(number(call.parameters.u32(0) + 1)),
        };
        callee.answer(call.question, answer).await?;
    }
    assert!(callee.open.is_empty(), "every question was finished: {:?}", callee.open);
    Ok(calls)
}

#[tokio::test]
async fn calls_are_answered_until_the_caller_ends() {
    let ((read, write), there) = pipe();
    let callee = tokio::spawn(counting(there));
    let mut caller = Caller::new(read, write);
    for sent in 0..100 {
        let answer = caller.call(INTERFACE, 0, number(sent)).await.unwrap();
        assert_eq!(answer.u32(0), sent + 1);
    }
    let failed = caller.call(INTERFACE, 9, number(0)).await;
    assert!(matches!(failed, Err(Failure::Refused(exception)) if exception.reason == "as asked"));
    caller.close("rpc: shutdown").await.unwrap();
    assert_eq!(callee.await.unwrap().unwrap(), 101);
}

/// The first frames of a caller, made by hand from the layout of the encoding: a bootstrap, and a call on its answer.
#[tokio::test]
async fn the_first_frames_are_those_of_the_protocol() {
    let ((read, write), (mut there, _keep)) = pipe();
    let mut caller = Caller::new(read, write);
    let calling = tokio::spawn(async move { caller.call(INTERFACE, 2, Struct::default()).await });
    let expected = [
        0x0000_0005_0000_0000, // one segment of five words
        0x0001_0001_0000_0000, // the root: one word, one pointer
        8,                     // of a bootstrap
        0x0001_0001_0000_0000, // its body: one word, one pointer
        0,                     // question 0
        0,                     // nothing
    ];
    let mut frame = [0; 48];
    there.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>(), expected);

    let Message::Call(call) = Message::decode(frames::read(&mut there).await.unwrap()).unwrap() else {
        panic!("no call");
    };
    assert_eq!((call.question, call.target, call.interface, call.method), (1, Target::Answer(0), INTERFACE, 2));
    drop((there, _keep));
    assert!(calling.await.unwrap().is_err());
}

#[tokio::test]
async fn the_second_call_is_to_what_was_given_and_numbers_are_used_again() {
    let ((read, write), (mut there, mut back)) = pipe();
    let mut caller = Caller::new(read, write);
    let calling = tokio::spawn(async move {
        caller.call(INTERFACE, 0, Struct::default()).await.unwrap();
        caller.call(INTERFACE, 1, Struct::default()).await
    });
    let mut next = async || Message::decode(frames::read(&mut there).await.unwrap()).unwrap();
    assert_eq!(next().await, Message::Bootstrap { question: 0 });
    assert!(matches!(next().await, Message::Call(_)));
    for (question, results) in [(0, Results::capability(5)), (1, Results::of(Struct::default()))] {
        let answer = Message::Return { question, outcome: Outcome::Results(results) };
        back.write_all(&frames::frame(&answer.encode())).await.unwrap();
        assert_eq!(next().await, Message::Finish { question, release: false });
    }
    let Message::Call(call) = next().await else { panic!("no call") };
    assert_eq!((call.question, call.target), (0, Target::Capability(5)));
    drop((there, back));
    assert!(matches!(calling.await.unwrap(), Err(Failure::Ended)));
}

/// What a callee makes of frames, and what it answers last.
async fn callee_hears(messages: &[Value]) -> (Result<Option<Call>, Failure>, Option<Message>) {
    let ((read, write), (mut there, mut back)) = pipe();
    for message in messages {
        back.write_all(&frames::frame(message)).await.unwrap();
    }
    back.shutdown().await.unwrap();
    let heard = Callee::new(read, write).next().await;
    let mut last = None;
    while let Ok(message) = frames::read(&mut there).await {
        last = Message::decode(message).ok();
    }
    (heard, last)
}

fn call(question: u32, target: Target) -> Value {
    Message::Call(Call { question, target, interface: INTERFACE, method: 0, parameters: Struct::default() }).encode()
}

#[tokio::test]
async fn who_does_not_keep_to_the_protocol_is_sent_away() {
    let bootstrap = |question| Message::Bootstrap { question }.encode();
    let many: Vec<Value> = (0..=MOST_OPEN as u32).map(bootstrap).collect();
    let answer = Message::Return { question: 0, outcome: Outcome::Canceled }.encode();
    let bad_call = Struct::new(1, 1).with(0, [2]).with_pointer(0, "a text");
    let bad_target = Struct::new(3, 3).with_pointer(0, Struct::new(1, 1).with(4, [7]));
    let bad_target = Struct::new(1, 1).with(0, [2]).with_pointer(0, bad_target);
    for (number, messages) in [
        vec![bootstrap(0), bootstrap(0)],
        many,
        vec![answer],
        vec![bad_call.into()],
        vec![bad_target.into()],
        vec![Value::Capability(0)],
    ]
    .iter()
    .enumerate()
    {
        let (heard, last) = callee_hears(messages).await;
        assert!(heard.is_err(), "case {number}: {heard:?}");
        assert!(matches!(last, Some(Message::Abort(_))), "case {number}: {last:?}");
    }
}

#[tokio::test]
async fn a_call_to_nobody_fails_by_itself() {
    for target in [Target::Capability(1), Target::Answer(0), Target::Answer(7), Target::PartOfAnswer(0)] {
        let (heard, last) = callee_hears(&[call(7, target)]).await;
        assert!(matches!(heard, Ok(None)), "{target:?}: {heard:?}");
        let Some(Message::Return { question: 7, outcome: Outcome::Exception(_) }) = last else {
            panic!("{target:?}: {last:?}")
        };
    }
}

#[tokio::test]
async fn what_is_not_known_is_sent_back() {
    let join = Message::Other(Struct::new(1, 1).with(0, [12]).with_pointer(0, "whatever"));
    let (heard, last) = callee_hears(&[join.encode()]).await;
    assert!(matches!(heard, Ok(None)));
    let Some(Message::Unimplemented(back)) = last else { panic!("{last:?}") };
    assert_eq!(Message::decode(back).unwrap(), join);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_forgotten_once_answered() {
    let ((read, write), (_there, mut back)) = pipe();
    let mut callee = Callee::new(read, write);
    let finish = Message::Finish { question: 4, release: true }.encode();
    for message in [Message::Bootstrap { question: 0 }.encode(), call(4, Target::Answer(0)), finish] {
        back.write_all(&frames::frame(&message)).await.unwrap();
    }
    assert_eq!(callee.next().await.unwrap().unwrap().question, 4);
    back.shutdown().await.unwrap();
    assert!(callee.next().await.unwrap().is_none());
    assert_eq!(callee.open[&4], Question::Abandoned);
    callee.answer(4, Ok(Struct::default())).await.unwrap();
    assert!(!callee.open.contains_key(&4));
}

#[tokio::test]
async fn a_caller_survives_what_a_callee_should_not_send() {
    let answer = |question, outcome| Message::Return { question, outcome }.encode();
    let abort = Message::Abort(Exception::failed("go away")).encode();
    let nobody = answer(0, Outcome::Results(Results::of(Struct::default())));
    let outside = Results { content: Value::Capability(3), capabilities: vec![] };
    for (number, message) in [
        answer(9, Outcome::Canceled),
        answer(0, Outcome::Elsewhere),
        answer(1, Outcome::Canceled),
        answer(0, Outcome::Results(outside)),
        nobody,
        abort,
        Value::Capability(9),
    ]
    .iter()
    .enumerate()
    {
        let ((read, write), (_there, mut back)) = pipe();
        back.write_all(&frames::frame(message)).await.unwrap();
        let failed = Caller::new(read, write).call(INTERFACE, 0, Struct::default()).await;
        assert!(failed.is_err(), "case {number}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_it() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 0, 9, 0, 0, 0, 1]] {
        let ((read, write), (_there, mut back)) = pipe();
        back.write_all(bytes).await.unwrap();
        back.shutdown().await.unwrap();
        assert!(Callee::new(read, write).next().await.is_err(), "{bytes:?}");
    }
}
