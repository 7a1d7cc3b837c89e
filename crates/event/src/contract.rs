//! The contract of the [`Bus`] as tests that every engine runs unchanged.
//!
//! An engine's own tests give a [`Harness`], which opens it, crashes it and lets time pass, and call [`run_all`]. Each
//! [`Case`] holds one duty from the prose of [`bus`](crate::bus) against it, on an engine with nothing in it. What an
//! engine has declared it can't do ([`Abilities`], or a harness's `false`) is reported as declared, never as passed.

mod append;
mod dead;
mod faults;
mod given;
mod groups;
mod latest;
mod leases;
#[cfg(test)]
mod nothing;
mod numbers;
mod settle;
mod tail;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::{Abilities, Bus, Later, Replay};
use crate::position::Seq;

/// How long one case may take before it counts as waiting for ever. The longest lets three leases pass in real time.
const CASE_MAX: Duration = Duration::from_secs(60);

/// An engine under test, in the hands of a case.
pub trait Harness: Send + Sync {
    /// The engine as it is open now.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Kills the engine at once, with no chance to tidy up, loses whatever was not durable, and opens what is left.
    ///
    /// The case lets go of everything of the old engine before.
    fn crash(&mut self) -> Later<'_, ()>;

    /// Lets this much time pass for the engine: moves its clock, or sleeps where an engine has a clock of its own.
    fn pass(&mut self, time: Duration) -> Later<'_, ()>;

    /// The shortest span that can be told from none with certainty: what the cases make their leases and waits of. As
    /// long as one likes where [`pass`](Self::pass) only moves a clock; a fraction of a second where it sleeps.
    fn span(&self) -> Duration;

    /// Frees all events up to and with this one, as retention does; `false` when this harness can't make the engine do it.
    fn free(&mut self, up_to: Seq) -> Later<'_, bool> {
        let _ = up_to;
        Box::pin(async { false })
    }

    /// Makes every further write fail; `false` when this harness can't.
    fn fail_storage(&mut self) -> Later<'_, bool> {
        Box::pin(async { false })
    }

    /// Shuts the engine down in good order, as at the end of the program; `false` when this harness can't. The bus stays
    /// to be asked.
    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async { false })
    }

    /// A payload length in bytes that is too large for this engine; `None` when it takes any.
    fn too_large(&self) -> Option<usize> {
        None
    }
}

/// Makes a harness over an engine with nothing in it.
pub type Make<'a> = &'a (dyn Fn() -> Later<'static, Box<dyn Harness>> + Sync);

/// What a case must have of the engine to mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Every engine can do it.
    Nothing,
    /// Reading from any position.
    Replay,
    /// The engine keeps the wait before a retry itself.
    DelayedRetry,
    /// The engine keeps the numbers of producers.
    Numbers,
    /// A process that was just started knows ids and groups of before.
    Memory,
}

impl Needs {
    /// What the engine says it can't do of this.
    fn declared(self, abilities: Abilities) -> Option<&'static str> {
        match self {
            Self::Replay if abilities.replay != Replay::Full => Some("replay"),
            Self::DelayedRetry if !abilities.delayed_retry => Some("keep the wait before a retry"),
            Self::Numbers if !abilities.numbers => Some("keep the numbers of producers"),
            Self::Memory if !abilities.remembers => Some("remember ids and groups over a restart"),
            _ => None,
        }
    }
}

/// What a case's run says, when it comes to its end.
enum Verdict {
    Kept,
    /// The harness can't bring about what the case is about.
    Declared(&'static str),
}

/// One duty, and how it's tried.
#[derive(Clone, Copy)]
pub struct Case {
    /// The duty as a sentence, with `_` for blanks.
    pub name: &'static str,
    /// What the engine must have declared for it.
    pub needs: Needs,
    run: fn(Box<dyn Harness>) -> Later<'static, Verdict>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The duty was kept.
    Kept,
    /// The engine (or its harness) has declared that it can't do this.
    Declared(&'static str),
    /// It was not kept, or the case did not come to its end.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("ok"),
            Self::Declared(what) => write!(f, "declared: can't {what}"),
            Self::Broken(why) => write!(f, "BROKEN: {why}"),
        }
    }
}

/// All duties, in the order of the contract's prose.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        append::CASES,
        numbers::CASES,
        tail::CASES,
        latest::CASES,
        groups::CASES,
        settle::CASES,
        leases::CASES,
        dead::CASES,
        faults::CASES,
    ]
    .concat()
}

/// Runs one case on a new engine. Must be called in a tokio runtime.
pub async fn run(case: Case, make: Make<'_>) -> Outcome {
    let harness = make().await;
    if let Some(what) = case.needs.declared(harness.bus().abilities()) {
        return Outcome::Declared(what);
    }
    // In a task of its own, so that a broken assertion ends this case and no other.
    let task = tokio::spawn((case.run)(harness));
    let stop = task.abort_handle();
    match tokio::time::timeout(CASE_MAX, task).await {
        Ok(Ok(Verdict::Kept)) => Outcome::Kept,
        Ok(Ok(Verdict::Declared(what))) => Outcome::Declared(what),
        Ok(Err(error)) => Outcome::Broken(panic_text(error)),
        Err(_) => {
            stop.abort();
            Outcome::Broken(format!("not through after {} s", CASE_MAX.as_secs()))
        }
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "was cancelled".into() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Runs all cases, prints a line for each, and gives what an engine has declared it can't do.
///
/// # Panics
/// With the names and reasons of all duties that were not kept.
pub async fn run_all(make: Make<'_>) -> Vec<(&'static str, &'static str)> {
    let (mut declared, mut broken) = (Vec::new(), Vec::new());
    for case in cases() {
        let outcome = run(case, make).await;
        println!("contract {} ... {outcome}", case.name);
        match outcome {
            Outcome::Kept => {}
            Outcome::Declared(what) => declared.push((case.name, what)),
            Outcome::Broken(why) => broken.push(format!("{}: {why}", case.name)),
        }
    }
    assert!(broken.is_empty(), "{} duties of the bus are not kept:\n{}", broken.len(), broken.join("\n"));
    declared
}

/// A table of cases from the functions of a file; each may say what it needs.
macro_rules! duties {
    ($($(#[needs($needs:ident)])? $name:ident,)*) => {
        pub(super) const CASES: &[super::Case] = &[$(super::Case {
            name: stringify!($name),
            needs: duties!(@needs $($needs)?),
            run: |harness| Box::pin(async move { super::IntoVerdict::verdict($name(harness).await) }),
        },)*];
    };
    (@needs) => { super::Needs::Nothing };
    (@needs $needs:ident) => { super::Needs::$needs };
}
use duties;

/// Most cases end with nothing to say.
trait IntoVerdict {
    fn verdict(self) -> Verdict;
}

impl IntoVerdict for () {
    fn verdict(self) -> Verdict {
        Verdict::Kept
    }
}

impl IntoVerdict for Verdict {
    fn verdict(self) -> Verdict {
        self
    }
}
