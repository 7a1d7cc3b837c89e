"""The Socket.IO servers that are compared."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.request

from . import children
from .contestants import PEERS, Contestant, Headwater, HeadwaterWatch, NodePeer, ready

SECRET = os.urandom(32)
STATES = 10  # alerts that are active when the storm begins


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims):
    """A JWT, signed with SECRET."""
    signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "storm"}, claims))
    return f"{signed}.{encoded(hmac.digest(SECRET, signed.encode(), hashlib.sha256))}"


def socketio_servers():
    uws, ours = "@trufflesuite/uws-js-unofficial", HeadwaterWatch("socketio-hub")
    ours.name, ours.settings = "Headwater", "defaults; namespace /hub, each client subscribed to the topic"
    return [ours, Socketioxide(),
            NodePeer("Node socket.io", "socketio.js", "socket.io", "socketio", "ws", "io.emit, its own engine with ws"),
            NodePeer("Node socket.io on uWebSockets.js", "socketio.js", "socket.io", "socketio", "uws",
                     "io.emit, attached to uWebSockets.js"),
            NodePeer("uWebSockets.js", "uws.js", uws, said="bare WebSocket, no Socket.IO: native part of v20.30 as npm has it; app.publish")]


class Socketioxide(Contestant):
    name = "socketioxide"
    promise = "none: an event that isn't received is lost"
    settings = "bench/peers/socketioxide: axum, io.emit"
    protocol = "socketio"
    path = os.path.join(PEERS, "socketioxide", "release", "socketioxide-peer")

    def missing(self):
        return None if os.path.exists(self.path) else "the program of bench/peers/socketioxide (bench/peers/install)"

    def version(self):
        lock = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers", "socketioxide", "Cargo.lock")
        with open(lock) as file:
            found = file.read().split('name = "socketioxide"\n')[1]
        return "socketioxide " + found.split('"')[1]

    def start(self, folder):
        found = children.lines_of(self._spawn([self.path], stdout=subprocess.PIPE), ["socketioxide", "control"])
        self.addr, self.way = found["socketioxide"], ["--publish", "control", "--publish-addr", found["control"]]


class HeadwaterStorm(Headwater):
    """Public alerts behind rules: who comes shows a token, and is told what is active."""

    promise = "who comes may only what the rules say, and misses nothing"

    def __init__(self):
        super().__init__(said="alerts, rules, tokens; no limit on sessions a second")

    def start(self, folder):
        data = os.path.join(folder, "data")
        os.makedirs(data)
        with open(os.path.join(data, "rules.toml"), "w") as file:
            file.write('[roles.citizen]\nsubscribe = ["alerts/#"]\n[roles.source]\npublish = ["alerts-raw/#"]\n')
        keys = os.path.join(data, "keys.json")
        with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump({"keys": [{"kty": "oct", "kid": "storm", "alg": "HS256", "k": encoded(SECRET)}]}, file)
        settings = [f"access.token_keys_file={keys}", "access.token_issuer=storm", "access.token_audience=headwater",
                    "socketio.connects_per_second=100000"]
        command = [self.binary, "serve", "--data", data, "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off",
                   "--apps", "alerts", *(word for setting in settings for word in ("--set", setting))]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"})
        self.addr = children.lines_of(child, ["http"])["http"]
        children.wait_until(lambda: ready(self.addr), "/readyz", child, step=0.005)
        for place in range(STATES):
            self.post(f"place {place}")

    def post(self, location):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = json.dumps({"location": location, "type": "Flood", "timestamp": now, "duration": 60}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {claim('source')}"}
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.addr}/api/alerts", body, headers), timeout=10) as answer:
            assert answer.status == 200

    def auth(self):
        return json.dumps({"token": claim("citizen"), "withState": True})


def claim(role):
    return token({"iss": "storm", "aud": "headwater", "sub": role, "roles": [role], "exp": int(time.time()) + 3_600})


class NodeStorm(NodePeer):
    """The same in Node: a middleware that checks the token, and the states told on connection."""

    def __init__(self):
        super().__init__("Node socket.io", "socketio.js", "socket.io", "socketio", "ws", "io.use checks the token, states are emitted on connection")

    def start(self, folder):
        states = [{"eventType": "open", "location": f"place {at}", "type": "Flood", "sentTime": "2026-01-01T00:00:00.000Z",
                   "duration": "2026-01-01T01:00:00.000Z"} for at in range(STATES)]
        os.environ.update(SECRET=encoded(SECRET), STATES=json.dumps(states))
        try:
            super().start(folder)
        finally:
            del os.environ["SECRET"], os.environ["STATES"]

    def auth(self):
        # Node takes the secret as a text.
        claims = {"sub": "citizen", "exp": int(time.time()) + 3_600}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
        signature = hmac.digest(encoded(SECRET).encode(), signed.encode(), hashlib.sha256)
        return json.dumps({"token": f"{signed}.{encoded(signature)}"})
