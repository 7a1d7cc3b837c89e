//! Every statement of both services can be prepared, on each engine.

use headwater_apps::shop::{ShopSettings, inventory, order};
use headwater_service::Store;

use super::Place;

async fn every_statement_can_be_prepared(place: Place) {
    let shop = place.shop().await;
    for service in [inventory::service(), order::service(ShopSettings::default())] {
        assert!(service.registered().len() > 10);
        let store = Store::open(&shop.url, service.name()).await.unwrap();
        store.prepare_all(service.registered()).await.unwrap();
    }
}

super::on_each_store! {
    every_statement_can_be_prepared,
}
