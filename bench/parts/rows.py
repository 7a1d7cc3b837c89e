"""The comparisons: who, under which load, and what is to be reached (ratios in one run on one machine)."""

import os
import shutil
import subprocess
import time

from . import children, contestants as who
from .plot import number
from .report import Table

SPEED = [("per_second", "events/s", True), ("p99", "p99 ms", False), ("p50", "p50 ms", False),
         ("max", "max ms", False), ("cpu", "server CPU µs each", False), ("own", "generator CPU µs each", False)]


class Row:
    name = title = what = ""
    rounds_max = None

    def contestants(self):
        raise NotImplementedError

    def tables(self):
        raise NotImplementedError

    def measure(self, one, tables, run):
        """Begins, loads and ends one contestant; adds to the tables."""
        raise NotImplementedError

    def goals(self, tables):
        return []

    def notes(self):
        return []


class Run:
    """What all rounds share: where, with which binary, how long."""

    def __init__(self, binary, scratch, quick):
        self.binary, self.scratch, self.quick, self.count = binary, scratch, quick, 0

    def seconds(self, whole, quick=2):
        return f"{quick if self.quick else whole}s"

    def folder(self):
        self.count += 1
        return os.path.join(self.scratch, f"round-{self.count}")

    def serve(self, one):
        return Serving(self, one)


class Serving:
    """A contestant while it serves: its folder is new, and gone afterwards."""

    def __init__(self, run, one):
        self.run, self.one = run, one

    def __enter__(self):
        self.folder = self.run.folder()
        self.one.binary = self.run.binary
        try:
            self.one.begin(self.folder)
        except Exception:
            self.__exit__()
            raise
        return self.one

    def __exit__(self, *_):
        if getattr(self.one, "child", None):
            self.one.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def speed(report):
    """The columns of SPEED out of a generator's report."""
    latency, cost, events = report["latency_ms"], report["cost"], max(report["accepted"], 1)
    each = lambda seconds: None if seconds is None else seconds * 1e6 / events
    return {"per_second": report["per_second"], "p50": latency["p50"], "p99": latency["p99"], "max": latency["max"],
            "cpu": each(cost.get("server_cpu_s")), "own": each(cost.get("generator_cpu_s"))}


def at_least(table, other, key, wanted, ours="Headwater"):
    ratio = table.ratio(ours, other, key)
    return (f"{key_words(key)} >= {wanted} x {other}", shown(ratio), None if ratio is None else ratio >= wanted)


def at_most(table, other, key, wanted, ours="Headwater"):
    ratio = table.ratio(ours, other, key)
    return (f"{key_words(key)} <= {wanted} x {other}", shown(ratio), None if ratio is None else ratio <= wanted)


def no_more_than(table, key, wanted, words, ours="Headwater"):
    value = table.median(ours, key)
    return (words, number(value), None if value is None else value <= wanted)


def key_words(key):
    return {"per_second": "events/s", "p50": "p50", "p99": "p99", "cpu": "CPU a delivery", "last_p50": "p50 to the last",
            "last_p99": "p99 to the last"}.get(key, key)


def shown(ratio):
    return "-" if ratio is None else f"{number(ratio)} x"


