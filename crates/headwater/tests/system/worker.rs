//! A role in a process of its own, which is killed and started again at another address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::program::{Place, Running};

/// The process, and what it's started with.
pub struct Worker {
    pub place: Place,
    running: Option<Running>,
    door: Door,
}

/// Where a process listens now; `None` while it's down. Whoever asks keeps it over restarts.
pub type Door = Arc<Mutex<Option<SocketAddr>>>;

impl Worker {
    /// A role of an application with these arguments, started.
    pub fn start(roles: &str, apps: &str, arguments: &[String]) -> Self {
        let place = Place::new().arg("--roles").arg(roles).arg("--apps").arg(apps);
        Self::at(arguments.iter().fold(place, |place, argument| place.arg(argument)))
    }

    /// What this place asks for, started.
    pub fn at(place: Place) -> Self {
        let mut worker = Self { place, running: None, door: Door::default() };
        worker.start_again();
        worker
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether it runs as this process.
    pub fn is(&self, pid: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.pid() == pid)
    }

    pub fn http(&self) -> SocketAddr {
        self.running().http
    }

    pub fn door(&self) -> Door {
        Arc::clone(&self.door)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        *self.door.lock().unwrap() = None;
        self.running.take().expect("it runs").kill();
    }

    /// Starts it when it doesn't run.
    pub fn start_again(&mut self) {
        let running = self.running.get_or_insert_with(|| self.place.start());
        *self.door.lock().unwrap() = Some(running.http);
    }

    /// What it has said since it was started.
    pub fn said(&self) -> String {
        self.running.as_ref().map(Running::said).unwrap_or_default()
    }
}

/// How often some process is killed in a test.
pub fn kills() -> usize {
    std::env::var("HEADWATER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}
