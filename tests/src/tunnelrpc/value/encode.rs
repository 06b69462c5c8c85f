//! From a tree to bytes, each object behind the one that leads to it.

use super::{List, Struct, Value};

pub(super) fn message(root: &Value) -> Vec<u8> {
    let mut words = vec![[0; 8]];
    point(&mut words, 0, root);
    words.into_flattened()
}

/// Writes the pointer in word `at`, and what it leads to at the end.
fn point(words: &mut Vec<[u8; 8]>, at: usize, value: &Value) {
    match value {
        Value::Null => words[at] = [0; 8],
        Value::Capability(number) => words[at] = (u64::from(*number) << 32 | 3).to_le_bytes(),
        // Nothing may be shared with the pointer of null.
        Value::Struct(structure) if structure.data.is_empty() && structure.pointers.is_empty() => {
            words[at] = 0xffff_fffc_u64.to_le_bytes();
        }
        Value::Struct(structure) => {
            let (data, pointers) = shape(structure);
            words[at] = (lead(words, at) | sizes(data, pointers)).to_le_bytes();
            let to = grow(words, data + pointers);
            fields(words, to, structure, data);
        }
        Value::List(list) => {
            let lead = lead(words, at) | 1;
            let (size, count) = elements(words, list);
            words[at] = (lead | size << 32 | (count as u64) << 35).to_le_bytes();
        }
    }
}

/// Writes the elements, and gives their size and number as the pointer has them.
fn elements(words: &mut Vec<[u8; 8]>, list: &List) -> (u64, usize) {
    match list {
        List::Scalars { width, count, bytes } => {
            words.extend(bytes.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                word
            }));
            (*width as u64, *count as usize)
        }
        List::Pointers(values) => {
            let to = grow(words, values.len());
            values.iter().enumerate().for_each(|(number, value)| point(words, to + number, value));
            (6, values.len())
        }
        List::Structs(structs) => {
            let data = structs.iter().map(|each| shape(each).0).max().unwrap_or_default();
            let pointers = structs.iter().map(|each| shape(each).1).max().unwrap_or_default();
            let length = structs.len() * (data + pointers);
            words.push((sizes(data, pointers) | (structs.len() as u64) << 2).to_le_bytes());
            let to = grow(words, length);
            for (number, structure) in structs.iter().enumerate() {
                fields(words, to + number * (data + pointers), structure, data);
            }
            (7, length)
        }
    }
}

/// Writes a structure's fields from word `to` on, with its pointers behind `data` words.
fn fields(words: &mut Vec<[u8; 8]>, to: usize, structure: &Struct, data: usize) {
    words[to..to + structure.data.len() / 8].as_flattened_mut().copy_from_slice(&structure.data);
    structure.pointers.iter().enumerate().for_each(|(number, value)| point(words, to + data + number, value));
}

fn shape(structure: &Struct) -> (usize, usize) {
    (structure.data.len() / 8, structure.pointers.len())
}

fn sizes(data: usize, pointers: usize) -> u64 {
    (data as u64) << 32 | (pointers as u64) << 48
}

/// The low half of a pointer in word `at` to what will be at the end.
fn lead(words: &[[u8; 8]], at: usize) -> u64 {
    ((words.len() - at - 1) as u64) << 2 & 0xffff_fffc
}

/// Adds words at the end, and gives the number of the first.
fn grow(words: &mut Vec<[u8; 8]>, count: usize) -> usize {
    let to = words.len();
    words.resize(to + count, [0; 8]);
    to
}
