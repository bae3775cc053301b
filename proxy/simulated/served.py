"""What the simulated provider has served: the other side's books, for comparing them with the ledger."""

from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from data.model import Endpoint, Tokens
from proxy.simulated.dialect import RateLimit

_WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Served:
    """One request as the provider saw it. `at`: seconds since the epoch. `complete`: its answer was sent to the end.

    `credential` is a label of the key that it came with, as the ledger's `key`; `request_id` is the caller's own.
    A batch's requests are noted when it ends, each with its `batch` and `custom_id`.
    """

    id: str
    at: float
    endpoint: Endpoint
    model: str
    stream: bool
    status: int
    complete: bool
    fault: str
    tokens: Tokens
    steering: str
    user_agent: str
    credential: str = ""
    request_id: str = ""
    batch: str = ""
    custom_id: str = ""


@dataclass(slots=True)
class Totals:
    """Sums of one model, or of all. Tokens are those of complete answers with status 200."""

    requests: int = 0
    answered: int = 0
    errors: int = 0
    broken: int = 0  # status 200, but the answer was not sent to its end
    input_tokens: int = 0
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, served: Served) -> None:
        """Count one more request."""
        self.requests += 1
        if served.status != 200:
            self.errors += 1
        elif not served.complete:
            self.broken += 1
        else:
            self.answered += 1
            self._spend(served.tokens)

    def _spend(self, tokens: Tokens) -> None:
        self.input_tokens += tokens.input
        self.uncached_input_tokens += tokens.uncached_input
        self.cache_read_tokens += tokens.cache_read
        self.cache_write_5m_tokens += tokens.cache_write_5m
        self.cache_write_1h_tokens += tokens.cache_write_1h
        self.output_tokens += tokens.output
        self.reasoning_tokens += tokens.reasoning


@dataclass(slots=True)
class Books:
    """The log (bounded) and the totals (of everything since the start, or since `clear`)."""

    size: int
    log: deque[Served] = field(init=False)
    totals: Totals = field(default_factory=Totals)
    by_model: dict[str, Totals] = field(default_factory=dict)
    _minute: int = 0
    _used: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        self.log = deque(maxlen=self.size)

    def add(self, served: Served) -> None:
        """Note one request."""
        self.log.append(served)
        self._turn(served.at)
        for totals in (self.totals, self._used, self.by_model.setdefault(served.model, Totals())):
            totals.add(served)

    def use(self, now: float) -> RateLimit:
        """What was used in the minute of `now` (seconds since the epoch)."""
        self._turn(now)
        ends = (self._minute + 1) * _WINDOW_S
        at = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return RateLimit(self._used.requests, self._used.input_tokens, self._used.output_tokens, ends - now, at)

    def last(self, number: int) -> list[Served]:
        """The last `number` requests of the log, oldest first."""
        return list(self.log)[len(self.log) - min(number, len(self.log)) :]

    def clear(self) -> None:
        """Forget everything."""
        self.log.clear()
        self.totals = Totals()
        self.by_model = {}

    def summary(self) -> dict[str, Any]:
        """The totals as plain values, `by_model` beside them."""
        return asdict(self.totals) | {"by_model": {name: asdict(each) for name, each in self.by_model.items()}}

    def _turn(self, now: float) -> None:
        minute = int(now) // _WINDOW_S
        if minute != self._minute:
            self._minute, self._used = minute, Totals()
