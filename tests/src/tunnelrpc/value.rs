//! A Cap'n Proto message as a tree (<https://capnproto.org/encoding.html>).
//!
//! A message may say that an object lies inside itself, or name one object a thousand times. As a tree it would have no
//! end, so its depth and the number of its words are bounded.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use thiserror::Error;

/// The longest message, in bytes: 512 KiB. The longest one that was seen is a few kilobytes.
pub const LONGEST: usize = 1 << 19;
/// How deep objects may lie in each other. The deepest that are spoken lie at 8.
pub const DEEPEST: usize = 32;

/// Why bytes are no message, or not the one that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// An object ends outside the message.
    #[error("an object leads out of the message")]
    OutOfBounds,
    /// A far pointer, or more than one segment.
    #[error("the message has more than one segment")]
    Segments,
    /// A pointer of no known kind, or a list whose tag does not fit it.
    #[error("a pointer is of no known kind")]
    Pointer,
    /// Objects lie deeper in each other than [`DEEPEST`].
    #[error("objects lie deeper in each other than {DEEPEST}")]
    TooDeep,
    /// More than [`LONGEST`], or more objects than fit into so much.
    #[error("the message is longer than {LONGEST} bytes")]
    TooLong,
    /// One kind of object where another one belongs.
    #[error("there is no {0} where one belongs")]
    Misplaced(&'static str),
    /// Text that is not UTF-8, or does not end in a zero.
    #[error("a text is not UTF-8 with a zero at its end")]
    Text,
}

/// What a pointer leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the field has its default.
    #[default]
    Null,
    /// A structure.
    Struct(Struct),
    /// A list, a text or bytes.
    List(List),
    /// An entry of the message's table of capabilities.
    Capability(u32),
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// Elements without pointers.
    Scalars {
        /// Of what size each is.
        width: Width,
        /// How many there are.
        count: u32,
        /// As they are encoded, without padding.
        bytes: Vec<u8>,
    },
    /// Pointers.
    Pointers(Vec<Value>),
    /// Structures. They are encoded as large as the largest of them.
    Structs(Vec<Struct>),
}

/// The size of a list's elements; the number is that of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// Nothing.
    Void = 0,
    /// A bit.
    Bit = 1,
    /// A byte.
    One = 2,
    /// Two bytes.
    Two = 3,
    /// Four bytes.
    Four = 4,
    /// Eight bytes.
    Eight = 5,
}

impl Width {
    /// How many bytes `count` elements take.
    pub fn bytes(self, count: u32) -> usize {
        let bits: u64 = match self {
            Width::Void => 0,
            Width::Bit => 1,
            Width::One => 8,
            Width::Two => 16,
            Width::Four => 32,
            Width::Eight => 64,
        };
        // At most 8 × 2³², and a program for another machine than one of 64 bits is not built.
        (u64::from(count) * bits).div_ceil(8) as usize
    }
}

/// A structure: its data, and its pointers. What it lacks is read as zero and [`Value::Null`], as the encoding demands
/// for fields that came later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struct {
    /// Whole words of 8 bytes.
    data: Vec<u8>,
    pointers: Vec<Value>,
}

impl Struct {
    /// One of `words` words of zeroes and `pointers` pointers to nothing.
    pub fn new(words: usize, pointers: usize) -> Self {
        Struct { data: vec![0; words * 8], pointers: vec![Value::Null; pointers] }
    }

    /// With `bytes` of its data, from byte `at` on, replaced.
    ///
    /// # Panics
    /// The data are shorter.
    #[must_use]
    pub fn with<const N: usize>(mut self, at: usize, bytes: [u8; N]) -> Self {
        self.data[at..at + N].copy_from_slice(&bytes);
        self
    }

    /// With a bit of its data set or not.
    ///
    /// # Panics
    /// The data are shorter.
    #[must_use]
    pub fn with_bit(mut self, bit: usize, on: bool) -> Self {
        let mask = 1 << (bit % 8);
        if on {
            self.data[bit / 8] |= mask;
        } else {
            self.data[bit / 8] &= !mask;
        }
        self
    }

