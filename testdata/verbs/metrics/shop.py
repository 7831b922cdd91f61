"""A service that counts its requests and tells Prometheus, holds a lot of memory when asked, and opens files."""

import http.server
import os
import sys

requests = {"200": 0, "404": 0}
held = []


class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/metrics":
            return self.answer("200", metrics())
        code = "200" if self.path in ("/", "/hold", "/open") else "404"
        if self.path == "/hold":
            held.append(b"x" * (64 * 1024 * 1024))
        if self.path == "/open":
            held.extend(open(os.devnull) for _ in range(100))
        requests[code] += 1
        self.answer(code, "done\n")

    def answer(self, code, text):
        body = text.encode()
        self.send_response(int(code))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def metrics():
    lines = ["# TYPE shop_requests_total counter"]
    lines += [f'shop_requests_total{{code="{code}"}} {count}' for code, count in requests.items()]
    served = sum(requests.values())
    lines += ["# TYPE shop_request_seconds histogram"]
    for bound, count in (("0.1", served), ("0.5", served), ("+Inf", served)):
        lines.append(f'shop_request_seconds_bucket{{le="{bound}"}} {count}')
    lines += [f"shop_request_seconds_sum {served * 0.05}", f"shop_request_seconds_count {served}"]
    return "\n".join(lines) + "\n"


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
