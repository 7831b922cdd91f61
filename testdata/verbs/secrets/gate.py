"""Lets in who knows the key, and shows it to them."""

import http.server
import json
import os

KEY = os.environ["KEY"]


class Gate(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        knows = self.headers.get("Authorization") == f"Bearer {KEY}"
        self.send_response(200 if knows or self.path == "/ready" else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"key": KEY}).encode() if knows else b"")


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Gate).serve_forever()
