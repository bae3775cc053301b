"""A key's limits: requests and tokens a minute, calls in parallel. Pure: the clock is an argument, and never goes back.

The minute slides. What is used counts with the quarter of a second it was used in, for 60 to 60.25 seconds. So, at
the time `t` of any admission:

- requests admitted in [t - 60 s, t] are never more than the limit, in whatever 60 seconds one looks;
- tokens charged in [t - 60 s, t] are never more than the limit. A call is charged as estimated when it is admitted, and
  put right when it ends: what it used beyond is charged then, and may lead over the limit, a debt that keeps later
  calls waiting; what it used less is taken back from where it was charged, as long as that counts. A call that is
  estimated at more than the whole limit is admitted when nothing else was in the last minute;
- calls that have not ended are never more than the limit.

All of it holds for the proxies of a home together. One that serves its home alone counts here, in memory; several
count in a file that they share (`shared_limits`), with the same code. What they tell each other are times of the clock
that never goes back, `time.monotonic()`: on Linux (CLOCK_MONOTONIC) and macOS (mach_absolute_time) it is the machine's,
the same in every process.
"""

from collections import deque
from collections.abc import Iterable
from math import ceil, floor
from typing import Final, Protocol

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

    @property
    def slots(self) -> list[tuple[int, int]]:
        """Each slot with what is counted in it, oldest first."""
        return [(used.slot, used.amount) for used in self._used]

    def replace(self, slots: Iterable[tuple[int, int]]) -> None:
        """Count what other proxies count too; who holds a slot's amount still does."""
        known = {used.slot: used for used in self._used}
        self._used = deque()
        for slot, amount in slots:
            used = known.get(slot) or Used(slot)
            used.amount = amount
            self._used.append(used)
        self.total = sum(used.amount for used in self._used)

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


class Others(Protocol):
    """Where a key's use is counted with that of other proxies; `SharedLimits` is one."""

    def take(self, limits: "Limits", tokens: int, now_s: float) -> "Ticket | Exceeded":
        """Admit a call or say why not, by what all have used. Raises LimitsUnknown."""
        ...

    def settle(self, limits: "Limits", estimated: int, charged: Used, used: int, now_s: float) -> None:
        """Put right what an ended call was charged; raises nothing."""
        ...


class Limits:
    """What a key may use and has used. `None` is no limit."""

    def __init__(self, requests: int | None, tokens: int | None, parallel: int | None, key: str = "") -> None:
        """`key`: the name it has for other proxies."""
        self.key = key
        self.requests = requests
        self.tokens = tokens
        self.parallel = parallel
        self.used_requests = SlidingMinute()
        self.used_tokens = SlidingMinute()
        self.in_flight = 0  # at this proxy
        self.elsewhere = 0  # calls in flight at other proxies, as far as is known
        self.others: Others | None = None  # None: nobody else counts

    def change(self, requests: int | None, tokens: int | None, parallel: int | None) -> None:
        """Hold to other limits from now on; what was used counts on."""
        self.requests, self.tokens, self.parallel = requests, tokens, parallel

    def take(self, tokens: int, now_s: float) -> "Ticket | Exceeded":
        """Admit a call estimated at `tokens`, or say which limit has no room; then it counts for nothing.

        Raises LimitsUnknown where others count too, and what they have used cannot be told.
        """
        return self.take_here(tokens, now_s) if self.others is None else self.others.take(self, tokens, now_s)

    def take_here(self, tokens: int, now_s: float) -> "Ticket | Exceeded":
        """Do so by what is counted here."""
        self.used_requests.forget(now_s)
        self.used_tokens.forget(now_s)
        if (why := self._exceeded(tokens, now_s)) is not None:
            return why
        self.in_flight += 1
        self.used_requests.add(1, now_s)
        return Ticket(self, tokens, self.used_tokens.add(tokens, now_s))

    def end(self, estimated: int, charged: Used, used: int, now_s: float) -> None:
        """A call has ended: its tokens were `charged` as estimated, and it used so many."""
        self.in_flight -= 1
        if self.others is None:
            self.settle_here(estimated, charged, used, now_s)
        else:
            self.others.settle(self, estimated, charged, used, now_s)

    def settle_here(self, estimated: int, charged: Used, used: int, now_s: float) -> None:
        """Put right what is counted here of a call that has ended."""
        self.used_tokens.forget(now_s)
        if used > estimated:
            self.used_tokens.add(used - estimated, now_s)
        elif used < estimated:
            self.used_tokens.take_back(estimated - used, charged, now_s)

    def quotas(self, now_s: float) -> list[Quota]:
        """Return what is left of `requests` and `tokens`, where they are limited, as far as is known here."""
        found = []
        for name, limit, window in (
            ("requests", self.requests, self.used_requests),
            ("tokens", self.tokens, self.used_tokens),
        ):
            if limit is not None:
                window.forget(now_s)
                found.append(Quota(name, limit, max(limit - window.total, 0), window.reset_s(now_s)))
        return found

    def _exceeded(self, tokens: int, now_s: float) -> Exceeded | None:
        if self.parallel is not None and self.in_flight + self.elsewhere >= self.parallel:
            return Exceeded("calls in parallel", self.parallel, None)
        if self.requests is not None and self.used_requests.total >= self.requests:
            over = self.used_requests.total + 1 - self.requests
            return Exceeded("requests a minute", self.requests, self.used_requests.free_in_s(over, now_s))
        if self.tokens is None or not tokens or self.used_tokens.total <= 0:
            return None  # a call of no tokens is of a kind that uses none
        over = self.used_tokens.total + min(tokens, self.tokens) - self.tokens
        if over <= 0:
            return None
        return Exceeded("tokens a minute", self.tokens, self.used_tokens.free_in_s(over, now_s))


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
