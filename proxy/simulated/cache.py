"""The provider's prompt cache: which prefixes it has seen, and what that makes of a request's input.

Anthropic caches what the caller marks, with a time to live of 5 minutes or 1 hour; OpenAI caches long prefixes by
itself, in steps of 128 tokens from 1,024 on. Marked prefixes have no minimum, so that small tests see the cache too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

FIVE_MINUTES = 300.0
ONE_HOUR = 3600.0
_IMPLICIT_MINIMUM = 1024
_IMPLICIT_STEP = 128
_REMEMBERED = 20_000


class Segment(NamedTuple):
    """One block of the prompt. `ttl_s` is set where the caller marked the end of a prefix to be cached."""

    content: bytes
    tokens: int
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """Tokens of one request that were read from, or written to, the cache."""

    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0


NOTHING = CacheCounts()


class PromptCache:
    """Prefixes that were seen, until they expire; `now` is in seconds of any steady clock."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def marked(self, scope: str, segments: Sequence[Segment], now: float) -> CacheCounts:
        """Read the longest known prefix up to the last mark, write the marked rest. `scope`: what shares a cache."""
        marks = [index for index, segment in enumerate(segments) if segment.ttl_s]
        if not marks:
            return NOTHING
        prefixes = _prefixes(scope, segments[: marks[-1] + 1])
        read = self._longest(prefixes, now)
        totals = {FIVE_MINUTES: 0, ONE_HOUR: 0}
        begin = read + 1
        for mark in marks:
            ttl = segments[mark].ttl_s or FIVE_MINUTES
            totals[ttl] += sum(segment.tokens for segment in segments[begin : mark + 1])
            begin = max(begin, mark + 1)
            self._keep(prefixes[mark], now + ttl)
        return CacheCounts(
            sum(segment.tokens for segment in segments[: read + 1]), totals[FIVE_MINUTES], totals[ONE_HOUR]
        )

    def implicit(self, scope: str, segments: Sequence[Segment], now: float) -> CacheCounts:
        """What a provider that caches by itself reads; it writes for nothing."""
        if sum(segment.tokens for segment in segments) < _IMPLICIT_MINIMUM:
            return NOTHING
        prefixes = _prefixes(scope, segments)
        read = self._longest(prefixes, now)
        for prefix in prefixes:
            self._keep(prefix, now + FIVE_MINUTES)
        known = sum(segment.tokens for segment in segments[: read + 1])
        return CacheCounts(known - known % _IMPLICIT_STEP if known >= _IMPLICIT_MINIMUM else 0)

    def _longest(self, prefixes: Sequence[bytes], now: float) -> int:
        for index in range(len(prefixes) - 1, -1, -1):
            if self._until.get(prefixes[index], 0.0) > now:
                return index
        return -1

    def _keep(self, prefix: bytes, until: float) -> None:
        self._until[prefix] = max(until, self._until.get(prefix, 0.0))
        self._until.move_to_end(prefix)
        if len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)


def _prefixes(scope: str, segments: Sequence[Segment]) -> list[bytes]:
    digest = blake2b(scope.encode(), digest_size=16)
    found = []
    for segment in segments:
        digest.update(segment.content)
        digest.update(b"\x00")
        found.append(digest.digest())
    return found
