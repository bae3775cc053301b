"""Sums over the last minute, in slots of one second. Time is an argument."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from data.latency import bucket_of, middle_ms
from data.model import Endpoint, LedgerRecord, Outcome

SECONDS = 60
_GOOD = frozenset({Outcome.OK, Outcome.DISCONNECTED})
#: Refusals that say nothing of what was asked: timeout, conflict, too early, rate limit.
_NOT_OF_CALLERS = frozenset({408, 409, 425, 429})
#: Not accepted, not paid for, not allowed.
_OF_CREDENTIALS = frozenset({401, 402, 403})


class Counts(NamedTuple):
    """What one ended call adds. Money is US dollars, durations are `data.latency` buckets.

    A result of a batch was no call of this minute: it adds what it used and cost alone.
    """

    calls: int
    error: bool
    blamed: bool
    tokens: int
    cost_usd: float
    duration: int | None  # None: nobody knows how long it took
    ttft: int | None


@dataclass(slots=True)
class Slot:
    """What ended within one second. Money is US dollars, latency counts by `data.latency` bucket."""

    second: int = -1
    requests: int = 0
    errors: int = 0
    blamed: int = 0  # of the errors, those that a provider answers for
    tokens: int = 0
    cost_usd: float = 0.0
    duration: Counter[int] = field(default_factory=Counter)
    ttft: Counter[int] = field(default_factory=Counter)

    def add(self, other: "Slot") -> None:
        """Add another slot's sums to this one's."""
        self.requests += other.requests
        self.errors += other.errors
        self.blamed += other.blamed
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd
        self.duration.update(other.duration)
        self.ttft.update(other.ttft)

    def count(self, call: Counts) -> None:
        """Count one ended call."""
        self.requests += call.calls
        self.errors += call.error
        self.blamed += call.blamed
        self.tokens += call.tokens
        self.cost_usd += call.cost_usd
        if call.duration is not None:
            self.duration[call.duration] += 1
        if call.ttft is not None:
            self.ttft[call.ttft] += 1


class Window:
    """The last minute."""

    def __init__(self) -> None:
        self._slots = [Slot() for _ in range(SECONDS)]

    def count(self, call: Counts, now_s: int) -> None:
        """Count a call that ended in the second `now_s`."""
        index = now_s % SECONDS
        slot = self._slots[index]
        if slot.second != now_s:
            slot = self._slots[index] = Slot(now_s)
        slot.count(call)

    def sums(self, now_s: int) -> Slot:
        """Return the sums of the minute that ends with the second `now_s`."""
        total = Slot(now_s)
        for slot in self._slots:
            if now_s - SECONDS < slot.second <= now_s:
                total.add(slot)
        return total


def quantile_ms(buckets: Counter[int], share: float) -> float | None:
    """Return the latency below which `share` of the counted calls lie, or None where none was counted."""
    rank = share * buckets.total()
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return round(middle_ms(bucket), 3)
    return None


def counts_of(record: LedgerRecord) -> Counts:
    """Return what a call adds to the sums."""
    called = record.endpoint is not Endpoint.BATCH_RESULT
    return Counts(
        int(called),
        called and is_error(record),
        called and is_blamed(record),
        tokens_of(record),
        float(record.cost_usd or 0),
        bucket_of(record.duration_ms) if record.duration_ms else None,
        None if record.ttft_ms is None else bucket_of(record.ttft_ms),
    )


def is_error(record: LedgerRecord) -> bool:
    """Whether a call failed; a client that hung up is no failure."""
    return record.outcome not in _GOOD


def is_blamed(record: LedgerRecord) -> bool:
    """Whether a call failed by its provider, or by the key for it that is configured here, not by what was asked."""
    of_caller = 400 <= record.status < 500 and record.status not in _NOT_OF_CALLERS
    return is_error(record) and not (of_caller and not (record.status in _OF_CREDENTIALS and record.credential))


def tokens_of(record: LedgerRecord) -> int:
    """All tokens of a call, input and output."""
    return (
        record.uncached_input_tokens
        + record.cache_read_tokens
        + record.cache_write_5m_tokens
        + record.cache_write_1h_tokens
        + record.output_tokens
    )
