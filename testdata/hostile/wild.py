"""Answers that mean harm, over WebSocket, gRPC, in logs and in metrics: without end, one byte at a time, larger than they say, cut
off, and made to be shown. A path, or the `animal` of a message, names the trick.

`WS`, `GRPC` and `HTTP` are its ports. Over HTTP, `/log/TRICK` writes into trick.log, `/become/TRICK` changes what `/metrics` tells.
"""

import base64
import hashlib
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Clears a terminal, names its window, rings, and hides what follows; reverses text; and what a page would run.
HARM = "\x1b[2J\x1b]0;owned\x07\x1b[8mhidden\x1b[0m \u202edesrever \u009b31m <script>alert(1)</script> ]]>"
BLOCK = b"x" * 16384


def listen(port, serve):
    server = socket.create_server(("127.0.0.1", port))

    def one(stream):
        try:
            serve(stream)
        except OSError:
            pass  # whoever called has had enough
        finally:
            try:
                stream.shutdown(socket.SHUT_RDWR)  # closing alone waits for a thread that still reads
            except OSError:
                pass
            stream.close()

    def accept():
        while True:
            stream, _ = server.accept()
            threading.Thread(target=one, args=(stream,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def for_ever(stream, data, pause=0.0):
    while True:
        stream.sendall(data)
        time.sleep(pause)


# WebSocket


def head(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(4096)
        if not piece:
            raise OSError("closed")
        data += piece
    return data.decode("latin-1")


def frame(opcode, data, final=True):
    first = (0x80 if final else 0) | opcode
    if len(data) < 126:
        return struct.pack("!BB", first, len(data)) + data
    return struct.pack("!BBH", first, 126, len(data)) + data


def web_socket(stream):
    asked = head(stream)
    trick = asked.split(" ")[1].lstrip("/")
    key = next(line.split(": ")[1] for line in asked.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    if trick == "no-websocket":
        return stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere")
    if trick == "header-flood":
        stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
        for_ever(stream, b"x-flood: water\r\n" * 64)
    if trick == "slow-handshake":
        stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nx-slow: ")
        for_ever(stream, b"y", 0.02)
    if trick == "closed-handshake":
        return None
    if trick == "wrong-proof":
        proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    stream.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n\r\n".encode()
    )
    if trick == "endless-message":
        stream.sendall(frame(1, BLOCK, final=False))
        for_ever(stream, frame(0, BLOCK, final=False))
    elif trick == "huge-frame":
        stream.sendall(struct.pack("!BBQ", 0x81, 127, 1 << 62) + BLOCK)
        for_ever(stream, BLOCK)
    elif trick == "endless-nothing":
        for_ever(stream, frame(1, b"") * 4096)
    elif trick == "endless-pings":
        for_ever(stream, frame(9, b"ping") * 256)
    elif trick == "slow-bytes":
        stream.sendall(struct.pack("!BBH", 0x81, 126, 5000))
        for_ever(stream, b"x", 0.02)
    elif trick == "early-close":
        stream.sendall(struct.pack("!BBH", 0x81, 126, 5000) + b"short")
    elif trick == "invalid-utf8":
        stream.sendall(frame(1, b"\xff\xfe\xc3\x28"))
        time.sleep(5)
    elif trick == "masked":
        stream.sendall(b"\x81\x84\x00\x00\x00\x00here")
        time.sleep(5)
    elif trick == "escapes":
        stream.sendall(frame(1, HARM.encode()) + frame(8, b""))
        time.sleep(5)


# gRPC, as far as it takes to be rude

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def h2(kind, flags, stream, data):
    return struct.pack("!I", len(data))[1:] + struct.pack("!BBI", kind, flags, stream) + data


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


ANSWERS = b"\x88" + literal(b"content-type", b"application/grpc")


def ending(status, message=b""):
    trailers = literal(b"grpc-status", status) + (literal(b"grpc-message", message) if message else b"")
    return h2(HEADERS, 0x5, 1, trailers)


def message(data):
    return b"\x00" + struct.pack("!I", len(data)) + data


def text(data):
    """A message whose first field is this text."""
    return message(b"\x0a" + bytes([len(data)]) + data)


class Conversation:
    """One HTTP/2 connection: what the other side takes is known, so that no rule of flow is broken by accident."""

    def __init__(self, stream):
        self.stream, self.window, self.initial, self.more = stream, 65535, 65535, threading.Condition()
        self.of_stream, self.trick = self.initial, None

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.stream.recv(count - len(data))
            if not piece:
                raise OSError("closed")
            data += piece
        return data

    def take(self):
        start = self.exactly(9)
        length, kind, flags = struct.unpack("!I", b"\x00" + start[:3])[0], start[3], start[4]
        of = struct.unpack("!I", start[5:])[0]
        data = self.exactly(length)
        with self.more:
            if kind == SETTINGS and not flags & 1:
                for at in range(0, length, 6):
                    name, value = struct.unpack("!HI", data[at : at + 6])
                    if name == 4:
                        self.of_stream += value - self.initial
                        self.initial = value
                self.stream.sendall(h2(SETTINGS, 1, 0, b""))
            elif kind == WINDOW:
                grown = struct.unpack("!I", data)[0]
                if of == 0:
                    self.window += grown
                else:
                    self.of_stream += grown
            elif kind == DATA and length > 7:
                self.trick = data[7 : 7 + data[6]].decode()
            self.more.notify_all()

    def listen(self):
        try:
            while True:
                self.take()
        except OSError:
            with self.more:
                self.window = None
                self.more.notify_all()

    def data(self, data):
        with self.more:
            while self.window is not None and (self.window < len(data) or self.of_stream < len(data)):
                self.more.wait()
            if self.window is None:
                raise OSError("closed")
            self.window -= len(data)
            self.of_stream -= len(data)
        self.stream.sendall(h2(DATA, 0, 1, data))


def grpc(stream):
    talk = Conversation(stream)
    talk.exactly(24)
    stream.sendall(h2(SETTINGS, 0, 0, b""))
    while talk.trick is None:
        talk.take()
    threading.Thread(target=talk.listen, daemon=True).start()
    trick = talk.trick
    if trick == "no-http2":
        return stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
    if trick == "silence":
        return time.sleep(5)
    if trick == "closed":
        return None
    if trick == "header-flood":
        stream.sendall(h2(HEADERS, 0, 1, ANSWERS))
        for_ever(stream, h2(CONTINUATION, 0, 1, literal(b"x-flood", b"water") * 500))
    if trick == "ping-flood":
        for_ever(stream, h2(PING, 0, 0, b"12345678") * 256)
    if trick == "go-away":
        stream.sendall(h2(GO_AWAY, 0, 0, struct.pack("!II", 0, 11)))
        return time.sleep(5)
    if trick == "reset":
        stream.sendall(h2(RESET, 0, 1, struct.pack("!I", 2)))
        return time.sleep(5)
    stream.sendall(h2(HEADERS, 0x4, 1, ANSWERS))
    if trick == "endless-message":
        talk.data(b"\x00\xff\xff\xff\xff")
        while True:
            talk.data(BLOCK)
    elif trick == "endless-nothing":
        while True:
            talk.data(message(b"") * 3000)
    elif trick == "slow-bytes":
        while True:
            talk.data(b"\x00")
            time.sleep(0.02)
    elif trick == "early-close":
        talk.data(b"\x00\x00\x00\x10\x00short")
    elif trick == "cut-message":
        talk.data(b"\x00\x00\x00\x10\x00short")
        stream.sendall(ending(b"0"))
        time.sleep(5)
    elif trick == "compressed":
        talk.data(b"\x01" + message(b"bomb")[1:])
        stream.sendall(ending(b"0"))
        time.sleep(5)
    elif trick == "no-status":
        stream.sendall(h2(DATA, 1, 1, text(b"here")))
        time.sleep(5)
    elif trick == "invalid-utf8":
        talk.data(text(b"\xff\xfe\xc3\x28"))
        stream.sendall(ending(b"0"))
        time.sleep(5)
    elif trick == "escapes":
        talk.data(text(HARM.encode()))
        stream.sendall(ending(b"0"))
        time.sleep(5)
    elif trick == "escapes-in-words":
        words = "".join(f"%{byte:02X}" for byte in HARM.encode()[:60]).encode()[:126]
        stream.sendall(h2(HEADERS, 0x5, 1, literal(b"grpc-status", b"9") + b"\x00\x0cgrpc-message" + b"\x7e" + words.ljust(126)))
        time.sleep(5)


# Logs and metrics

METRICS = "good"


def write(trick):
    with open("trick.log", "ab", buffering=0) as log:
        if trick == "flood":
            for turn in range(30):
                log.write(b"".join(b"line %d of the flood, which is as long as lines usually are\n" % (turn * 2500 + line) for line in range(2500)))
        elif trick == "endless-line":
            for _ in range(64):
                log.write(b"y" * (1 << 20))
            log.write(b"\n")
        elif trick == "nothing":
            log.write(b"\n" * 20_000)
        elif trick == "invalid-utf8":
            log.write(b"\xff\xfe\xc3\x28\0 invalid\n")
        elif trick == "escapes":
            log.write(HARM.encode() + b" escapes\n")
        log.write(b"after " + trick.encode() + b"\n")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        global METRICS
        _, *words = self.path.split("/")
        if words[0] == "log":
            write(words[1])
        elif words[0] == "become":
            METRICS = words[1]
        elif words[0] == "metrics":
            return self.metrics(METRICS)
        self.answer(b"here")

    def answer(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def endless(self, data, pause=0.0):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(data)
            time.sleep(pause)

    def metrics(self, trick):
        try:
            if trick == "endless-body":
                self.endless(b"tricks 1\n" * 1000)
            elif trick == "slow-bytes":
                self.endless(b"t", 0.02)
            elif trick == "flood":
                self.answer(b"".join(b'tricks{n="%d"} 1\n' % number for number in range(30000)))
            elif trick == "invalid-utf8":
                self.answer(b'tricks{name="\xff\xfe\xc3\x28"} 1\n')
            elif trick == "escapes":
                self.answer(f'tricks{{name="{HARM}"}} 7\n'.encode())
            elif trick == "words":
                self.answer(b"<html>here are no numbers</html>\n")
            elif trick == "early-close":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"tricks 1\n")
            else:
                self.answer(b"tricks 1\n")
        except OSError:
            pass


listen(int(os.environ["WS"]), web_socket)
listen(int(os.environ["GRPC"]), grpc)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["HTTP"])), Handler).serve_forever()
