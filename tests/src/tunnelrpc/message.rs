//! The messages of the RPC protocol (<https://capnproto.org/rpc.html>, `rpc.capnp` there), as far as a client and a
//! server of level 1 need them.

use super::value::{List, Malformed, Struct, Value};

/// The kinds of a message, as they are numbered.
mod kind {
    pub(super) const UNIMPLEMENTED: u16 = 0;
    pub(super) const ABORT: u16 = 1;
    pub(super) const CALL: u16 = 2;
    pub(super) const RETURN: u16 = 3;
    pub(super) const FINISH: u16 = 4;
    pub(super) const RELEASE: u16 = 6;
    pub(super) const BOOTSTRAP: u16 = 8;
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The other side does not know a message of ours.
    Unimplemented(Value),
    /// The other side ends the connection.
    Abort(Exception),
    /// The other side wants to call somebody.
    Bootstrap {
        /// Its question.
        question: u32,
    },
    /// A call.
    Call(Call),
    /// An answer.
    Return {
        /// To which question.
        question: u32,
        /// What it is.
        outcome: Outcome,
    },
    /// The answer was received, or is not awaited any more.
    Finish {
        /// Of which question.
        question: u32,
        /// Whether the capabilities in it are given back.
        release: bool,
    },
    /// A capability is given back.
    Release {
        /// Which one.
        capability: u32,
        /// How often it had been given.
        count: u32,
    },
    /// Of a kind that is not needed at level 1 or in this dialogue: whole, to be sent back as unimplemented.
    Other(Struct),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Names the call.
    pub question: u32,
    /// Who is called.
    pub target: Target,
    /// The interface's id.
    pub interface: u64,
    /// The method's number in it.
    pub method: u16,
    /// Its parameters.
    pub parameters: Struct,
}

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A capability that the called side has given.
    Capability(u32),
    /// What the answer to a question is, or will be.
    Answer(u32),
    /// A part of what the answer to a question is, or will be.
    PartOfAnswer(u32),
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Results(Results),
    /// It failed.
    Exception(Exception),
    /// It was given up.
    Canceled,
    /// The answer is elsewhere (a kind above level 1).
    Elsewhere,
}

/// What a call was answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The content.
    pub content: Value,
    /// The capabilities in it that the answering side has, by their place in the table.
    pub capabilities: Vec<Option<u32>>,
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// For people.
    pub reason: String,
    /// The kind: 0 failed, 1 overloaded, 2 disconnected, 3 unimplemented.
    pub kind: u16,
}

impl Exception {
    /// It failed.
    pub fn failed(reason: impl Into<String>) -> Self {
        Exception { reason: reason.into(), kind: 0 }
    }

    /// There is no such interface or method.
    pub fn unimplemented(reason: impl Into<String>) -> Self {
        Exception { reason: reason.into(), kind: 3 }
    }

    fn encode(&self) -> Struct {
        Struct::new(1, 2).with(4, self.kind.to_le_bytes()).with_pointer(0, &self.reason)
    }

    fn decode(mut from: Struct) -> Result<Self, Malformed> {
        Ok(Exception { reason: from.take(0).text()?.to_owned(), kind: from.u16(4) })
    }
}

impl Message {
    /// As it is sent.
    pub fn encode(&self) -> Value {
        let (kind, body): (u16, Value) = match self {
            Message::Unimplemented(message) => (kind::UNIMPLEMENTED, message.clone()),
            Message::Abort(exception) => (kind::ABORT, exception.encode().into()),
            Message::Bootstrap { question } => {
                (kind::BOOTSTRAP, Struct::new(1, 1).with(0, question.to_le_bytes()).into())
            }
            Message::Call(call) => (kind::CALL, call.encode().into()),
            Message::Return { question, outcome } => (kind::RETURN, outcome.encode(*question).into()),
            Message::Finish { question, release } => {
                // The flag is true by default, which is sent as zero.
                (kind::FINISH, Struct::new(1, 0).with(0, question.to_le_bytes()).with_bit(32, !release).into())
            }
            Message::Release { capability, count } => {
                let body = Struct::new(1, 0).with(0, capability.to_le_bytes()).with(4, count.to_le_bytes());
                (kind::RELEASE, body.into())
            }
            Message::Other(message) => return message.clone().into(),
        };
        Struct::new(1, 1).with(0, kind.to_le_bytes()).with_pointer(0, body).into()
    }

