"""Lists in an order other than that of their ids: a page's cursor is the place of its last row in that order."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
from aiohttp import web

from engine.api.problems import BadRequest
from engine.api.reading import page

T = TypeVar("T")
#: What the list is ordered by, of one row: enough to go on after that row, also when it is gone by then.
Place = tuple[str, ...]


async def a_page_by(
    request: web.Request, rows: Callable[[Place | None, int], Sequence[T]], place: Callable[[T], Place], parts: int
) -> dict[str, Any]:
    """`{"items", "next"}` of the page that was asked for; raises BadRequest, and what `rows` raises.

    `rows` gives those after a place of so many parts (None: from the beginning), and how many at most.
    """
    limit, cursor = page(request)
    found = await asyncio.to_thread(rows, place_of(cursor, parts) if cursor else None, limit + 1)
    shown = list(found[:limit])
    return {"items": shown, "next": cursor_of(place(shown[-1])) if len(found) > limit else None}


def cursor_of(place: Place) -> str:
    """A place as text that goes into an address as it is."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_of(cursor: str, parts: int) -> Place:
    """The place that a cursor stands for; raises BadRequest for one that no page of such a list gave."""
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise BadRequest("cursor must be the `next` of the page before") from error
    if not isinstance(place, list) or len(place) != parts or not all(isinstance(part, str) for part in place):
        raise BadRequest("cursor must be the `next` of the page before, of the same list")
    return tuple(place)
