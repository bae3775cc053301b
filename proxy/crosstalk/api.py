"""/api/crosstalk and /api/system/crosstalk-stats: conversations are begun, shown, stopped and added up."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from multidict import MultiDict

from data.errors import ConflictError, NoSuchCrosstalk
from data.queries import crosstalk as rows
from data.queries.crosstalk import CrosstalkStore
from data.queries.crosstalk_stats import stats
from proxy.admission.gate import Gate, Refused
from proxy.api_body import BadBody, posted
from proxy.crosstalk import shown
from proxy.crosstalk.credentials import Credentials, credentials
from proxy.crosstalk.crosstalk import Crosstalk, TooMany
from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.following import FromMemory, FromStore, News
from proxy.crosstalk.span import span

_USUAL: Final = 50
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class CrosstalkApi:
    """Answers by what runs here and what the store keeps. `store` gives it or raises StoreError.

    `api_token` is what the API's callers may have to show, '' for none.
    """

    crosstalk: Crosstalk
    gate: Gate
    store: Callable[[], CrosstalkStore]
    api_token: Callable[[], str]

    async def create(self, request: web.Request) -> web.Response:
        """Begin a conversation, whose calls show the key that this request shows."""
        document = await posted(request, CrosstalkDocument)
        showing = credentials(request.headers, self.api_token())
        self._check(showing)
        try:
            session = await self.crosstalk.begin(document, showing)
        except TooMany as error:
            raise BadBody(429, "As many conversations run at this proxy as may (proxy.crosstalk_sessions).") from error
        return _json(shown.live(session), 201)

    async def listing(self, request: web.Request) -> web.Response:
        """The newest conversations first, a page at a time; `cursor` is the last id of the page before."""
        limit, cursor = int(request.query.get("limit", _USUAL)), request.query.get("cursor", "")
        if cursor and not _ID.fullmatch(cursor):
            raise BadBody(400, "cursor must be next of the page before.")
        status = request.query.get("status", "")
        found = await asyncio.to_thread(lambda: rows.page(self.store(), limit=limit + 1, before=cursor, status=status))
        items = [shown.session(row) for row in found[:limit]]
        return _json({"items": items, "next": items[-1]["id"] if len(found) > limit else None})

    async def one(self, request: web.Request) -> web.Response:
        """One conversation."""
        state, _, _ = await self.follow(request).read(0)
        return _json(state)

    async def messages(self, request: web.Request) -> web.Response:
        """What was said behind turn `after`, in order; `next` is the next `after`, null where there is no more now."""
        limit, after = int(request.query.get("limit", _USUAL)), int(request.query.get("after", "0"))
        _, said, _ = await self.follow(request).read(after)
        items = said[:limit]
        return _json({"items": items, "next": str(items[-1]["turn"]) if len(said) > limit else None})

    async def stop(self, request: web.Request) -> web.Response:
        """End a conversation; one that has ended stays as it is. At another proxy it ends within a second or two."""
        session = _session(request)
        row = await self.crosstalk.stop(session)
        found = self.crosstalk.find(session)
        return _json(shown.session(row) if found is None else shown.live(found))

    async def remove(self, request: web.Request) -> web.Response:
        """Forget what was said in a conversation that has ended; the ledger keeps its calls."""
        session = _session(request)
        if self.crosstalk.find(session) is not None:
            raise ConflictError("the conversation runs, or the store does not have its end yet; stop it first")
        await asyncio.to_thread(self._remove, session)
        return web.Response(status=204)

    async def stats(self, request: web.Request) -> web.Response:
        """What the conversations that began in a range came to."""
        start, end = span(request.query, datetime.now(UTC))
        found = await asyncio.to_thread(lambda: stats(self.store(), start, end))
        return _json({"from": start, "to": end, **found})

    def follow(self, request: web.Request) -> News:
        """Return the news of the conversation that a request names. Raises NoSuchCrosstalk."""
        session = _session(request)
        found = self.crosstalk.find(session)
        return FromStore(session, self.store) if found is None else FromMemory(found)

    def _remove(self, session: str) -> None:
        store = self.store()
        if rows.one(store, session) is None:
            raise NoSuchCrosstalk(f"there is no conversation {session!r}")
        try:
            store.transact(rows.removing(session))
        except ConflictError as error:
            raise ConflictError("the conversation runs; stop it first") from error

    def _check(self, showing: Credentials) -> None:
        """Refuse at once whose calls would all be refused."""
        found = self.gate.caller(showing.headers, MultiDict()).found
        if isinstance(found, Refused):
            raise BadBody(found.status, found.message)


def _session(request: web.Request) -> str:
    name = request.match_info["id"]
    if not _ID.fullmatch(name):
        raise NoSuchCrosstalk("there is no conversation of such an id")
    return name


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=shown.encoded(value), content_type="application/json")
