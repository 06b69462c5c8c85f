use super::*;
use proptest::prelude::*;

fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, u64)> {
    let mut lines = Vec::new();
    let mut splitter = Splitter::default();
    for piece in pieces {
        splitter.push(piece, |line, discarded| lines.push((line.to_vec(), discarded)));
    }
    splitter.end(|line, discarded| lines.push((line.to_vec(), discarded)));
    lines
}

#[test]
fn a_megabyte_without_an_end_costs_one_bounded_line() {
    let megabyte = vec![b'x'; 1 << 20];
    let mut splitter = Splitter::default();
    let mut lines = Vec::new();
    for piece in megabyte.chunks(4096) {
        splitter.push(piece, |line, discarded| lines.push((line.len(), discarded)));
        assert!(splitter.line.capacity() <= 2 * LIMIT);
    }
    splitter.push(b"\nnext\n", |line, discarded| lines.push((line.len(), discarded)));
    assert_eq!(lines, [(LIMIT, (1 << 20) - LIMIT as u64), (4, 0)]);
}

#[test]
fn empty_lines_are_no_lines() {
    assert_eq!(split([&b"\n\na\n\n"[..], b"\nb"]), [(b"a".to_vec(), 0), (b"b".to_vec(), 0)]);
    assert!(split([]).is_empty());
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_makes_no_difference(text in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..200), size in 1usize..20) {
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| (line.to_vec(), 0)).collect();
        prop_assert_eq!(split(text.chunks(size)), lines);
    }
}
