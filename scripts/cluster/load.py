"""Sources that report, each place in its own order, until told to stop; what was acknowledged is noted."""

import http.client
import json
import threading
import time

# How long one request may take before it's sent again, by the same key.
ANSWER_TIME_MAX = 10
# The reports are long over, so that each is told once, as `open`, and nothing else follows from it.
TIMESTAMP = "2020-01-01T00:00:00Z"


class Load:
    """Some threads; each has its places, and sends the next report of a place when the one before was acknowledged."""

    def __init__(self, ports, places, threads, rate):
        self.ports, self.rate = ports, rate
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged = {}
        self.tries = 0
        self.longest = 0.0
        self.refused = []
        names = [f"place-{at:03d}" for at in range(places)]
        self.threads = [threading.Thread(target=self.work, args=(at, names[at::threads], threads), daemon=True) for at in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """What was begun is sent until it's acknowledged."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
            if thread.is_alive():
                raise RuntimeError("a source gets no acknowledgement")

    def count(self):
        with self.lock:
            return sum(self.acknowledged.values())

    def work(self, at, places, threads):
        serials = dict.fromkeys(places, 0)
        connection, port, due = None, at, time.monotonic()
        while not self.stopping.is_set():
            for place in places:
                if self.stopping.is_set():
                    break
                serials[place] += 1
                begun = time.monotonic()
                while True:
                    done, connection = self.send(connection, self.ports[port % len(self.ports)], place, serials[place])
                    if done:
                        break
                    # Another listener may be there.
                    port += 1
                    time.sleep(0.05)
                with self.lock:
                    self.acknowledged[place] = serials[place]
                    self.longest = max(self.longest, time.monotonic() - begun)
                due = max(due + threads / self.rate, time.monotonic() - 1)
                self.stopping.wait(max(0, due - time.monotonic()))

    def send(self, connection, port, place, serial):
        body = {"location": place, "type": f"n{serial}", "timestamp": TIMESTAMP, "duration": 1}
        with self.lock:
            self.tries += 1
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIME_MAX)
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"{place}-{serial}"}
            connection.request("POST", "/api/alerts", json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            if connection:
                connection.close()
            return False, None
        if answer.status == 200:
            return True, connection
        if answer.status not in (429, 503):
            # Nothing else may be answered to a good report.
            self.refused.append(f"{answer.status} {said[:200]!r}")
        connection.close()
        return False, None
