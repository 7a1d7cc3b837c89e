"""What a result depends on beside the programs: cores, kernel, disk. No names of hosts, no paths."""

import ctypes
import os
import platform
import struct
import time

SHORT_SLICE_NS = 100_000
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


def ask_for_short_slices():
    """Asks Linux (6.12 and up) for slices of 0.1 ms for this process and all that it starts: no larger share of the
    processors, but whoever wakes up needn't wait until a slice of somebody else, be it at the lowest priority, has ended."""
    attributes = ctypes.create_string_buffer(struct.pack("IIQiIQQQII", 56, 0, 0, 0, 0, SHORT_SLICE_NS, 0, 0, 0, 0))
    number = _SCHED_SETATTR[platform.machine()]
    if ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0):
        raise OSError(ctypes.get_errno(), "sched_setattr: " + os.strerror(ctypes.get_errno()))


def facts(folder):
    model = ""
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) / (1 << 20)
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}, "
        f"file system {_file_system(folder)}"
    )


def _file_system(folder):
    device, best = os.stat(folder).st_dev, "unknown"
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, right = line.split(" - ")
            major, minor = left.split()[2].split(":")
            if os.makedev(int(major), int(minor)) == device:
                best = right.split()[0]
                source = right.split()[1]
                if source.startswith("/dev/loop"):
                    with open(f"/sys/block/{os.path.basename(source)}/loop/backing_file") as backing:
                        best += f" on a loop device over {_file_system(os.path.dirname(backing.read().strip()))}"
    return best


def sync_us(folder, count=2000):
    """Median and p99 in µs of a write of 280 bytes + fdatasync, on space that was written before."""
    path = os.path.join(folder, "sync-time")
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, bytes(1 << 20), 0)
        os.fsync(file)
        times = []
        for i in range(count):
            begin = time.perf_counter()
            os.pwrite(file, b"x" * 280, (i * 280) % (1 << 20))
            os.fdatasync(file)
            times.append((time.perf_counter() - begin) * 1e6)
        times.sort()
        return times[len(times) // 2], times[int(len(times) * 0.99)]
    finally:
        os.close(file)
        os.unlink(path)
