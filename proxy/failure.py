"""What kind of failure an attempt was, and what may follow it. Pure.

Sources: Anthropic's and OpenAI's error types, Google's `google.rpc.Code` names.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

_Raw = msgspec.Raw


class FailureKind(StrEnum):
    """Kinds that may be treated differently; the first six have a list of fallbacks each."""

    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    ERROR = "error"  # the provider failed, broke off, or cannot be reached
    QUOTA = "quota"  # this credential's money or quota is gone
    CREDENTIAL = "credential"  # this credential is not accepted
    REQUEST = "request"  # the request itself is at fault: it fails everywhere


#: The same request may go well at the same place a moment later.
RETRIED: Final = frozenset({FailureKind.OVERLOADED, FailureKind.RATE_LIMITED, FailureKind.TIMEOUT, FailureKind.ERROR})
#: Another credential of the same provider may do.
OTHER_CREDENTIAL: Final = frozenset({FailureKind.RATE_LIMITED, FailureKind.QUOTA, FailureKind.CREDENTIAL})
#: What says that the place is unwell, not the request.
COUNTS_AGAINST_PLACE: Final = RETRIED | {FailureKind.QUOTA, FailureKind.CREDENTIAL}

_TIMEOUTS: Final = frozenset({"connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"})
_BY_STATUS: Final = {
    401: FailureKind.CREDENTIAL,
    403: FailureKind.CREDENTIAL,
    402: FailureKind.QUOTA,
    408: FailureKind.TIMEOUT,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
_BY_WORD: Final = {
    "overloaded_error": FailureKind.OVERLOADED,
    "unavailable": FailureKind.OVERLOADED,
    "engine_overloaded": FailureKind.OVERLOADED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "resource_exhausted": FailureKind.RATE_LIMITED,
    "insufficient_quota": FailureKind.QUOTA,
    "billing_error": FailureKind.QUOTA,
    "billing_hard_limit_reached": FailureKind.QUOTA,
    "authentication_error": FailureKind.CREDENTIAL,
    "permission_error": FailureKind.CREDENTIAL,
    "invalid_api_key": FailureKind.CREDENTIAL,
    "unauthenticated": FailureKind.CREDENTIAL,
    "permission_denied": FailureKind.CREDENTIAL,
    "timeout_error": FailureKind.TIMEOUT,
    "deadline_exceeded": FailureKind.TIMEOUT,
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "request_too_large": FailureKind.CONTEXT_LENGTH,
    "string_above_max_length": FailureKind.CONTEXT_LENGTH,
    "content_filter": FailureKind.CONTENT_POLICY,
    "content_policy_violation": FailureKind.CONTENT_POLICY,
    "responsibleaipolicyviolation": FailureKind.CONTENT_POLICY,
}
_TOO_LONG: Final = re.compile(
    r"prompt is too long|maximum context length|context window|exceeds? the (?:maximum|limit)[^.]{0,60}tokens"
    r"|input token count[^.]{0,80}exceeds|input length and `?max_tokens`? exceed",
    re.IGNORECASE,
)
_NOT_ALLOWED: Final = re.compile(
    r"content (?:management |filtering )?policy|content filter(?:ing)?|safety system|usage polic(?:y|ies)",
    re.IGNORECASE,
)
_MAX_MESSAGE: Final = 2000


class _Error(msgspec.Struct):
    type: object = None
    code: object = None
    status: object = None
    message: object = None


class _Body(msgspec.Struct):
    error: _Raw = msgspec.Raw()


_body_decoder = msgspec.json.Decoder(_Body)
_error_decoder = msgspec.json.Decoder(_Error)


def kind_of(status: int, body: bytes = b"", error_class: str = "") -> FailureKind:
    """Return the kind of a provider's error; where it sent none (`status` 0), by what the proxy calls it.

    `body` is the error without content coding.
    """
    if not status:
        return FailureKind.TIMEOUT if error_class in _TIMEOUTS else FailureKind.ERROR
    error = _error(body)
    for word in (error.code, error.type, error.status):
        if isinstance(word, str) and (kind := _BY_WORD.get(word.lower())):
            return kind
    message = error.message[:_MAX_MESSAGE] if isinstance(error.message, str) else ""
    if status in {400, 413, 422} or status < 400:
        if status == 413 or _TOO_LONG.search(message):
            return FailureKind.CONTEXT_LENGTH
        if _NOT_ALLOWED.search(message):
            return FailureKind.CONTENT_POLICY
    if kind := _BY_STATUS.get(status):
        return kind
    return FailureKind.REQUEST if 400 <= status < 500 else FailureKind.ERROR


def _error(body: bytes) -> _Error:
    """The error object of any protocol; an event of a stream may hold it flat."""
    try:
        raw = _body_decoder.decode(body).error
        return _error_decoder.decode(raw if memoryview(raw).nbytes else body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Error()
