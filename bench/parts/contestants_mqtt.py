"""The MQTT brokers that are compared: how each is started, on a free port, with a data folder of its own."""

import os
import shutil
import socket
import subprocess

from . import children
from .contestants import PEERS, Contestant, Headwater, output


class MqttContestant(Contestant):
    """A broker; `load` goes to its MQTT listener."""

    def offer(self, load):
        where = ["--addr", self.addr, "--server-pid", str(self.pid)]
        return self.run(["mqtt", *load, *where], patience=1800)

    def answers(self):
        """Takes a CONNECT of MQTT 3.1.1, and says yes."""
        host, port = self.addr.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 2) as asked:
            asked.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe")
            return asked.recv(4) == b"\x20\x02\x00\x00"


class HeadwaterMqtt(MqttContestant, Headwater):
    promise = "on disk (fdatasync) before PUBACK"

    def __init__(self, settings=(), said="defaults"):
        Headwater.__init__(self, settings, (), said)

    def start(self, folder):
        command = [self.binary, "serve", "--data", os.path.join(folder, "data"), "--http", "127.0.0.1:0", "--frames", "off",
                   "--mqtt", "127.0.0.1:0", *self.extra]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"})
        self.addr = children.lines_of(child, ["mqtt"])["mqtt"]
        children.wait_until(self.answers, self.name, child, step=0.005)


class Mosquitto(MqttContestant):
    promise = "nothing: what came in the last half hour is lost on a crash"

    def __init__(self, saves=False, more=(), said=""):
        self.saves, self.more = saves, more
        self.name = "Mosquitto, saving every change" if saves else "Mosquitto"
        self.settings = "as Debian ships it" + (", autosave_interval 1, autosave_on_changes true" if saves else "") + said
        if saves:
            self.promise = "its whole database is written anew after each change, without a sync"

    def program(self):
        return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

    def missing(self):
        return None if self.program() else "mosquitto (Debian)"

    def version(self):
        done = subprocess.run([self.program(), "-h"], capture_output=True, text=True, timeout=60)
        return "Mosquitto " + done.stdout.split("version")[-1].split()[0]

    def start(self, folder):
        port = children.free_port()
        self.addr = f"127.0.0.1:{port}"
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", f"persistence_location {folder}/",
                 "log_type error", *self.more]
        if self.saves:
            lines += ["autosave_interval 1", "autosave_on_changes true"]
        if os.getuid() == 0:
            # As root it becomes another user, who has no right to this folder.
            lines.append("user root")
        path = os.path.join(folder, "mosquitto.conf")
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        self._spawn([self.program(), "-c", path], stdout=subprocess.DEVNULL)
        children.wait_until(self.answers, self.name, self.child, step=0.005)


RUMQTTD = """id = 0
[router]
id = 0
max_connections = 20010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "{addr}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
"""


class Rumqttd(MqttContestant):
    name = "rumqttd"
    promise = "nothing: it keeps no file"
    settings = "its example configuration, room for 20,010 connections"

    def program(self):
        return os.path.join(PEERS, "rumqttd", "bin", "rumqttd")

    def missing(self):
        return None if os.path.exists(self.program()) else "rumqttd of crates.io (bench/peers/install)"

    def version(self):
        return output([self.program(), "--version"])

    def start(self, folder):
        self.addr = f"127.0.0.1:{children.free_port()}"
        path = os.path.join(folder, "rumqttd.toml")
        with open(path, "w") as file:
            file.write(RUMQTTD.format(addr=self.addr))
        self._spawn([self.program(), "-c", path], stdout=subprocess.DEVNULL)
        children.wait_until(self.answers, self.name, self.child, step=0.005)
