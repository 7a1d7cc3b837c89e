"""The comparisons in MQTT: Headwater beside the brokers that people have. Each writes a page, and `mqtt.md` gathers their goals."""

import glob
import os

from . import machine
from .contestants_mqtt import HeadwaterMqtt, Mosquitto, Rumqttd
from .plot import number
from .report import Table
from .rows import Row, at_least, at_most, no_more_than, shown

MIB = 1 << 20


def or_zero(latency, key):
    return None if latency is None else latency[key]


def least(table, key, wanted, text, name="Headwater"):
    value = table.median(name, key)
    return (text, number(value), None if value is None else value >= wanted)


class Mqtt(Row):
    """A load for each broker, table by table: `loads` are (title, words of `headwater bench mqtt`)."""

    loads = []
    columns = []
    headline = "per_second"

    def contestants(self):
        return [HeadwaterMqtt(), Mosquitto(), Rumqttd()]

    def tables(self):
        return [Table(title, self.columns, self.headline) for title, _ in self.loads]

    def measure(self, one, tables, run):
        for table, (_, words) in zip(tables, self.loads):
            with run.serve(one):
                table.add(one.name, self.values(one.offer([*words, *self.timing(run)])))

    def timing(self, run):
        return ["--duration", run.seconds(8), "--warmup", run.seconds(2, 1)]

    def notes(self):
        return ["MQTT 3.1.1; the generator is one thread of `headwater bench mqtt`, and takes a core of its own when it is busy"]


def through(report):
    """The columns of what goes through a broker."""
    return {"per_second": report["answered_per_second"], "delivered": report["delivered_per_second"],
            "p50": or_zero(report["each_ms"], "p50"), "p99": or_zero(report["each_ms"], "p99"),
            "answer": or_zero(report["answer_ms"], "p99"), "cpu": report["server_cpu_us_per_delivered"],
            "rss": (report["cost"]["server_rss_max"] or 0) / MIB, "lost": report["lost"] + report["missing"]}


class FanIn(Mqtt):
    name, title = "mqtt-fanin", "MQTT: in and out, acknowledged"
    what = ("10 publishers with 100 publications under way each, QoS 1, and one subscriber who hears all of them at QoS 1. "
            "Headwater answers when the event is on disk; the others answer at once and keep nothing on a crash.")
    columns = [("per_second", "PUBACK/s", True), ("delivered", "delivered/s", True), ("cpu", "server CPU µs each", False),
               ("answer", "p99 ms to PUBACK", False), ("p99", "p99 ms to heard", False), ("rss", "most RSS MiB", False),
               ("lost", "never came", False)]
    loads = [(f"QoS 1, {size} B", ["fanin", "--publishers", "10", "--in-flight", "100", "--qos", "1", "--size", str(size)])
             for size in (64, 1024)]

    def contestants(self):
        return [*super().contestants(), Mosquitto(saves=True)]

    def values(self, report):
        return through(report)

    def goals(self, tables):
        goals = []
        for table in tables:
            found = [at_least(table, "Mosquitto", "per_second", 3), at_least(table, "rumqttd", "per_second", 1),
                     at_least(table, "Mosquitto, saving every change", "per_second", 200)]
            goals += [(f"{text} ({table.title})", measured, good) for text, measured, good in found]
        return goals


class FanOut(Mqtt):
    name, title, rounds_max = "mqtt-fanout", "MQTT: one publisher, many subscribers", 3
    what = "As fast as the subscribers get it: at most 100 events are on their way to all of them."
    columns = [("delivered", "deliveries/s", True), ("cpu", "server CPU µs a delivery", False), ("p99", "p99 ms", False),
               ("rss", "most RSS MiB", False), ("lost", "never came", False)]
    headline = "delivered"
    loads = [(f"{count} subscribers, QoS {qos}, {size} B",
              ["fanout", "--subscribers", str(count), "--in-flight", "100", "--qos", str(qos), "--size", str(size)])
             for count in (100, 1000) for qos in (0, 1) for size in (64, 1024)]

    def values(self, report):
        return through(report)

    def goals(self, tables):
        goals = []
        for table in tables:
            found = [at_least(table, "Mosquitto", "delivered", 10), at_most(table, "Mosquitto", "cpu", 0.12),
                     at_least(table, "rumqttd", "delivered", 1)]
            goals += [(f"{text} ({table.title})", measured, good) for text, measured, good in found]
        return goals


