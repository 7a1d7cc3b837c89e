//! The cases themselves are tried: on an engine that does nothing, none of them may pass.

use std::sync::Arc;
use std::time::Duration;

use super::{Harness, Needs, Outcome, cases, run};
use crate::bus::{Abilities, Bus, BusError, Durability, Health, Later, Member, Receipts, Replay, StickyPage, Tail};
use crate::delivery::{DeadLetter, GroupName, GroupOptions, GroupStat};
use crate::event::Publication;
use crate::id::ProducerId;
use crate::position::{Position, Seq};
use crate::topic::{Filter, Topic};

/// Claims abilities and has none.
#[derive(Clone, Copy)]
struct Nothing(Abilities);

const ALL: Abilities = Abilities {
    durability: Durability::Synced,
    replay: Replay::Full,
    delayed_retry: true,
    numbers: true,
    remembers: true,
};

fn unable<'a, T: Send + 'a>() -> Later<'a, Result<T, BusError>> {
    Box::pin(async { Err(BusError::Unable("do anything")) })
}

impl Bus for Nothing {
    fn abilities(&self) -> Abilities {
        self.0
    }

    fn head(&self) -> Position {
        Position::new(1, 0)
    }

    fn oldest(&self) -> Position {
        Position::new(1, 0)
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn append(&self, _: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        unable()
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        unable()
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        unable()
    }

    fn tail(&self, _: Position) -> Result<Box<dyn Tail>, BusError> {
        Err(BusError::Unable("read"))
    }

    fn latest(&self, _: &Filter, _: Option<&Topic>, _: usize) -> Later<'_, Result<StickyPage, BusError>> {
        unable()
    }

    fn join(&self, _: &GroupName, _: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        unable()
    }

    fn end_group(&self, _: &GroupName) -> Later<'_, Result<(), BusError>> {
        unable()
    }

    fn groups(&self, _: Option<&GroupName>, _: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    fn dead_letters(&self, _: &GroupName, _: Seq, _: usize) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        unable()
    }

    fn revive(&self, _: &GroupName, _: Vec<Seq>, _: bool) -> Later<'_, Result<usize, BusError>> {
        unable()
    }
}

impl Harness for Nothing {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(*self)
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn pass(&mut self, _: Duration) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn span(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn free(&mut self, _: Seq) -> Later<'_, bool> {
        Box::pin(async { true })
    }

    fn fail_storage(&mut self) -> Later<'_, bool> {
        Box::pin(async { true })
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async { true })
    }

    fn too_large(&self) -> Option<usize> {
        Some(1)
    }
}

#[tokio::test]
async fn no_case_passes_on_an_engine_that_does_nothing() {
    for case in cases() {
        let outcome = run(case, &|| Box::pin(async { Box::new(Nothing(ALL)) as Box<dyn Harness> })).await;
        // It is empty indeed.
        let empty = case.name == "an_empty_engine_stands_at_the_start";
        assert_eq!(matches!(outcome, Outcome::Broken(_)), !empty, "{}: {outcome}", case.name);
    }
}

#[tokio::test]
async fn what_an_engine_declares_it_cannot_do_is_reported_and_never_passes() {
    let declared = Abilities {
        durability: ALL.durability,
        replay: Replay::LatestOnly,
        delayed_retry: false,
        numbers: false,
        remembers: false,
    };
    for case in cases().into_iter().filter(|case| case.needs != Needs::Nothing) {
        let outcome = run(case, &|| Box::pin(async move { Box::new(Nothing(declared)) as Box<dyn Harness> })).await;
        let wanted = match case.needs {
            Needs::Replay => "replay",
            Needs::Numbers => "keep the numbers of producers",
            Needs::Memory => "remember ids and groups over a restart",
            _ => "keep the wait before a retry",
        };
        assert_eq!(outcome, Outcome::Declared(wanted), "{}", case.name);
    }
}

#[test]
fn each_duty_has_a_name_of_its_own() {
    let mut names: Vec<_> = cases().iter().map(|case| case.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
