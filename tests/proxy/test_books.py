"""What is left to do for closed accounts: at the end of the event loop's turn, together."""

import asyncio

from proxy.books import Books
from proxy.logs import CALL


class Ledger:
    def __init__(self) -> None:
        self.writes = 0

    def start(self, start: object) -> object: ...

    def take(self, record: object) -> int: ...

    def write(self) -> None:
        self.writes += 1


async def test_what_ends_in_one_turn_is_done_at_its_end_with_one_write():
    ledger, done = Ledger(), list[int]()
    books = Books(ledger, lambda _: None, lambda _, __: None)
    for number in range(3):
        books.enter(lambda number=number: done.append(number))
    assert (done, ledger.writes) == ([], 0)
    await asyncio.sleep(0)
    assert (done, ledger.writes) == ([0, 1, 2], 1)


async def test_what_is_logged_then_belongs_to_its_call():
    said, books = list[str](), Books(Ledger(), lambda _: None, lambda _, __: None)
    for name in ("one", "two"):
        token = CALL.set(name)
        books.enter(lambda: said.append(CALL.get()))
        CALL.reset(token)
    books.flush()
    assert said == ["one", "two"]
