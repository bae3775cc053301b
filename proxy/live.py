"""What happens now: calls in flight, the last minute's rates, the newest calls. In memory, from the proxy's start."""

from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from data.model import LedgerRecord
from proxy.window import SECONDS, Slot, Window, counts_of, quantile_ms, tokens_of

FEED_LENGTH = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEED_TEXT = (
    "id",
    "request_id",
    "provider",
    "endpoint",
    "model_requested",
    "model",
    "stream",
    "outcome",
    "status",
    "error_class",
    "error_message",
    "key",
    "user",
    "team",
    "project",
    "session",
    "cost_status",
    "ttft_ms",
)


class Live:
    """The live counters. Use it from the event loop; `now_s` is seconds since the epoch."""

    def __init__(self, now_s: float) -> None:
        self._since = now_s
        self._by_provider: dict[str, Window] = {}
        self._in_flight: Counter[str] = Counter()
        self._recent: deque[tuple[int, LedgerRecord]] = deque(maxlen=FEED_LENGTH)
        self._ended = 0
        self._errors = 0
        self._tokens = 0
        self._cost_usd = 0.0
        self._outcomes: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Calls that have begun and not ended."""
        return self._in_flight.total()

    @property
    def newest(self) -> int:
        """The number of the newest feed item; numbers count from 1."""
        return self._ended

    def begun(self, provider: str) -> None:
        """A call to `provider` begins."""
        self._in_flight[provider] += 1

    def ended(self, record: LedgerRecord, now_s: float) -> None:
        """A call that had begun ends."""
        self._in_flight[record.provider] -= 1
        self._ended += 1
        call = counts_of(record)
        self._errors += call.error
        self._tokens += call.tokens
        self._cost_usd += call.cost_usd
        self._outcomes[record.outcome] += 1
        self._recent.append((self._ended, record))
        window = self._by_provider.get(record.provider)
        if window is None:
            window = self._by_provider[record.provider] = Window()
        window.count(call, int(now_s))

    def feed(self, *, after: int | None = None, limit: int = FEED_LENGTH) -> list[dict[str, Any]]:
        """Return calls that have ended, newest first: the last ones, or the first `limit` after number `after`."""
        if after is None:
            chosen = list(islice(reversed(self._recent), max(limit, 0)))
        else:
            chosen = list(islice((item for item in self._recent if item[0] > after), max(limit, 0)))[::-1]
        return [_feed_item(number, record) for number, record in chosen]

    def message(self, now_s: float, *, after: int) -> dict[str, Any]:
        """Return what `/ws/live` says: state, rates of the last minute, and the calls after number `after`."""
        seconds = self._seconds(now_s)
        return {
            "time": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
            "in_flight": self.in_flight,
            **_rates(self._all_sums(int(now_s)), seconds),
            "totals": self._totals(now_s),
            "providers": {
                name: {"in_flight": self._in_flight[name], **_rates(self._sums(name, int(now_s)), seconds)}
                for name in sorted(self._in_flight)
            },
            "recent": self.feed(after=after),
        }

    def _all_sums(self, now_s: int) -> Slot:
        total = Slot(now_s)
        for window in self._by_provider.values():
            total.add(window.sums(now_s))
        return total

    def _sums(self, provider: str, now_s: int) -> Slot:
        window = self._by_provider.get(provider)
        return window.sums(now_s) if window else Slot(now_s)

    def _seconds(self, now_s: float) -> float:
        return min(max(now_s - self._since, 1.0), float(SECONDS))

    def _totals(self, now_s: float) -> dict[str, Any]:
        return {
            "requests": self._ended,
            "errors": self._errors,
            "tokens": self._tokens,
            "cost_usd": round(self._cost_usd, 9),
            "outcomes": dict(self._outcomes),
            "uptime_s": round(now_s - self._since, 3),
        }


def _rates(sums: Slot, seconds: float) -> dict[str, Any]:
    return {
        "requests_per_second": round(sums.requests / seconds, 3),
        "errors_per_second": round(sums.errors / seconds, 3),
        "cost_per_minute": round(sums.cost_usd * 60 / seconds, 9),
        "tokens_per_second": round(sums.tokens / seconds, 3),
        "latency_p50_ms": quantile_ms(sums.duration, 0.5),
        "latency_p95_ms": quantile_ms(sums.duration, 0.95),
        "latency_p99_ms": quantile_ms(sums.duration, 0.99),
        "ttft_p50_ms": quantile_ms(sums.ttft, 0.5),
        "ttft_p95_ms": quantile_ms(sums.ttft, 0.95),
    }


def _feed_item(number: int, record: LedgerRecord) -> dict[str, Any]:
    input_tokens = tokens_of(record) - record.output_tokens
    return {
        "number": number,
        "started_at": _iso(record.started_at),
        "ended_at": _iso(record.ended_at),
        **{name: getattr(record, name) for name in _FEED_TEXT},
        "input_tokens": input_tokens,
        "output_tokens": record.output_tokens,
        "cache_read_tokens": record.cache_read_tokens,
        "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
        "duration_ms": round(record.duration_ms, 3),
        "overhead_ms": round(record.overhead_ms, 3),
    }


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds")
