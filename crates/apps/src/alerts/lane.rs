//! Whether an alert is meant: what is a test or an exercise has topics, words and state of its own, so that nobody who waits
//! for an alert ever hears one.

use serde::{Deserialize, Serialize};

/// How an alert is meant (CAP 1.2, `status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// To be acted on.
    Actual,
    /// To be acted on by those who take part in an exercise.
    Exercise,
    /// A technical test.
    Test,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Actual, Self::Exercise, Self::Test];

    /// As it stands in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Exercise => "exercise",
            Self::Test => "test",
        }
    }

    /// The lane of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.name() == name)
    }

    /// The first level of its topics.
    pub const fn root(self) -> &'static str {
        match self {
            Self::Actual => "alerts",
            Self::Exercise => "alerts-exercise",
            Self::Test => "alerts-test",
        }
    }

    /// What an event is called in this lane.
    pub fn word(self, word: &'static str) -> String {
        match self {
            Self::Actual => word.to_owned(),
            other => format!("{}-{word}", other.name()),
        }
    }

    /// The type of an alert as people read it in this lane.
    pub fn kind(self, kind: &str) -> String {
        match self {
            Self::Actual => kind.to_owned(),
            Self::Exercise => format!("EXERCISE: {kind}"),
            Self::Test => format!("TEST: {kind}"),
        }
    }

    /// As CAP writes it.
    pub const fn cap(self) -> &'static str {
        match self {
            Self::Actual => "Actual",
            Self::Exercise => "Exercise",
            Self::Test => "Test",
        }
    }
}
