"""Products and reservations: a commit after each statement."""
import http.server
import json
import sqlite3
import sys
import threading

from bus import Bus

http_port, mqtt_port, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
lock = threading.Lock()
db.execute("CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, product_name TEXT, price REAL, balance INTEGER)")
db.execute("CREATE TABLE IF NOT EXISTS reservations (order_id TEXT PRIMARY KEY, items TEXT)")
for product in (1, 2):
    db.execute("INSERT OR IGNORE INTO products VALUES (?, ?, 9.9, 1000000000)", (product, f"product {product}"))


def handle(topic, message):
    with lock:
        order = message["orderId"]
        if topic == "order/order-canceled":
            row = db.execute("SELECT items FROM reservations WHERE order_id = ?", (order,)).fetchone()
            for item in json.loads(row[0]) if row else []:
                db.execute("UPDATE products SET balance = balance + ? WHERE id = ?", (item["count"], item["inventoryId"]))
            db.execute("DELETE FROM reservations WHERE order_id = ?", (order,))
            return
        items = message["items"]
        rows = [db.execute("SELECT balance FROM products WHERE id = ?", (item["inventoryId"],)).fetchone() for item in items]
        if not all(row and row[0] >= item["count"] for row, item in zip(rows, items)):
            bus.publish("inventory/out-of-stock", {"orderId": order})
            return
        for item in items:
            db.execute("UPDATE products SET balance = balance - ? WHERE id = ?", (item["count"], item["inventoryId"]))
        db.execute("INSERT INTO reservations VALUES (?, ?)", (order, json.dumps(items)))
        bus.publish("inventory/on-stock", {"orderId": order})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            rows = db.execute("SELECT id, product_name, price, balance FROM products").fetchall()
        body = json.dumps([dict(zip(("id", "product_name", "price", "balance"), row)) for row in rows]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


bus = Bus(mqtt_port, "inventory", ["public-front/order-send", "order/order-canceled"], handle)
http.server.ThreadingHTTPServer(("127.0.0.1", http_port), Handler).serve_forever()
