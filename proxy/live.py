"""What happens now: calls in flight, the last minute's rates, the newest calls. In memory, from the proxy's start."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import Any

from data.model import LedgerRecord, RequestStart
from proxy.in_flight import InFlight, Watched
from proxy.provider_health import Circuits, health_of
from proxy.provider_limits import ProviderLimits
from proxy.window import SECONDS, Slot, Window, counts_of, is_error, quantile_ms, tokens_of

FEED_LENGTH = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEED_TEXT = (
    "id",
    "request_id",
    "attempt",
    "cause",
    "provider",
    "credential",
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
    "agent",
    "cost_status",
    "ttft_ms",
)
_FEED_VALUES = attrgetter(*_FEED_TEXT)


def _no_circuits() -> Circuits:
    return {}


class Live:
    """The live counters. Use it from the event loop; `now_s` is seconds since the epoch.

    `limits` is told what answers say of the providers' own limits.
    """

    def __init__(self, now_s: float) -> None:
        self.limits = ProviderLimits()
        self._circuits: Callable[[], Circuits] = _no_circuits
        self._since = now_s
        self._by_provider: dict[str, Window] = {}
        self._calls = InFlight()
        self._recent: deque[tuple[int, LedgerRecord]] = deque(maxlen=FEED_LENGTH)
        self._ended = 0
        self._errors = 0
        self._tokens = 0
        self._cost_usd = 0.0
        self._outcomes: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Attempts that have begun and not ended."""
        return len(self._calls)

    @property
    def newest(self) -> int:
        """The number of the newest feed item; numbers count from 1."""
        return self._ended

    def watch_circuits(self, circuits: Callable[[], Circuits]) -> None:
        """Ask `circuits` for the breaker's state from now on."""
        self._circuits = circuits

    def circuits(self) -> Circuits:
        """Return the breaker's state."""
        return self._circuits()

    def begun(self, start: RequestStart, watched: Watched | None = None) -> None:
        """An attempt begins; `watched` says how far it is whenever somebody looks."""
        self._calls.begun(start, watched)
        if start.provider not in self._by_provider:
            self._by_provider[start.provider] = Window()

    def ended(self, record: LedgerRecord, now_s: float) -> None:
        """An attempt ends; one of which only the end is known counts too."""
        self._calls.ended(record.id)
        self._since = min(self._since, now_s)  # a clock that was set back must not make the rates' time short
        self._ended += 1
        call = counts_of(record)
        self._errors += is_error(record)
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
        """Return what `/ws/live` says: `state`, and the calls after number `after` as `recent`."""
        return {**self.state(now_s), "recent": self.feed(after=after)}

    def state(self, now_s: float) -> dict[str, Any]:
        """Return what holds for every listener: calls in flight, rates of the last minute, providers, totals."""
        sums, seconds = self._sums(now_s), self._seconds(now_s)
        total = Slot(int(now_s))
        for own in sums.values():
            total.add(own)
        return {
            "time": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
            "in_flight": self.in_flight,
            **_rates(total, seconds),
            "totals": self._totals(now_s),
            "providers": self._providers(sums, seconds, now_s),
            "calls": self._calls.shown(int(now_s * 1_000_000)),
        }

    def providers(self, now_s: float, *, also: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
        """Return by provider its calls in flight, rates of the last minute, and health; of `also` without calls too."""
        quiet = {name: Slot(int(now_s)) for name in also}
        return self._providers({**quiet, **self._sums(now_s)}, self._seconds(now_s), now_s)

    def _sums(self, now_s: float) -> dict[str, Slot]:
        return {name: window.sums(int(now_s)) for name, window in sorted(self._by_provider.items())}

    def _providers(self, sums: dict[str, Slot], seconds: float, now_s: float) -> dict[str, dict[str, Any]]:
        in_flight, circuits, near = self._calls.by_provider(), self.circuits(), self.limits.near(now_s)
        return {
            name: {
                "in_flight": in_flight[name],
                **_rates(own, seconds),
                "health": health_of(name, own, circuits, near.get(name, [])),
            }
            for name, own in sums.items()
        }

    def _seconds(self, now_s: float) -> float:
        return min(max(now_s - self._since, 1.0), float(SECONDS))

    def _totals(self, now_s: float) -> dict[str, Any]:
        return {
            "requests": self._ended,
            "errors": self._errors,
            "tokens": self._tokens,
            "cost_usd": round(self._cost_usd, 9),
            "outcomes": dict(self._outcomes),
            "uptime_s": round(max(now_s - self._since, 0.0), 3),
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
        "ttft_p99_ms": quantile_ms(sums.ttft, 0.99),
    }


def _feed_item(number: int, record: LedgerRecord) -> dict[str, Any]:
    input_tokens = tokens_of(record) - record.output_tokens
    return {
        "number": number,
        "started_at": _iso(record.started_at),
        "ended_at": _iso(record.ended_at),
        **dict(zip(_FEED_TEXT, _FEED_VALUES(record), strict=True)),
        "input_tokens": input_tokens,
        "output_tokens": record.output_tokens,
        "cache_read_tokens": record.cache_read_tokens,
        "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
        "duration_ms": round(record.duration_ms, 3),
        "overhead_ms": round(record.overhead_ms, 3),
    }


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds")
