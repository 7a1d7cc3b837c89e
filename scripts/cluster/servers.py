"""Processes that a script starts, kills and starts again: roles of Headwater, and the servers that they stand on."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# A start takes some tenths of a second; a busy machine takes longer, and a minute is a fault.
START_TIME_MAX = 60


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what, is_there, time_max=START_TIME_MAX):
    """Waits for something that another process does, and that it tells nobody of."""
    begun = time.monotonic()
    while not is_there():
        if time.monotonic() - begun > time_max:
            raise RuntimeError(f"{what}: not within {time_max} s")
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Server:
    """One process; its words go to a file of its name."""

    def __init__(self, name, folder):
        self.name, self.folder = name, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = None

    def spawn(self, command, env=None):
        with open(self.folder / "said", "a") as said:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )

    def said(self):
        return (self.folder / "said").read_text(errors="replace")

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.said()[-2000:]}")
        return self.is_ready()

    def start(self):
        self.run()
        wait_for(self.name, self.is_up)
        return self

    def kill(self):
        """kill -9; nothing of it is left when this returns."""
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Role(Server):
    """A process of Headwater with some of its roles."""

    def __init__(self, program, name, folder, roles, engine, store, more=(), state=None):
        super().__init__(name, folder)
        self.program, self.roles, self.engine, self.store, self.more = program, roles, engine, store, list(more)
        self.state = state
        self.port = free_port()
        self.ready = self.folder / "ready"

    def run(self):
        self.ready.unlink(missing_ok=True)
        command = [self.program, "serve", "--data", "data", "--roles", self.roles, "--http", f"127.0.0.1:{self.port}"]
        command += ["--frames", "off", "--ready-file", str(self.ready)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
        for name, value in (("HEADWATER_ENGINE", self.engine), ("HEADWATER_STATE", self.state), ("HEADWATER_STORE", self.store)):
            if value:
                env[name] = value
        if "--mqtt" not in self.more:
            command += ["--mqtt", "off"]
        self.spawn(command + self.more, env)

    def is_ready(self):
        return self.ready.exists()

    def start(self):
        """An engine that is away for a moment is waited for, as a service manager's restarts do."""
        begun = time.monotonic()
        while True:
            try:
                return super().start()
            except RuntimeError:
                if self.process.poll() != 1 or time.monotonic() - begun > START_TIME_MAX:
                    raise
                time.sleep(0.5)


class Nats(Server):
    """JetStream that syncs before it acknowledges."""

    def __init__(self, program, folder):
        super().__init__("nats", folder)
        self.program, self.port, self.monitor = program, free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}?monitor=127.0.0.1:{self.monitor}"
        (self.folder / "nats.conf").write_text(
            f"listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.monitor}\n"
            f'jetstream {{\n  store_dir: "{self.folder}/store"\n  sync_interval: always\n}}\n'
        )

    def run(self):
        self.spawn([self.program, "-c", str(self.folder / "nats.conf")])

    def is_ready(self):
        return listens(self.port) and listens(self.monitor)


class Redis(Server):
    """Redis that syncs each write."""

    def __init__(self, folder):
        super().__init__("redis", folder)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def run(self):
        self.spawn(["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--appendonly", "yes", "--appendfsync", "always"])

    def is_ready(self):
        return listens(self.port)


class Rabbit(Server):
    """Debian's RabbitMQ, past its wrapper, which changes the user and the folder; with an epmd of its own, so that no other finds it."""

    def __init__(self, folder):
        super().__init__("rabbitmq", folder)
        self.port, self.dist, self.names = free_port(), free_port(), free_port()
        self.url = f"amqp://127.0.0.1:{self.port}"
        (self.folder / "plugins").write_text("[].\n")
        # No alarms: what else fills this machine's memory and disk is no business of ours.
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nvm_memory_high_watermark.absolute = 8GB\n"
            "disk_free_limit.absolute = 1MB\nlog.console = false\nlog.file.level = warning\n"
        )
        place = {name: str(self.folder / part) for name, part in (("MNESIA_BASE", "mnesia"), ("LOG_BASE", "log"), ("ENABLED_PLUGINS_FILE", "plugins"))}
        self.env = {**os.environ, **{f"RABBITMQ_{name}": value for name, value in place.items()}}
        self.env.update(
            HOME=str(self.folder),
            ERL_EPMD_PORT=str(self.names),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME=f"headwater{self.port}@localhost",
            RABBITMQ_DIST_PORT=str(self.dist),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq.conf"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        )
        self.epmd = None

    def run(self):
        if self.epmd is None:
            self.epmd = subprocess.Popen(["epmd"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for("epmd", lambda: listens(self.names))
        self.spawn(["/usr/lib/rabbitmq/bin/rabbitmq-server"], self.env)

    def is_ready(self):
        return listens(self.port)

    def kill(self):
        # The script and the machine that it starts, which are a group of processes of their own.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.epmd:
            self.epmd.kill()
            self.epmd.wait()


class Hub(Role):
    """A Headwater whose log others use over MQTT."""

    def __init__(self, program, folder):
        self.mqtt = free_port()
        more = ["--mqtt", f"127.0.0.1:{self.mqtt}", "--apps", "none"]
        super().__init__(program, "hub", folder, "edge", None, None, more)
        self.url = f"mqtt://127.0.0.1:{self.mqtt}"


class Postgres(Server):
    """Debian's PostgreSQL in a folder of its own."""

    def __init__(self, folder):
        super().__init__("postgres", folder)
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
        if not found:
            raise RuntimeError("please install: postgresql")
        self.bin, self.port = found[-1].parent, free_port()
        self.url = f"postgres://test@127.0.0.1:{self.port}/headwater"
        # The server refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            entry = pwd.getpwnam(self.user)
            for place in (self.folder, self.folder / "said"):
                place.touch() if place.name == "said" else None
                os.chown(place, entry.pw_uid, entry.pw_gid)
        self.do([self.bin / "initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "--no-instructions"])
        with open(self.folder / "data" / "postgresql.conf", "a") as settings:
            settings.write(
                f"\nlisten_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder}'\nmax_connections = 200\n"
            )

    def as_user(self, command):
        return ["runuser", "-u", self.user, "--", *map(str, command)] if self.user else list(map(str, command))

    def do(self, command):
        done = subprocess.run(self.as_user(command), cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stderr}")

    def run(self):
        # Not by runuser alone: what is killed must be the server.
        command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--"] if self.user else []
        self.spawn([*command, str(self.bin / "postgres"), "-D", "data"])

    def is_ready(self):
        done = subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)])
        return done.returncode == 0

    def start(self):
        super().start()
        if not self.query("SELECT 1 FROM pg_database WHERE datname = 'headwater'", "postgres").strip():
            self.query("CREATE DATABASE headwater", "postgres")
        return self

    def kill(self):
        """A crash: nobody is let finish, and nothing is written any more."""
        # SIGQUIT is its `immediate`: after SIGKILL of the first process the others would hold its memory, and it couldn't start.
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def query(self, text, database="headwater"):
        url = f"postgres://test@127.0.0.1:{self.port}/{database}"
        command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--field-separator", "\t", "-c", text, url]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout


def folder_for_servers(name):
    """A folder that the user of PostgreSQL may go into."""
    import tempfile

    place = Path(tempfile.mkdtemp(prefix=f"headwater-{name}-"))
    place.chmod(0o755)
    return place


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
