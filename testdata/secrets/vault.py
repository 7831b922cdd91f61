"""A service that cannot keep a secret: it shows what it was given in every way that it can think of."""

import base64
import hashlib
import http.server
import json
import os
import sys
import urllib.parse
import urllib.request

TOKEN = os.environ["TOKEN"]


def encodings():
    raw = TOKEN.encode()
    yield TOKEN
    for before in (b"", b"a", b"ab"):
        yield base64.b64encode(before + raw + b" and more").decode()
        yield base64.urlsafe_b64encode(before + raw).decode().rstrip("=")
    yield raw.hex()
    yield raw.hex().upper()
    yield ":".join(f"{byte:02x}" for byte in raw)
    yield urllib.parse.quote(TOKEN, safe="")
    yield urllib.parse.quote_plus(TOKEN)
    yield json.dumps(TOKEN)
    yield json.dumps(json.dumps({"inside": TOKEN}))
    yield "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
    yield repr(TOKEN)


def tell(out):
    for text in encodings():
        out.write(f"token is {text} here\n")
    # Across two writes, and far into a line: behind what failures show of one.
    out.write("half " + TOKEN[:7])
    out.flush()
    out.write(TOKEN[7:] + "\n")
    for shift in range(0, 40, 3):
        out.write("." * (270 + shift) + TOKEN + "\n")
    out.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        body = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.wfile.write(body[len(body) // 2 :])

    def do_GET(self):
        if self.path == "/ready":
            return self.answer(200, "")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, f"not {self.headers.get('Authorization')}")
        if self.path == "/tell":
            tell(sys.stdout)
            tell(sys.stderr)
        shown = {"token": TOKEN, "digest": hashlib.sha256(TOKEN.encode()).hexdigest(), "all": list(encodings())}
        self.answer(200, json.dumps(shown), [("X-Token", TOKEN), ("X-Encoded", base64.b64encode(TOKEN.encode()).decode())])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/bank":
            call = urllib.request.Request(f"{os.environ['BANK']}/pay?t={urllib.parse.quote(TOKEN)}", data=json.dumps({"t": TOKEN}).encode())
            try:
                return self.answer(200, urllib.request.urlopen(call).read().decode())
            except urllib.error.HTTPError as error:
                return self.answer(502, error.read().decode())
        # Far into a body, so that what is shown of it ends inside of a secret.
        self.answer(200 if body == TOKEN else 409, " " * 8150 + body * 50)


tell(open("audit.log", "w"))
with open("state.bin", "wb") as state:
    state.write(b"\0\1\2" + TOKEN.encode() + b"\xff" * 70_000 + TOKEN.encode())
print(open(os.environ["KEY"]).read(), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
