//! Signs of life: written when nothing else was, and missed from a client that gives none.

use std::sync::Arc;
use std::time::Duration;

use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

fn settings() -> OutletSettings {
    OutletSettings { beat: Some((Duration::from_secs(10), Arc::new(Lines))), ..OutletSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_gets_a_beat_and_a_busy_one_none() {
    let hub = Hub::start(VecBus::new(), Settings::default());
    let (quiet, busy) = (Socket::open(), Socket::open());
    let outlets: Vec<_> = [&quiet, &busy]
        .map(|socket| {
            let outlet = hub.outlet(anyone(), Box::new(socket.clone()), settings());
            (drive(&outlet, socket), outlet)
        })
        .into();
    outlets[1].1.watch(watch("a")).await.unwrap();
    for _ in 0..7 {
        publish(&hub, vec![publication("a", "x")]).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(quiet.lines(), ["beat", "beat", "beat"]);
    assert_eq!(busy.lines().iter().filter(|line| *line == "beat").count(), 0);
    assert_eq!(busy.lines().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_connection_gets_no_heap_of_beats() {
    let hub = Hub::start(VecBus::new(), Settings::default());
    let socket = Socket::stalled();
    let outlet = hub.outlet(anyone(), Box::new(socket.clone()), settings());
    let _task = drive(&outlet, &socket);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    socket.allow(usize::MAX);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(socket.lines(), ["beat"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go_and_one_that_answers_stays() {
    let hub = Hub::start(VecBus::new(), Settings::default());
    let settings = OutletSettings { silence_max: Some(Duration::from_secs(30)), ..OutletSettings::default() };
    let connect = || {
        let socket = Socket::open();
        let outlet = hub.outlet(anyone(), Box::new(socket.clone()), settings.clone());
        (drive(&outlet, &socket), outlet)
    };
    let ((silent, _outlet), (alive, answering)) = (connect(), connect());
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        answering.heard();
    }
    assert_eq!(silent.await.unwrap(), Closed::Silent);
    assert!(!alive.is_finished());
}