class Frames(Row):
    def __init__(self, name, title, connections, in_flight, compared, goals, notes=()):
        self.name, self.title, self.compared, self.wanted, self.said = name, title, compared, goals, notes
        self.connections, self.in_flight = connections, in_flight
        self.what = (f"Payloads of 256 B, {connections} connection{'s' if connections > 1 else ''} with {in_flight} under way "
                     "each, closed loop. Each server speaks its own protocol, pipelined by the same generator.")

    def contestants(self):
        return self.compared()

    def tables(self):
        return [Table(f"{self.connections} x {self.in_flight}", SPEED, "p50" if self.connections == 1 else "per_second")]

    def measure(self, one, tables, run):
        load = ["--connections", str(self.connections), "--in-flight", str(self.in_flight), "--size", "256",
                "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)]
        with run.serve(one):
            tables[0].add(one.name, speed(one.offer(load)))

    def goals(self, tables):
        return self.wanted(tables[0])

    def notes(self):
        return ["PostgreSQL is loaded by pgbench: one transaction under way a connection, 256 connections at the most.",
                *self.said]


def frames_throughput():
    return Frames(
        "frames-throughput", "Durable acknowledgements, throughput", 16, 64,
        lambda: [who.Headwater(), who.Limit(), *who.durable_logs()],
        lambda table: [at_least(table, "Redis streams", "per_second", 4), at_least(table, "NATS JetStream", "per_second", 50),
                       at_least(table, "RabbitMQ quorum queue", "per_second", 20), at_least(table, "limit", "per_second", 0.5)])


def frames_many():
    return Frames(
        "frames-many", "Many clients that wait for each acknowledgement", 256, 1,
        lambda: [who.Headwater(), who.Limit(), *who.durable_logs()],
        lambda table: [at_least(table, "Redis streams", "per_second", 1.3), at_most(table, "Redis streams", "p99", 1),
                       at_least(table, "limit", "per_second", 0.7)])


def frames_one():
    return Frames(
        "frames-one", "One client, one at a time", 1, 1,
        lambda: [who.Headwater(), who.BareSync(), who.Limit(), *who.durable_logs()[:4]],
        lambda table: [at_most(table, "bare write + fdatasync", "p50", 1.15)])


class Designs(Row):
    name, title = "designs", "The designs that one would try first"
    what = ("Small programs (bench/peers/intake) that log messages as one would at first, under the same generator: 256 B, "
            "16 clients with 64 under way, and 256 clients that wait for each acknowledgement.")
    loads = [(16, 64), (256, 1)]

    def contestants(self):
        return [who.Headwater(), who.Limit(), *who.designs()]

    def tables(self):
        return [Table(f"{connections} x {in_flight}", SPEED, "per_second") for connections, in_flight in self.loads]

    def measure(self, one, tables, run):
        for (connections, in_flight), table in zip(self.loads, tables):
            load = ["--connections", str(connections), "--in-flight", str(in_flight), "--size", "256",
                    "--duration", run.seconds(5), "--warmup", run.seconds(1, 1)]
            with run.serve(one):
                table.add(one.name, speed(one.offer(load)))

    def goals(self, tables):
        synced = [one.name for one in who.designs() if one.sync and one.program != "writer_early"]
        return [(f"faster than every synced design, {table.title}", shown(min(ratios)) if ratios else "-",
                 min(ratios) > 1 if ratios else None)
                for table in tables
                for ratios in [[r for r in (table.ratio("Headwater", name, "per_second") for name in synced) if r]]]


def told(report):
    """The columns of a fan-out out of its report."""
    return {"cpu": report["server_cpu_us_per_delivery"], "each_p50": report["each_ms"]["p50"],
            "last_p50": report["last_ms"]["p50"], "last_p99": report["last_ms"]["p99"],
            "per_second": report["deliveries_per_second"], "missing": report["missing"]}


class Fanout(Row):
    name, title = "fanout", "WebSocket fan-out"
    what = ("One publisher, all watchers get every event of 256 B: at 10 events/s; then saturated one at a time (the next event "
            "when all have the last: no server can put two into one send); then saturated with 8 on their way (a server that "
            "coalesces may). Headwater's events are durable before they are told, and its frames carry position, id, time and "
            "topic beside the payload.")
    loads = [("10 events/s", ["--rate", "10"]), ("saturated, one at a time", ["--rate", "0", "--in-flight", "1"]),
             ("saturated, 8 on their way", ["--rate", "0", "--in-flight", "8"])]
    columns = [("cpu", "server CPU µs a delivery", False), ("last_p50", "p50 ms to the last", False),
               ("last_p99", "p99 ms to the last", False), ("each_p50", "p50 ms to each", False),
               ("per_second", "deliveries/s", True), ("missing", "missing", False)]

    def __init__(self, watchers=10_000):
        self.watchers = watchers

    def contestants(self):
        return [who.HeadwaterWatch(), who.Floor(), *who.fan_outs()]

    def tables(self):
        return [Table(title, self.columns, "cpu") for title, _ in self.loads]

    def measure(self, one, tables, run):
        watchers = 1_000 if run.quick else self.watchers
        with run.serve(one):
            for (_, load), table in zip(self.loads, tables):
                report = one.run(["fanout", "--addr", one.addr, "--server-pid", str(one.pid), "--protocol", one.protocol,
                                  *one.way, *load, "--watchers", str(watchers), "--size", "256",
                                  "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)])
                table.add(one.name, told(report))

    def goals(self, tables):
        goals = []
        for table in tables[:2]:
            found = [at_most(table, "bare send loop", "cpu", 1.2), at_most(table, "uWebSockets.js", "cpu", 0.9),
                     at_most(table, "Node socket.io", "cpu", 0.35), at_most(table, "uWebSockets.js", "last_p50", 1),
                     at_most(table, "uWebSockets.js", "last_p99", 1)]
            goals += [(f"{text} ({table.title})", measured, good) for text, measured, good in found]
        return goals


class Memory(Row):
    name, title = "memory", "Idle watchers"
    what = "10,000 watchers that subscribe and hear nothing; resident memory of the server for each."

    def contestants(self):
        return [who.HeadwaterWatch(), who.HeadwaterWatch("sse"), *who.fan_outs()]

    def tables(self):
        return [Table("resident memory", [("kib", "KiB each", False), ("per_second", "connections/s", True)], "kib")]

    def measure(self, one, tables, run):
        count = 1_000 if run.quick else 10_000
        with run.serve(one):
            report = one.run(["connect", "--addr", one.addr, "--protocol", one.protocol, "--connections", str(count),
                              "--server-pid", str(one.pid)])
            tables[0].add(one.name, {"kib": report["bytes_per_connection"] / 1024,
                                     "per_second": report["connections_per_second"]})

    def goals(self, tables):
        return [no_more_than(tables[0], "kib", 1.5, "WebSocket <= 1.5 KiB each"),
                no_more_than(tables[0], "kib", 1.5, "SSE <= 1.5 KiB each", "Headwater, SSE")]


class Overload(Row):
    name, title = "overload", "Four times what it can take"
    what = ("Capacity first (closed loop, 16 x 16), then four times that for 30 s at a fixed rate, then half of it. Latency counts "
            "from when an event was due. Headwater's syncs are made 2 ms longer, with room for 256 waiting events, so that "
            "the generator can offer four times its capacity; the peers run on the disk as it is.")
    columns = [("p99", "p99 ms of accepted", False), ("of_peak", "accepted / capacity", True), ("p50", "p50 ms", False),
               ("offered", "offered/s", True), ("accepted", "accepted/s", True), ("refused", "refused/s", False),
               ("unsent", "never sent/s", False), ("refusal_max", "max ms to refuse", False),
               ("rss", "RSS growth MiB", False), ("normal", "normal again after ms", False),
               ("flat", "worst second / best", True), ("unanswered", "unanswered", False)]

    def contestants(self):
        ours = who.Headwater(["limits.waiting_events_max=256"], ["--test-sync-delay", "2"],
                             "limits.waiting_events_max=256, --test-sync-delay 2")
        ours.load = ["overload"]
        peers = [who.Redis(), who.Nats(), who.RabbitMq()]
        for peer in peers:
            peer.load = ["overload", "--peer", peer.load[-1]]
        return [ours, *peers]

    def tables(self):
        return [Table("4 x capacity", self.columns, "p99")]

    def measure(self, one, tables, run):
        with run.serve(one):
            report = one.run([*one.load, "--addr", one.addr, "--server-pid", str(one.pid), "--peak", run.seconds(5),
                              "--duration", run.seconds(30, 4), "--after", run.seconds(5, 3)])
        over = report["overload"]
        seconds = over["seconds"]
        tables[0].add(one.name, {
            "p99": over["latency_ms"]["p99"], "p50": over["latency_ms"]["p50"], "of_peak": report["accepted_of_peak"],
            "offered": over["offered"] / seconds, "accepted": over["per_second"], "refused": over["refused"] / seconds,
            "unsent": over["unsent"] / seconds,
            "refusal_max": over["refusal_ms"]["max"] if over["refusal_ms"] else None,
            "rss": (report["rss_most"] - report["rss_before"]) / (1 << 20), "normal": report["normal_after_ms"],
            "flat": report["worst_second"] / max(report["best_second"], 1), "unanswered": report["after"]["unanswered"],
            "balance": over["offered"] - over["accepted"] - over["refused"]})

    def goals(self, tables):
        table = tables[0]
        of_peak, normal = table.median("Headwater", "of_peak"), table.median("Headwater", "normal")
        balance = [abs(value) for value in table.values("Headwater", "balance")]
        goals = [
            ("accepted rate >= 0.95 of the closed-loop peak", number(of_peak), None if of_peak is None else of_peak >= 0.95),
            no_more_than(table, "p99", 12, "p99 of accepted <= 12 ms (10 ms above the sync delay)"),
            no_more_than(table, "refusal_max", 10, "each refusal within 10 ms"),
            no_more_than(table, "rss", 32, "RSS grows <= 32 MiB"),
            ("offered = accepted + refused", f"{max(balance)} left over" if balance else "-",
             max(balance) == 0 if balance else None),
            ("back to normal within 1 s", f"{number(normal)} ms" if normal is not None else "not by the end",
             (normal is not None and normal <= 1000) if table.rounds.get("Headwater") else None)]
        return goals + [at_most(table, peer, "p99", 0.01) for peer in table.rounds if peer != "Headwater"]


class Recovery(Row):
    name, title, rounds_max = "recovery", "Ready again after kill -9", 3
    what = ("A log of 1 GiB and one of 4 GiB, kill -9, start; until /readyz is good. With the checkpoint and without it (removed: "
            "a full verified scan). The peers hold as many events of 256 B (4.2 M for 1 GiB of payload), filled with their "
            "relaxed settings, as those fill faster; until they answer.")
    columns = [("seconds", "s until ready", False), ("per_gib", "s a GiB", False)]

    def contestants(self):
        return [who.Headwater(), who.Redis("everysec"), who.Nats(False), who.RabbitMq()]

    def tables(self):
        return [Table("1 GiB", self.columns, "seconds"), Table("4 GiB", self.columns, "seconds")]

    def measure(self, one, tables, run):
        sizes = [(0.05, tables[0])] if run.quick else [(1, tables[0]), (4, tables[1])]
        for gib, table in sizes:
            if isinstance(one, who.Headwater):
                one.binary = run.binary
                folder = run.folder()
                os.makedirs(folder)
                report = one.run(["recovery", "--gib", str(gib), "--rounds", "1", "--data", folder])
                shutil.rmtree(folder, ignore_errors=True)
                table.add("Headwater", {"seconds": report["with_checkpoint_s"]})
                table.add("Headwater, full scan", {"seconds": report["without_checkpoint_s"],
                                                   "per_gib": report["without_checkpoint_s"] / gib})
            elif gib <= 1:
                self.peer(one, table, run, gib)

    def peer(self, one, table, run, gib):
        with run.serve(one):
            count = int(gib * (1 << 30) / 256)
            one.run([*one.load, "--addr", one.addr, "--connections", "16", "--in-flight", "64", "--count", str(count)])
            again(one, lambda: table.add(one.name, one.restarted))

    def goals(self, tables):
        goals = [no_more_than(table, "seconds", 0.1, f"<= 0.1 s with a checkpoint, {table.title}")
                 for table in tables if table.rounds]
        return goals + [no_more_than(table, "per_gib", 0.4, f"<= 0.4 s a GiB for a full scan, {table.title}",
                                     "Headwater, full scan") for table in tables if table.rounds]


def again(peer, done):
    """Kills a peer and starts it over the same folder; `peer.restarted` tells how long until it answered."""
    child, begin_command = peer.child, peer.child.args
    env = getattr(peer, "env", None)
    children.stop(child)
    if isinstance(peer, who.RabbitMq):
        # The group of the start script holds all of it; nothing of the old node may hold the port.
        time.sleep(1)
    begin = time.monotonic()
    peer._spawn(begin_command, stdout=subprocess.DEVNULL, env=env)
    children.wait_until(lambda: answers_data(peer), peer.name, peer.child, patience=600, step=0.01)
    peer.restarted = {"seconds": time.monotonic() - begin}
    done()


def answers_data(peer):
    """Takes an event, not only a connection: a server that still loads says no."""
    words = [peer.binary, "bench", *peer.load, "--addr", peer.addr, "--connections", "1", "--in-flight", "1", "--count", "1"]
    return peer.answers() and subprocess.run(words, capture_output=True, timeout=300).returncode == 0


class Backlog(Row):
    name, title, rounds_max = "backlog", "A backlog of a million events", 3
    what = ("1,000,000 events of 1 KiB that nobody has taken, with the default window of a million ids against duplicates; "
            "resident memory of the hub at rest, and after a restart over the same log.")

    def contestants(self):
        return [who.Headwater()]

    def tables(self):
        columns = [("full", "RSS MiB", False), ("most", "most MiB", False), ("again", "after a restart MiB", False)]
        return [Table("1,000,000 x 1 KiB", columns, "full")]

    def measure(self, one, tables, run):
        one.binary = run.binary
        folder = run.folder()
        os.makedirs(folder)
        report = one.run(["backlog", "--data", folder, "--count", "20000" if run.quick else "1000000"])
        shutil.rmtree(folder, ignore_errors=True)
        tables[0].add(one.name, {"full": report["rss_full"] / (1 << 20), "most": report["rss_max"] / (1 << 20),
                                 "again": report["rss_after_restart"] / (1 << 20)})

    def goals(self, tables):
        return [no_more_than(tables[0], "full", 96, "RSS <= 96 MiB"),
                no_more_than(tables[0], "again", 96, "RSS <= 96 MiB after a restart")]


class Start(Row):
    name, title = "start", "From an empty folder to ready"
    what = "Start of the process until it answers: /readyz for Headwater, the protocol's own first answer for the others."

    def contestants(self):
        return [who.Headwater(), who.Redis(), who.Nats()]

    def tables(self):
        return [Table("empty folder", [("ms", "ms", False)], "ms")]

    def measure(self, one, tables, run):
        begin = time.monotonic()
        with run.serve(one):
            tables[0].add(one.name, {"ms": (time.monotonic() - begin) * 1e3})

    def goals(self, tables):
        return [no_more_than(tables[0], "ms", 100, "ready in <= 100 ms")]


class Slow(Row):
    name, title, rounds_max = "slow", "Watchers that stop reading", 3
    what = ("300 watchers by WebSocket under 1 MB/s (100 events/s of 10 kB); 100 of them stop reading for 60 s and then come "
            "back. What the hub's memory grows by, what the others notice, and what the stalled get; the hub's patience with the "
            "silent is longer than that here.")
    columns = [("rss", "RSS growth MiB", False), ("before", "others' p99 ms before", False),
               ("during", "others' p99 ms during", False), ("ratio", "during / before", False),
               ("got", "of what they missed, the stalled got", True), ("gaps", "gap frames", False),
               ("lost", "lost without a word", False)]
    words = []

    def contestants(self):
        return [who.Headwater()]

    def tables(self):
        return [Table("a third stalls", self.columns, "rss")]

    def measure(self, one, tables, run):
        one.binary = run.binary
        folder = run.folder()
        os.makedirs(folder)
        report = one.run(["slow", "--data", folder, *self.words, "--before", run.seconds(15), "--duration", run.seconds(60, 4)])
        shutil.rmtree(folder, ignore_errors=True)
        before, during = report["others_before_ms"]["p99"], report["others_during_ms"]["p99"]
        tables[0].add(one.name, {
            "rss": (report["rss_most"] - report["rss_before"]) / (1 << 20), "before": before, "during": during,
            "ratio": during / before, "got": report["stalled_got"] / report["stalled_expected"],
            "gaps": report["stalled_gaps"], "lost": report["stalled_lost_silently"]})

    def goals(self, tables):
        return [no_more_than(tables[0], "rss", 16, "RSS grows <= 16 MiB"),
                no_more_than(tables[0], "ratio", 1.1, "p99 of the others <= 1.1 x before"),
                no_more_than(tables[0], "lost", 0, "nothing lost without a word")]


def all_rows():
    from . import rows_alerts, rows_guard, rows_mqtt, rows_scaled, rows_shop, rows_socketio  # they build on this module

    rows = [frames_throughput(), frames_many(), frames_one(), Fanout(), Overload(), Recovery(), Backlog(), Start(),
            Memory(), Slow(), Designs(), *rows_shop.all_shop(), *rows_socketio.all_socketio(), *rows_alerts.all_alerts(),
            *rows_mqtt.all_mqtt(), *rows_guard.all_guard(), *rows_scaled.all_scaled()]
    return {row.name: row for row in rows}
