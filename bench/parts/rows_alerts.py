"""Public alerts: from a source's post to the last client's socket, beside the pipeline that teams build from parts."""

import os
import shutil
import subprocess
import tempfile

from . import children
from .contestants import PEERS, Headwater, RabbitMq, Redis
from .report import Table
from .rows import SPEED, Row, at_least, at_most, speed

FOLDER = os.path.join(PEERS, "alerts")


class HeadwaterAlerts(Headwater):
    promise = "on disk (fdatasync) before the 200; told once, whatever is killed"

    def start(self, folder):
        super().start(folder)
        self.post = self.sockets = self.http


class Pipeline(RabbitMq):
    """Express, RabbitMQ, Redis and socket.io: five processes."""

    def __init__(self):
        super().__init__("classic")
        self.redis = Redis("everysec")
        self.name = "Node with RabbitMQ and Redis"
        self.promise = "confirmed by RabbitMQ before the 200; what the processor did may be told twice after a crash"
        self.settings = "express, amqplib with confirms and durable queues, redis (appendfsync everysec), socket.io; three Node processes"

    def missing(self):
        if super().missing() or self.redis.missing():
            return super().missing() or self.redis.missing()
        return None if os.path.isdir(os.path.join(FOLDER, "node_modules")) else "npm's express and amqplib (bench/peers/install)"

    def version(self):
        return f"{super().version()}, {self.redis.version()}, Node {subprocess.run(['node', '--version'], capture_output=True, text=True).stdout.strip()}"

    def start(self, folder):
        super().start(folder)
        self.redis.folder = tempfile.mkdtemp(dir=folder)
        self.redis.start(self.redis.folder)
        env = {**os.environ, "AMQP_URL": f"amqp://{self.addr}", "REDIS_URL": f"redis://{self.redis.addr}"}
        self.parts, found = [], {}
        for role, wanted in (("listener", "http"), ("processor", None), ("notifier", "http")):
            part = children.start(["node", os.path.join(FOLDER, "alerts.js"), role], env=env, stdout=subprocess.PIPE, stderr=self._log())
            self.parts.append(part)
            if wanted:
                found[role] = children.lines_of(part, [wanted])[wanted]
        self.post, self.sockets = found["listener"], found["notifier"]

    def stop(self):
        for part in self.parts:
            children.stop(part)
        self.redis.stop()
        super().stop()


class Alerts(Row):
    name, title, rounds_max = "alerts", "Public alerts: a post, and everybody hears it", 3
    what = ("A source posts reports at a steady rate, timed from when each is due until the last socket.io client has its alert. "
            "Then 256 sources that each wait for their answer, with one client that listens.")
    columns = [("p50", "p50 ms post to last client", False), ("p99", "p99 ms", False), ("cpu", "server CPU µs a delivery", False)]
    loads = [(1, 50), (1_000, 10), (10_000, 4)]

    def contestants(self):
        return [HeadwaterAlerts(), Pipeline()]

    def tables(self):
        words = [f"{clients:,} client{'s' if clients > 1 else ''}, {rate} alerts/s" for clients, rate in self.loads]
        return [*(Table(title, self.columns, "p50") for title in words), Table("256 sources", SPEED, "per_second")]

    def measure(self, one, tables, run):
        for table, (clients, rate) in zip(tables, self.loads):
            with run.serve(one):
                report = one.run(["fanout", "--protocol", "socketio", "--publish", "alerts", "--addr", one.sockets, "--publish-addr", one.post,
                                  "--watchers", str(clients), "--rate", str(rate), "--size", "34", "--server-pid", str(one.pid),
                                  "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)])
                table.add(one.name, {"p50": report["last_ms"]["p50"], "p99": report["last_ms"]["p99"],
                                     "cpu": report["server_cpu_us_per_delivery"]})
        with run.serve(one):
            load = ["--connections", "256", "--in-flight", "1", "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)]
            tables[-1].add(one.name, speed(one.run(["alerts", "--addr", one.post, "--server-pid", str(one.pid), *load])))

    def goals(self, tables):
        peer = "Node with RabbitMQ and Redis"
        goals = [(f"{text} ({table.title})", measured, good) for table in tables[:-1]
                 for text, measured, good in [at_most(table, peer, "p50", 0.1)]]
        return [*goals, at_least(tables[-1], peer, "per_second", 20)]

    def notes(self):
        return ["both take reports of the form of docs/alerts.md; the pipeline has no record, CAP or recovery",
                "the pipeline's CPU is that of RabbitMQ alone: its parts are processes of their own"]


def all_alerts():
    return [Alerts()] if shutil.which("node") else []
