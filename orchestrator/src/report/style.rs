//! Colours, where they are wanted. Words say everything that colours say.

use meshproof_proto::verdict::Verdict;

use crate::plan::Look;

/// Whether text may carry colours and drawing characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Coloured,
    Plain,
}

/// What a piece of text says, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warning,
    /// What somebody is looking for in a line.
    Strong,
    /// What is there for completeness.
    Faint,
}

impl Style {
    /// How pictures of the plan are drawn in this style.
    #[must_use]
    pub fn look(self) -> Look {
        match self {
            Self::Coloured => Look::Fancy,
            Self::Plain => Look::Plain,
        }
    }

    /// The text in its tone.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32;1",
            Tone::Bad => "31;1",
            Tone::Warning => "33;1",
            Tone::Strong => "36",
            Tone::Faint => "2",
        };
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Good,
            Verdict::Fail | Verdict::Error => Self::Bad,
            Verdict::Unknown => Self::Warning,
        }
    }
}
