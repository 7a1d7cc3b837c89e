//! A newcomer gets the latest state of each topic first, then every later change, without gap or repeat.

use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

#[tokio::test]
async fn a_watcher_who_comes_late_sees_the_latest_state_first() {
    let hub = Hub::start(VecBus::new(), Settings::default());
    publish(&hub, vec![sticky("slot/9", "free"), sticky("slot/9", "taken"), publication("slot/8", "no state")]).await;
    let watch = Watch { sticky: true, ..watch("slot/+") };
    let mut stream = hub.stream(&headwater_event::Principal::anonymous(), watch).await.unwrap();
    assert_eq!(lines(&mut stream, 2).await, ["state 2 slot/9 taken", "states 7:3"]);
    publish(&hub, vec![sticky("slot/9", "free again")]).await;
    assert_eq!(lines(&mut stream, 1).await, ["event 4 slot/9 free again"]);
}
