"""A key's limits: requests and tokens a minute, calls in parallel. Pure: the clock is an argument, and never goes back.

The minute slides. What is used counts with the quarter of a second it was used in, for 60 to 60.25 seconds. So, at
the time `t` of any admission:

- requests admitted in [t - 60 s, t] are never more than the limit, in whatever 60 seconds one looks;
- tokens charged in [t - 60 s, t] are never more than the limit. A call is charged as estimated when it is admitted, and
  put right when it ends: what it used beyond is charged then, and may lead over the limit, a debt that keeps later
  calls waiting; what it used less is taken back from where it was charged, as long as that counts. A call that is
  estimated at more than the whole limit is admitted when nothing else was in the last minute;
- calls that have not ended are never more than the limit.

Limits hold for each proxy by itself: several proxies side by side admit that many each.
"""

from collections import deque
from math import ceil, floor
from typing import Final

import msgspec

MINUTE_S: Final = 60
_SLOT_S: Final = 0.25
#: What was used in a slot is over after so many, wherever in the slot it was used.
_LASTS: Final = int(MINUTE_S / _SLOT_S) + 1


class Quota(msgspec.Struct, frozen=True):
    """One limit as answers show it; `reset_s`: seconds until all of it is free again."""

    name: str
    limit: int
    remaining: int
    reset_s: float


class Exceeded(msgspec.Struct, frozen=True):
    """Which limit has no room, and in how many seconds it has; None: as soon as a call ends."""

    what: str
    limit: int
    retry_after_s: float | None


class Used:
    """An amount in one slot."""

    __slots__ = ("amount", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.amount = 0

    @property
    def over_s(self) -> float:
        """When it counts no more."""
        return (self.slot + _LASTS) * _SLOT_S


class SlidingMinute:
    """What was used in the last minute, slot by slot."""

    __slots__ = ("_used", "total")

    def __init__(self) -> None:
        self._used: deque[Used] = deque()  # oldest first
        self.total = 0

    def forget(self, now_s: float) -> None:
        """Drop what no longer counts."""
        used = self._used
        while used and used[0].over_s <= now_s:
            self.total -= used.popleft().amount

    def add(self, amount: int, now_s: float) -> Used:
        """Count `amount` in this slot; return where it is counted."""
        slot = floor(now_s / _SLOT_S)
        if not self._used or self._used[-1].slot < slot:
            self._used.append(Used(slot))
        last = self._used[-1]
        last.amount += amount
        self.total += amount
        return last

    def take_back(self, amount: int, used: Used, now_s: float) -> None:
        """Take `amount` back of what is counted in `used`; what does not count any more leaves nothing to take."""
        if used.over_s > now_s:
            used.amount -= amount
            self.total -= amount

    def free_in_s(self, needed: int, now_s: float) -> float:
        """Return after how many seconds `needed` of what counts now will have gone."""
        gone = 0
        for used in self._used:
            gone += used.amount
            if gone >= needed:
                return max(used.over_s - now_s, 0.0)
        return self.reset_s(now_s)

    def reset_s(self, now_s: float) -> float:
        """Return after how many seconds nothing of it counts."""
        return max(self._used[-1].over_s - now_s, 0.0) if self._used else 0.0


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

    def take(self, tokens: int, now_s: float) -> "Ticket | Exceeded":
        """Admit a call estimated at `tokens`, or say which limit has no room; then it counts for nothing."""
        self._requests.forget(now_s)
        self._tokens.forget(now_s)
        if (why := self._exceeded(tokens, now_s)) is not None:
            return why
        self.in_flight += 1
        self._requests.add(1, now_s)
        return Ticket(self, tokens, self._tokens.add(tokens, now_s))

    def end(self, estimated: int, charged: Used, used: int, now_s: float) -> None:
        """A call has ended: its tokens were `charged` as estimated, and it used so many."""
        self.in_flight -= 1
        self._tokens.forget(now_s)
        if used > estimated:
            self._tokens.add(used - estimated, now_s)
        elif used < estimated:
            self._tokens.take_back(estimated - used, charged, now_s)

    def quotas(self, now_s: float) -> list[Quota]:
        """Return what is left of `requests` and `tokens`, where they are limited."""
        found = []
        for name, limit, window in (("requests", self.requests, self._requests), ("tokens", self.tokens, self._tokens)):
            if limit is not None:
                window.forget(now_s)
                found.append(Quota(name, limit, max(limit - window.total, 0), window.reset_s(now_s)))
        return found

    def _exceeded(self, tokens: int, now_s: float) -> Exceeded | None:
        if self.parallel is not None and self.in_flight >= self.parallel:
            return Exceeded("calls in parallel", self.parallel, None)
        if self.requests is not None and self._requests.total >= self.requests:
            over = self._requests.total + 1 - self.requests
            return Exceeded("requests a minute", self.requests, self._requests.free_in_s(over, now_s))
        if self.tokens is None or not tokens or self._tokens.total <= 0:
            return None  # a call of no tokens is of a kind that uses none
        over = self._tokens.total + min(tokens, self.tokens) - self.tokens
        if over <= 0:
            return None
        return Exceeded("tokens a minute", self.tokens, self._tokens.free_in_s(over, now_s))


class Ticket:
    """What an admitted call holds, until it is given back; giving it back again changes nothing."""

    __slots__ = ("_charged", "_estimated", "_limits", "_open")

    def __init__(self, limits: Limits, estimated: int, charged: Used) -> None:
        self._limits = limits
        self._estimated = estimated
        self._charged = charged
        self._open = True

    def end(self, used: int, now_s: float) -> None:
        """The call has ended, whatever came of it, and has used so many tokens."""
        if self._open:
            self._open = False
            self._limits.end(self._estimated, self._charged, used, now_s)


def seconds(value: float | None) -> int:
    """Return a wait as whole seconds, never too short; what has no known end is tried again in a second."""
    return 1 if value is None else max(ceil(value), 1)
