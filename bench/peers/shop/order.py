"""Orders and their status: a commit after each statement."""
import http.server
import json
import sqlite3
import sys
import threading

from bus import Bus

http_port, mqtt_port, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
lock = threading.Lock()
db.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT, items TEXT)")
WORDS = {"inventory/on-stock": "successful", "inventory/out-of-stock": "unsuccessful", "public-front/order-canceled": "canceled"}


def handle(topic, message):
    order = message.get("orderId") or message.get("order_id")
    with lock:
        db.execute("INSERT OR IGNORE INTO orders VALUES (?, 'unknown', '')", (order,))
        if topic == "public-front/order-send":
            db.execute("UPDATE orders SET items = ? WHERE id = ?", (json.dumps(message["items"]), order))
            return
        db.execute("UPDATE orders SET status = ? WHERE id = ? AND status <> 'canceled'", (WORDS[topic], order))
        if topic == "public-front/order-canceled":
            bus.publish("order/order-canceled", {"orderId": order})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            row = db.execute("SELECT status FROM orders WHERE id = ?", (self.path.rsplit("/", 1)[1],)).fetchone()
        body = json.dumps({"order_status": row[0] if row else "unknown"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


bus = Bus(mqtt_port, "order", ["public-front/#", "inventory/#"], handle)
http.server.ThreadingHTTPServer(("127.0.0.1", http_port), Handler).serve_forever()
