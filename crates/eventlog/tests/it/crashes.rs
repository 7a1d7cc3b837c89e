//! Power cuts and kills at every single write, sync and rename of a scenario, and of the recovery after it.

use headwater_eventlog::LogReader;
use headwater_eventlog::testing::{Left, TestDisk};
use proptest::prelude::*;

use crate::kit::{all, event, numbered, seqs, sticky};
use crate::model::{Model, PRODUCER, Step, open_on, run, scenario};

/// Opens the log on what is left, and compares it with the model.
async fn check(disk: &TestDisk, model: &Model, what: &str) {
    let log = match open_on(disk) {
        Ok(log) => log,
        Err(error) => panic!("{what}: {error}"),
    };
    model.check(&log, what).await;
    drop(log);
    // The tools find nothing wrong with it either.
    let report = LogReader::open_on(std::sync::Arc::new(disk.clone())).unwrap().verify(&mut |_, _| {}).unwrap();
    assert!(report.is_sound() && report.torn_bytes == 0, "{what}: {}", report.to_json());
}

/// The remains of a power cut at step `cut`, in some of the shapes that they can have.
fn shapes(cut: u64) -> [Left; 5] {
    [Left::Nothing, Left::All, Left::Pages(3 * cut), Left::Pages(3 * cut + 1), Left::Pages(3 * cut + 2)]
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_whenever_the_power_is_cut() {
    let steps = scenario();
    let whole = TestDisk::new();
    let model = run(&whole, &steps).await;
    let total = whole.steps();
    assert!(total > 50, "the scenario has {total} writes, syncs and renames");
    check(&whole.power_on(Left::Nothing), &model, "no cut").await;
    for cut in 0..total {
        let disk = TestDisk::new();
        disk.cut_at(cut);
        let model = run(&disk, &steps).await;
        assert!(disk.is_off());
        for left in shapes(cut) {
            check(&disk.power_on(left), &model, &format!("cut at {cut}, left {left:?}")).await;
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_recovery_is_cut_too() {
    let steps = scenario();
    let whole = TestDisk::new();
    run(&whole, &steps).await;
    for cut in (0..whole.steps()).step_by(3) {
        let disk = TestDisk::new();
        disk.cut_at(cut);
        let model = run(&disk, &steps).await;
        let torn = disk.power_on(Left::Pages(7 * cut));
        let recovered = torn.power_on(Left::All);
        drop(open_on(&recovered));
        for second in 0..recovered.steps() {
            let again = torn.power_on(Left::All);
            again.cut_at(second);
            assert!(open_on(&again).is_err());
            for left in [Left::Nothing, Left::Pages(second), Left::All] {
                let what = format!("cut at {cut}, and in the recovery at {second}, left {left:?}");
                check(&again.power_on(left), &model, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn what_was_seen_after_a_kill_survives_a_power_cut() {
    let steps = scenario();
    let whole = TestDisk::new();
    run(&whole, &steps).await;
    for cut in 0..whole.steps() {
        let disk = TestDisk::new();
        disk.cut_at(cut);
        run(&disk, &steps).await;
        let killed = disk.killed();
        let seen = seqs(&all(&open_on(&killed).unwrap()).await);
        let after = seqs(&all(&open_on(&killed.power_on(Left::Nothing)).unwrap()).await);
        assert_eq!(after, seen, "killed at {cut}");
    }
}

#[tokio::test]
async fn retention_frees_the_head_and_keeps_what_is_needed() {
    let disk = TestDisk::new();
    let mut model = Model::default();
    let log = open_on(&disk).unwrap();
    for step in scenario() {
        crate::model::do_step(&log, &step, &mut model).await.unwrap();
    }
    let oldest = headwater_event::Bus::oldest(&log);
    assert!(oldest.seq > 0 && log.bytes() <= 300 << 10, "{oldest}, {} bytes", log.bytes());
    let gone = headwater_event::Bus::tail(&log, headwater_event::Position::new(oldest.epoch, oldest.seq - 1));
    assert!(matches!(gone.err(), Some(headwater_event::BusError::Gone { oldest: told }) if told == oldest));
    let bytes = disk.bytes("events.log").unwrap();
    assert!(bytes[16_384..32_768].iter().all(|byte| *byte == 0), "the space is given back");
    drop(log);
    check(&disk, &model, "after retention").await;
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let publication = (0..30_u32, 0..4_usize, 0..6_000_usize, any::<bool>()).prop_map(|(id, topic, len, is_sticky)| {
        let (id, topic) = (format!("id{id}"), format!("topic/{topic}"));
        // The content follows from the id, as a resent event is the same event.
        let payload = format!("{id}{}", "x".repeat(len * usize::from(id.len() == 4)));
        if is_sticky { sticky(&id, &topic, &payload) } else { event(&id, &topic, &payload) }
    });
    let step = prop_oneof![
        6 => proptest::collection::vec(publication, 1..5).prop_map(Step::Append),
        2 => Just(Step::Append(vec![numbered(PRODUCER, 0)])),
        1 => Just(Step::UseUp(0)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::FillAhead),
        1 => Just(Step::Free),
    ];
    proptest::collection::vec(step, 1..40).prop_map(|mut steps| {
        let mut number = 0;
        for step in &mut steps {
            match step {
                Step::Append(batch) => {
                    for publication in batch {
                        if let headwater_event::EventId::Numbered { number: own, .. } = &mut publication.event.id {
                            number += 1;
                            *own = number;
                        }
                    }
                }
                Step::UseUp(own) => {
                    number += 1;
                    *own = number;
                }
                _ => {}
            }
        }
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_scenario_survives_any_cut(steps in steps(), cut in 0.0..1.0_f64, seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let whole = TestDisk::new();
            run(&whole, &steps).await;
            let disk = TestDisk::new();
            let cut = (cut * whole.steps() as f64) as u64;
            disk.cut_at(cut);
            let model = run(&disk, &steps).await;
            for left in [Left::Pages(seed), Left::Nothing, Left::All] {
                check(&disk.power_on(left), &model, &format!("cut at {cut}, left {left:?}")).await;
            }
        });
    }
}
