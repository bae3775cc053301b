"""How a conversation is followed: from memory where it runs here, from the store where it runs elsewhere or is over."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from data.crosstalk import Status
from data.errors import NoSuchCrosstalk
from data.queries import crosstalk as rows
from data.queries.crosstalk import CrosstalkStore
from proxy.crosstalk import shown
from proxy.crosstalk.session import Session

_LOOK_S: Final = 0.5
_AT_ONCE: Final = 100


class News(Protocol):
    """What is new of one conversation."""

    async def read(self, after: int) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        """Return how it stands, what was said behind turn `after`, and whether that is all there will ever be."""
        ...

    async def change(self) -> None:
        """Wait until there may be more."""
        ...


class FromMemory:
    """A conversation that runs here."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def read(self, after: int) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        """See `News`."""
        session, turns_stored = self._session, len(self._session.messages) - self._session.unstored
        said = [shown.message(row, stored=row.turn <= turns_stored) for row in session.messages[after:]]
        return shown.live(session), said, session.has_ended

    async def change(self) -> None:
        """See `News`."""
        await self._session.change()


class FromStore:
    """A conversation that does not run here."""

    def __init__(self, session: str, store: Callable[[], CrosstalkStore]) -> None:
        self._session = session
        self._store = store

    async def read(self, after: int) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        """See `News`. Raises NoSuchCrosstalk, StoreError."""
        return await asyncio.to_thread(self._read, after)

    async def change(self) -> None:
        """See `News`."""
        await asyncio.sleep(_LOOK_S)

    def _read(self, after: int) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        store = self._store()
        # first how it stands: what was said before it ended is then there too
        if (row := rows.one(store, self._session)) is None:
            raise NoSuchCrosstalk(f"there is no conversation {self._session!r}")
        said = [shown.message(each) for each in rows.messages(store, self._session, after=after, limit=_AT_ONCE)]
        return shown.session(row), said, row.status is not Status.RUNNING
