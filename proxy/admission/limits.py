"""A key's limits: requests and tokens a minute, calls in parallel. Pure: the clock is an argument.

The minute slides. What was admitted counts until 60 to 61 seconds have passed: within any 60 seconds there are never
more requests than the limit. Tokens are charged as estimated when a call is admitted, and put right when it ends; a
call that used more leaves a debt, so tokens may exceed their limit by what calls in flight were underestimated. A
call that is estimated at more than the whole limit is admitted when nothing else was in the last minute.

Limits hold for each proxy by itself: several proxies side by side admit that many each.
"""

from collections import deque
from math import ceil
from typing import Final

import msgspec

MINUTE_S: Final = 60
#: A second's amount counts until the second's last instant is a minute ago.
_KEPT_S: Final = MINUTE_S + 1


class Quota(msgspec.Struct, frozen=True):
    """One limit as answers show it; `reset_s`: seconds until all of it is free again."""

    limit: int
    remaining: int
    reset_s: float


class Exceeded(msgspec.Struct, frozen=True):
    """Which limit has no room, and in how many seconds it has; None: as soon as a call ends."""

    what: str
    limit: int
    retry_after_s: float | None


class SlidingMinute:
    """What was used in the last minute, second by second."""

    __slots__ = ("_seconds", "total")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, amount], oldest first
        self.total = 0

    def forget(self, now_s: float) -> None:
        """Drop what no longer counts at `now_s`; a clock that jumps back drops nothing."""
        while self._seconds and self._seconds[0][0] + _KEPT_S <= now_s:
            self.total -= self._seconds.popleft()[1]

    def add(self, amount: int, now_s: float) -> None:
        """Count `amount`, which may be less than nothing, in this second."""
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] >= second:
            self._seconds[-1][1] += amount
        else:
            self._seconds.append([second, amount])
        self.total += amount

    def free_in_s(self, needed: int, now_s: float) -> float:
        """Return after how many seconds `needed` of what counts now will have gone."""
        gone = 0
        for second, amount in self._seconds:
            gone += amount
            if gone >= needed:
                return max(second + _KEPT_S - now_s, 0.0)
        return self.reset_s(now_s)

    def reset_s(self, now_s: float) -> float:
        """Return after how many seconds nothing of it counts."""
        return max(self._seconds[-1][0] + _KEPT_S - now_s, 0.0) if self._seconds else 0.0


class Limits:
    """What a key may use and has used. `None` is no limit."""

    def __init__(self, requests: int | None, tokens: int | None, parallel: int | None) -> None:
        self.requests = requests
        self.tokens = tokens
        self.parallel = parallel
        self._requests = SlidingMinute()
        self._tokens = SlidingMinute()
        self.in_flight = 0

    def change(self, requests: int | None, tokens: int | None, parallel: int | None) -> None:
        """Hold to other limits from now on; what was used counts on."""
        self.requests, self.tokens, self.parallel = requests, tokens, parallel

    def take(self, tokens: int, now_s: float) -> Exceeded | None:
        """Admit a call estimated at `tokens`, or say which limit has no room. What is taken is given back by `end`."""
        self._requests.forget(now_s)
        self._tokens.forget(now_s)
        if (why := self._exceeded(tokens, now_s)) is not None:
            return why
        self.in_flight += 1
        self._requests.add(1, now_s)
        if tokens:
            self._tokens.add(tokens, now_s)
        return None

    def end(self, estimated: int, used: int, now_s: float) -> None:
        """A call has ended: it was estimated at so many tokens, and used so many."""
        self.in_flight -= 1
        self._tokens.forget(now_s)
        if used != estimated:
            self._tokens.add(used - estimated, now_s)

    def quotas(self, now_s: float) -> dict[str, Quota]:
        """Return what is left, by `requests` and `tokens`, of those that are limited."""
        found = {}
        for name, limit, window in (("requests", self.requests, self._requests), ("tokens", self.tokens, self._tokens)):
            if limit is not None:
                window.forget(now_s)
                found[name] = Quota(limit, max(limit - window.total, 0), window.reset_s(now_s))
        return found

    def _exceeded(self, tokens: int, now_s: float) -> Exceeded | None:
        if self.parallel is not None and self.in_flight >= self.parallel:
            return Exceeded("calls in parallel", self.parallel, None)
        if self.requests is not None and self._requests.total >= self.requests:
            over = self._requests.total + 1 - self.requests
            return Exceeded("requests a minute", self.requests, self._requests.free_in_s(over, now_s))
        if self.tokens is None or self._tokens.total <= 0:
            return None
        over = self._tokens.total + min(tokens, self.tokens) - self.tokens
        if over <= 0 and self._tokens.total < self.tokens:
            return None
        return Exceeded("tokens a minute", self.tokens, self._tokens.free_in_s(max(over, 1), now_s))


def seconds(value: float | None) -> int:
    """Return a wait as whole seconds, never too short; what has no known end is tried again in a second."""
    return 1 if value is None else max(ceil(value), 1)
