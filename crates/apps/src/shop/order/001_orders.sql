CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    status BIGINT NOT NULL,
    items TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX orders_by_time ON orders (placed_at);
CREATE TABLE notices (
    clear_at BIGINT NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (clear_at, order_id)
);
