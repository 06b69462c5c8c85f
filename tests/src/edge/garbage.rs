//! What a control stream can carry that no side may take: no frames, no messages, and messages that cannot be.

use crate::tunnelrpc::message::{Exception, Message, Outcome, Results};
use crate::tunnelrpc::value::LONGEST;
use crate::tunnelrpc::{Struct, Value, frames};

/// Bytes that look random and are the same each time (xorshift).
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// For either side: bytes that are no frame, and frames that hold no message.
pub(super) fn no_messages() -> Vec<(&'static str, Vec<u8>)> {
    let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let segment = |body: &[u64]| words(&[&[(body.len() as u64) << 32], body].concat());
    let deep = (0..100).fold(Value::Null, |inner, _| Struct::new(0, 1).with_pointer(0, inner).into());
    let mut all = vec![
        ("the longest message that can be said", words(&[0xffff_ffff << 32])),
        ("one word more than is taken", words(&[(LONGEST as u64 / 8 + 1) << 32])),
        ("every segment that can be", words(&[0xffff_ffff])),
        ("a message of nothing", segment(&[])),
        ("a pointer out of the message", segment(&[0x0001_0001_0000_00f0])),
        ("a pointer to before the message", segment(&[0x0001_0001_ffff_fff0])),
        ("a far pointer", segment(&[2, 0])),
        ("a double far pointer", segment(&[6, 0])),
        ("a loop", segment(&[0x0001_0000_0000_0000, 0x0001_0000_ffff_fffc])),
        ("a list of 2^29 pointers", segment(&[0xffff_fffe_0000_0001])),
        ("2^30 structures in no word", segment(&[7 << 32 | 1, 0xffff_fffc])),
        ("a message 100 deep", frames::frame(&deep)),
        ("no message of the protocol", frames::frame(&Value::from("a text"))),
    ];
    all.extend((1..8).map(|seed| ("noise", [noise(seed, 2000), vec![0xff; 64]].concat())));
    all
}

/// For a connector: answers that cannot be, to its first two questions.
pub(super) fn no_answers() -> Vec<(&'static str, Vec<u8>)> {
    let answer = |question, outcome| frames::frame(&Message::Return { question, outcome }.encode());
    let results = |content: Struct| Outcome::Results(Results::of(content));
    let outside = Outcome::Results(Results { content: Value::Capability(7), capabilities: vec![] });
    let presented = answer(0, Outcome::Results(Results::capability(0)));
    let registered = |content| [presented.clone(), answer(1, results(content))].concat();
    let of_kind = |kind: u16, body: Struct| {
        let it = Struct::new(1, 1).with(0, kind.to_le_bytes()).with_pointer(0, body);
        Struct::new(0, 1).with_pointer(0, it)
    };
    vec![
        ("an answer to no question", answer(900, Outcome::Canceled)),
        ("nobody is presented", answer(0, results(Struct::default()))),
        ("somebody who is not in the table", answer(0, outside)),
        ("an answer that is elsewhere", answer(0, Outcome::Elsewhere)),
        ("a failure", answer(0, Outcome::Exception(Exception::failed("no")))),
        ("a registration of an unknown kind", registered(of_kind(7, Struct::default()))),
        ("a registration with half a UUID", registered(of_kind(1, Struct::new(1, 2).with_pointer(0, vec![1; 8])))),
        ("a refusal in no UTF-8", registered(of_kind(0, Struct::new(2, 1).with_pointer(0, vec![0xff, 0xfe, 0])))),
        ("an abort", frames::frame(&Message::Abort(Exception::failed("go away")).encode())),
    ]
}

/// What a connector is answered with the `number`th time.
pub(super) fn to_connector(number: usize) -> Vec<u8> {
    let all = [no_answers(), no_messages()].concat();
    all[number % all.len()].1.clone()
}
