"""Asks the site once, says what it was told, and waits for its end."""

import os
import signal
import urllib.request

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print(urllib.request.urlopen("http://" + os.environ["SITE"]).read().decode(), flush=True)
signal.pause()
