"""Answers every method with its name and with what was sent."""

import http.server
import sys


class Methods(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"{self.command} {self.path} {self.headers.get('Content-Type')} {body.decode()}".encode()
        self.send_response(200)
        self.send_header("Allow", "GET, PUT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Methods).serve_forever()
