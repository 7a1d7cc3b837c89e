#!/usr/bin/env python3
"""Sends each line of stdin: frames_client.py HOST PORT CLIENT_ID < FILE. Run it again, and it goes on where it was."""
import socket, struct, sys, time, uuid

def read(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise ConnectionError("closed by the hub")
        data += part
    return data

def connect(host, port, client_id, token=b""):
    sock = socket.create_connection((host, port), timeout=30)
    sock.sendall(b"HWF1" + client_id.bytes + struct.pack(">H", len(token)) + token)
    magic, status, max_payload, last_seq = struct.unpack(">4sBIQ", read(sock, 17))
    if magic == b"HWF1" and status in (3, 5):
        raise ConnectionError("not now")
    if magic != b"HWF1" or status:
        sys.exit(f"refused: status {status}")
    return sock, last_seq

def send(messages, host, port, client_id, window=100):
    """Sends messages[0] as number 1 and so on, until each is durable or refused for good; gives {number: code}."""
    refused, wait = {}, 0.05
    while True:
        try:
            sock, done = connect(host, port, client_id)  # done: the highest number that needs no sending any more
            sent = done
            while done < len(messages):
                while sent < min(done + window, len(messages)):
                    sock.sendall(struct.pack(">IQ", len(messages[sent]), sent + 1) + messages[sent])
                    sent += 1
                kind, seq = struct.unpack(">BQ", read(sock, 9))
                code = read(sock, 1)[0] if kind == 0x15 else read(sock, 8) and 0  # the 8 bytes: its place in the log
                if code in (3, 4, 5):
                    raise ConnectionError("send again")  # a new connection says from where
                done, wait = seq, 0.05
                if code:
                    refused[seq] = code
            return refused
        except OSError:
            time.sleep(wait)
            wait = min(wait * 2, 5)

if __name__ == "__main__":
    sent = send(sys.stdin.buffer.read().splitlines(), sys.argv[1], int(sys.argv[2]), uuid.UUID(sys.argv[3]))
    sys.exit(f"refused: {sent}" if sent else 0)