    /// With pointer number `at` replaced.
    ///
    /// # Panics
    /// It has fewer pointers.
    #[must_use]
    pub fn with_pointer(mut self, at: usize, value: impl Into<Value>) -> Self {
        self.pointers[at] = value.into();
        self
    }

    /// `N` bytes of its data, from byte `at` on.
    pub fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let found = self.data.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        found.unwrap_or([0; N])
    }

    /// A byte of its data.
    pub fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.bytes(at))
    }

    /// A number of two bytes, from byte `at` on.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    /// A number of four bytes, from byte `at` on.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    /// A number of eight bytes, from byte `at` on.
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    /// A bit of its data.
    pub fn bit(&self, bit: usize) -> bool {
        self.u8(bit / 8) >> (bit % 8) & 1 == 1
    }

    /// What pointer number `at` leads to.
    pub fn pointer(&self, at: usize) -> &Value {
        self.pointers.get(at).unwrap_or(&Value::Null)
    }

    /// What pointer number `at` leads to, for keeps.
    pub fn take(&mut self, at: usize) -> Value {
        self.pointers.get_mut(at).map(std::mem::take).unwrap_or_default()
    }
}

impl Value {
    /// A message with this as its root, without its frame's head.
    pub fn encode(&self) -> Vec<u8> {
        encode::message(self)
    }

    /// Reads a message without its frame's head.
    ///
    /// # Errors
    /// It is none, or goes beyond the bounds of this module.
    pub fn decode(message: &[u8]) -> Result<Value, Malformed> {
        decode::message(message)
    }

    /// A structure; of nothing, an empty one.
    ///
    /// # Errors
    /// It is something else.
    pub fn into_struct(self) -> Result<Struct, Malformed> {
        match self {
            Value::Struct(structure) => Ok(structure),
            Value::Null => Ok(Struct::default()),
            _ => Err(Malformed::Misplaced("structure")),
        }
    }

    /// Bytes; of nothing, none.
    ///
    /// # Errors
    /// It is something else.
    pub fn data(&self) -> Result<&[u8], Malformed> {
        match self {
            Value::Null => Ok(&[]),
            Value::List(List::Scalars { width: Width::One, bytes, .. }) => Ok(bytes),
            _ => Err(Malformed::Misplaced("list of bytes")),
        }
    }

    /// A text; of nothing, an empty one.
    ///
    /// # Errors
    /// It is something else, or no UTF-8.
    pub fn text(&self) -> Result<&str, Malformed> {
        let text = match self.data()?.split_last() {
            None if *self == Value::Null => &[],
            Some((0, text)) => text,
            _ => return Err(Malformed::Text),
        };
        std::str::from_utf8(text).map_err(|_| Malformed::Text)
    }

    /// A list of texts; of nothing, none.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&self) -> Result<Vec<String>, Malformed> {
        match self {
            Value::Null => Ok(vec![]),
            Value::List(List::Pointers(values)) => values.iter().map(|value| value.text().map(str::to_owned)).collect(),
            _ => Err(Malformed::Misplaced("list of texts")),
        }
    }

    /// A list of structures; of nothing, none.
    ///
    /// # Errors
    /// It is something else.
    pub fn structs(&self) -> Result<&[Struct], Malformed> {
        match self {
            Value::Null => Ok(&[]),
            Value::List(List::Structs(structs)) => Ok(structs),
            _ => Err(Malformed::Misplaced("list of structures")),
        }
    }
}

impl From<Struct> for Value {
    fn from(structure: Struct) -> Self {
        Value::Struct(structure)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::from([text.as_bytes(), &[0]].concat())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::from(text.as_str())
    }
}

impl From<Vec<u8>> for Value {
    /// # Panics
    /// They are too many for any message.
    fn from(bytes: Vec<u8>) -> Self {
        let count = u32::try_from(bytes.len()).expect("no message has 4 GiB");
        Value::List(List::Scalars { width: Width::One, count, bytes })
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::from(bytes.to_vec())
    }
}

impl From<&[String]> for Value {
    fn from(texts: &[String]) -> Self {
        Value::List(List::Pointers(texts.iter().map(Value::from).collect()))
    }
}

impl From<Vec<Struct>> for Value {
    fn from(structs: Vec<Struct>) -> Self {
        Value::List(List::Structs(structs))
    }
}
