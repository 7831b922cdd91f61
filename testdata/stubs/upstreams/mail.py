"""Asks a proxy for a connection and speaks no HTTP on it."""

import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as proxy:
    proxy.sendall(b"CONNECT a.bank.example:25 HTTP/1.1\r\nHost: a.bank.example\r\n\r\n")
    assert proxy.recv(12) == b"HTTP/1.1 200"
    proxy.sendall(b"EHLO me\r\n")
    while proxy.recv(4096):
        pass
