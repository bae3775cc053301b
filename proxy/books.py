"""Where closed accounts go: the ledger for ever, the live counters for now; and what answers' headers tell."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Final
from typing import Protocol as Shape

from data.model import LedgerRecord, RequestStart

_LATER_S: Final = 0.01
_MOST: Final = 64


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

    What is left to do for an account once it is closed is done a hundredth of a second later, for all accounts
    together: after the answers' last bytes have left, with one write, and for a fraction of what it costs one by one,
    since the processor has the code at hand. A process that is killed before leaves their calls as interrupted ones.
    Whoever must know all that has ended calls `flush` first.
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
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, entry: Callable[[], None]) -> None:
        """Do `entry`, which raises nothing, soon."""
        self._entries.append((copy_context(), entry))  # what it logs belongs to its call
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LATER_S, self.flush)
        elif len(self._entries) == _MOST:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> bool:
        """Do now what is left to do; return whether there was anything."""
        if self._timer is None:
            return False
        self._timer.cancel()
        self._timer = None
        entries, self._entries = self._entries, []
        for context, entry in entries:
            context.run(entry)
        self.ledger.write()
        return True
