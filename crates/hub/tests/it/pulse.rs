//! Rates are worked out once a second, by what was counted; asking works nothing out.

use std::time::Duration;

use headwater_event::{Clock, Principal, Refusal, Time};
use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

const START: Time = Time(1_000_000_000);

/// One second passes for the hub's timers and its clock.
async fn a_second(hub: &Hub, clock: &Clock) {
    clock.advance(Duration::from_secs(1));
    let before = hub.seconds(Time(0)).last().map(|second| second.at);
    while hub.seconds(Time(0)).last().map(|second| second.at) == before {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_steady_load_shows_its_rate_and_one_that_ends_fades() {
    let clock = Clock::manual(START);
    let limits = Limits { payload_max: 10, ..Limits::default() };
    let hub = Hub::start(VecBus::new(), Settings { clock: clock.clone(), limits, ..Settings::default() });
    tokio::task::yield_now().await;
    let who = Principal::anonymous();
    for _ in 0..30 {
        publish(&hub, (0..100).map(|_| publication("a", "12345")).collect()).await;
        let refused = hub.publish(&who, vec![publication("a", "12345678901")]).err();
        assert_eq!(refused, Some(Refusal::TooLarge { max: 10 }));
        a_second(&hub, &clock).await;
    }
    let rates = hub.rates();
    assert!((80.0..=120.0).contains(&rates.events), "{rates:?}");
    assert!((480.0..=720.0).contains(&rates.event_bytes), "{rates:?}");
    assert!(rates.ack.p50_us > 0 && rates.ack.p50_us <= rates.ack.p99_us, "{rates:?}");
    let refused: f64 = rates.refused.iter().sum();
    assert!((0.8..=1.2).contains(&refused) && (rates.refused[3] - refused).abs() < 1e-9, "{rates:?}");
    for _ in 0..30 {
        a_second(&hub, &clock).await;
    }
    assert!(hub.rates().events < 1.0, "{:?}", hub.rates());
    assert_eq!(hub.rates().ack, Default::default());
}

#[tokio::test(start_paused = true)]
async fn the_last_minutes_are_kept_and_no_more() {
    let clock = Clock::manual(START);
    let hub = Hub::start(VecBus::new(), Settings { clock: clock.clone(), ..Settings::default() });
    tokio::task::yield_now().await;
    publish(&hub, vec![publication("a", "x"); 1]).await;
    for _ in 0..pulse::SECONDS_MAX + 5 {
        a_second(&hub, &clock).await;
    }
    let all = hub.seconds(Time(0));
    assert_eq!(all.len(), pulse::SECONDS_MAX);
    assert!(all.windows(2).all(|two| two[0].at < two[1].at));
    assert!(all.iter().all(|second| second.events == 0.0), "the second of the event is long gone");
    let last = all[all.len() - 1].at;
    assert_eq!(hub.seconds(last), []);
    assert_eq!(hub.seconds(all[all.len() - 3].at).len(), 2);
}