class Pairs(Mqtt):
    name, title = "mqtt-pairs", "MQTT: one to one"
    what = "One publisher and one subscriber, 1,000 publications under way, until they are heard."
    columns = [("delivered", "delivered/s", True), ("cpu", "server CPU µs each", False), ("p99", "p99 ms", False),
               ("rss", "most RSS MiB", False), ("lost", "never came", False)]
    headline = "delivered"
    loads = [(f"QoS {qos}, 64 B", ["pairs", "--pairs", "1", "--in-flight", "1000", "--qos", str(qos), "--size", "64"])
             for qos in (0, 1)]

    def values(self, report):
        return through(report)

    def goals(self, tables):
        goals = []
        for table in tables:
            found = [at_least(table, "Mosquitto", "delivered", 3), at_least(table, "rumqttd", "delivered", 1),
                     at_most(table, "rumqttd", "rss", 0.05)]
            goals += [(f"{text.replace('rss', 'most RSS')} ({table.title})", measured, good) for text, measured, good in found]
        return goals


class Rate(Mqtt):
    name, title = "mqtt-rate", "MQTT: at an easy rate"
    what = ("10 pairs, 10,000 events a second in all, QoS 1, 64 B; from when an event was due until it was heard. Headwater's "
            "waits for the disk in between, so a raw sync is granted on top of Mosquitto's time.")
    columns = [("p50", "p50 ms", False), ("p99", "p99 ms", False), ("cpu", "server CPU µs each", False),
               ("unsent", "never sent", False), ("lost", "never came", False)]
    headline = "p50"
    loads = [("10 pairs, 10,000/s", ["pairs", "--pairs", "10", "--rate", "10000", "--qos", "1", "--size", "64"])]
    sync_us = None

    def measure(self, one, tables, run):
        self.sync_us = self.sync_us or machine.sync_us(run.scratch)
        super().measure(one, tables, run)

    def values(self, report):
        return {**through(report), "unsent": report["unsent"]}

    def goals(self, tables):
        table = tables[0]
        ours, theirs = ([table.median(name, key) for key in ("p50", "p99")] for name in ("Headwater", "Mosquitto"))
        if None in (*ours, *theirs) or not self.sync_us:
            return []
        sync = self.sync_us[0] / 1000
        return [(f"{key} <= Mosquitto's + {count} raw syncs", f"{number(mine)} ms, {number(its + count * sync)} ms allowed",
                 mine <= its + count * sync)
                for key, count, mine, its in zip(("p50", "p99"), (1.5, 3), ours, theirs)]


class Offline(Mqtt):
    name, title, rounds_max = "mqtt-offline", "MQTT: a million events for an absent session", 3
    what = ("A session with a QoS 1 subscription goes away, 1,000,000 events of 64 B come for it (10 publishers, 100 under way "
            "each), and it comes back. Mosquitto is allowed an unlimited queue; as shipped it keeps 1,000.")
    columns = [("grown", "RSS growth MiB, parked", False), ("most", "RSS growth MiB, most", False),
               ("per_second", "drained/s", True), ("parked", "parked/s", True), ("missing", "missing", False),
               ("wrong", "again or out of order", False)]
    headline = "grown"

    def __init__(self):
        self.loads = [("1,000,000 x 64 B", ["offline", "--qos", "1", "--size", "64"])]

    def contestants(self):
        return [HeadwaterMqtt(), Mosquitto(more=["max_queued_messages 0"], said=", max_queued_messages 0"), Rumqttd()]

    def timing(self, run):
        return ["--count", "20000" if run.quick else "1000000"]

    def values(self, report):
        most = max(report["rss_most_parking"], report["rss_most_draining"], report["rss_parked"])
        return {"grown": (report["rss_parked"] - report["rss_before"]) / MIB, "most": (most - report["rss_before"]) / MIB,
                "per_second": report["drained_per_second"], "parked": report["parked_per_second"],
                "missing": report["missing"], "wrong": report["repeated_or_out_of_order"]}

    def goals(self, tables):
        table = tables[0]
        return [no_more_than(table, "most", 32, "RSS grows <= 32 MiB"), no_more_than(table, "missing", 0, "none missing"),
                no_more_than(table, "wrong", 0, "in order, none twice"),
                least(table, "per_second", 200_000, "drained at >= 200,000/s")]


