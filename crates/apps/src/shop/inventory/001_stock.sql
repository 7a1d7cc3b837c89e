CREATE TABLE products (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
    balance BIGINT NOT NULL CHECK (balance >= 0),
    taken BIGINT NOT NULL CHECK (taken >= 0),
    told BIGINT NOT NULL
);
CREATE TABLE reservations (
    order_id TEXT PRIMARY KEY,
    state BIGINT NOT NULL,
    items TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE TABLE supplies (
    event_id TEXT NOT NULL,
    product BIGINT NOT NULL,
    change BIGINT NOT NULL,
    booked_at BIGINT NOT NULL,
    PRIMARY KEY (event_id, product)
);
