"""The services' tables of a hub that took orders and alerts, copied from SQLite into a real PostgreSQL, and used on there.

    tables.py PROGRAM
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/cluster"))
from servers import Postgres, Role, folder_for_servers, remove, wait_for  # noqa: E402

REPORTS = 20


def report(port, at):
    body = {"location": f"Place \\ {at} ü", "type": "Flood", "timestamp": "2020-01-01T00:00:00Z", "duration": 1}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/alerts", json.dumps(body).encode())
    request.add_header("Idempotency-Key", f"r-{at}")
    urllib.request.urlopen(request, timeout=30).read()


def record(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/alerts/api/record?limit=1000", timeout=30) as answer:
        return json.load(answer)


def copy(program, data, url):
    command = [sys.executable, str(ROOT / "scripts/sqlite-to-postgres"), "--headwater", program, str(data), url]
    return subprocess.run(command, capture_output=True, text=True)


def main():
    program = str(Path(sys.argv[1]).resolve())
    folder = folder_for_servers("tables")
    servers = []
    try:
        postgres = Postgres(folder / "postgres")
        servers.append(postgres)
        postgres.start()
        hub = Role(program, "hub", folder / "hub", "all", None, None)
        servers.append(hub)
        hub.start()
        for at in range(REPORTS):
            report(hub.port, at)
        wait_for("the record", lambda: len(record(hub.port)["record"]) == REPORTS)
        before = record(hub.port)
        hub.end()
        done = copy(program, hub.folder / "data", postgres.url)
        if done.returncode != 0:
            sys.exit(f"the tables could not be copied: {done.stderr}")
        counts = dict(line.split() for line in done.stdout.splitlines())
        assert counts["alerts.audit"] == str(REPORTS), counts
        assert int(counts["shop_inventory.kit_meta"]) > 0, counts
        # The same hub over PostgreSQL: what it knew it knows.
        hub.store = postgres.url
        hub.start()
        assert record(hub.port) == before, (record(hub.port), before)
        for at in range(REPORTS + 1):
            report(hub.port, at)
        wait_for("the new report", lambda: len(record(hub.port)["record"]) > REPORTS)
        assert len(record(hub.port)["record"]) == REPORTS + 1, "what was sent again is known"
        hub.end()
        again = copy(program, hub.folder / "data", postgres.url)
        assert again.returncode != 0 and "is there already" in again.stderr, again.stderr
        print("services' tables copied from SQLite into PostgreSQL:", ", ".join(f"{name} {count}" for name, count in counts.items()))
    finally:
        for server in reversed(servers):
            server.end()
        remove(folder)


main()
