"""What is posted to the proxy's API, and what is wrong with it as a problem document."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from pydantic import BaseModel, ValidationError

from data.errors import (
    ConflictError,
    CountersError,
    DataError,
    KeyFault,
    NoSuchBudget,
    NoSuchCrosstalk,
    NoSuchKey,
    StoreError,
    StoreUnavailable,
)
from proxy.call import read_body
from proxy.errors import BodyTooLarge, ClientGone
from proxy.refusals import problem

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_BODY_BYTES: Final = 1024 * 1024


class BadBody(Exception):
    """What was posted cannot be taken; `status` and the message say why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object that was posted, {} without a body. Raises `BadBody`."""
    try:
        raw = await read_body(request, MAX_BODY_BYTES)
    except BodyTooLarge as error:
        raise BadBody(413, f"A body may have {MAX_BODY_BYTES} bytes.") from error
    except ClientGone as error:
        raise BadBody(400, str(error)) from error
    if not raw:
        return {}
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise BadBody(415, "Post JSON, with Content-Type: application/json.")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBody(400, "The body is not JSON.") from error
    if not isinstance(value, dict):
        raise BadBody(400, "The body must be a JSON object.")
    return value


async def posted(request: web.Request, model: type[M]) -> M:
    """Return the body as `model`. Raises `BadBody`, which names every faulty field."""
    try:
        return model.model_validate(await json_body(request))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc'])) or 'the body'}: {f['msg']}" for f in error.errors(include_url=False))
        raise BadBody(400, "; ".join(faults)) from error


def with_problems(handler: Handler) -> Handler:
    """Return the handler with what goes wrong told as a problem document."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadBody as error:
            return problem(error.status, _TITLES.get(error.status, "Bad Request"), str(error))
        except DataError as error:
            status = next(status for kind, status in _STATUSES if isinstance(error, kind))
            return problem(status, _TITLES[status], str(error))

    return handle


_STATUSES: Final[tuple[tuple[type[DataError], int], ...]] = (
    (NoSuchKey, 404),
    (NoSuchBudget, 404),
    (NoSuchCrosstalk, 404),
    (ConflictError, 409),
    (KeyFault, 400),
    (StoreUnavailable, 503),
    (StoreError, 503),
    (CountersError, 503),
    (DataError, 400),
)
_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    503: "Store unavailable",
}