class Memory(Mqtt):
    name, title = "mqtt-memory", "MQTT: idle clients"
    what = "10,000 clients with one subscription each that hear nothing; at most 128 are on their way in at once."
    columns = [("kib", "KiB of RSS each", False), ("per_second", "connections/s", True), ("open", "still open", True)]
    headline = "kib"
    loads = [("10,000 clients", ["connect"])]

    def timing(self, run):
        return ["--connections", "1000" if run.quick else "10000"]

    def values(self, report):
        return {"kib": report["bytes_per_connection"] / 1024, "per_second": report["connections_per_second"],
                "open": report["still_open"]}

    def goals(self, tables):
        table = tables[0]
        return [no_more_than(table, "kib", 2, "<= 2 KiB each"), least(table, "per_second", 30_000, "opened at >= 30,000/s")]


class Stalled(Mqtt):
    name, title, rounds_max = "mqtt-stalled", "MQTT: a subscriber that stops reading", 3
    what = ("10 subscribers at QoS 1 under 10,000 events a second of 1 KiB; one of them doesn't read 200,000 of them, and then "
            "reads again.")
    columns = [("rss", "RSS growth MiB", False), ("got", "of what it missed, it got", True),
               ("ratio", "others' p99, during / before", False), ("before", "others' p99 ms before", False),
               ("during", "others' p99 ms during", False), ("unsent", "never sent", False)]
    headline = "rss"
    loads = [("one of ten stalls", ["stalled", "--qos", "1", "--size", "1024", "--others", "9", "--rate", "10000"])]

    def timing(self, run):
        return ["--before", run.seconds(10), "--count", "20000" if run.quick else "200000"]

    def values(self, report):
        before, during = or_zero(report["others_before_ms"], "p99"), or_zero(report["others_during_ms"], "p99")
        return {"rss": (report["rss_most"] - report["rss_before"]) / MIB, "before": before, "during": during,
                "ratio": during / before if before and during else None,
                "got": report["stalled_got"] / report["stalled_expected"], "unsent": report["unsent"]}

    def goals(self, tables):
        table = tables[0]
        return [no_more_than(table, "rss", 16, "RSS grows <= 16 MiB"), least(table, "got", 1, "it gets all of them afterwards"),
                no_more_than(table, "ratio", 1.1, "the others' p99 <= 1.1 x before")]


def all_mqtt():
    return [FanIn(), FanOut(), Pairs(), Rate(), Offline(), Memory(), Stalled()]


def write_index(folder):
    """`mqtt.md`: the goals of every page in MQTT, with what was measured last."""
    out = ["# MQTT", "", "Headwater beside Debian's Mosquitto and rumqttd: what was to be reached, and what was. Each page has the "
           "figures, the settings, and the command that makes it again.", ""]
    from .rows_guard import all_guard  # it builds on this module

    for one in [*all_mqtt(), *all_guard()]:
        path = os.path.join(folder, f"{one.name}.md")
        if not os.path.exists(path):
            continue
        with open(path) as page:
            lines = page.read().split("\n")
        goals = [line for line in lines if line.startswith("| ")]
        begin = next((at for at, line in enumerate(lines) if line.startswith("| goal |")), None)
        goals = [] if begin is None else lines[begin:lines.index("", begin)]
        out += [f"## [{one.title}]({one.name}.md)", "", one.what, "", *goals, ""]
    if glob.glob(os.path.join(folder, "mqtt-*.md")):
        with open(os.path.join(folder, "mqtt.md"), "w") as file:
            file.write("\n".join(out))
