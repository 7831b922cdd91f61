"""Counts what is added, and fails every tenth call of /tenth."""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
NUMBERS = []
TENTHS = [0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # one write an answer: two small ones wait for an acknowledgement of the first
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        with LOCK:
            if self.path == "/count":
                count, distinct = len(NUMBERS), len(set(NUMBERS))
                NUMBERS.clear()
                return self.answer(200, {"count": count, "distinct": distinct})
            if self.path == "/tenth":
                TENTHS[0] += 1
                return self.answer(503 if TENTHS[0] % 10 == 0 else 200, {})
        self.answer(200, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            again = asked["n"] in NUMBERS
            NUMBERS.append(asked["n"])
        self.answer(200, {"n": asked["n"], "again": again})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # so many may wait to be accepted: callers come all at once
    request_queue_size = 256


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
