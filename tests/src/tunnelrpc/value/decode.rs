//! From bytes to a tree.

use super::{DEEPEST, LONGEST, List, Malformed, Struct, Value, Width};

pub(super) fn message(message: &[u8]) -> Result<Value, Malformed> {
    let (words, rest) = message.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed::OutOfBounds);
    }
    if message.len() > LONGEST {
        return Err(Malformed::TooLong);
    }
    // Objects that are named twice are counted twice.
    Decoder { words, left: LONGEST / 8 }.pointer(0, 0)
}

struct Decoder<'a> {
    words: &'a [[u8; 8]],
    /// How many words may still be read.
    left: usize,
}

impl<'a> Decoder<'a> {
    /// What the pointer in word `at` leads to.
    fn pointer(&mut self, at: usize, depth: usize) -> Result<Value, Malformed> {
        let word = u64::from_le_bytes(*self.words.get(at).ok_or(Malformed::OutOfBounds)?);
        if word == 0 {
            return Ok(Value::Null);
        }
        if depth > DEEPEST {
            return Err(Malformed::TooDeep);
        }
        let high = (word >> 32) as u32;
        // 30 bits with their sign, counted from the end of the pointer.
        let offset = i64::from(word as u32 as i32 >> 2);
        let to = || usize::try_from(at as i64 + 1 + offset).map_err(|_| Malformed::OutOfBounds);
        match word & 3 {
            0 if high == 0 => {
                // Its place means nothing, as nothing is there.
                self.read(0, 0)?;
                Ok(Value::Struct(Struct::default()))
            }
            0 => self.structure(to()?, usize::from(high as u16), usize::from((high >> 16) as u16), depth),
            1 => self.list(to()?, high & 7, high >> 3, depth),
            2 => Err(Malformed::Segments),
            _ if word as u32 == 3 => Ok(Value::Capability(high)),
            _ => Err(Malformed::Pointer),
        }
    }

    fn structure(&mut self, at: usize, data: usize, pointers: usize, depth: usize) -> Result<Value, Malformed> {
        Ok(Value::Struct(self.fields(at, data, pointers, depth)?))
    }

    fn fields(&mut self, at: usize, data: usize, pointers: usize, depth: usize) -> Result<Struct, Malformed> {
        let words = self.read(at, data + pointers)?;
        let data_bytes = words[..data].as_flattened().to_vec();
        let from = at + data;
        let pointers = (from..from + pointers).map(|at| self.pointer(at, depth + 1)).collect::<Result<_, _>>()?;
        Ok(Struct { data: data_bytes, pointers })
    }

    fn list(&mut self, at: usize, size: u32, count: u32, depth: usize) -> Result<Value, Malformed> {
        let width = match size {
            0 => Width::Void,
            1 => Width::Bit,
            2 => Width::One,
            3 => Width::Two,
            4 => Width::Four,
            5 => Width::Eight,
            6 => {
                let count = count as usize;
                self.read(at, count)?;
                let pointers = (at..at + count).map(|at| self.pointer(at, depth + 1)).collect::<Result<_, _>>()?;
                return Ok(Value::List(List::Pointers(pointers)));
            }
            _ => return self.structures(at, count as usize, depth),
        };
        let length = width.bytes(count);
        let words = self.read(at, length.div_ceil(8))?;
        Ok(Value::List(List::Scalars { width, count, bytes: words.as_flattened()[..length].to_vec() }))
    }

    /// `words` is their length without the tag.
    fn structures(&mut self, at: usize, words: usize, depth: usize) -> Result<Value, Malformed> {
        let tag = u64::from_le_bytes(self.read(at, 1)?[0]);
        let count = tag as u32 as usize >> 2;
        let (data, pointers) = (usize::from((tag >> 32) as u16), usize::from((tag >> 48) as u16));
        if tag & 3 != 0 || count.checked_mul(data + pointers).is_none_or(|needed| needed > words) {
            return Err(Malformed::Pointer);
        }
        let mut structs = Vec::new();
        for number in 0..count {
            structs.push(self.fields(at + 1 + number * (data + pointers), data, pointers, depth + 1)?);
        }
        Ok(Value::List(List::Structs(structs)))
    }

    /// `count` words from `at` on. An object without words counts as one: it takes memory too.
    fn read(&mut self, at: usize, count: usize) -> Result<&'a [[u8; 8]], Malformed> {
        let words = at.checked_add(count).and_then(|end| self.words.get(at..end)).ok_or(Malformed::OutOfBounds)?;
        self.left = self.left.checked_sub(count.max(1)).ok_or(Malformed::TooLong)?;
        Ok(words)
    }
}
