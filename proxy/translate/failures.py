"""Errors of one protocol in the other's form: their class, their message, their status. Pure.

A status stays as it is, so that clients and their retries take it for what it was.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.usage import fields

_MAX_MESSAGE: Final = 4_000
_NOTHING: Final = frozenset({"", "null", "{}", "[]"})
_ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
    529: "service_unavailable",
}
#: What errors in a stream, which have no status, would have had as one.
_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "timeout_error": 504,
}
_TOO_LONG: Final = re.compile(
    r"context[ _](?:length|window)|prompt is too long|too many (?:input )?tokens", re.IGNORECASE
)
#: How Anthropic says it; Claude Code knows it by these words and makes the conversation shorter.
_ANTHROPIC_TOO_LONG: Final = "prompt is too long"

BROKEN: Final = "the connection to the provider broke before the answer ended"
UNFINISHED: Final = "the provider's answer ended before it was finished"
UNREADABLE: Final = "the provider's answer cannot be read"


class Failure(msgspec.Struct, frozen=True):
    """An error of either protocol."""

    message: str
    code: str = ""


def read_failure(body: bytes, status: int = 0) -> Failure:
    """Return what an error's body says: JSON of any provider's shape, HTML, text, or nothing."""
    value = fields.decode(body)
    if isinstance(value, list) and value:  # Google's
        value = value[0]
    found = failure_of(value)
    if found is not None:
        return found
    text = body[: 4 * _MAX_MESSAGE].decode("utf-8", "replace").strip()
    if text in _NOTHING or text.startswith("<"):
        return Failure(f"the provider answered with status {status} and no message")
    return Failure(text[:_MAX_MESSAGE])


def failure_of(value: object) -> Failure | None:
    """Return the error that a JSON value tells of, or None where it tells of none."""
    whole = fields.mapping(value)
    error = whole.get("error")
    if isinstance(error, str) and error:
        return Failure(error[:_MAX_MESSAGE])
    inner = fields.mapping(error) or (whole if "message" in whole and "choices" not in whole else {})
    message = fields.text(inner.get("message"), _MAX_MESSAGE) or fields.text(whole.get("detail"), _MAX_MESSAGE)
    if not (message or inner):
        return None
    code = inner.get("code")
    code = str(code) if type(code) is int else fields.text(code) or fields.text(inner.get("type"))
    return Failure(message or code or "the provider told no reason", code)


def anthropic_error(failure: Failure, status: int = 500) -> dict[str, Any]:
    """Return the error as Anthropic's object."""
    kind = _ANTHROPIC_TYPES.get(status) or ("invalid_request_error" if 400 <= status < 500 else "api_error")
    message = failure.message
    too_long = failure.code == "context_length_exceeded" or (status in (400, 413, 422) and _TOO_LONG.search(message))
    if too_long and _ANTHROPIC_TOO_LONG not in message.lower():
        message = f"{_ANTHROPIC_TOO_LONG}: {message}"
    return {"type": "error", "error": {"type": kind, "message": message}}


def openai_error(failure: Failure, status: int = 500) -> dict[str, Any]:
    """Return the error as OpenAI's object; its code is the class that Anthropic gave it."""
    kind = _OPENAI_TYPES.get(status) or ("invalid_request_error" if 400 <= status < 500 else "server_error")
    too_long = status in (400, 413) and _TOO_LONG.search(failure.message)
    code = "context_length_exceeded" if too_long else failure.code or None
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}


def status_of(failure: Failure) -> int:
    """Return the status that an error in a stream stands for."""
    code = failure.code
    if code.isascii() and code.isdecimal() and len(code) == 3:
        return clients_status(int(code))
    return _STATUSES.get(code, 500)


def clients_status(status: int) -> int:
    """Return the status for the client: the provider's, if it is one of an error."""
    return status if 400 <= status < 600 else 502
