"""What caches saved: the difference to a world in which every input token had its uncached price.

Reads are cheaper than that, writes dearer, so that savings may be negative. The prices are those that requests are
priced by (the list's or the configuration's) on the day that a request ended; where they depend on the hour, those of
noon. A tier counts all input, cached or not, so that a request is in the same tier in both worlds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from data.pricing import PriceBook
from data.queries import cache
from data.rates import Rates, RateTable
from data.reads import Reader


@dataclass(frozen=True, slots=True)
class CacheUse:
    """One model's counts, disjoint, and what was saved in US dollars: None where no price is known for what it cached.

    `unpriced_requests` are left out of what was saved.
    """

    model: str
    requests: int = 0
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    saved_usd: Decimal | None = Decimal(0)
    unpriced_requests: int = 0

    @property
    def input_tokens(self) -> int:
        """All input."""
        written = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.uncached_input_tokens + self.cache_read_tokens + written

    @property
    def cached_tokens(self) -> int:
        """What was read from or written to cache."""
        return self.input_tokens - self.uncached_input_tokens

    @property
    def cache_hit_rate(self) -> float | None:
        """Percent of the input that was read from cache; None without input."""
        return self.cache_read_tokens / self.input_tokens * 100 if self.input_tokens else None

    def plus(self, other: "CacheUse") -> "CacheUse":
        """Both together; what is not known of one is left out."""
        names = ("requests", "uncached_input_tokens", *_CACHED, "unpriced_requests")
        sums: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in names}
        uses = (self, other)
        known = [use.saved_usd for use in uses if use.cached_tokens and use.saved_usd is not None]
        unknown = any(use.saved_usd is None for use in uses)
        return replace(self, **sums, saved_usd=sum(known, Decimal(0)) if known or not unknown else None)


_CACHED = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


def cache_use(
    store: Reader, book: PriceBook, start: datetime, end: datetime, where: Mapping[str, Sequence[str]] | None = None
) -> list[CacheUse]:
    """Every model that was asked for in [start, end), the one that saved most first."""
    tables = {key: _table(book, key) for key in cache.served(store, start, end, where).iter_rows()}
    thresholds = sorted(
        {rates.above for table in tables.values() if table for rates in table.tiers if rates.above >= 0}
    )
    found: dict[str, CacheUse] = {}
    for row in cache.usage(store, start, end, where, thresholds).iter_rows(named=True):
        key = (*(row[name] for name in cache.PRICED_BY), row["day"])
        use = _use(row, tables.get(key))
        found[use.model] = found[use.model].plus(use) if use.model in found else use
    return sorted(found.values(), key=lambda use: (use.saved_usd is None, -(use.saved_usd or 0), use.model))


def total(uses: Sequence[CacheUse]) -> CacheUse:
    """All of them together, as model ''."""
    together = CacheUse("")
    for use in uses:
        together = together.plus(use)
    return together


def _table(book: PriceBook, key: tuple[Any, ...]) -> RateTable | None:
    *priced_by, day = key
    named = dict(zip(cache.PRICED_BY, priced_by, strict=True))
    return book.table(**named, at=_noon(day))


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def _use(row: Mapping[str, Any], table: RateTable | None) -> CacheUse:
    counts = {name: row[name] for name in ("requests", "uncached_input_tokens", *_CACHED)}
    saved = _saved(row, table)
    return CacheUse(
        row["model"], **counts, saved_usd=saved, unpriced_requests=0 if saved is not None else row["requests"]
    )


def _saved(row: Mapping[str, Any], table: RateTable | None) -> Decimal | None:
    """What the cached tokens would have cost more uncached; None where one of the prices is not known."""
    if not any(row[name] for name in _CACHED):
        return Decimal(0)
    rates = _reached(table, row["above"])
    if rates is None or rates.input is None:
        return None
    saved = Decimal(0)
    for name, rate in zip(_CACHED, (rates.cache_read, rates.cache_write_5m, rates.cache_write_1h), strict=True):
        if row[name] and rate is None:
            return None
        saved += row[name] * (rates.input - (rate or 0))
    return saved


def _reached(table: RateTable | None, above: int) -> Rates | None:
    """The tier of requests whose input passes `above` and no higher threshold."""
    tiers = table.tiers if table else ()
    return next((rates for rates in tiers if rates.above <= above or rates.above < 0), None)
