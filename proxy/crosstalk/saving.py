"""How a conversation gets into the store: its messages and where it stands, in one transaction, until all is there."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from data.errors import StoreError
from data.queries import crosstalk as rows
from data.queries.crosstalk import CrosstalkStore
from proxy.crosstalk.session import Session

RETRY_S: Final = 0.5
DEADLINE_S: Final = 5.0
_log = logging.getLogger(__name__)


async def save(session: Session, store: Callable[[], CrosstalkStore], turns: asyncio.Semaphore) -> None:
    """Write the session whenever it changes, until it has ended and the store has all of it.

    Each write can be made again; one that fails is, for as long as it takes. `turns`: a store that hangs must not
    keep all threads waiting.
    """
    trouble = ""
    while not (session.has_ended and session.is_stored):
        if session.is_stored:
            await session.change()
            continue
        async with turns:
            why = await _write(session, store)
        if why:
            if not trouble:
                _log.warning("the conversation %s waits for the store: %s", session.id, why)
            await asyncio.sleep(RETRY_S)
        trouble = why


async def _write(session: Session, store: Callable[[], CrosstalkStore]) -> str:
    """Write what the store does not have; return why that failed, '' where it did not."""
    version, turns = session.version, len(session.messages)
    changes = [*map(rows.saying, session.waiting()), rows.advancing(session.row)]
    try:
        await asyncio.to_thread(lambda: store().transact(changes, deadline_s=DEADLINE_S))
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    session.stored(version, turns)
    return ""
