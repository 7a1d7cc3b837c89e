"""One MQTT connection: a client of a few packets, so that nothing has to be installed."""
import json
import socket
import struct
import threading


class Bus:
    def __init__(self, port, name, topics=(), handle=None):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.handle, self.lock, self.number = handle, threading.Lock(), 0
        self.acknowledged = {}
        text = lambda value: struct.pack(">H", len(value)) + value.encode()
        self._send(0x10, text("MQTT") + b"\x04\x00\x00\x3c" + text(name))
        self._read()
        if topics:
            self._send(0x82, b"\x00\x01" + b"".join(text(topic) + b"\x01" for topic in topics))
            self._read()
        threading.Thread(target=self._listen, daemon=True).start()

    def _send(self, kind, body):
        length, left = b"", len(body)
        while True:
            left, byte = left >> 7, left & 0x7F
            length += bytes([byte | (0x80 if left else 0)])
            if not left:
                break
        self.socket.sendall(bytes([kind]) + length + body)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the broker is gone")
            data += more
        return data

    def _read(self):
        kind, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return kind, self._exactly(length)

    def _listen(self):
        while True:
            kind, body = self._read()
            if kind >> 4 == 4:
                self.acknowledged.pop(struct.unpack(">H", body[:2])[0]).set()
            elif kind >> 4 == 3:
                end = 2 + struct.unpack(">H", body[:2])[0]
                self.handle(body[2:end].decode(), json.loads(body[end + 2:]))
                with self.lock:
                    self._send(0x40, body[end:end + 2])

    def publish(self, topic, message, wait=False):
        """At QoS 1; waits for the acknowledgement where that is wanted."""
        done = threading.Event()
        with self.lock:
            self.number = self.number % 65535 + 1
            self.acknowledged[self.number] = done
            body = struct.pack(">H", len(topic)) + topic.encode() + struct.pack(">H", self.number)
            self._send(0x32, body + json.dumps(message).encode())
        if wait:
            done.wait()
