//! Headwater's own broker in a runtime of its own, so that it can die like a process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::mqtt::{self, Front, MqttSettings};
use headwater_event::{Clock, Publication};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::{Access, Hub, Settings};
use tokio::runtime::Runtime;

/// A hub that listens for MQTT.
pub struct Broker {
    folder: tempfile::TempDir,
    running: Option<Running>,
    addr: SocketAddr,
}

struct Running {
    runtime: Runtime,
    log: Arc<EventLog>,
    hub: Arc<Hub>,
    _stop: Stop,
}

impl Broker {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (running, addr) = run(folder.path(), "127.0.0.1:0".parse().unwrap());
        Self { folder, running: Some(running), addr }
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// Appends beside the link, as another protocol does.
    pub async fn publish(&self, publication: Publication) {
        let hub = Arc::clone(&self.running.as_ref().unwrap().hub);
        hub.publish(&headwater_event::Principal::anonymous(), vec![publication]).unwrap().await.unwrap();
    }

    /// Ends it at once: no task does another step.
    pub fn kill(&mut self) {
        let Some(Running { runtime, log, hub, _stop }) = self.running.take() else { return };
        // On a thread that may wait.
        let dying = std::thread::spawn(move || {
            runtime.shutdown_timeout(Duration::from_secs(5));
            drop(hub);
            // What was in the writer's hands may reach the disk, as it may after a kill.
            let _ = log.close();
        });
        dying.join().unwrap();
    }

    /// Starts it again on the same address and folder.
    pub fn start_again(&mut self) {
        let (running, addr) = run(self.folder.path(), self.addr);
        assert_eq!(addr, self.addr);
        self.running = Some(running);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(folder: &Path, addr: SocketAddr) -> (Running, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = folder.to_owned();
    let (log, hub, stop, addr) = std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            runtime.block_on(async {
                let options = OpenOptions { ahead_bytes: 1 << 20, ..OpenOptions::new(&folder) };
                let log = Arc::new(EventLog::open(options).unwrap());
                let settings = Settings { access: Access::open(), clock: Clock::system(), ..Settings::default() };
                let hub = Hub::start(Arc::clone(&log) as Arc<dyn headwater_event::Bus>, settings);
                let (front, stop) = (Front::new(hub.clone(), MqttSettings::default()), Stop::default());
                let listener = Listener::bind(addr, AcceptSettings::default()).unwrap();
                let addr = listener.local_addr();
                mqtt::start(&front, &stop.listen()).await.unwrap();
                tokio::spawn(mqtt::serve(listener, front, stop.listen()));
                (log, hub, stop, addr)
            })
        });
        starting.join().unwrap()
    });
    (Running { runtime, log, hub, _stop: stop }, addr)
}
