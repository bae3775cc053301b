"""What is left to do for closed accounts: soon, together, and at once for whoever must know."""

import asyncio

import pytest

from proxy.books import Books
from proxy.logs import CALL


class Ledger:
    def __init__(self) -> None:
        self.writes = 0

    def start(self, start: object) -> object: ...

    def take(self, record: object) -> int: ...

    def write(self) -> None:
        self.writes += 1


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def books(ledger: Ledger) -> Books:
    return Books(ledger, lambda _: None, lambda _, __: None)


async def test_what_ends_at_about_the_same_time_is_done_together_with_one_write(books: Books, ledger: Ledger):
    done: list[int] = []
    for number in range(3):
        books.enter(lambda number=number: done.append(number))
    await asyncio.sleep(0)
    assert done == []
    async with asyncio.timeout(10):
        while not done:
            await asyncio.sleep(0.001)
    assert (done, ledger.writes) == ([0, 1, 2], 1)


async def test_many_do_not_wait(books: Books, ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("proxy.books._LATER_S", 3600.0)
    done: list[int] = []
    for number in range(70):
        books.enter(lambda number=number: done.append(number))
    await asyncio.sleep(0)
    assert (done, ledger.writes) == ([*range(70)], 1)


async def test_a_flush_does_it_now_and_only_once(books: Books, ledger: Ledger):
    done: list[int] = []
    assert not books.flush()
    books.enter(lambda: done.append(1))
    assert books.flush()
    assert not books.flush()
    books.enter(lambda: done.append(2))
    async with asyncio.timeout(10):
        while len(done) < 2:
            await asyncio.sleep(0.001)
    assert (done, ledger.writes) == ([1, 2], 2)


async def test_what_is_logged_then_belongs_to_its_call(books: Books):
    said: list[str] = []
    for name in ("one", "two"):
        token = CALL.set(name)
        books.enter(lambda: said.append(CALL.get()))
        CALL.reset(token)
    books.flush()
    assert said == ["one", "two"]
