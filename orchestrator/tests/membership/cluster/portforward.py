"""What `kubectl port-forward` speaks: connections as streams of SPDY/3.1, two each, after an upgraded request.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/, and k8s.io/kubernetes/pkg/kubelet/cri/streaming/portforward. What kubectl's side
does not use is left out: windows, priorities, pushed streams.
"""

import socket
import struct
import threading
import zlib

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1

WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date
etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning
www-authenticate method get status""".split()
WORDS += ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 "
    "Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in WORDS) + REST.encode()
assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2, "it is the one of SPDY/3"


class Session:
    """One upgraded connection, and the pod that its streams lead to."""

    def __init__(self, reader, sock, address):
        self.reader, self.sock, self.address = reader, sock, address
        self.lock = threading.Lock()
        self.inflate = zlib.decompressobj(zdict=DICTIONARY)
        self.deflate = zlib.compressobj(zdict=DICTIONARY)
        # by request: the stream for errors, and the one for data
        self.errors, self.open = {}, {}

    def serve(self):
        while head := self.read(8):
            first, second = struct.unpack(">II", head)
            flags, length = second >> 24, second & 0xFFFFFF
            body = self.read(length) if length else b""
            if body is None:
                break
            if first >> 31:
                self.control(first & 0xFFFF, flags, body)
            else:
                self.data(first, flags, body)
        for peer in self.open.values():
            peer.close()

    def read(self, length):
        try:
            read = self.reader.read(length)
        except OSError:
            return None
        return read if len(read) == length else None

    def control(self, kind, flags, body):
        if kind == SYN_STREAM:
            (stream,) = struct.unpack(">I", body[:4])
            self.opened(stream & 0x7FFFFFFF, self.headers(body[10:]))
        elif kind == PING:
            self.send_control(PING, 0, body)
        elif kind == RST_STREAM:
            self.ended(struct.unpack(">I", body[:4])[0])

    def headers(self, block):
        text = self.inflate.decompress(block)
        (count,), at, headers = struct.unpack(">I", text[:4]), 4, {}
        for _ in range(count):
            pair = []
            for _ in range(2):
                (length,) = struct.unpack(">I", text[at : at + 4])
                pair.append(text[at + 4 : at + 4 + length].decode())
                at += 4 + length
            headers[pair[0].lower()] = pair[1]
        return headers

    def opened(self, stream, headers):
        none = self.deflate.compress(struct.pack(">I", 0)) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.send_control(SYN_REPLY, 0, struct.pack(">I", stream) + none)
        if headers["streamtype"] == "error":
            self.errors[headers["requestid"]] = stream
            return
        error = self.errors.get(headers["requestid"])
        try:
            peer = socket.create_connection((self.address, int(headers["port"])), timeout=5)
            peer.settimeout(None)
        except OSError as why:
            self.send(error, FIN, f"an error occurred forwarding: {why}".encode())
            self.send(stream, FIN, b"")
            return
        self.open[stream] = peer
        threading.Thread(target=self.pump, args=(stream, error, peer), daemon=True).start()

    def pump(self, stream, error, peer):
        try:
            while bytes_ := peer.recv(65536):
                self.send(stream, 0, bytes_)
            self.send(stream, FIN, b"")
            self.send(error, FIN, b"")
        except OSError:
            pass

    def data(self, stream, flags, body):
        peer = self.open.get(stream)
        try:
            if peer and body:
                peer.sendall(body)
            if peer and flags & FIN:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            self.ended(stream)

    def ended(self, stream):
        if peer := self.open.pop(stream, None):
            peer.close()

    def send_control(self, kind, flags, body):
        self.write(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    def send(self, stream, flags, body):
        self.write(struct.pack(">II", stream, flags << 24 | len(body)) + body)

    def write(self, frame):
        with self.lock:
            self.sock.sendall(frame)
