"""Stacks for the tests of the whole system."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack


@pytest.fixture
def make_stack() -> Iterator[Callable[..., Stack]]:
    """Starts stacks; ends them and removes their homes after the test."""
    made: list[tuple[Stack, Path]] = []

    def make(*, ui: bool = False, before: tuple[str, ...] = ()) -> Stack:
        home = Path(tempfile.mkdtemp(prefix="cpa-"))
        made.append((Stack(home, ui=ui, before=before), home))
        return made[-1][0].wait_until_ready()

    yield make
    for stack, home in made:
        stack.end()
        shutil.rmtree(home, ignore_errors=True)
