"""A proxy's part towards its spool, to be killed at any moment: says on standard output what has returned.

`started ID` and `ended ID SEQUENCE` when the call has returned; `shipped ID SEQUENCE` before the acknowledgement.
"""

import os
import sys
from pathlib import Path

import uuid_utils

from proxy.spool import Spool
from tests.proxy.spool_samples import NOW, ended, estimated, started


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def ship(spool: Spool) -> None:
    first, records = spool.read(spool.shipped, 20)
    for sequence, record in enumerate(records, first):
        say("shipped", record.id, sequence)
    if records:
        spool.acknowledged(first + len(records) - 1)


def main() -> None:
    spool = Spool.open(Path(sys.argv[1]), now_us=NOW, estimate=estimated, segment_bytes=4000)
    open_calls: list[str] = []
    while True:
        name = str(uuid_utils.uuid7())
        spool.start(started(name))
        say("started", name)
        open_calls.append(name)
        if len(open_calls) > 5:
            done = open_calls.pop(2)
            say("ended", done, spool.end(ended(done)))
            ship(spool)


if __name__ == "__main__":
    main()
