"""What a protocol must say to be simulated; one file a protocol implements it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson

from data.model import Endpoint
from proxy.simulated.answer import Answer, Ask
from proxy.simulated.exchange import Event

Body = Mapping[str, Any]


SSE = "text/event-stream; charset=utf-8"


class Trouble(StrEnum):
    """Why a provider refuses what is asked, where another model or provider might not."""

    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"


class BadAsk(ValueError):
    """The request's body is not what the protocol wants; the message is the provider's."""


class NotThere(ValueError):
    """There is nothing of that name; the message is the provider's."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the caller has used of this minute's allowance."""

    requests: int
    input_tokens: int
    output_tokens: int
    resets_in_s: float
    resets_at: str  # RFC 3339


class Dialect(Protocol):
    """One protocol: reads requests, writes answers, events and errors. No I/O, no clock."""

    endpoint: Endpoint
    overloaded: int  # the status that says "too busy"
    stream_type: str  # the Content-Type of a stream

    def read(self, body: Body) -> Ask:
        """What is asked. Raises BadAsk."""

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON body."""

    def events(self, answer: Answer) -> list[Event]:
        """The answer as server-sent events."""

    def error(self, status: int, request_id: str, /, why: str = "") -> bytes:
        """The body of an error with `status`; `why` replaces the usual message."""

    def trouble(self, trouble: Trouble, request_id: str, /) -> tuple[int, bytes]:
        """Status and body of the error that says so."""

    def error_event(self) -> bytes:
        """An error in the middle of a stream, as one event."""

    def unknown_event(self) -> bytes:
        """An event that no client knows yet."""

    def headers(self, request_id: str, ratelimit: RateLimit) -> dict[str, str]:
        """The headers that come with every answer."""


def sse(data: object, event: str = "") -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n".encode() if event else b""
    return b"%bdata: %b\n\n" % (name, orjson.dumps(data))


def text_of(value: object) -> bytes:
    """The bytes of a block that count as input: its text, or its JSON without cache marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return orjson.dumps({name: each for name, each in value.items() if name != "cache_control"})
    return orjson.dumps(value)


def model_of(body: Body) -> str:
    """The model's name. Raises BadAsk when there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadAsk("model: Field required")
    return model


def positive(body: Body, *names: str) -> int | None:
    """The first of `names` that is set, which must be a positive whole number. Raises BadAsk."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadAsk(f"{name}: Input should be greater than or equal to 1")
        return value
    return None


def listed(body: Body, name: str) -> list[Any]:
    """The list `name`, empty where it is missing. Raises BadAsk when it is something else."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadAsk(f"{name}: Input should be a valid list")
    return value
