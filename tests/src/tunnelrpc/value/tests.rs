use super::*;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A pointer to a structure.
fn to_struct(offset: i32, data: u16, pointers: u16) -> u64 {
    u64::from((offset << 2).cast_unsigned()) | u64::from(data) << 32 | u64::from(pointers) << 48
}

/// A pointer to a list.
fn to_list(offset: i32, size: u64, count: u64) -> u64 {
    u64::from((offset << 2).cast_unsigned()) | 1 | size << 32 | count << 35
}

fn sample() -> Value {
    let scalars = |width, count, bytes| Value::List(List::Scalars { width, count, bytes });
    Struct::new(2, 9)
        .with(0, 7u32.to_le_bytes())
        .with_bit(127, true)
        .with_pointer(0, "a text")
        .with_pointer(1, vec![1, 2, 3])
        .with_pointer(2, Struct::default())
        .with_pointer(3, ["x".to_owned(), String::new()].as_slice())
        .with_pointer(4, vec![Struct::new(1, 1).with_pointer(0, "in a list"), Struct::new(1, 1)])
        .with_pointer(5, Value::Capability(3))
        .with_pointer(6, scalars(Width::Bit, 9, vec![0xff, 1]))
        .with_pointer(7, scalars(Width::Void, 1 << 20, vec![]))
        .with_pointer(8, scalars(Width::Eight, 2, vec![9; 16]))
        .into()
}

#[test]
fn a_message_is_as_the_encoding_says() {
    let message = Struct::new(1, 2).with(0, 0x0102u16.to_le_bytes()).with_pointer(0, "hi").into();
    let encoded = words(&[to_struct(0, 1, 2), 0x0102, to_list(1, 2, 3), 0, u64::from_le_bytes(*b"hi\0\0\0\0\0\0")]);
    assert_eq!(Value::encode(&message), encoded);
    assert_eq!(Value::decode(&encoded), Ok(message));
}

#[test]
fn what_is_encoded_is_decoded() {
    let message = sample();
    assert_eq!(Value::decode(&message.encode()), Ok(message));
    assert_eq!(Value::decode(&Value::Null.encode()), Ok(Value::Null));
}

#[test]
fn structures_of_a_list_are_as_large_as_the_largest() {
    let list = Value::from(vec![Struct::new(1, 0).with(0, [5]), Struct::new(0, 1).with_pointer(0, "t")]);
    let decoded = Value::decode(&list.encode()).unwrap();
    let structs = decoded.structs().unwrap();
    assert_eq!((structs[0].u8(0), structs[0].pointer(0)), (5, &Value::Null));
    assert_eq!((structs[1].u8(0), structs[1].pointer(0).text()), (0, Ok("t")));
}

#[test]
fn what_a_structure_lacks_is_zero() {
    let mut empty = Struct::default();
    assert_eq!((empty.u64(0), empty.bit(900), empty.pointer(3)), (0, false, &Value::Null));
    assert_eq!(empty.take(2), Value::Null);
    assert_eq!((Value::Null.text(), Value::Null.data(), Value::Null.texts()), (Ok(""), Ok(&[][..]), Ok(vec![])));
}

#[test]
fn a_text_ends_in_a_zero_and_is_utf_8() {
    for bytes in [&b"no zero"[..], b"\xff\0", b""] {
        assert_eq!(Value::from(bytes).text(), Err(Malformed::Text), "{bytes:?}");
    }
    assert_eq!(Value::Capability(0).text(), Err(Malformed::Misplaced("list of bytes")));
    assert_eq!(Value::from("text").texts(), Err(Malformed::Misplaced("list of texts")));
}

#[test]
fn a_hostile_message_is_refused() {
    let loop_of_one = words(&[to_struct(0, 0, 1), to_struct(-1, 0, 1)]);
    let wide_loop: Vec<u64> =
        std::iter::once(to_struct(0, 0, 64)).chain((0..64).map(|at| to_struct(-1 - at, 0, 64))).collect();
    // Each structure twice leads to the one before it: 2^30 of them.
    let bomb: Vec<u64> = std::iter::once(to_struct(0, 0, 2))
        .chain((0..30).flat_map(|_| [to_struct(1, 0, 2), to_struct(0, 0, 2)]))
        .chain([0, 0])
        .collect();
    let cases = [
        (vec![], Malformed::OutOfBounds),
        (vec![0; 7], Malformed::OutOfBounds),
        (words(&[to_struct(0, 1, 0)]), Malformed::OutOfBounds),
        (words(&[to_struct(-2, 1, 0)]), Malformed::OutOfBounds),
        (words(&[to_struct(1 << 28, u16::MAX, u16::MAX)]), Malformed::OutOfBounds),
        (words(&[to_list(0, 2, (1 << 29) - 1)]), Malformed::OutOfBounds),
        (words(&[to_list(0, 6, (1 << 29) - 1)]), Malformed::OutOfBounds),
        (words(&[to_list(0, 5, 2), 1]), Malformed::OutOfBounds),
        // 2^30 - 1 structures in no word, and then in one.
        (words(&[to_list(0, 7, 0), 0xffff_fffc]), Malformed::TooLong),
        (words(&[to_list(0, 7, 1), 0xffff_fffc | 1 << 32, 0]), Malformed::Pointer),
        (words(&[to_list(0, 7, 1), 1 | 1 << 32, 0]), Malformed::Pointer),
        (words(&[to_list(0, 7, 1)]), Malformed::OutOfBounds),
        (words(&[2]), Malformed::Segments),
        (words(&[6, 0, 0]), Malformed::Segments),
        (words(&[7]), Malformed::Pointer),
        (loop_of_one, Malformed::TooDeep),
        (words(&wide_loop), Malformed::TooDeep),
        (words(&bomb), Malformed::TooLong),
        (vec![0; LONGEST + 8], Malformed::TooLong),
    ];
    for (number, (message, expected)) in cases.into_iter().enumerate() {
        assert_eq!(Value::decode(&message), Err(expected), "case {number}");
    }
}

#[test]
fn a_void_list_takes_no_memory() {
    let most = Value::List(List::Scalars { width: Width::Void, count: (1 << 29) - 1, bytes: vec![] });
    assert_eq!(Value::decode(&most.encode()), Ok(most));
}

/// Every byte of a message replaced by each of some values, and every length cut: nothing panics, and what is still a
/// message can be encoded again.
#[test]
fn a_garbled_message_is_refused_or_read() {
    let good = sample().encode();
    for length in 0..good.len() {
        // A cut can only end a list, or the message, early.
        assert!(Value::decode(&good[..length]).is_err(), "cut to {length}");
    }
    for at in 0..good.len() {
        for byte in [0, 1, 2, 3, 4, 7, 0x7f, 0x80, 0xfc, 0xff] {
            let mut garbled = good.clone();
            garbled[at] = byte;
            if let Ok(message) = Value::decode(&garbled) {
                assert_eq!(Value::decode(&message.encode()), Ok(message), "byte {at} is {byte}");
            }
        }
    }
}
