"""What a translation of one call is: its interface, and what it is told of the call."""

from collections.abc import Mapping
from typing import Protocol as Shape

import msgspec


class Context(msgspec.Struct, frozen=True):
    """What the translation of one call is told besides the request."""

    model: str  # what the provider is asked for, never ''
    asked: str  # what the client asked for
    estimated_input: int  # tokens, until the provider tells
    id: str  # unique: what the ids of answers are made of
    at: int  # seconds since the epoch


class Streamed(Shape):
    """One stream's translation: decoded SSE bytes in and out; every way of cutting the input gives the same bytes."""

    def feed(self, data: bytes) -> bytes:
        """Take more of the provider's stream; give the client's."""
        ...

    def flush(self) -> bytes:
        """Give the end: a proper one if the provider ended properly, else an error event."""
        ...

    def broken(self) -> bytes:
        """Give the error event of a stream whose connection broke."""
        ...


class Translation(Shape):
    """One call's translation."""

    @property
    def body(self) -> bytes:
        """The request for the provider."""
        ...

    @property
    def path(self) -> str:
        """The provider's endpoint."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers to set for the provider."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the client wants a stream."""
        ...

    def whole(self, body: bytes) -> bytes:
        """Return the client's form of a good answer; of one that cannot be read, an error in the client's form."""
        ...

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return the client's form of an error, whatever the body is."""
        ...

    def streamed(self) -> Streamed:
        """Return a fresh translator of the answer's stream."""
        ...
