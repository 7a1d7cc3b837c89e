"""Public alerts: from a source's post to the last client's socket, beside the pipeline that teams build from parts."""

import json
import os
import shutil
import subprocess
import tempfile

from . import children
from .contestants import PEERS, Headwater, RabbitMq, Redis
from .report import Table
from .rows import Row, at_least, at_most

FOLDER = os.path.join(PEERS, "alerts")


def drive(post, sockets, clients, posts, sources, seconds):
    """The driver of bench/peers/alerts, the same for both."""
    command = ["node", "drive.js", post, sockets, str(clients), str(posts)]
    env = {**os.environ, "SOURCES": str(sources), "SECONDS": str(seconds)}
    done = subprocess.run(command, cwd=FOLDER, env=env, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"drive.js: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


class HeadwaterAlerts(Headwater):
    promise = "on disk (fdatasync) before the 200; told once, whatever is killed"

    def missing(self):
        return None if os.path.isdir(os.path.join(FOLDER, "node_modules")) else "npm's socket.io-client (bench/peers/install)"

    def start(self, folder):
        super().start(folder)
        self.post, self.sockets = f"http://{self.http}/api/alerts", f"http://{self.http}"


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
        self.post, self.sockets = f"http://{found['listener']}/api/alerts", f"http://{found['notifier']}"

    def stop(self):
        for part in self.parts:
            children.stop(part)
        self.redis.stop()
        super().stop()


class Alerts(Row):
    name, title, rounds_max = "alerts", "Public alerts: a post, and everybody hears it", 3
    what = ("One post after the other, timed until the last socket.io client has it; then 256 sources that each wait for their answer. "
            "The driver and its clients are one Node process, the same for both.")
    columns = [("p50", "p50 ms post to last client", False), ("p99", "p99 ms", False), ("taken", "posts taken/s", True)]
    loads = [("1 client, then 256 sources", 1, 500, 256), ("1,000 clients", 1_000, 100, 0)]

    def contestants(self):
        return [HeadwaterAlerts(), Pipeline()]

    def tables(self):
        return [Table(title, self.columns, "p50") for title, *_ in self.loads]

    def measure(self, one, tables, run):
        for table, (_, clients, posts, sources) in zip(tables, self.loads):
            with run.serve(one):
                found = drive(one.post, one.sockets, clients, posts // 10 if run.quick else posts, sources, 2 if run.quick else 10)
                table.add(one.name, {"p50": found["from_sent"]["p50_ms"], "p99": found["from_sent"]["p99_ms"],
                                     "taken": found["taken_per_s"] if sources else None})

    def goals(self, tables):
        peer = "Node with RabbitMQ and Redis"
        goals = [(f"{text} ({table.title})", measured, good) for table in tables
                 for text, measured, good in [at_most(table, peer, "p50", 0.1)]]
        return [*goals, at_least(tables[0], peer, "taken", 20)]

    def notes(self):
        return ["both take reports of the form of docs/alerts.md; the pipeline has no record, CAP or recovery",
                "with 1,000 clients most of the time is the driver's: one Node process decodes every client's event"]


def all_alerts():
    return [Alerts()] if shutil.which("node") else []
