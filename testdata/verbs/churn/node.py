"""A member of a group that stays until it is told that all is over. Whoever starts it again finds it as it was."""

import os
import urllib.request

API = os.environ["MESHPROOF_API"]

print("here", flush=True)
urllib.request.urlopen(urllib.request.Request(API + "/signal/here", method="POST"), timeout=60).read()
with urllib.request.urlopen(API + "/subscribe/over?count=1", timeout=120) as told:
    told.read()
