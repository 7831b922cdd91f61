"""A WebSocket over TLS that echoes the first message; a client without a certificate of the authority is refused."""

import base64
import hashlib
import os
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
context.load_verify_locations(os.environ["CLIENTS"])
context.verify_mode = ssl.CERT_REQUIRED


def converse(client):
    with context.wrap_socket(client, server_side=True) as client, client.makefile("rb") as said:
        key = b""
        for line in iter(said.readline, b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        length = said.read(2)[1] & 0x7F
        mask, masked = said.read(4), said.read(length)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        client.sendall(bytes([0x81, len(text)]) + text + b"\x88\x00")


def guarded(client):
    try:
        converse(client)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)


server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=guarded, args=server.accept()[:1], daemon=True).start()
