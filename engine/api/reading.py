"""What comes in and goes out: JSON bodies, query parameters, and answers with exact money."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import orjson
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel

from engine.api.problems import BadRequest
from engine.api.repeats import repeats
from engine.durations import duration
from engine.errors import RuleError

M = TypeVar("M", bound=BaseModel)
#: Rows of a list, each with its id, after the one with a given id ('': from the beginning), and how many at most.
Rows = Callable[[str, int], list[dict[str, Any]]]

LARGEST_PAGE = 500
#: Times beyond are mistakes, and arithmetic with them runs over.
LAST_YEAR = 2200


def answer(value: Any, status: int = 200) -> web.Response:
    """JSON. Times are ISO 8601 in UTC (`Z`); money is a number with all of its digits, never a rounded float."""
    options = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS
    body = orjson.dumps(value, default=_plain, option=options)
    return web.Response(status=status, body=body, content_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode()) if value.is_finite() else None
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _keyed(item) for name, item in asdict(value).items()}
    if isinstance(value, msgspec.Struct):
        return {name: _keyed(item) for name, item in msgspec.structs.asdict(value).items()}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _keyed(value: Any) -> Any:
    """A dictionary with plain text for keys, which may be members of an enum."""
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else value


async def body(request: web.Request) -> dict[str, Any]:
    """The JSON object that was posted; {} without a body. Raises BadRequest, RuleError for doubled names."""
    sent = await raw(request)
    if not sent:
        return {}
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise web.HTTPUnsupportedMediaType(text="post JSON, with Content-Type: application/json")
    try:
        value = orjson.loads(sent)
        twice = repeats(sent)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if twice:
        raise RuleError(twice)
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


async def raw(request: web.Request) -> bytes:
    """The body as it came; raises BadRequest."""
    try:
        return await request.read()
    except (web.RequestPayloadError, HttpProcessingError, ClientError, ConnectionError) as error:
        # its text would quote the body
        raise BadRequest("the body is not encoded or framed as its headers say, or ends early") from error


async def posted(request: web.Request, model: type[M]) -> M:
    """The body as `model`; a ValidationError lists its faults."""
    return model.model_validate(await body(request))


def actor(request: web.Request, named: str = "") -> str:
    """Who acts: as the body says, else the `X-Actor` header, else `api`."""
    return (named or request.headers.get("X-Actor", "") or "api")[:200]


def expected_version(request: web.Request, given: Any) -> int | None:
    """The version a change is made from: as given, else by If-Match; None where any will do. Raises BadRequest."""
    text = str(request.headers.get("If-Match", "") if given is None else given).strip('W/"')
    if not text or text == "*":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest(f"version must be a number, not {text!r}")
    return int(text)


def expected_time(request: web.Request) -> datetime | None:
    """The `updated_at` that If-Match says a change is made from; None where any will do. Raises BadRequest."""
    text = request.headers.get("If-Match", "").removeprefix("W/").strip('"')
    return moment(text, "If-Match") if text not in {"", "*"} else None


def listed(request: web.Request, name: str) -> tuple[str, ...]:
    """A parameter that may be repeated or hold several values separated by commas."""
    parts = [part.strip() for value in request.query.getall(name, []) for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def among(request: web.Request, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """As `listed`, of these values only; raises BadRequest."""
    values = listed(request, name)
    strange = [value for value in values if value not in known]
    if strange:
        raise BadRequest(f"{name} must be among {', '.join(known)}, not {strange[0]!r}")
    return values


def flag(request: web.Request, name: str) -> bool | None:
    """A parameter that says `true` or `false`, None where it is left out; raises BadRequest."""
    text = request.query.get(name)
    if text not in {None, "true", "false"}:
        raise BadRequest(f"{name} must be true or false, not {text!r}")
    return None if text is None else text == "true"


def page(request: web.Request, default: int = 50) -> tuple[int, str]:
    """`limit` and `cursor`; raises BadRequest for a limit that is none."""
    text = request.query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST_PAGE):
        raise BadRequest(f"limit must be a number from 1 to {LARGEST_PAGE}, not {text!r}")
    return int(text), request.query.get("cursor", "")


def paged(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """`{"items", "next"}` of rows of which one more than `limit` was asked for; the cursor is the last shown id."""
    shown = rows[:limit]
    return {"items": shown, "next": shown[-1]["id"] if len(rows) > limit else None}


async def a_page(request: web.Request, rows: Rows) -> dict[str, Any]:
    """The page of a list that was asked for; raises BadRequest, and what `rows` raises."""
    limit, cursor = page(request)
    return paged(await asyncio.to_thread(rows, cursor, limit + 1), limit)


def moment(text: str, name: str) -> datetime:
    """An ISO 8601 time, UTC where it names no zone, or `now`; raises BadRequest."""
    if text == "now":
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"{name} must be a time like 2026-01-31T14:00:00Z, not {text!r}") from error
    if not 1970 <= at.year <= LAST_YEAR:
        raise BadRequest(f"{name} must lie between 1970 and {LAST_YEAR}, not in {at.year}")
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def bounds(request: web.Request) -> tuple[datetime | None, datetime | None]:
    """`from` and `to`, or `range` before `to` or now; None where a side is open. Raises BadRequest."""
    query = request.query
    end = moment(query["to"], "to") if "to" in query else None
    if "from" in query:
        return moment(query["from"], "from"), end
    if "range" in query:
        return (end or moment("now", "to")) - length(query["range"]), end
    return None, end


def span(request: web.Request, default: str) -> tuple[datetime, datetime]:
    """The half-open range asked for by `from` and `to`, or by `range=7d` up to `to` (now); raises BadRequest."""
    query = request.query
    end = moment(query["to"], "to") if "to" in query else datetime.now(UTC)
    start = moment(query["from"], "from") if "from" in query else end - length(query.get("range", default))
    if start >= end:
        raise BadRequest(f"the range must start before it ends: {start.isoformat()} to {end.isoformat()}")
    return start, end


def length(text: str) -> timedelta:
    """A duration like `7d`; raises BadRequest."""
    try:
        found = duration(text)
    except ValueError as error:
        raise BadRequest(f"range {error}") from error
    if found <= timedelta(0):
        raise BadRequest("range must be longer than nothing")
    return found
