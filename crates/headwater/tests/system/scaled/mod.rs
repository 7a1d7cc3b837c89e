//! Applications as several processes of each role, over each engine: every role, the engine's servers and PostgreSQL are killed
//! under load, one is frozen beyond its time, and who checks counts by itself.

mod alerts;
mod alerts_told;
mod answered;
mod engine;
mod shop;

/// The wait before other processes are asked again, who tell nobody; to ask all the time would take their processor.
fn a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(5)); // sleep: as it says
}
