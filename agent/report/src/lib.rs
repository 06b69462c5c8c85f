//! What a report is made of: the [facts](Facts) that were collected, the [page](page()) that shows them, and the
//! [archive](archive()) that holds the page with everything else.
//!
//! Pure: no clock, no file, no network. Whoever collects the facts has struck the secrets out of them; the page makes
//! every text harmless itself, for a log line or a hostname may hold anything.

mod archive;
mod facts;
mod moment;
mod page;
mod story;

pub use archive::{File, archive};
pub use facts::{
    Condition, Connection, Connector, Decision, End, Facts, Fault, Finding, Held, Kind, Life, Missing, Outcome, Span,
};
pub use moment::Moment;
pub use page::page;
pub use story::{Line, Story, story};
