"""Takes on request what it is asked for: memory, or processor time."""

import socket
import sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = server.accept()
    with client:
        wish = client.makefile().readline().strip()
        if wish == "memory":
            client.sendall(b"%d\n" % len(bytearray(1024 * 1024 * 1024)))
        while wish == "time":
            pass
