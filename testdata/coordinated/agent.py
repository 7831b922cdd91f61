"""What the programs here ask of their agent, over MESHPROOF_API."""

import json
import os
import urllib.request

API = os.environ["MESHPROOF_API"]


def ask(call, body=None):
    """POSTs a JSON body, or GETs without one, and gives the answer."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{API}/{call}", data=data)) as answer:
        return json.load(answer)


def values(topic, count):
    """So many values of a topic, also those from before."""
    with urllib.request.urlopen(f"{API}/subscribe/{topic}?count={count}") as events:
        return [json.loads(line[len(b"data: ") :]) for line in events if line.startswith(b"data: ")]
