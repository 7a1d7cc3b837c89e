"""What identity, rules and strangers cost: a hub with 1,000 rules beside one without, and the others' time under floods."""

import contextlib
import os
import subprocess
import sys

from . import children
from .contestants_mqtt import HeadwaterMqtt, Mosquitto
from .plot import number
from .report import Table
from .rows import Row, speed
from .rows_mqtt import MIB, or_zero

RULES = 1_000
FLOODS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "floods.py")


class Guarded(HeadwaterMqtt):
    """A hub whose data folder is prepared before it starts, and whose listeners are all known afterwards."""

    level = "warn"
    more = ()  # protocols that it listens for beside the three

    def prepare(self, data):
        """Puts into the data folder what the hub is to find there."""

    def start(self, folder):
        data = os.path.join(folder, "data")
        os.makedirs(data)
        self.prepare(data)
        command = [self.binary, "serve", "--data", data, "--apps", "none", "--http", "127.0.0.1:0", "--frames", "127.0.0.1:0",
                   "--mqtt", "127.0.0.1:0", *self.extra]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "HEADWATER_LOGGING_LEVEL": self.level})
        found = children.lines_of(child, ["mqtt", "frames", "http", *self.more])
        self.addr, self.frames, self.http = found["mqtt"], found["frames"], found["http"]
        self.tls = found.get("mqtts")
        children.wait_until(self.answers, self.name, child, step=0.005)


