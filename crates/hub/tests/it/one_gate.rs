//! Every event passes the same gate on its way in, every watch the same check on its way out.

use headwater_event::*;
use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

#[tokio::test]
async fn what_is_published_is_told_to_who_watches_and_to_nobody_else() {
    let hub = Hub::start(VecBus::new(), Settings::default());
    let who = Principal::anonymous();
    publish(&hub, vec![publication("a/1", "before")]).await;
    let mut stream = hub.stream(&who, watch("a/+")).await.unwrap();
    publish(&hub, vec![publication("b/1", "not wanted"), publication("a/1", "x"), publication("a/2", "y")]).await;
    assert_eq!(lines(&mut stream, 2).await, ["event 3 a/1 x", "event 4 a/2 y"]);
}
