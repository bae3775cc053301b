"""A proxy's limits in a process of its own, to be killed at any moment: `python -m … HOME NAME SEED LIMITS`.

Each call it admits is a connection to the provider at HOME/provider, which is told the tokens it was estimated at, and,
before it ends, those it has used. It goes on until there is a file `stop`.
"""

import random
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from data.errors import LimitsUnknown
from proxy.admission.limits import Limits, Ticket
from proxy.admission.shared_limits import LOOK_S, SharedLimits


class Call(NamedTuple):
    ticket: Ticket
    provider: socket.socket
    estimated: int


def told(provider: socket.socket, tokens: int) -> None:
    provider.sendall(b"%d\n" % tokens)
    assert provider.recv(1) == b"."


def begun(path: Path, ticket: Ticket, estimated: int) -> Call:
    provider = socket.socket(socket.AF_UNIX)
    provider.connect(str(path))
    told(provider, estimated)
    return Call(ticket, provider, estimated)


def end(call: Call, chance: random.Random) -> None:
    used = chance.randint(0, call.estimated)
    told(call.provider, used)
    call.ticket.end(used, time.monotonic())
    call.provider.close()


def main(home: Path, name: str, seed: int, *allowed: int | None) -> None:
    shared, limits = SharedLimits(home / "limits", name), Limits(*allowed, "ci")
    shared.begin(limits)
    chance, running, look = random.Random(seed), list[Call](), 0.0
    while not (home / "stop").exists():
        if time.monotonic() >= look:
            look = time.monotonic() + LOOK_S * chance.random()
            shared.tick()
        estimated = chance.randint(1, 100)
        try:
            taken = limits.take(estimated, time.monotonic())
        except LimitsUnknown:
            taken = None
        if isinstance(taken, Ticket):
            running.append(begun(home / "provider", taken, estimated))
        time.sleep(chance.random() * 0.005)
        if running and chance.random() < 0.3:
            end(running.pop(chance.randrange(len(running))), chance)
    for call in running:
        end(call, chance)
    shared.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *msgspec.json.decode(sys.argv[4]))
