"""How a provider's answer becomes the client's where it is not passed on as it came."""

from typing import Protocol as Shape

from proxy.errors import UnreadableBody
from proxy.relocation import Relocation
from proxy.translate import Translation
from proxy.usage.include_usage import UsageChunkFilter
from proxy.usage.stream import MAX_BODY_BYTES


class Filter(Shape):
    """Takes an answer's plain bytes as they come and gives the client's."""

    def feed(self, data: bytes) -> bytes:
        """Take more; give what may go on."""
        ...

    def flush(self) -> bytes:
        """Give what is left at the answer's end."""
        ...

    def broken(self) -> bytes:
        """Give what tells the client that the answer broke off."""
        ...


class Rewriting(Shape):
    """What is done to the answers of one call. `translates`: errors are written anew too."""

    @property
    def translates(self) -> bool:
        """Whether they are written anew."""
        ...

    def filter(self, *, streams: bool) -> Filter | None:
        """Return what a good answer goes through; None: nothing."""
        ...

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return the client's form of an error."""
        ...


class HiddenUsage:
    """The proxy asked for a stream's counts: the chunk that brings them stays here."""

    translates = False

    def filter(self, *, streams: bool) -> Filter | None:
        """Hide the chunk in a stream; nothing else has it."""
        return _HidingFilter() if streams else None

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Leave errors as they are."""
        return status, body


class Relocating:
    """Leads clients to the proxy at `origin` for what their provider names by its own address."""

    translates = False

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def filter(self, *, streams: bool) -> Filter | None:
        """Change the addresses in answers that are no streams."""
        return None if streams else Relocation(self._origin)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Leave errors as they are."""
        return status, body


class Translating:
    """Answers in the client's protocol what its provider answered in another one."""

    translates = True

    def __init__(self, translation: Translation) -> None:
        self._translation = translation

    def filter(self, *, streams: bool) -> Filter | None:
        """Translate a stream as it comes, another answer when it is whole."""
        return self._translation.streamed() if streams else _WholeFilter(self._translation)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Translate an error."""
        return self._translation.error(status, body)


class _WholeFilter:
    """Holds an answer until it is whole."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take more of the answer; give nothing yet."""
        self._held += data
        if len(self._held) > MAX_BODY_BYTES:
            raise UnreadableBody("the provider's answer is too large to be translated")
        return b""

    def flush(self) -> bytes:
        """Give the whole answer in the client's protocol."""
        return self._translation.whole(bytes(self._held))

    def broken(self) -> bytes:
        """Add nothing: an answer that breaks off has no end."""
        return b""


class _HidingFilter(UsageChunkFilter):
    def broken(self) -> bytes:
        """Add nothing: the stream breaks off where the provider's did."""
        return b""
