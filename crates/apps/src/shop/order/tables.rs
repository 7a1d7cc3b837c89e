//! The statements of the order service, and what stands in its tables.

use headwater_service::Statement;

/// The column `status`.
pub mod status {
    /// It was placed.
    pub const UNKNOWN: i64 = 0;
    /// All of it is reserved.
    pub const SUCCESSFUL: i64 = 1;
    /// Not all of it was there.
    pub const UNSUCCESSFUL: i64 = 2;
    /// It was canceled.
    pub const CANCELED: i64 = 3;
    /// The order isn't here yet; the inventory has reserved its stock.
    pub const EARLY_SUCCESSFUL: i64 = 10;
    /// The order isn't here yet; the inventory has no stock for it.
    pub const EARLY_UNSUCCESSFUL: i64 = 11;
}

/// A new order; touches nothing when something is known of it.
pub static PLACE: Statement = Statement::new(
    "INSERT INTO orders (id, status, items, placed_at, changed_at) VALUES ($1, 0, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
);
/// An order of which something is known before it comes.
pub static EXPECT: Statement = Statement::new(
    "INSERT INTO orders (id, status, items, placed_at, changed_at) VALUES ($1, $2, '', $3, $4) ON CONFLICT (id) DO NOTHING",
);
/// What is known of an order.
pub static STATUS: Statement = Statement::new("SELECT status FROM orders WHERE id = $1");
/// The order has come of which the inventory has spoken.
pub static COME: Statement = Statement::new(
    "UPDATE orders SET status = status - 9, items = $1, placed_at = $2, changed_at = $3 WHERE id = $4 AND status >= 10",
);
/// The order has come that was canceled before.
pub static COME_CANCELED: Statement =
    Statement::new("UPDATE orders SET items = $1, placed_at = $2 WHERE id = $3 AND status = 3 AND items = ''");
/// The inventory has spoken; only an order that waits for it listens.
pub static DECIDE: Statement =
    Statement::new("UPDATE orders SET status = $1, changed_at = $2 WHERE id = $3 AND status = 0");
/// Ends an order, whatever its status.
pub static CANCEL: Statement =
    Statement::new("UPDATE orders SET status = 3, changed_at = $1 WHERE id = $2 AND status <> 3");
/// Ends an order that never came, though its stock is reserved.
pub static GIVE_UP: Statement =
    Statement::new("UPDATE orders SET status = 3, changed_at = $1 WHERE id = $2 AND status = 10");

/// Remembers when the latest state of an order is to end.
pub static REMEMBER: Statement = Statement::new(
    "INSERT INTO notices (clear_at, order_id) VALUES ($1, $2) ON CONFLICT (clear_at, order_id) DO NOTHING",
);
/// Takes those out whose time comes first, and gives them: what another transaction adds meanwhile isn't among them and stays.
pub static FORGET: Statement = Statement::new(
    "DELETE FROM notices WHERE (clear_at, order_id) IN \
     (SELECT clear_at, order_id FROM notices WHERE clear_at <= $1 ORDER BY clear_at, order_id LIMIT $2) RETURNING order_id",
);
/// How many there are.
pub static COUNT: Statement = Statement::new("SELECT COUNT(*) FROM notices");
/// When the next one ends.
pub static NEXT_DUE: Statement = Statement::new("SELECT clear_at FROM notices ORDER BY clear_at LIMIT 1");

/// One order, for those who ask.
pub static ORDER: Statement =
    Statement::new("SELECT id, status, items, placed_at, changed_at FROM orders WHERE id = $1");
/// The latest orders.
pub static LATEST: Statement =
    Statement::new("SELECT id, status, items, placed_at, changed_at FROM orders ORDER BY placed_at DESC LIMIT 50");
/// The latest orders of one status.
pub static LATEST_OF: Statement = Statement::new(
    "SELECT id, status, items, placed_at, changed_at FROM orders WHERE status = $1 ORDER BY placed_at DESC LIMIT 50",
);
/// The latest orders whose name looks so.
pub static LIKE: Statement = Statement::new(
    "SELECT id, status, items, placed_at, changed_at FROM orders WHERE id LIKE $1 ESCAPE '!' ORDER BY placed_at DESC LIMIT 50",
);

/// What was sold: the kinds of baskets of successful orders, and how many of each; and how many orders have which status.
pub static AUDIT: Statement = Statement::new(
    "SELECT CAST(1 AS BIGINT) AS kind, items, CAST(0 AS BIGINT) AS status, COUNT(*) AS n FROM orders WHERE status = 1 GROUP BY items \
     UNION ALL SELECT 2, '', status, COUNT(*) FROM orders GROUP BY status",
);

/// All of them, so that a test can prepare each on both engines.
pub static ALL: &[&Statement] = &[
    &PLACE,
    &EXPECT,
    &STATUS,
    &COME,
    &COME_CANCELED,
    &DECIDE,
    &CANCEL,
    &GIVE_UP,
    &REMEMBER,
    &COUNT,
    &FORGET,
    &NEXT_DUE,
    &ORDER,
    &LATEST,
    &LATEST_OF,
    &LIKE,
    &AUDIT,
];
