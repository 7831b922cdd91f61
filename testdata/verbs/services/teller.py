"""Tells the same over UDP, TCP and HTTP and in a file, then waits for its end."""

import os
import resource
import signal
import socket
import urllib.request

signal.signal(signal.SIGINT, lambda *_: os._exit(0))
print("descriptors", resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
with open("access.log", "w") as access:
    access.write("in a file\n")
socket.socket(type=socket.SOCK_DGRAM).sendto(b"over udp", ("127.0.0.1", int(os.environ["AUDIT"])))
with socket.create_connection(("127.0.0.1", int(os.environ["TRACE"]))) as trace:
    trace.sendall(b"over tcp 1\nover t")
    trace.sendall(b"cp 2\n")
urllib.request.urlopen(os.environ["HOOK"], data=b"over http\n")
signal.pause()