class Ruled(Guarded):
    """With rules, where asked for: the two that allow the load stand behind all that don't."""

    def __init__(self, rules):
        super().__init__(said=f"{rules:,} rules" if rules else "no rules: the default of a hub on loopback")
        self.rules = rules
        self.name = f"Headwater, {rules:,} rules" if rules else "Headwater"

    def prepare(self, data):
        if not self.rules:
            return
        filters = ", ".join([*(f'"plant/{number}/+/up/#"' for number in range(self.rules // 2 - 1)), '"#"'])
        with open(os.path.join(data, "rules.toml"), "w") as file:
            file.write(f"[roles.anonymous]\npublish = [{filters}]\nsubscribe = [{filters}]\n")


class Rules(Row):
    name, title, rounds_max = "mqtt-rules", "1,000 rules on every edge", 3
    what = ("The same loads on a hub without rules and on one with 1,000, none of which but the last of each kind allows what "
            "is done: frames and WebSocket as in the pages of their own, MQTT in and out, and one publisher with 10,000 MQTT subscribers.")
    ruled = f"Headwater, {RULES:,} rules"
    loads = [("frames, 16 connections, 64 in flight each", "frames", ["frames"]),
             ("MQTT fan-in, 10 publishers, QoS 1, 64 B", "addr", ["mqtt", "fanin", "--publishers", "10", "--in-flight", "100"]),
             ("MQTT fan-out, 10,000 subscribers, QoS 0, 64 B", "addr",
              ["mqtt", "fanout", "--subscribers", "10000", "--in-flight", "100", "--qos", "0"]),
             ("WebSocket fan-out, 1,000 watchers, 300 events/s", "http", ["fanout", "--watchers", "1000", "--rate", "300"])]

    def contestants(self):
        return [Ruled(0), Ruled(RULES)]

    def tables(self):
        columns = [("per_second", "events/s", True), ("cpu", "server CPU µs each", False)]
        return [Table(title, columns, "per_second") for title, *_ in self.loads]

    def measure(self, one, tables, run):
        for table, (_, where, words) in zip(tables, self.loads):
            with run.serve(one):
                asked = [*words, "--addr", getattr(one, where), "--server-pid", str(one.pid), "--duration", run.seconds(8)]
                table.add(one.name, self.values(words, one.run(asked)))

    @staticmethod
    def values(words, report):
        if words[0] == "frames":
            return {key: speed(report)[key] for key in ("per_second", "cpu")}
        if words[0] == "fanout":
            return {"per_second": report["deliveries_per_second"], "cpu": report["server_cpu_us_per_delivery"]}
        return {"per_second": report["delivered_per_second"], "cpu": report["server_cpu_us_per_delivered"]}

    def goals(self, tables):
        goals = []
        for table, (_, _, words) in zip(tables, self.loads):
            # The fan-out by WebSocket is at a rate: what it costs is what tells.
            at_a_rate = "--rate" in words
            ratio = (table.ratio("Headwater", self.ruled, "cpu") if at_a_rate
                     else table.ratio(self.ruled, "Headwater", "per_second"))
            if ratio is not None:
                text = "CPU a delivery <= 1 / 0.95 x" if at_a_rate else "events/s >= 0.95 x"
                goals.append((f"{text} without rules ({table.title})", f"{1 / ratio if at_a_rate else ratio:.3f} x", ratio >= 0.95))
        return goals

    def notes(self):
        return ["everybody is the role `anonymous`, whose rules are looked up like any other's; who somebody is, is asked once a "
                "connection, and whether they may, for each event",
                "the generator is one thread and takes a core of its own when it is busy"]


class Strangers(Guarded):
    """With a user whose password is guessed at, and TLS beside the plain listener."""

    more, level = ("mqtts",), "error"

    def __init__(self):
        super().__init__(said="access.anonymous=all, one user with a password, a TLS listener beside the plain one")
        self.extra = ["--tls", "auto", "--set", "tls.listeners=mqtt", "--set", "mqtt.tls_addr=127.0.0.1:0",
                      "--set", "access.anonymous=all"]

    def prepare(self, data):
        subprocess.run([self.binary, "user", "add", "someone", "--data", data, "--password-file", "-"],
                       input=b"correct horse battery\n", check=True, capture_output=True)


class Floods(Row):
    name, title, rounds_max = "mqtt-floods", "MQTT: others under a flood of strangers", 3
    what = ("10 pairs of clients, 1,000 events a second in all, QoS 1, 64 B; first alone, and then while strangers do what strangers "
            "do. The flood is a Python program at the lowest priority on the same two cores.")
    kinds = [("connections that come and go", "connect", "addr"), ("TLS handshakes", "tls", "tls"),
             ("10,000 half-open CONNECTs that declare 256 MB", "half-open", "addr"),
             ("passwords are guessed", "guess", "addr"), ("2,000 clients that send a byte a second", "slow", "addr")]

    def contestants(self):
        return [Strangers(), Mosquitto()]

    def tables(self):
        columns = [("ratio", "others' p99, during / before", False), ("before", "p99 ms before", False),
                   ("during", "p99 ms during", False), ("p50", "p50 ms during", False), ("done", "strangers/s", True),
                   ("rss", "RSS growth MiB", False), ("lost", "never came", False)]
        return [Table(title, columns, "ratio") for title, *_ in self.kinds]

    def measure(self, one, tables, run):
        for table, (_, kind, where) in zip(tables, self.kinds):
            if where == "tls" and not isinstance(one, Strangers):
                continue
            with run.serve(one):
                before = self.pairs(one, run)
                with flood(kind, getattr(one, where)) as strangers:
                    during = self.pairs(one, run)
                calm, pressed = or_zero(before["each_ms"], "p99"), or_zero(during["each_ms"], "p99")
                table.add(one.name, {
                    "before": calm, "during": pressed, "ratio": pressed / calm if calm and pressed else None,
                    "p50": or_zero(during["each_ms"], "p50"), "done": strangers.per_second,
                    "rss": ((during["cost"]["server_rss_max"] or 0) - (before["cost"]["server_rss_max"] or 0)) / MIB,
                    "lost": during["lost"] + during["missing"]})

    @staticmethod
    def pairs(one, run):
        load = ["pairs", "--pairs", "10", "--rate", "1000", "--qos", "1", "--size", "64"]
        return one.offer([*load, "--duration", run.seconds(8), "--warmup", "1s"])

    def goals(self, tables):
        goals = []
        for table in tables:
            found = table.median("Headwater", "ratio")
            if found is not None:
                goals.append((f"the others' p99 <= 2 x before ({table.title})", f"{number(found)} x", found <= 2))
        half_open = tables[2].median("Headwater", "rss")
        if half_open is not None:
            kib = half_open * 1024 / 10_000
            goals.append(("at most 16 KiB for each half-open CONNECT", f"{number(kib)} KiB", kib <= 16))
        return goals


class flood(contextlib.AbstractContextManager):
    """Strangers, while the block runs; `per_second` is known afterwards."""

    def __init__(self, kind, addr):
        self.kind, self.addr, self.per_second = kind, addr, None

    def __enter__(self):
        host, port = self.addr.rsplit(":", 1)
        self.child = children.start(["nice", "-n", "19", sys.executable, FLOODS, self.kind, host, port],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.child.stdout.readline() != b"begun\n":
            raise RuntimeError(f"the flood {self.kind} doesn't begin")
        return self

    def __exit__(self, *_):
        try:
            said, _ = self.child.communicate(timeout=30)
            self.per_second = float(said or 0)
        finally:
            children.stop(self.child)


def all_guard():
    return [Rules(), Floods()]
