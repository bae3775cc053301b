"""Everything that goes wrong becomes an RFC 9457 problem document; nothing else ever answers a fault."""

import logging
from collections.abc import Iterable

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from data.errors import (
    ConflictError,
    DeadlineExceeded,
    QueryRejected,
    RowLimitExceeded,
    StoreError,
    StoreUnavailable,
    UnknownMetric,
)
from data.problem import MEDIA_TYPE, problem_document
from engine.errors import DeliveryError, Fault, NotFound, Refused, RuleError, SecretUnreadable, StaleVersion
from engine.faults import told


class BadRequest(Exception):
    """The request itself is malformed: a body that is not JSON, a parameter that is not what it says."""


#: The first kind that fits says how an error is answered: subclasses stand before their bases.
_STATUS: dict[type[Exception], tuple[int, str]] = {
    BadRequest: (400, "Bad request"),
    OverflowError: (400, "A number or time is out of range"),
    RuleError: (422, "The document has faults"),
    NotFound: (404, "Not found"),
    StaleVersion: (409, "Changed meanwhile"),
    Refused: (409, "Not possible now"),
    SecretUnreadable: (409, "A secret cannot be read"),
    DeliveryError: (502, "The receiver refused"),
    UnknownMetric: (422, "Unknown name"),
    QueryRejected: (422, "The question cannot be answered"),
    RowLimitExceeded: (422, "Too many rows"),
    DeadlineExceeded: (504, "The answer took too long"),
    ConflictError: (409, "Changed meanwhile"),
    StoreUnavailable: (503, "The store is away"),
    StoreError: (503, "The store failed"),
}
_log = logging.getLogger(__name__)


def problem(status: int, title: str, detail: str, faults: Iterable[Fault] = (), **more: object) -> web.Response:
    """A problem document; `faults` are listed as `errors` with their place, `more` are further members."""
    document = problem_document(status, title, detail) | more
    listed = [{"path": fault.path, "message": fault.message} for fault in faults]
    document |= {"errors": listed} if listed else {}
    headers = {"Retry-After": "2"} if status == 503 else None
    body = orjson.dumps(document)
    return web.Response(status=status, body=body, content_type=MEDIA_TYPE, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error of a handler with its problem document."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _of_http(error)
    except Exception as error:  # noqa: BLE001 - the request's boundary
        return _of(error, request)


def _of(error: Exception, request: web.Request) -> web.Response:
    if isinstance(error, ValidationError):
        return problem(422, "The document has faults", "see errors", _faults(error))
    for kind, (status, title) in _STATUS.items():
        if isinstance(error, kind):
            faults = error.faults if isinstance(error, RuleError) else ()
            current = error.current if isinstance(error, StaleVersion) else None
            more = {} if current is None else {"current_version": current}
            return problem(status, title, str(error), faults, **more)
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "Internal error", "The worker's log says more.")


def _of_http(error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        return error
    answer = problem(error.status, error.reason, error.text or error.reason)
    for name in ("Allow",):
        if name in error.headers:
            answer.headers[name] = error.headers[name]
    return answer


def _faults(error: ValidationError) -> list[Fault]:
    found = error.errors(include_url=False, include_input=False)
    return [Fault(".".join(str(part) for part in fault["loc"]), told(fault)) for fault in found]
