"""Over several processes: what a second edge adds."""

import os
import shutil
import subprocess

from . import children
from .contestants import Contestant, Nats, output, ready
from .report import Table
from .rows import Row, at_most

EACH = 5_000  # watchers of an edge


class Edges(Contestant):
    """Edges over a NATS JetStream that syncs always, each on a core of its own."""

    promise = "on disk (fsync of NATS) before anybody is told"

    def __init__(self, count):
        self.count, self.server = count, Nats()
        self.name = f"{count} edge{'s' if count > 1 else ''}"
        self.settings = "headwater --roles edge --engine nats://, each pinned to one core; NATS with sync_interval: always"

    def missing(self):
        if os.cpu_count() < 2 or not shutil.which("taskset"):
            return "two cores, and taskset"
        return self.server.missing()

    def version(self):
        return f"{output([self.binary, '--version'])}, {self.server.version()}"

    def start(self, folder):
        self.server.binary = self.binary
        self.server.begin(os.path.join(folder, "nats"))
        self.edges, self.addrs = [], []
        for at in range(self.count):
            command = ["taskset", "-c", str(at), self.binary, "serve", "--roles", "edge", "--apps", "none", "--http", "127.0.0.1:0", "--frames", "off",
                       "--mqtt", "off", "--require-durability", "written", "--engine", f"nats://{self.server.addr}", "--data", os.path.join(folder, f"edge-{at}")]
            edge = children.start(command, stdout=subprocess.PIPE, stderr=self._log(), env={**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"})
            self.edges.append(edge)
            addr = children.lines_of(edge, ["http"])["http"]
            children.wait_until(lambda: ready(addr), "/readyz", edge, step=0.01)
            self.addrs.append(addr)
        self.child, self.pid = self.edges[0], self.edges[0].pid

    def stop(self):
        for edge in getattr(self, "edges", []):
            children.stop(edge)
        self.server.stop()


class TwoEdges(Row):
    name, title, rounds_max = "edges", "A second edge", 3
    what = (f"An event of 256 B is published at the first edge, twice a second, and told to {EACH:,} WebSocket watchers of each edge; before that to one "
            "watcher alone, which is the engine's own hop.")

    def contestants(self):
        return [Edges(1), Edges(2)]

    def tables(self):
        columns = [("last_p50", "p50 ms to the last", False), ("last_p99", "p99 ms to the last", False), ("hop", "p50 ms to one alone, at the last edge", False),
                   ("missing", "missing", False)]
        return [Table(f"{EACH:,} watchers an edge", columns, "last_p50")]

    def measure(self, one, tables, run):
        with run.serve(one):
            def fanout(addrs, watchers):
                where = [word for addr in addrs for word in ("--addr", addr)]
                return one.run(["fanout", *where, "--publish-addr", one.addrs[0], "--rate", "2", "--size", "256", "--watchers", str(watchers),
                                "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)])
            alone = fanout(one.addrs[-1:], 1)
            report = fanout(one.addrs, (EACH // 10 if run.quick else EACH) * one.count)
            tables[0].add(one.name, {"last_p50": report["last_ms"]["p50"], "last_p99": report["last_ms"]["p99"], "hop": alone["last_ms"]["p50"],
                                     "missing": report["missing"]})

    def goals(self, tables):
        return [at_most(tables[0], "1 edge", "last_p50", 1.3, ours="2 edges")]

    def notes(self):
        return ["The watchers, the engine and the edges share two cores: what a second edge has to do is done in the time of the first one and of the watchers."]


def all_scaled():
    return [TwoEdges()]
