"""python-socketio against a hub: websocket, polling and upgrade.   python_client.py http://127.0.0.1:PORT"""

import sys
import threading
import urllib.request

import socketio

origin = sys.argv[1]
WAIT = 20

for transports in (["websocket"], ["polling"], ["polling", "websocket"]):
    told = threading.Event()
    got = []
    client = socketio.Client(reconnection=False)

    @client.on("event", namespace="/hub")
    def heard(event, offset):
        got.append((event, offset))
        told.set()

    client.connect(origin, namespaces=["/hub"], transports=transports, wait_timeout=WAIT)
    topic = "clients/python/" + "-".join(transports)
    begun = client.call("subscribe", {"filter": topic}, namespace="/hub", timeout=WAIT)
    assert begun["ok"], begun
    receipt = client.call("publish", ({"topic": topic, "payload": ""}, b"\x00\xff"), namespace="/hub", timeout=WAIT)
    assert receipt["ok"], receipt
    assert told.wait(WAIT), "no event"
    event, offset = got[0]
    assert event["payload_base64"] == "AP8=" and offset == receipt["position"], got
    refused = client.call("subscribe", {"filter": "##"}, namespace="/hub", timeout=WAIT)
    assert refused["error"] == "malformed", refused
    client.disconnect()

# Alerts, by a handler as existing clients have it: it takes the alert and nothing more.
for transports in (["websocket"], ["polling"], ["polling", "websocket"]):
    told = threading.Event()
    alerts = []
    client = socketio.Client(reconnection=False)

    @client.on("alert")
    def alerted(alert):
        alerts.append(alert)
        told.set()

    client.connect(origin, transports=transports, wait_timeout=WAIT)
    place = f"{origin}/v1/events/alerts/python/alert"
    urllib.request.urlopen(urllib.request.Request(place, data=b'{"n": 1}', method="POST"), timeout=WAIT)
    assert told.wait(WAIT), "no alert"
    assert alerts == [{"n": 1}], alerts
    client.disconnect()

refusing = socketio.Client(reconnection=False)
try:
    refusing.connect(origin, namespaces=["/hub"], auth={"token": "a.b.c"}, wait_timeout=WAIT)
    raise SystemExit("a wrong token should be refused")
except socketio.exceptions.ConnectionError:
    pass
print("python-socketio: websocket, polling, upgrade passed")
