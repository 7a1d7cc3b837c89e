"""The front, as a small Python web framework would be used: a thread a connection, a request to the other service a read."""
import http.client
import http.server
import json
import sys
import threading
import uuid

from bus import Bus

http_port, mqtt_port, inventory_port, order_port = map(int, sys.argv[1:5])
bus = Bus(mqtt_port, "front")
local = threading.local()


def ask(port, path):
    """By a connection that each thread keeps."""
    held = local.__dict__.setdefault("held", {})
    if port not in held:
        held[port] = http.client.HTTPConnection("127.0.0.1", port)
    held[port].request("GET", path)
    return held[port].getresponse().read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        port = inventory_port if self.path == "/inventory" else order_port
        self.answer(200, ask(port, self.path))

    def do_POST(self):
        items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["items"]
        order = str(uuid.uuid4())
        bus.publish("public-front/order-send", {"orderId": order, "items": items}, wait=True)
        self.answer(201, json.dumps({"orderId": order, "order_status": "unknown"}).encode(), [("Location", f"/order/{order}")])

    def do_DELETE(self):
        bus.publish("public-front/order-canceled", {"order_id": self.path.rsplit("/", 1)[1]}, wait=True)
        self.answer(202, b"{}")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("127.0.0.1", http_port), Handler).serve_forever()
