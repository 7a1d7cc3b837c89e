//! The statements of the inventory, and what stands in its tables.

use headwater_service::Statement;

/// The column `state` of a reservation: its stock is taken out of the balance. The others are 2, there was not enough, and 3,
/// it was canceled: what was reserved has returned, and what comes late reserves nothing.
pub const RESERVED: i64 = 1;

/// Begins a reservation; touches nothing when the order is known, canceled or not.
pub static BEGIN: Statement = Statement::new(
    "INSERT INTO reservations (order_id, state, items, changed_at) VALUES ($1, 1, $2, $3) ON CONFLICT (order_id) DO NOTHING",
);
/// Notes that an order is canceled that isn't known yet.
pub static BURY: Statement = Statement::new(
    "INSERT INTO reservations (order_id, state, items, changed_at) VALUES ($1, 3, '', $2) ON CONFLICT (order_id) DO NOTHING",
);
/// Not all lines could be had.
pub static REFUSE: Statement =
    Statement::new("UPDATE reservations SET state = 2, changed_at = $1 WHERE order_id = $2 AND state = 1");
/// Ends a reservation, once.
pub static END: Statement =
    Statement::new("UPDATE reservations SET state = 3, changed_at = $1 WHERE order_id = $2 AND state <> 3");
/// What an order wanted.
pub static ITEMS: Statement = Statement::new("SELECT items, state FROM reservations WHERE order_id = $1");
/// Takes so many out of the balance, if they are there.
pub static TAKE: Statement =
    Statement::new("UPDATE products SET balance = balance - $1, taken = taken + $1 WHERE id = $2 AND balance >= $1");
/// The reverse.
pub static GIVE_BACK: Statement =
    Statement::new("UPDATE products SET balance = balance + $1, taken = taken - $1 WHERE id = $2");

/// All products, for the catalogue.
pub static CATALOGUE: Statement = Statement::new("SELECT id, name, price_cents, balance FROM products ORDER BY id");
/// Those that were not told since they changed.
pub static CHANGED: Statement =
    Statement::new("SELECT id, name, price_cents, balance FROM products WHERE told <> balance ORDER BY id LIMIT 100");
/// Now it was.
pub static TOLD: Statement = Statement::new("UPDATE products SET told = $1 WHERE id = $2");

/// A product.
pub static PRODUCT: Statement = Statement::new("SELECT balance FROM products WHERE id = $1");
/// A new product, with nothing of it.
pub static ADD_PRODUCT: Statement = Statement::new(
    "INSERT INTO products (id, name, price_cents, balance, taken, told) VALUES ($1, $2, $3, 0, 0, -1) ON CONFLICT (id) DO NOTHING",
);
/// Another name; told anew.
pub static RENAME: Statement = Statement::new("UPDATE products SET name = $1, told = -1 WHERE id = $2");
/// Another price; told anew.
pub static REPRICE: Statement = Statement::new("UPDATE products SET price_cents = $1, told = -1 WHERE id = $2");
/// More or less of it, but never less than nothing.
pub static SUPPLY: Statement =
    Statement::new("UPDATE products SET balance = balance + $1 WHERE id = $2 AND balance + $1 >= 0");
/// Books what came from outside or left: the sum of a product is what must be found in stock, reserved and sold.
pub static BOOK: Statement =
    Statement::new("INSERT INTO supplies (event_id, product, change, booked_at) VALUES ($1, $2, $3, $4)");
/// How many products there are.
pub static COUNT_PRODUCTS: Statement = Statement::new("SELECT COUNT(*) FROM products");

/// Everything that the books are checked by, in one statement and so as of one moment. Baskets are counted by the database:
/// there are far fewer kinds of them than orders.
pub static AUDIT: Statement = Statement::new(
    "SELECT CAST(1 AS BIGINT) AS kind, id, '' AS items, balance AS a, taken AS b FROM products \
     UNION ALL SELECT 2, product, '', CAST(SUM(change) AS BIGINT), 0 FROM supplies GROUP BY product \
     UNION ALL SELECT 3, 0, items, COUNT(*), 0 FROM reservations WHERE state = 1 GROUP BY items",
);

/// All of them, so that a test can prepare each on both engines.
pub static ALL: &[&Statement] = &[
    &BEGIN,
    &BURY,
    &REFUSE,
    &END,
    &ITEMS,
    &TAKE,
    &GIVE_BACK,
    &CATALOGUE,
    &CHANGED,
    &TOLD,
    &PRODUCT,
    &ADD_PRODUCT,
    &RENAME,
    &REPRICE,
    &SUPPLY,
    &BOOK,
    &COUNT_PRODUCTS,
    &AUDIT,
];
