"""The conversations that this proxy runs: they are begun, stopped, kept up with the store, and ended with the proxy."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import uuid_utils

from data.crosstalk import SessionRow, Status
from data.errors import NoSuchCrosstalk, StoreError, StoreUnavailable
from data.queries import crosstalk as rows
from data.queries.crosstalk import CrosstalkStore
from data.tasks import Tasks
from proxy.crosstalk import calling
from proxy.crosstalk.calling import Answered, Failed
from proxy.crosstalk.credentials import Credentials
from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.orphans import PROXY_ENDED, end_orphans
from proxy.crosstalk.saving import DEADLINE_S, save
from proxy.crosstalk.session import Session
from proxy.crosstalk.tabs import Tabs
from proxy.crosstalk.talking import request_of, talk
from proxy.crosstalk.turns import speaker

_LOOK_S: Final = 1.0
_CLOSE_S: Final = 2.0
_TIDY_S: Final = 60.0
_TRY_AGAIN_S: Final = 2.0
_WRITES: Final = 2  # conversations that are written to the store at the same time
_log = logging.getLogger(__name__)


class TooMany(Exception):
    """So many conversations run here as may."""


@dataclass(frozen=True, slots=True)
class Means:
    """What conversations are made with. `most`: how many may run at once. `store` gives it or raises StoreError."""

    http: aiohttp.ClientSession
    tasks: Tasks
    tabs: Tabs
    store: Callable[[], CrosstalkStore]
    most: Callable[[], int]
    spools: Path
    owner: str


@dataclass(slots=True)
class _Run:
    """A conversation with its tasks; it is kept until the store has all of it."""

    session: Session
    talking: asyncio.Task[None]
    done: asyncio.Task[None] | None = field(default=None)


class Crosstalk:
    """Use it from the event loop. `address` is where this proxy, and no other, answers; it is set once it listens."""

    def __init__(self, means: Means) -> None:
        self.address = ""
        self._means = means
        self._runs: dict[str, _Run] = {}
        self._starting: set[str] = set()
        self._closing = False
        self._tidy_at = 0.0  # of the loop's clock: when the store is next looked through for what does not run
        self._writes = asyncio.Semaphore(_WRITES)
        self._work = asyncio.Event()
        self._work.set()

    def find(self, session: str) -> Session | None:
        """Return a conversation that runs here, or whose end the store does not have yet."""
        run = self._runs.get(session)
        return None if run is None else run.session

    async def begin(self, document: CrosstalkDocument, shown: Credentials) -> Session:
        """Begin a conversation, once the store has it. Raises TooMany, StoreError."""
        if self._closing:
            raise StoreUnavailable("the proxy is stopping; ask again")
        if len(self._runs) + len(self._starting) >= self._means.most():
            raise TooMany
        now, identifier = datetime.now(UTC), str(uuid_utils.uuid7())
        text = msgspec.json.encode(document.to_json()).decode()
        row = SessionRow(
            id=identifier,
            owner=self._means.owner,
            status=Status.RUNNING,
            document=text,
            created_at=now,
            updated_at=now,
        )
        self._starting.add(identifier)
        try:
            await asyncio.to_thread(lambda: self._means.store().transact([rows.adding(row)], deadline_s=DEADLINE_S))
            return self._begun(Session(row, document, self._means.tabs.open(identifier)), shown)
        except BaseException:
            self._tidy_in(_TRY_AGAIN_S)  # whether the store has it is not known
            self._work.set()
            raise
        finally:
            self._starting.discard(identifier)

    async def stop(self, session: str) -> SessionRow:
        """End a conversation that may run here or at another proxy; return it. Raises NoSuchCrosstalk, StoreError."""
        if (run := self._runs.get(session)) is not None:
            run.talking.cancel()
            await asyncio.wait([run.talking])
            return run.session.row
        return await asyncio.to_thread(self._stop_elsewhere, session)

    async def run(self) -> None:
        """Look after them until cancelled: what others have stopped, and what nobody runs any more."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), max(self._tidy_at - loop.time(), 0))
            try:
                await self._look(loop.time())
            except (StoreError, OSError) as error:
                _log.debug("conversations are looked after later: %s", error)
            if not self._runs:
                self._work.clear()
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """End all as interrupted, and write down what the store takes at once."""
        self._closing = True
        runs = [*self._runs.values()]
        for run in runs:
            run.session.cancelled_as = (Status.INTERRUPTED, PROXY_ENDED)
            run.talking.cancel()
        if ends := [run.done for run in runs if run.done is not None]:
            await asyncio.wait(ends, timeout=_CLOSE_S)
        for run in self._runs.values():
            lost = run.session.unstored
            _log.warning("the conversation %s ends with %d messages that the store does not have", run.session.id, lost)

    def _begun(self, session: Session, shown: Credentials) -> Session:
        if self._closing:
            raise StoreUnavailable("the proxy is stopping; ask again")

        async def ask(session: Session, turn: int) -> Answered | Failed:
            participant = speaker(session.document, turn)
            headers = calling.headers_of(session.id, session.document, participant, shown)
            return await calling.ask(self._means.http, self.address, headers, request_of(session), shown.secrets)

        run = _Run(session, self._means.tasks.start(talk(session, ask), name="crosstalk"))
        run.talking.add_done_callback(lambda _: session.cancel(datetime.now(UTC)))
        self._runs[session.id] = run
        run.done = self._means.tasks.start(self._kept(run), name="crosstalk in the store")
        self._work.set()
        return session

    async def _kept(self, run: _Run) -> None:
        """Keep the store up with a conversation, and forget it when both have ended."""
        try:
            await save(run.session, self._means.store, self._writes)
            with suppress(asyncio.CancelledError, Exception):
                await run.talking
            del self._runs[run.session.id]
        finally:
            self._means.tabs.close(run.session.id)

    def _stop_elsewhere(self, session: str) -> SessionRow:
        store = self._means.store()
        store.transact([rows.ending([session], Status.STOPPED, "stopped", datetime.now(UTC))])
        if (row := rows.one(store, session)) is None:
            raise NoSuchCrosstalk(f"there is no conversation {session!r}")
        return row

    async def _look(self, now: float) -> None:
        if now >= self._tidy_at:
            self._tidy_in(_TRY_AGAIN_S)
            await asyncio.to_thread(self._tidy)
            self._tidy_in(_TIDY_S)
        await self._see_stopped()

    def _tidy_in(self, seconds: float) -> None:
        self._tidy_at = asyncio.get_running_loop().time() + seconds

    def _tidy(self) -> None:
        means = self._means
        if ended := end_orphans(means.store(), means.spools, means.owner, self._live):
            _log.warning("%d conversations were interrupted when their proxy ended", len(ended))

    def _live(self) -> set[str]:
        return {*self._runs, *self._starting}

    async def _see_stopped(self) -> None:
        """Stop those here that another proxy was asked to stop."""
        ids = [name for name, run in self._runs.items() if not run.session.has_ended]
        if not ids:
            return
        found = await asyncio.to_thread(lambda: rows.ended(self._means.store(), ids))
        for name, row in found.items():
            if (run := self._runs.get(name)) is not None and not run.session.has_ended:
                run.session.cancelled_as = (row.status, row.reason)
                run.talking.cancel()
