"""A member of a group: it says who it is, hears of everybody, and tells how it went. All of it over the agent's API."""

import json
import os
import sys
import time
import urllib.request

API = os.environ["MESHPROOF_API"]


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(API + path, data, method=method), timeout=60) as answer:
        return json.loads(answer.read())


about = call("GET", "/params")
began = time.monotonic()
call("POST", "/publish/names", about["name"])

heard = set()
with urllib.request.urlopen(f"{API}/subscribe/names?count={len(about['members'])}", timeout=60) as events:
    for line in events:
        if line.startswith(b"data: "):
            heard.add(json.loads(line[6:]))

call("POST", "/metric/heard", len(heard))
call("POST", "/metric/time_to_hear", time.monotonic() - began)
call("POST", "/barrier/heard?within=60s")
if about["name"] in about["params"].get("refuse", "").split():
    call("POST", "/event", {"failure": "it was told to refuse"})
sys.exit(0 if len(heard) == len(about["members"]) else 1)
