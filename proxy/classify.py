"""What an error answer means: read from its status, its headers and its body, whichever provider wrote it.

The words are those of Anthropic (`error.type`), OpenAI (`error.code`, `error.type`), Gemini (`error.status`,
`google.rpc.ErrorInfo`, `google.rpc.RetryInfo`) and of servers that speak like them; sentences are looked at only
where a provider has no word for what happened.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.error_words import NEVER_FITS, PHRASES, STATUSES, WORDS
from proxy.failure import Failure, FailureClass
from proxy.retry import asked_wait, seconds_of
from proxy.secrets import error_class

#: A longer error body is no error body; its status alone counts.
MAX_ERROR_BYTES: Final = 64 * 1024
_MAX_TEXT: Final = 4096


def classify(status: int, headers: Mapping[str, str], body: bytes = b"", *, now: float) -> Failure:
    """Return what failed. `body` is decoded of its content coding; b'' where nobody has read it.

    An `error` event of a stream is read the same way, with the stream's status and the event's data.
    `headers` are looked up in lower case; `now` is in seconds since the epoch.
    """
    error = _error(body) if 0 < len(body) <= MAX_ERROR_BYTES else {}
    words = [*_words(error), headers.get("x-amzn-errortype", "").partition(":")[0].lower()]
    message, wait = _text(error.get("message")), asked_wait(headers, now)
    delay = _delay_in(error) if wait is None else wait
    kind = _kind(status, words, message)
    if kind is FailureClass.RATE_LIMITED and delay is None and _is_daily(error):
        kind = FailureClass.QUOTA
    return Failure(
        kind=kind,
        status=status,
        code=error_class(next((word for word in words if word), "")),
        retry_after_s=delay,
        should_retry=_should_retry(headers, message),
    )


def _kind(status: int, words: list[str], message: str) -> FailureClass:
    for kind, known in WORDS.items():
        if not known.isdisjoint(words):
            return kind
    if status < 500:
        for kind, phrases in PHRASES.items():
            if phrases.search(message):
                return kind
    if status in STATUSES:
        return STATUSES[status]
    return FailureClass.BAD_REQUEST if 400 <= status < 500 else FailureClass.ERROR


def _should_retry(headers: Mapping[str, str], message: str) -> bool | None:
    match headers.get("x-should-retry", "").strip().lower():
        case "true":
            return True
        case "false":
            return False
    return False if message.lower().startswith(NEVER_FITS) else None


def _error(body: bytes) -> dict[str, Any]:
    """The object that describes the error, wherever it stands; {} where there is none."""
    try:
        read = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    if isinstance(read, list) and read:
        read = read[0]
    if not isinstance(read, dict):
        return {}
    inner = read.get("response")
    for holder in (read, inner if isinstance(inner, dict) else {}):
        found = holder.get("error")
        if isinstance(found, dict):
            return found
        if isinstance(found, str):
            return {"message": found}
    return read


def _words(error: dict[str, Any]) -> Iterator[str]:
    for name in ("code", "status", "type"):
        yield _text(error.get(name)).lower()
    inner = error.get("innererror")
    if isinstance(inner, dict):
        yield _text(inner.get("code")).lower()
    yield from (_text(detail.get("reason")).lower() for detail in _details(error))


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    yield from (detail for detail in (details if isinstance(details, list) else ()) if isinstance(detail, dict))


def _delay_in(error: dict[str, Any]) -> float | None:
    """`google.rpc.RetryInfo`: a span such as "34s" or "0.5s"."""
    spans = (_text(detail.get("retryDelay")) for detail in _details(error))
    return next((wait for span in spans if (wait := seconds_of(span.removesuffix("s"))) is not None), None)


def _is_daily(error: dict[str, Any]) -> bool:
    """Whether it is a day's quota that Gemini calls used up."""
    for detail in _details(error):
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and "PerDay" in _text(violation.get("quotaId")):
                return True
    return False


def _text(value: object) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""
