"""The shops that are compared: the one in Headwater, in one process and in four, and the same built the usual way."""

import os
import shutil
import subprocess
import time

from . import children
from .contestants import BENCH, Contestant, Headwater, Postgres, ready


class HeadwaterShop(Headwater):
    name = "Headwater"
    promise = "the order is on disk (fdatasync) before 201; exactly once in effect"
    settings = "SQLite, front, inventory, orders and log in one process"
    root, notice = "/shop", "websocket"

    def __init__(self, flags=()):
        Headwater.__init__(self, (), ["--apps", "shop", *flags], self.settings)

    def start(self, folder):
        command = [self.binary, "serve", "--data", os.path.join(folder, "data"), "--http", "127.0.0.1:0", "--frames", "off",
                   "--mqtt", "off", *self.extra]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"})
        self.addr = self.http = children.lines_of(child, ["http"])["http"]
        children.wait_until(lambda: ready(self.http), "/readyz", child, step=0.002)

    def offer(self, load):
        where = ["--addr", self.addr, "--root", self.root, "--notice", self.notice, "--server-pid", str(self.pid)]
        return self.run(["shop", *where, *load])


class HeadwaterShopOnPostgres(HeadwaterShop):
    """A hub, and the three roles each in a process of its own, joined by MQTT; the tables in PostgreSQL."""

    name = "Headwater, 3 processes on PostgreSQL"
    settings = "PostgreSQL as Debian ships it (synchronous_commit on); a hub, and three processes that join it over MQTT"

    def __init__(self):
        HeadwaterShop.__init__(self)
        self.server = Postgres()

    def missing(self):
        return self.server.missing()

    def start(self, folder):
        self.others = []
        self.server.begin(os.path.join(folder, "postgres"))
        quiet = {**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"}

        def serve(name, flags, wanted):
            command = [self.binary, "serve", "--data", os.path.join(folder, name), "--frames", "off", *flags]
            child = children.start(command, stdout=subprocess.PIPE, stderr=self._log(), env=quiet)
            self.others.append(child)
            return child, children.lines_of(child, wanted) if wanted else {}

        _, found = serve("hub", ["--apps", "none", "--http", "off", "--mqtt", "127.0.0.1:0"], ["mqtt"])
        for role in ("inventory", "order", "front"):
            flags = ["--apps", "shop", "--roles", role + (",edge" if role == "front" else ""), "--mqtt", "off",
                     "--engine", f"mqtt://{found['mqtt']}?id={role}", "--store", f"postgres://postgres@{self.server.addr}/postgres",
                     "--http", "127.0.0.1:0"]
            child, said = serve(role, flags, ["http"])
            self.child, self.pid, self.addr = child, child.pid, said["http"]
            # A service that has never run hears over MQTT only what comes after it joined.
            children.wait_until(lambda: ready(self.addr), "/readyz", child, step=0.01)

    def offer(self, load):
        before, begun = self.server.counted(), time.monotonic()
        report = super().offer(load)
        took = time.monotonic() - begun
        commits, syncs, syncing = (after - former for after, former in zip(self.server.counted(), before))
        # The warm-up's orders are part of it, so the rates are over all of the load.
        report["postgres"] = {"commits": commits / took, "syncs": syncs / took, "syncing": 100 * syncing / took}
        return report

    def stop(self):
        for child in reversed(getattr(self, "others", [])):
            children.stop(child)
        self.server.stop()


class BareRoute(Headwater):
    """The yardstick of reads: axum with one route that has the answer's bytes at hand."""

    name = "bare axum route"
    promise = "none: the bytes never change"

    def __init__(self):
        Headwater.__init__(self, said="`headwater bench get --bare`")

    def start(self, folder):
        page = os.path.join(folder, "page")
        with open(page, "wb") as file:
            file.write(self.page)
        child = self._spawn([self.binary, "bench", "get", "--path", "/shop/inventory", "--bare", page], stdout=subprocess.PIPE)
        self.addr = children.lines_of(child, ["http"])["http"]


class UsualShop(HeadwaterShop):
    name = "Python, Mosquitto, SQLite"
    promise = "the order is in the broker's memory before 201; each statement is committed"
    settings = "three processes, a thread a connection, a commit after each statement (bench/peers/shop)"
    root, notice = "", "poll"

    def missing(self):
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        return None if found else "mosquitto (Debian)"

    def version(self):
        return "bench/peers/shop"

    def start(self, folder):
        first = children.free_port()
        command = [os.path.join(BENCH, "peers", "shop", "run"), os.path.join(folder, "data"), str(first)]
        child = self._spawn(command, stdout=subprocess.PIPE)
        self.addr = children.lines_of(child, ["http"])["http"]

    def stop(self):
        children.stop(self.child, gently=True)

    def offer(self, load):
        return super().offer([*load, "--keep-stock", "--poll-every", "20ms"])
