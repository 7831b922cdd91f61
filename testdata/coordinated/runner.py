"""Registers with the coordinator, is slow on the data network, and ends when it is told to."""

import time

from agent import ask

me = ask("params")
slow = {"latency": "1000ms"}
ask("network?signal=slow", slow)
began = time.monotonic()
ask("publish/registered", {"name": me["name"], "address": me["addresses"]["data"]})
took_ms = 1000 * (time.monotonic() - began)
print(f"registered over the control network in {took_ms:.0f} ms")
assert took_ms < 900, "the control network is not the data network"
ask("barrier/shutdown?count=1")
