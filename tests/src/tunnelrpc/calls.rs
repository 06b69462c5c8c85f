//! The two ends of an RPC connection: [`Caller`] asks, [`Callee`] answers. Over a tunnel's connection cloudflared is the
//! caller of the control stream, and the edge the caller of each stream on which it pushes something.

#[cfg(test)]
mod tests;

use super::frames::{self, Frames};
use super::message::{Call, Exception, Message, Outcome, Results, Target};
use super::value::{Malformed, Struct};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// How many calls may be open. cloudflared opens one after the other.
const MOST_OPEN: usize = 64;
/// The one capability that a callee gives.
const CALLEE: u32 = 0;

/// Why a call was not answered, or no more can be.
#[derive(Debug, Error)]
pub enum Failure {
    /// The stream failed, or carried what is no message.
    #[error(transparent)]
    Frames(#[from] frames::Error),
    /// The other side ended the stream.
    #[error("the other side ended the stream")]
    Ended,
    /// The other side ended the connection with a reason.
    #[error("the other side ended the connection: {}", .0.reason)]
    Aborted(Exception),
    /// The call failed at the other side.
    #[error("the call failed: {}", .0.reason)]
    Refused(Exception),
    /// The other side does not keep to the protocol.
    #[error("the other side does not keep to the protocol: {0}")]
    Protocol(&'static str),
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure::Frames(malformed.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Frames(error.into())
    }
}

/// The end that asks.
#[derive(Debug)]
pub struct Caller<R, W> {
    frames: Frames<R, W>,
    open: BTreeSet<u32>,
    callee: Found,
}

/// What a caller knows of whom it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Not asked for.
    Unknown,
    /// Asked for by that question.
    Asked(u32),
    /// A capability of the other side.
    Capability(u32),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Caller<R, W> {
    /// Of the two directions of a stream.
    pub fn new(read: R, write: W) -> Self {
        Caller { frames: Frames::new(read, write), open: BTreeSet::new(), callee: Found::Unknown }
    }

    /// Calls, and waits for the answer. The first call goes to whom the other side presents, before it has been heard of.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn call(&mut self, interface: u64, method: u16, parameters: Struct) -> Result<Struct, Failure> {
        let question = self.ask(interface, method, parameters)?;
        loop {
            let (answered, outcome) = self.answer().await?;
            if answered == question {
                return match outcome {
                    Outcome::Results(results) => Ok(results.content.into_struct()?),
                    Outcome::Exception(exception) => Err(Failure::Refused(exception)),
                    Outcome::Canceled | Outcome::Elsewhere => Err(Failure::Protocol("a call was answered by nothing")),
                };
            }
        }
    }

    /// Waits for the end of the stream, between calls.
    pub async fn ended(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.answer().await {
                return failure;
            }
        }
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn close(&mut self, reason: &str) -> io::Result<()> {
        self.frames.push(&Message::Abort(Exception::failed(reason)).encode());
        self.frames.finish().await
    }

    /// The two directions. What arrived and was not asked for is lost.
    pub fn into_inner(self) -> (R, W) {
        self.frames.into_inner()
    }

    fn ask(&mut self, interface: u64, method: u16, parameters: Struct) -> Result<u32, Failure> {
        if self.callee == Found::Unknown {
            let question = self.question()?;
            self.frames.push(&Message::Bootstrap { question }.encode());
            self.callee = Found::Asked(question);
        }
        let target = match self.callee {
            Found::Capability(number) => Target::Capability(number),
            Found::Asked(question) => Target::Answer(question),
            Found::Unknown => return Err(Failure::Protocol("nobody was asked for")),
        };
        let question = self.question()?;
        self.frames.push(&Message::Call(Call { question, target, interface, method, parameters }).encode());
        Ok(question)
    }

    /// The lowest number that is free, as they are used again.
    fn question(&mut self) -> Result<u32, Failure> {
        let number = (0..).find(|number| !self.open.contains(number)).unwrap_or_default();
        if self.open.len() >= MOST_OPEN {
            return Err(Failure::Protocol("too many calls are not answered"));
        }
        self.open.insert(number);
        Ok(number)
    }

    /// The next answer. The one to the first question is the caller's own.
    async fn answer(&mut self) -> Result<(u32, Outcome), Failure> {
        loop {
            let message = self.frames.next().await?.ok_or(Failure::Ended)?;
            match Message::decode(message)? {
                Message::Return { question, outcome } if self.open.remove(&question) => {
                    let callee = self.callee == Found::Asked(question);
                    self.frames.push(&Message::Finish { question, release: false }.encode());
                    if !callee {
                        // The answer is here. Whether the stream has failed shows in the next call.
                        let _ = self.frames.flush().await;
                        return Ok((question, outcome));
                    }
                    self.callee = Found::Capability(presented(outcome)?);
                }
                Message::Return { .. } => return Err(Failure::Protocol("an answer to no question")),
                Message::Abort(exception) => return Err(Failure::Aborted(exception)),
                Message::Unimplemented(_) => return Err(Failure::Protocol("it does not know what a call is")),
                Message::Finish { .. } | Message::Release { .. } => {}
                Message::Bootstrap { question } | Message::Call(Call { question, .. }) => {
                    let outcome = Outcome::Exception(Exception::failed("nobody is here to be called"));
                    self.frames.push(&Message::Return { question, outcome }.encode());
                }
                Message::Other(message) => self.frames.push(&Message::Unimplemented(message.into()).encode()),
            }
        }
    }
}

fn presented(outcome: Outcome) -> Result<u32, Failure> {
    match outcome {
        Outcome::Results(results) => results.as_capability().ok_or(Failure::Protocol("it presents nobody to call")),
        Outcome::Exception(exception) => Err(Failure::Refused(exception)),
        Outcome::Canceled | Outcome::Elsewhere => Err(Failure::Protocol("it presents nobody to call")),
    }
}

/// The end that answers.
#[derive(Debug)]
pub struct Callee<R, W> {
    frames: Frames<R, W>,
    open: BTreeMap<u32, Question>,
}

/// What a message was.
enum Heard {
    Call(Call),
    /// Something that needs no answer from outside.
    Other,
    End,
}

/// How far a question is. It is open until the caller has finished it and the answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// For whom to call: answered.
    Presented,
    /// A call that is not answered yet.
    Called,
    /// A call that is not answered yet, and whose caller does not wait for it.
    Abandoned,
    /// Answered, and not finished.
    Answered,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Callee<R, W> {
    /// Of the two directions of a stream.
    pub fn new(read: R, write: W) -> Self {
        Callee { frames: Frames::new(read, write), open: BTreeMap::new() }
    }

    /// The next call; `None` when the other side has ended the stream. What is waited for may be dropped.
    ///
    /// # Errors
    /// See [`Failure`]. If the other side has not kept to the protocol, it has been sent an abort as far as it could be.
    pub async fn next(&mut self) -> Result<Option<Call>, Failure> {
        loop {
            match self.hear().await? {
                Heard::Call(call) => return Ok(Some(call)),
                Heard::Other => {}
                Heard::End => return Ok(None),
            }
        }
    }

    /// Waits until the caller has the answer to a question. Calls that come before are not answered.
    ///
    /// # Errors
    /// As [`Callee::next`]; the other side ended the stream.
    pub async fn received(&mut self, question: u32) -> Result<(), Failure> {
        while self.open.contains_key(&question) {
            if matches!(self.hear().await?, Heard::End) {
                return Err(Failure::Ended);
            }
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Heard, Failure> {
        let failure = match self.read().await {
            Ok(heard) => return Ok(heard),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Protocol(_) | Failure::Frames(frames::Error::Malformed(_))) {
            self.frames.push(&Message::Abort(Exception::failed(failure.to_string())).encode());
            // It need not listen.
            let _ = self.frames.finish().await;
        }
        Err(failure)
    }

    /// Answers a call.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn answer(&mut self, question: u32, answer: Result<Struct, Exception>) -> io::Result<()> {
        let outcome = match answer {
            Ok(results) => Outcome::Results(Results::of(results)),
            Err(exception) => Outcome::Exception(exception),
        };
        match self.open.get_mut(&question) {
            Some(open @ Question::Called) => *open = Question::Answered,
            Some(Question::Abandoned) => drop(self.open.remove(&question)),
            Some(Question::Presented | Question::Answered) | None => return Ok(()),
        }
        self.frames.push(&Message::Return { question, outcome }.encode());
        self.frames.flush().await
    }

    /// Ends the direction to the caller.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.frames.finish().await
    }

    async fn read(&mut self) -> Result<Heard, Failure> {
        let Some(message) = self.frames.next().await? else { return Ok(Heard::End) };
        match Message::decode(message)? {
            Message::Bootstrap { question } => {
                self.opened(question, Question::Presented)?;
                let outcome = Outcome::Results(Results::capability(CALLEE));
                self.frames.push(&Message::Return { question, outcome }.encode());
            }
            Message::Call(call) => {
                self.opened(call.question, Question::Called)?;
                if self.is_for_us(call.target) {
                    return Ok(Heard::Call(call));
                }
                self.answer(call.question, Err(Exception::failed("nobody is there to be called"))).await?;
            }
            Message::Finish { question, .. } => self.finished(question),
            Message::Abort(_) => return Ok(Heard::End),
            Message::Other(message) => self.frames.push(&Message::Unimplemented(message.into()).encode()),
            Message::Return { .. } => return Err(Failure::Protocol("an answer to no question")),
            // What is given back is there all the same, and nothing of ours needs to be known.
            Message::Release { .. } | Message::Unimplemented(_) => {}
        }
        Ok(Heard::Other)
    }

    fn opened(&mut self, question: u32, how: Question) -> Result<(), Failure> {
        if self.open.len() >= MOST_OPEN {
            return Err(Failure::Protocol("too many calls are not finished"));
        }
        match self.open.insert(question, how) {
            Some(_) => Err(Failure::Protocol("a question has the number of an open one")),
            None => Ok(()),
        }
    }

    fn finished(&mut self, question: u32) {
        match self.open.get_mut(&question) {
            Some(open @ Question::Called) => *open = Question::Abandoned,
            Some(Question::Presented | Question::Answered) => drop(self.open.remove(&question)),
            Some(Question::Abandoned) | None => {}
        }
    }

    fn is_for_us(&self, target: Target) -> bool {
        match target {
            Target::Capability(number) => number == CALLEE,
            Target::Answer(question) => self.open.get(&question) == Some(&Question::Presented),
            Target::PartOfAnswer(_) => false,
        }
    }
}
