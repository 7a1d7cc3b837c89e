//! Every statement of both services can be prepared, on each engine.

use headwater_apps::shop::{ShopSettings, inventory, order};
use headwater_service::{Store, StoreUrl};

#[tokio::test]
async fn sqlite_takes_every_statement() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::sqlite(folder.path().join("stores"));
    let _shop = super::Shop::open(folder, &url, super::Choice::default()).await;
    prepare_all(&url).await;
}

async fn prepare_all(url: &StoreUrl) {
    for service in [inventory::service(), order::service(ShopSettings::default())] {
        assert!(service.registered().len() > 10);
        let store = Store::open(url, service.name()).await.unwrap();
        store.prepare_all(service.registered()).await.unwrap();
    }
}