    /// Of what was received.
    ///
    /// # Errors
    /// It is no message of this protocol.
    pub fn decode(message: Value) -> Result<Message, Malformed> {
        let mut message = message.into_struct()?;
        let known =
            [kind::UNIMPLEMENTED, kind::ABORT, kind::CALL, kind::RETURN, kind::FINISH, kind::RELEASE, kind::BOOTSTRAP];
        let kind = message.u16(0);
        if !known.contains(&kind) {
            return Ok(Message::Other(message));
        }
        let body = message.take(0);
        if kind == kind::UNIMPLEMENTED {
            return Ok(Message::Unimplemented(body));
        }
        let body = body.into_struct()?;
        Ok(match kind {
            kind::ABORT => Message::Abort(Exception::decode(body)?),
            kind::CALL => Message::Call(Call::decode(body)?),
            kind::RETURN => Message::Return { question: body.u32(0), outcome: Outcome::decode(body)? },
            kind::FINISH => Message::Finish { question: body.u32(0), release: !body.bit(32) },
            kind::RELEASE => Message::Release { capability: body.u32(0), count: body.u32(4) },
            _ => Message::Bootstrap { question: body.u32(0) },
        })
    }
}

impl Call {
    fn encode(&self) -> Struct {
        let target = match self.target {
            Target::Capability(number) => Struct::new(1, 1).with(0, number.to_le_bytes()),
            Target::Answer(question) | Target::PartOfAnswer(question) => {
                let answer = Struct::new(1, 1).with(0, question.to_le_bytes());
                Struct::new(1, 1).with(4, 1u16.to_le_bytes()).with_pointer(0, answer)
            }
        };
        Struct::new(3, 3)
            .with(0, self.question.to_le_bytes())
            .with(4, self.method.to_le_bytes())
            .with(8, self.interface.to_le_bytes())
            .with_pointer(0, target)
            .with_pointer(1, Struct::new(0, 2).with_pointer(0, self.parameters.clone()))
    }

    fn decode(mut from: Struct) -> Result<Self, Malformed> {
        let mut target = from.take(0).into_struct()?;
        let target = match target.u16(4) {
            0 => Target::Capability(target.u32(0)),
            1 => {
                let answer = target.take(0).into_struct()?;
                // Each step of the way is a structure, of kind 0 if it leads nowhere.
                let whole = answer.pointer(0).structs()?.iter().all(|step| step.u16(0) == 0);
                if whole { Target::Answer(answer.u32(0)) } else { Target::PartOfAnswer(answer.u32(0)) }
            }
            _ => return Err(Malformed::Misplaced("known target")),
        };
        Ok(Call {
            question: from.u32(0),
            target,
            interface: from.u64(8),
            method: from.u16(4),
            parameters: from.take(1).into_struct()?.take(0).into_struct()?,
        })
    }
}

impl Outcome {
    fn encode(&self, question: u32) -> Struct {
        let (kind, body): (u16, Value) = match self {
            Outcome::Results(results) => (0, results.encode().into()),
            Outcome::Exception(exception) => (1, exception.encode().into()),
            Outcome::Canceled => (2, Value::Null),
            Outcome::Elsewhere => (3, Value::Null),
        };
        Struct::new(2, 1)
            .with(0, question.to_le_bytes())
            // That capabilities among the parameters are given back is true by default: none is ever among ours.
            .with(6, kind.to_le_bytes())
            .with_pointer(0, body)
    }

    fn decode(mut from: Struct) -> Result<Self, Malformed> {
        let body = from.take(0);
        Ok(match from.u16(6) {
            0 => Outcome::Results(Results::decode(body.into_struct()?)?),
            1 => Outcome::Exception(Exception::decode(body.into_struct()?)?),
            2 => Outcome::Canceled,
            _ => Outcome::Elsewhere,
        })
    }
}

impl Results {
    /// Of a method that gives no capability.
    pub fn of(content: Struct) -> Self {
        Results { content: content.into(), capabilities: vec![] }
    }

    /// A capability alone.
    pub fn capability(number: u32) -> Self {
        Results { content: Value::Capability(0), capabilities: vec![Some(number)] }
    }

    /// The number of the capability that is the content.
    pub fn as_capability(&self) -> Option<u32> {
        let Value::Capability(place) = self.content else { return None };
        *self.capabilities.get(place as usize)?
    }

    fn encode(&self) -> Struct {
        let table: Vec<Struct> = self
            .capabilities
            .iter()
            .map(|capability| {
                // No file descriptor goes with it, which is 255, which is the default, which is sent as zero.
                let (kind, number) = capability.map_or((0u16, 0), |number| (1, number));
                Struct::new(1, 1).with(0, kind.to_le_bytes()).with(4, number.to_le_bytes())
            })
            .collect();
        let payload = Struct::new(0, 2).with_pointer(0, self.content.clone());
        if table.is_empty() { payload } else { payload.with_pointer(1, table) }
    }

    fn decode(mut from: Struct) -> Result<Self, Malformed> {
        let table = from.take(1);
        // Of kind 1, the answering side has it; of kind 2, it will have it.
        let entry = |entry: &Struct| matches!(entry.u16(0), 1 | 2).then(|| entry.u32(4));
        let capabilities = match table {
            Value::List(List::Structs(entries)) => entries.iter().map(entry).collect(),
            Value::Null => vec![],
            _ => return Err(Malformed::Misplaced("table of capabilities")),
        };
        Ok(Results { content: from.take(0), capabilities })
    }
}
