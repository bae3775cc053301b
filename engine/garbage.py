"""Keeps the collector of garbage out of work that makes many objects and no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile; of a tick of many rules, the looking takes a fifth, and finds none.

    Where several threads are in here, the first to come is the one that lets the collector in again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
