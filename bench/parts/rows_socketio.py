"""Socket.IO: one to many, idle clients, a storm of them, and those that stop reading."""

from .contestants_socketio import HeadwaterStorm, NodeStorm, socketio_servers
from .report import Table
from .rows import Fanout, Row, Slow, at_least, at_most, no_more_than, told

NODE, UWS, OXIDE = "Node socket.io", "uWebSockets.js", "socketioxide"


class SocketioFanout(Fanout):
    name, title, rounds_max = "socketio", "Socket.IO fan-out", 3
    what = ("One publisher; 10,000 clients of one namespace get every event of 256 B over WebSocket: at 10 events/s, then "
            "saturated, the next event when all have the last. Then 1,000 clients with four events on their way. Headwater's "
            "events are durable before they are told, and carry position, id, time and topic beside the payload.")
    loads = [("10 events/s to 10,000", 10_000, ["--rate", "10"]),
             ("saturated, 10,000", 10_000, ["--rate", "0", "--in-flight", "1"]),
             ("four on their way, 1,000", 1_000, ["--rate", "0", "--in-flight", "4"])]

    def contestants(self):
        return socketio_servers()

    def tables(self):
        return [Table(title, self.columns, "cpu") for title, *_ in self.loads]

    def measure(self, one, tables, run):
        for (_, watchers, load), table in zip(self.loads, tables):
            with run.serve(one):
                report = one.run(["fanout", "--addr", one.addr, "--server-pid", str(one.pid), "--protocol", one.protocol, *one.way, *load,
                                  "--watchers", str(watchers // 10 if run.quick else watchers), "--size", "256",
                                  "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)])
                table.add(one.name, told(report))

    def goals(self, tables):
        slow, saturated, pending = tables
        return [at_most(saturated, NODE, "cpu", 0.33), at_most(saturated, OXIDE, "cpu", 0.35), at_most(saturated, UWS, "cpu", 0.9),
                at_least(pending, NODE, "per_second", 8),
                at_most(slow, NODE, "last_p50", 0.1), at_most(slow, NODE, "last_p99", 0.1),
                at_most(slow, UWS, "last_p50", 1), at_most(slow, UWS, "last_p99", 1)]


class SocketioMemory(Row):
    name, title, rounds_max = "socketio-memory", "Idle Socket.IO clients", 2
    what = "19,000 clients of the default namespace over WebSocket that hear nothing; resident memory of the server for each."

    def contestants(self):
        return [one for one in socketio_servers() if one.name in ("Headwater", NODE, OXIDE)]

    def tables(self):
        return [Table("resident memory", [("kib", "KiB each", False), ("per_second", "connections/s", True)], "kib")]

    def measure(self, one, tables, run):
        with run.serve(one):
            report = one.run(["connect", "--addr", one.addr, "--protocol", "socketio", "--server-pid", str(one.pid),
                              "--connections", "1000" if run.quick else "19000"])
            tables[0].add(one.name, {"kib": report["bytes_per_connection"] / 1024, "per_second": report["connections_per_second"]})

    def goals(self, tables):
        return [no_more_than(tables[0], "kib", 2, "Headwater <= 2.0 KiB each")]


class SocketioStorm(Row):
    name, title, rounds_max = "socketio-storm", "A storm of Socket.IO clients", 3
    what = ("10,000 clients come as fast as they are let in, on 64 threads; each shows a signed token (HS256) and is in when it "
            "has been told the ten alerts that are active.")

    def contestants(self):
        return [HeadwaterStorm(), NodeStorm()]

    def tables(self):
        return [Table("10,000 clients", [("core", "sessions/s a core", True), ("per_second", "sessions/s", True)], "core")]

    def measure(self, one, tables, run):
        with run.serve(one):
            report = one.run(["connect", "--addr", one.addr, "--protocol", "socketio", "--auth", one.auth(), "--until", '["live"', "--threads", "64",
                              "--server-pid", str(one.pid), "--connections", "1000" if run.quick else "10000"])
            tables[0].add(one.name, {"core": 1e6 / report["server_cpu_us_per_connection"], "per_second": report["connections_per_second"]})

    def goals(self, tables):
        return [(f"{words.replace('core', 'sessions/s a core')}", measured, good)
                for words, measured, good in [at_least(tables[0], NODE, "core", 5)]]


class SocketioSlow(Slow):
    name, title, rounds_max = "socketio-slow", "Socket.IO clients that stop reading", 2
    what = ("300 clients under 1 MB/s (100 events/s of 10 kB); 100 of them stop reading for 60 s and then come back. What the "
            "hub's memory grows by, what the others notice, and what the stalled get; the hub's patience with the silent is longer "
            "than that here.")
    words = ["--protocol", "socketio-hub"]


def all_socketio():
    return [SocketioFanout(), SocketioMemory(), SocketioStorm(), SocketioSlow()]
