"""Processes that a comparison starts: each is ended by its own id, whatever happens."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time

_running = []


def start(command, **options):
    """Starts a process in a group of its own, so that what it starts in turn ends with it."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    _running.append(child)
    return child


def stop(child, gently=False, patience=20):
    """Ends a process and its group. Gently: SIGTERM first, for servers that have children of their own to end."""
    if gently and child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
    if child in _running:
        _running.remove(child)


def _stop_all():
    for child in list(_running):
        stop(child)


atexit.register(_stop_all)
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, lambda number, _frame: sys.exit(128 + number))


def lines_of(child, wanted, patience=60):
    """Reads `listening PROTOCOL ADDR` lines of a child's stdout until all protocols in `wanted` are there."""
    found = {}

    def read():
        for line in child.stdout:
            words = line.decode(errors="replace").split()
            if len(words) == 3 and words[0] == "listening":
                found[words[1]] = words[2]
            if all(protocol in found for protocol in wanted):
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(patience)
    missing = [protocol for protocol in wanted if protocol not in found]
    if missing:
        raise RuntimeError(f"{child.args[0]} doesn't listen for {', '.join(missing)}")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(works, what, child=None, patience=120, step=0.05):
    """Asks until `works()` is true; errors count as "not yet"."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if child is not None and child.poll() is not None:
            raise RuntimeError(f"{what}: ended with {child.returncode}")
        try:
            if works():
                return
        except (OSError, RuntimeError, subprocess.SubprocessError):
            pass
        time.sleep(step)
    raise RuntimeError(f"{what}: not ready after {patience} s")
