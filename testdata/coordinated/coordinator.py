"""Waits for the runners, measures the way to each and back over the data network, and shuts them down."""

import re
import subprocess

from agent import ask, values

params = ask("params")["params"]
runners, latency_ms = int(params["runners"]), float(params["latency_ms"])
registered = values("registered", runners)
ask(f"barrier/slow?count={runners}")
for runner in registered:
    ping = ["ping", "-q", "-c", "3", "-i", "0.2", runner["address"]]
    told = subprocess.run(ping, capture_output=True, text=True, check=True).stdout
    mean_ms = float(re.search(r"= [\d.]+/([\d.]+)/", told)[1])
    print(f"{runner['name']} at {runner['address']}: {mean_ms:.1f} ms")
    ask("metric/ping_ms", mean_ms)
    assert latency_ms <= mean_ms < 1.1 * latency_ms, told
ask("signal/shutdown", {})
