//! Where condemning stands: one machine of the guard's question, the mark, and taking it back.

use super::rules::Zone;
use crate::{Condemns, Mono};
use serde::{Deserialize, Serialize};

/// ```text
///  Calm ──▶ Called ──▶ Marking ──▶ Shown ──▶ Lifting ──▶ Calm
///             ▲  ▲        │          │          │
///             │  └────────┘          │          └▶ Called (it yielded, or must not go)
///             └──────────────────────┘ somebody else took it back
/// ```
/// The tunnel's return leads from `Called` to `Calm`, and to `Lifting` from wherever a mark may stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// It is not called for.
    #[default]
    Calm,
    /// It is called for: the guard is asked, or said no.
    Called {
        /// When it is asked, or asked again.
        ask_at: Mono,
        /// What it said last, if that was a no.
        no: Option<String>,
        /// A mark of ours may stand: it was made, and does not show, or no answer came.
        may_stand: bool,
        /// How far the question has come. An agent that is restarted asks anew.
        #[serde(skip)]
        question: Question,
    },
    /// The order is out: whether the group heard it is not known.
    Marking {
        /// It was refused before: that it is tried again is no news.
        again: bool,
    },
    /// The group shows our mark.
    Shown {
        /// The group is read for whether it still does, and for marks made at the same time.
        #[serde(skip)]
        verifying: bool,
    },
    /// The mark is being taken back.
    Lifting {
        /// When that is tried again.
        retry_at: Mono,
        /// What for.
        lift: Lift,
        /// How often it was tried.
        times: u32,
    },
}

/// What a mark is taken back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lift {
    /// The tunnel is registered again.
    Registered,
    /// Another instance goes at the same time.
    Yields,
    /// It turned out that a new instance would meet the same.
    Blamed,
}

/// How far the guard's question has come.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// It is not asked yet, or waits to be asked again.
    #[default]
    Idle,
    /// The group is read.
    Group,
    /// The others' reports are read. What the group says of a try where nobody is registered, and of one where those that are prove
    /// little.
    Peers { others: usize, zone: Option<Zone>, rank: u32, canary: Result<(), String>, again: Result<(), String> },
    /// It may be done at that time.
    Clear { at: Mono, ground: Ground },
    /// The group is read once more, because time has passed.
    Again { ground: Ground },
    /// Nothing speaks against it: done in the same step, if it is still called for.
    Go { ground: Ground },
    /// The group is read for whether a mark that may stand shows after all.
    Verify,
}

/// On what ground an instance may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ground {
    /// The fault is its own process's, so nobody need be asked.
    Process,
    /// Others are registered.
    Others,
    /// Others are registered with the same version of the secret.
    SameVersion,
    /// Nobody is, and it is the one that tries.
    Canary,
}

impl Ground {
    /// Whether it is ground enough for what such a blame needs: the blame may be another one by the time that it is acted upon.
    pub fn suffices(self, needed: Condemns) -> bool {
        match needed {
            Condemns::Alone => true,
            Condemns::WithOthers => self != Self::Process,
            Condemns::WithSameVersion => self == Self::SameVersion,
            Condemns::Never => false,
        }
    }
}

/// Where condemning stands, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is not called for.
    None,
    /// It is called for: the evidence is in the log, and the guard is asked.
    Due,
    /// It must not be made, or could not be.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// The order is out.
    Asked,
    /// The group shows our mark.
    Shown,
    /// It is being taken back.
    Lifting,
}

impl Standing {
    /// The question is asked at that time.
    pub fn called(ask_at: Mono, no: Option<String>, may_stand: bool) -> Self {
        Self::Called { ask_at, no, may_stand, question: Question::Idle }
    }

    /// Whether the group may show a mark of ours.
    pub fn may_stand(&self) -> bool {
        match self {
            Self::Calm => false,
            Self::Marking { .. } | Self::Shown { .. } | Self::Lifting { .. } => true,
            Self::Called { may_stand, .. } => *may_stand,
        }
    }

    /// The guard's question, while it is asked.
    pub fn question(&mut self) -> Option<&mut Question> {
        match self {
            Self::Called { question, .. } => Some(question),
            Self::Calm | Self::Marking { .. } | Self::Shown { .. } | Self::Lifting { .. } => None,
        }
    }

    /// Whether the guard is being asked, or answered well and waits for its turn.
    pub fn is_asking(&self) -> bool {
        match self {
            Self::Called { question, .. } => *question != Question::Idle,
            Self::Shown { verifying } => *verifying,
            Self::Calm | Self::Marking { .. } | Self::Lifting { .. } => false,
        }
    }

    /// What is being asked is not asked any more. A mark that may stand is looked after all the same.
    pub fn drop_question(&mut self) {
        if let Some(question) = self.question().filter(|question| **question != Question::Verify) {
            *question = Question::Idle;
        }
    }

    /// Nothing is asked any more, as when the agent ends.
    pub fn forget_question(&mut self) {
        match self {
            Self::Called { question, .. } => *question = Question::Idle,
            Self::Shown { verifying } => *verifying = false,
            Self::Calm | Self::Marking { .. } | Self::Lifting { .. } => {}
        }
    }

    /// When it is asked again, or tried again.
    pub fn planned(&self) -> Option<Mono> {
        match self {
            Self::Called { ask_at: at, .. } | Self::Lifting { retry_at: at, .. } => Some(*at),
            Self::Calm | Self::Marking { .. } | Self::Shown { .. } => None,
        }
    }

    /// What there is to show.
    pub fn mark(&self) -> Mark {
        match self {
            Self::Calm => Mark::None,
            Self::Called { no: None, .. } => Mark::Due,
            Self::Called { no: Some(why), .. } => Mark::Refused { why: why.clone() },
            Self::Marking { .. } => Mark::Asked,
            Self::Shown { .. } => Mark::Shown,
            Self::Lifting { .. } => Mark::Lifting,
        }
    }
}
