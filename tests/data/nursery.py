"""Starts stores quickly: `python -m tests.data.nursery` imports the program once and forks a store a line of input.

A line is the store's arguments as a JSON list. Each store writes its process number, then what it always writes.
"""

import json
import os
import signal
import sys

from data.__main__ import main


def serve(arguments):
    print(os.getpid(), flush=True)  # noqa: T201
    os._exit(main(arguments))


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        if not os.fork():
            serve(json.loads(line))
