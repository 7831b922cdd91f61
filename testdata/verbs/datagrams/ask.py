"""Asks a DNS server many times, each question once, and says how many answers came.

ask.py SERVER QUESTIONS, where SERVER is host:port. Each question has a name of its own, so that an answer is known to belong to it.
"""

import json
import socket
import struct
import sys

BATCH = 100  # what the socket's queue holds of answers
QUIET_S = 0.15  # a resolver beside us answers in well under this


def question(number):
    header = struct.pack(">HHHHHH", number % 65536, 0x0100, 1, 0, 0, 0)
    labels = [b"q%d" % number, b"shop", b"example"]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return header + name + struct.pack(">HH", 1, 1)


def name_of(answer):
    return int(answer[14 : 13 + answer[12]])


def main():
    (host, port), questions = sys.argv[1].rsplit(":", 1), int(sys.argv[2])
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.connect((host, int(port)))
    asking.settimeout(QUIET_S)
    answered, twice, late = set(), 0, 0
    for first in range(0, questions, BATCH):
        batch = range(first, min(first + BATCH, questions))
        for number in batch:
            asking.send(question(number))
        newest = first
        while True:
            try:
                answer = asking.recv(512)
            except (TimeoutError, ConnectionRefusedError):
                break
            number = name_of(answer)
            assert answer.endswith(bytes([10, 1, 2, 3])), answer
            twice += number in answered
            late += number < newest
            newest = max(newest, number)
            answered.add(number)
    told = {"asked": questions, "answered": len(answered), "twice": twice, "late": late}
    print(json.dumps(told | {"lost": questions - len(answered)}))


main()
