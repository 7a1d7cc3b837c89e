"""Watchers: server-sent events, taken up again where they broke off, at another instance of the same role."""

import http.client
import json
import threading
import time

# The hub says something every 15 s or so; a watcher that hears nothing for longer looks elsewhere.
SILENCE_MAX = 40


class Watcher:
    """One; what it hears is noted in its order. With `may_gap` a gap that it's told of is noted and no finding."""

    def __init__(self, name, ports, has_history, may_gap=False):
        self.name, self.ports, self.has_history = name, ports, has_history
        self.may_gap, self.gaps = may_gap, []
        self.heard = []
        self.findings = []
        self.away = []
        self.breaks = 0
        self.last_id = None
        self.is_there = threading.Event()
        self.stopping = False
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping = True

    def work(self):
        at = sum(map(ord, self.name))
        lost = None
        while not self.stopping:
            try:
                self.follow(self.ports[at % len(self.ports)], lost)
            except (OSError, http.client.HTTPException):
                # The instance is gone, or not there yet.
                pass
            if self.is_there.is_set():
                lost = time.time()
                self.breaks += 1
                self.is_there.clear()
            at += 1
            time.sleep(0.05)

    def follow(self, port, lost):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SILENCE_MAX)
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        connection.request("GET", "/v1/live?filter=alerts/%23", headers=headers)
        answer = connection.getresponse()
        if answer.status in (409, 410) and self.last_id:
            if self.has_history:
                self.findings.append(f"{self.name} was refused to go on after {self.last_id}: {answer.status}")
            self.last_id = None
            return
        if answer.status != 200:
            return
        fields = {}
        while not self.stopping:
            line = answer.readline()
            if not line.endswith(b"\n"):
                return
            line = line.rstrip(b"\n").decode()
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if not self.is_there.is_set() and fields.get("id"):
                if lost is not None:
                    self.away.append((lost, time.time()))
                self.is_there.set()
            self.take(fields)
            fields = {}

    def take(self, fields):
        if fields.get("event") == "gap" and self.may_gap:
            self.gaps.append(time.time())
        elif fields.get("event") == "gap":
            self.findings.append(f"{self.name} was told of a gap: {fields.get('data')}")
        elif "data" in fields and "id" in fields:
            event = json.loads(fields["data"])
            told = json.loads(event["payload"]) if event.get("payload") else {}
            if told.get("eventType") == "open":
                self.heard.append((told["location"], int(told["type"][1:]), time.time()))
        if "id" in fields:
            self.last_id = fields["id"]
