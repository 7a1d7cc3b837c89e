//! Runs targets on stable Rust: `headwater-fuzz TARGET|all SECONDS [SEED]`.
//!
//! It has no eye for coverage, so it lives of good seeds and of knowing how decoders break. Every run prints its seed;
//! the same seed makes the same inputs. An input that breaks a promise is written to a file and the exit code is 1.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headwater_fuzz::mutate::mutate;
use headwater_fuzz::random::Random;
use headwater_fuzz::{TARGETS, Target, target};

/// An input that takes longer is a weapon, however rightly it is judged. A thousand times what the slowest takes.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (name, seconds, seed) = (words.next(), words.next(), words.next());
    let seconds = seconds.and_then(|text| text.parse::<u64>().ok());
    let seed = seed.map_or_else(|| Ok(fresh_seed()), |text| text.parse());
    let (Some(name), Some(seconds), Ok(seed)) = (name, seconds, seed) else { return usage() };
    let chosen: Vec<&Target> = match (name.as_str(), target(&name)) {
        ("all", _) => TARGETS.iter().collect(),
        (_, Some(target)) => vec![target],
        (_, None) => return usage(),
    };
    let all_good = chosen.iter().all(|target| run(target, Duration::from_secs(seconds), seed));
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("usage: headwater-fuzz all|{} SECONDS [SEED]", names.join("|"));
    ExitCode::from(2)
}

fn fresh_seed() -> u64 {
    // The address and the keys of a fresh hash map differ from run to run, and that's all that is needed.
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Whether nothing broke.
fn run(target: &Target, time: Duration, seed: u64) -> bool {
    let (seeds, mut random) = ((target.seeds)(), Random::new(seed));
    if let Some(bad) = seeds.iter().find(|seed| !holds(target, seed)) {
        return broken(target, seed, bad);
    }
    let (begun, mut count) = (Instant::now(), 0_u64);
    let mut input = Vec::new();
    while begun.elapsed() < time {
        // Half of the time the last input is broken further, so that faults can add up.
        if random.below(2) == 0 || input.is_empty() {
            input = random.pick(&seeds).cloned().unwrap_or_default();
        }
        mutate(&mut input, &seeds, target.words, &mut random);
        count += 1;
        if !holds(target, &input) {
            return broken(target, seed, &input);
        }
    }
    println!("{}: {count} inputs in {} s, seed {seed}: good", target.name, begun.elapsed().as_secs());
    true
}

fn holds(target: &Target, input: &[u8]) -> bool {
    let begun = Instant::now();
    let is_whole = catch_unwind(AssertUnwindSafe(|| (target.look)(input))).is_ok();
    let took = begun.elapsed();
    if took > LOOK_TIME_MAX {
        eprintln!("{}: one input took {} ms", target.name, took.as_millis());
    }
    is_whole && took <= LOOK_TIME_MAX
}

fn broken(target: &Target, seed: u64, input: &[u8]) -> bool {
    let file = std::env::temp_dir().join(format!("headwater-fuzz-{}-{seed}", target.name));
    let place = match fs::write(&file, input) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("nowhere ({error})"),
    };
    eprintln!("{}: BROKEN, seed {seed}, {} bytes, kept in {place}: {}", target.name, input.len(), input.escape_ascii());
    false
}
