//! What the shelves hold when the shop opens for the first time.

use headwater_service::{Failure, Tx};

use super::tables::{ADD_PRODUCT, BOOK, SUPPLY};

/// Number, name, price in cents, how many.
pub const PRODUCTS: [(i64, &str, i64, i64); 6] = [
    (1, "Enamel mug, river blue", 1_490, 200),
    (2, "Canvas bag", 2_250, 200),
    (3, "Notebook, 160 dotted pages", 1_190, 120),
    (4, "Wool socks, a pair", 1_650, 80),
    (5, "Field thermometer", 3_900, 25),
    (6, "Folding rule, beech", 890, 3),
];

/// Under which name the first stock is booked.
const BOOKED_AS: &str = "seed";

pub(super) async fn seed(tx: &mut Tx<'_>) -> Result<(), Failure> {
    let now = tx.now().as_micros() as i64;
    for (id, name, price, count) in PRODUCTS {
        tx.execute(&ADD_PRODUCT, &[id.into(), name.into(), price.into()]).await?;
        tx.execute(&SUPPLY, &[count.into(), id.into()]).await?;
        tx.execute(&BOOK, &[BOOKED_AS.into(), id.into(), count.into(), now.into()]).await?;
    }
    Ok(())
}
