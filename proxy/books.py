"""Where closed accounts go: the ledger for ever, the live counters for now; and what answers' headers tell."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Protocol as Shape

from data.model import LedgerRecord, RequestStart


class Ledger(Shape):
    """Where calls are written down; `proxy.spool.Spool` is one."""

    def start(self, start: RequestStart) -> object:
        """Write down that a call is sent on; whatever it raises, the call is refused."""
        ...

    def take(self, record: LedgerRecord) -> int:
        """Take note of how it ended, to be written with the next start or `write`; return its number."""
        ...

    def write(self) -> None:
        """Write what was taken."""
        ...


class Books:
    """The books of one proxy.

    What is left to do for an account once it is closed is done at the end of the event loop's turn, for all accounts
    together: after the answers' last bytes have left, and with one write. A process that is killed within that turn
    leaves their calls as interrupted ones.
    """

    def __init__(
        self,
        ledger: Ledger,
        closed: Callable[[LedgerRecord], object],
        answered: Callable[[RequestStart, Mapping[str, str]], object],
    ) -> None:
        self.ledger = ledger
        self.closed = closed
        self.answered = answered
        self._entries: list[tuple[Context, Callable[[], None]]] = []

    def enter(self, entry: Callable[[], None]) -> None:
        """Do `entry`, which raises nothing, at the end of the turn."""
        if not self._entries:
            asyncio.get_running_loop().call_soon(self.flush)
        self._entries.append((copy_context(), entry))  # what it logs belongs to its call

    def flush(self) -> None:
        """Do it now."""
        entries, self._entries = self._entries, []
        for context, entry in entries:
            context.run(entry)
        if entries:
            self.ledger.write()
