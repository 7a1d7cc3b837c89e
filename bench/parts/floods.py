"""Strangers who wish a broker no good: `floods.py KIND HOST PORT`. Says `begun`, goes on until stdin ends, then says how many
things a second it did (connections, handshakes, guesses; the half-open and the slow ones: how many were held at the end)."""

import asyncio
import resource
import ssl
import sys
import time

AT_ONCE = {"connect": 64, "tls": 16, "guess": 32}
HALF_OPEN = 10_000
SLOW = 2_000


def connect(name, login=b""):
    """A CONNECT of MQTT 3.1.1 (section 3.1); `login` is what follows the client id."""
    flags = 0xC2 if login else 0x02
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x3c" + len(name).to_bytes(2, "big") + name + login
    return b"\x10" + bytes([len(body)]) + body


async def one(kind, host, port, context, number):
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        if kind != "tls":
            login = b"\x00\x07someone\x00\x05wrong" if kind == "guess" else b""
            writer.write(connect(b"stranger-%d" % number, login))
            await reader.read(4)
    finally:
        writer.transport.abort()


async def over_and_over(kind, host, port, ended):
    """A fixed number of strangers at once, each anew when it is done."""
    context = None
    if kind == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    done = 0

    async def stranger(first):
        nonlocal done
        number = first
        while not ended.is_set():
            try:
                await one(kind, host, port, context, number)
            except OSError:
                await asyncio.sleep(0.01)  # Refused: that's an answer too; as fast as it comes would be the client's own spin.
            done += 1
            number += AT_ONCE[kind]

    began = time.monotonic()
    print("begun", flush=True)
    await asyncio.gather(*(stranger(first) for first in range(AT_ONCE[kind])))
    return done / (time.monotonic() - began)


async def held(kind, host, port, ended):
    """Connections that stay: half a CONNECT that declares 256 MB, or one that comes byte by byte."""
    count, first = (HALF_OPEN, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x04\x02\x00\x3c") if kind == "half-open" else (SLOW, b"\x10")
    slow = connect(b"s" * 100)[1:]
    print("begun", flush=True)
    writers = []
    for number in range(count):
        if ended.is_set():
            break
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            continue
        writer.write(first)
        writers.append(writer)
    at = 0
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), 1)
        except TimeoutError:
            if kind == "slow":
                for writer in writers:
                    if not writer.is_closing():
                        writer.write(slow[at : at + 1])
                at += 1
    return float(len(writers))


async def main():
    kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ended = asyncio.Event()
    reader = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    reader.add_done_callback(lambda _: ended.set())
    act = over_and_over if kind in AT_ONCE else held
    print(await act(kind, host, port, ended), flush=True)


resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
asyncio.run(main())
