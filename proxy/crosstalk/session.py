"""A conversation that runs here, in memory: what was said, how it stands, and how much of it the store has. No I/O."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from data.crosstalk import MessageRow, SessionRow, Status
from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.tabs import Tab


class Session:
    """One conversation. Not thread-safe: use it from the event loop."""

    def __init__(self, row: SessionRow, document: CrosstalkDocument, tab: Tab) -> None:
        self.document = document
        self.tab = tab
        self.messages: list[MessageRow] = []
        #: what it ends as where it is broken off
        self.cancelled_as = (Status.STOPPED, "stopped")
        self._row = row
        self._version = self._stored_version = self._stored_turns = 0
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        """Its id, which is the ledger's session of its calls too."""
        return self._row.id

    @property
    def row(self) -> SessionRow:
        """Where it stands."""
        return self._row

    @property
    def has_ended(self) -> bool:
        """Whether no turn follows."""
        return self._row.status is not Status.RUNNING

    @property
    def unstored(self) -> int:
        """How many of its messages the store does not have yet."""
        return len(self.messages) - self._stored_turns

    @property
    def is_stored(self) -> bool:
        """Whether the store has all of it."""
        return self._stored_version == self._version

    @property
    def version(self) -> int:
        """Grows with whatever is to be stored."""
        return self._version

    def say(self, message: MessageRow) -> None:
        """A turn has been had."""
        self.messages.append(message)
        old = self._row
        self._change(
            turns=len(self.messages),
            input_tokens=old.input_tokens + message.input_tokens,
            output_tokens=old.output_tokens + message.output_tokens,
            updated_at=message.created_at,
        )

    def end(self, status: Status, reason: str, at: datetime, message: str = "") -> None:
        """No turn follows; only the first word counts."""
        if not self.has_ended:
            self._change(status=status, reason=reason, message=message, updated_at=at, ended_at=at)

    def cancel(self, at: datetime) -> None:
        """End it as it is to end when it is broken off."""
        status, reason = self.cancelled_as
        self.end(status, reason, at)

    def stored(self, version: int, turns: int) -> None:
        """The store has it as it was then, with so many messages."""
        self._stored_version, self._stored_turns = version, turns
        self._wake()

    def waiting(self) -> Sequence[MessageRow]:
        """The messages that the store does not have yet."""
        return self.messages[self._stored_turns :]

    async def change(self) -> None:
        """Wait until something is said, stored or over."""
        await self._changed.wait()

    def _change(self, **what: object) -> None:
        self._row = msgspec.structs.replace(self._row, cost_usd=self.tab.spent, **what)
        self._version += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
