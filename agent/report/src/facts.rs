//! What the page shows. Texts are as they were found, but for the secrets, which are struck out.

use crate::Moment;

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// When the report was made.
    pub made_at: Moment,
    /// What it is about, such as the instance's id.
    pub subject: String,
    /// What doctor's findings come to.
    pub condition: Condition,
    /// The first line of doctor, or what is said in its place.
    pub headline: String,
    /// What the agent says of itself, in a line.
    pub said: Option<String>,
    /// Whose fault it is, as the agent judged; none: it blames nobody.
    pub fault: Option<Fault>,
    /// What doctor found, in the order of doctor.
    pub findings: Vec<Finding>,
    /// Where and what it is, by name.
    pub about: Vec<(String, String)>,
    /// What runs, as the agent's status has it.
    pub connectors: Vec<Connector>,
    /// The journal, oldest first.
    pub decisions: Vec<Decision>,
    /// Until when the last health is known to have lasted: now, or until the agent's last word.
    pub known_until: Moment,
    /// The agent's processes.
    pub agents: Vec<Life>,
    /// The connectors' processes.
    pub lives: Vec<Life>,
    /// Connections to the edge.
    pub connections: Vec<Connection>,
    /// The grains that have a datapoint.
    pub datapoints: Vec<Span>,
    /// When CloudWatch did not take any.
    pub unpushed: Vec<Span>,
    /// What could not be had.
    pub missing: Vec<Missing>,
    /// What else is in the archive.
    pub files: Vec<Held>,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing failed.
    Fine,
    /// Something failed.
    NotFine,
    /// It is not known.
    #[default]
    Unknown,
}

/// Whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The blame's name, such as `host_network`.
    pub blame: String,
    /// How sure that is.
    pub confidence: String,
    /// On which evidence.
    pub evidence: String,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is wrong.
    Fail,
    /// It could not be looked at.
    NotKnown,
    /// It could be better.
    Warn,
    /// It is as it should be.
    Pass,
    /// It does not apply, or another check explains it.
    Skip,
}

/// One of doctor's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's id.
    pub id: String,
    /// What is so if it passes.
    pub title: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen, most telling first.
    pub evidence: Vec<String>,
    /// What to do.
    pub next: String,
}

/// A connector of the status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connector {
    /// Its number.
    pub run: String,
    /// Its state.
    pub state: String,
    /// What is known of it, by name.
    pub about: Vec<(String, String)>,
}

/// What kind of decision it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whose fault it is was judged anew.
    Finding,
    /// The health changed.
    Transition,
    /// Something was done.
    Action,
    /// Something was put off.
    Delay,
    /// Something was not done, and a person should look.
    Refusal,
    /// A kind that this version does not know.
    Other,
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Moment,
    /// What kind.
    pub kind: Kind,
    /// What was decided; of a transition, `registered → broken`.
    pub what: String,
    /// Why.
    pub evidence: String,
    /// Whose fault it was then.
    pub blame: Option<String>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Moment,
    /// Its end; none: it lasts.
    pub to: Option<Moment>,
}

/// The life of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// What it is called.
    pub name: String,
    /// From when to when.
    pub span: Span,
    /// How it ended; none: it lives, or nothing is known of its end.
    pub end: Option<End>,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Whether it was meant to end.
    pub planned: bool,
    /// In words.
    pub how: String,
}

/// A connection to the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its connector's number.
    pub run: String,
    /// Its own number.
    pub index: u64,
    /// The data centre, such as `iad01`.
    pub place: String,
    /// `quic` or `http2`.
    pub protocol: String,
    /// From when to when.
    pub span: Span,
}

/// Something that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its path in the archive, beside the page.
    pub name: String,
    /// What it holds.
    pub what: String,
    /// How large it is, in bytes.
    pub bytes: usize,
}
