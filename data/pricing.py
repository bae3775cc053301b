"""What a request costs: effective-dated list prices, and the configuration's own over them.

List prices come from `genai-prices`; the rules are those of the accounting specification: counts are disjoint, a
tier reprices the whole request once its total input (cache included) passes a threshold, cache writes for one hour
have a price of their own, and a model no list knows is unpriced, never free.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache

from data.ceilings import Ceiling, ceilings
from data.config import PriceOverride
from data.model import Protocol, Tokens
from data.price_list import (
    BATCH_FACTOR,
    LIST_SOURCE,
    WEB_SEARCH,
    WRITE_1H_FACTOR,
    Listed,
    Wanted,
    context_window,
    depends_on_hour,
    listed_model,
    rate_table,
)
from data.rates import UNPRICED, Priced, Rates, RateTable

__all__ = ["LIST_SOURCE", "OVERRIDE_SOURCE", "PriceBook", "Priced", "price"]

OVERRIDE_SOURCE = "override"

#: Usual prices of Anthropic's cache as multiples of the input price, where an override is silent.
READ_FACTOR, WRITE_5M_FACTOR = Decimal("0.1"), Decimal("1.25")

_MILLION = Decimal(1_000_000)
_DAY, _HALF_AN_HOUR = timedelta(days=1), timedelta(minutes=30)
_FREE = Decimal(0)
_CACHE_SIZE = 4096


class PriceBook:
    """Prices under one set of overrides, with its rate tables kept ready; a warm call takes microseconds."""

    def __init__(self, overrides: Sequence[PriceOverride] = ()) -> None:
        self.overrides = tuple(overrides)
        self._table = lru_cache(_CACHE_SIZE)(self._look_up)
        self._ceilings = lru_cache(_CACHE_SIZE)(self._look_up_ceilings)
        self.window = lru_cache(_CACHE_SIZE)(context_window)

    def price(
        self,
        *,
        provider: str,
        model: str,
        tokens: Tokens,
        at: datetime,
        protocol: str = "",
        service_tier: str = "",
        speed: str = "",
        inference_geo: str = "",
    ) -> Priced:
        """The cost of a request that ended `at` (aware); see the module's `price`."""
        table = self.table(
            provider=provider,
            model=model,
            at=at,
            protocol=protocol,
            service_tier=service_tier,
            speed=speed,
            inference_geo=inference_geo,
        )
        return UNPRICED if table is None else table.price(tokens)

    def ceilings(
        self,
        *,
        provider: str,
        model: str,
        at: datetime,
        protocol: str = "",
        service_tier: str = "",
        speed: str = "",
        inference_geo: str = "",
    ) -> tuple[Ceiling, ...]:
        """The dearest rates that a call may come to which is sent `at`; nothing for an unpriced model.

        It may end on the next day, at any hour, and be served in the usual tier where another was asked for.
        """
        day = at.astimezone(UTC).date()
        return self._ceilings(Wanted(provider, protocol, model, service_tier, speed, inference_geo, day))

    def _look_up_ceilings(self, wanted: Wanted) -> tuple[Ceiling, ...]:
        tables = list[RateTable]()
        for tier in _may_serve(wanted.service_tier):
            for day in (wanted.day, wanted.day + _DAY):
                asked = wanted._replace(service_tier=tier, day=day)
                table = self._table(asked)
                if table is None:
                    return ()
                tables += [table] if isinstance(table, RateTable) else _every_hour(table, asked)
        return ceilings(tables)

    def table(
        self,
        *,
        provider: str,
        model: str,
        at: datetime,
        protocol: str = "",
        service_tier: str = "",
        speed: str = "",
        inference_geo: str = "",
    ) -> RateTable | None:
        """The rates that a request is priced by which ends `at` (aware); None for what is unpriced."""
        day = at.astimezone(UTC).date()
        wanted = Wanted(provider, protocol, model, service_tier, speed, inference_geo, day)
        found = self._table(wanted)
        return rate_table(found, at, wanted) if isinstance(found, Listed) else found

    def _look_up(self, wanted: Wanted) -> RateTable | Listed | None:
        """A day's rate table; the list's entry itself where its price depends on the hour; None: unpriced."""
        for override in self.overrides:
            if fnmatchcase(wanted.model, override.model) and fnmatchcase(wanted.provider, override.provider):
                return _overridden(override, wanted)
        listed = listed_model(wanted.provider, wanted.protocol, wanted.model)
        if listed is None or depends_on_hour(listed.model):
            return listed
        midnight = datetime.combine(wanted.day, time(), UTC)
        return rate_table(listed, midnight, wanted)


def price(
    *,
    provider: str,
    model: str,
    tokens: Tokens,
    at: datetime,
    protocol: str = "",
    service_tier: str = "",
    speed: str = "",
    inference_geo: str = "",
    overrides: Sequence[PriceOverride] = (),
) -> Priced:
    """What a request costs.

    `provider` is the configuration's name of it; where the price list knows no such provider, the vendor of
    `protocol` stands in. `service_tier` ("flex", "priority", "batch" …), `speed` ("fast") and `inference_geo` ("us")
    are as the provider returned them; a tier or a speed that has no price of its own makes the cost an estimate. The
    first override whose globs match the model and the provider is the price: in every tier but "batch", where its
    tokens cost half.
    Pass the same `overrides` object each time: its rate tables are kept with it.
    """
    return _book(overrides).price(
        provider=provider,
        protocol=protocol,
        model=model,
        tokens=tokens,
        at=at,
        service_tier=service_tier,
        speed=speed,
        inference_geo=inference_geo,
    )


_BOOKS: dict[int, tuple[Sequence[PriceOverride], PriceBook]] = {}
_BOOKS_KEPT = 16


def _book(overrides: Sequence[PriceOverride]) -> PriceBook:
    known = _BOOKS.get(id(overrides))
    if known is not None and known[0] is overrides:
        return known[1]
    if len(_BOOKS) >= _BOOKS_KEPT:
        _BOOKS.clear()
    book = PriceBook(overrides)
    _BOOKS[id(overrides)] = (overrides, book)
    return book


def _overridden(override: PriceOverride, wanted: Wanted) -> RateTable:
    anthropic = wanted.protocol == Protocol.ANTHROPIC
    factor = BATCH_FACTOR if wanted.service_tier == "batch" else Decimal(1)

    def a_token(mtok: Decimal) -> Decimal:
        return mtok * factor / _MILLION

    def cache(own: Decimal | None, usual: Decimal) -> Decimal:
        return a_token(override.input * (usual if anthropic else 1) if own is None else own)

    output = a_token(override.output)
    rates = Rates(
        above=-1,
        input=a_token(override.input),
        cache_read=cache(override.cache_read, READ_FACTOR),
        cache_write_5m=cache(override.cache_write_5m, WRITE_5M_FACTOR),
        cache_write_1h=cache(override.cache_write_1h, WRITE_1H_FACTOR),
        output=output,
        reasoning=output,
        tool_unit=WEB_SEARCH if anthropic else None,
        request=_FREE,
    )
    return RateTable((rates,), OVERRIDE_SOURCE)


def _may_serve(service_tier: str) -> tuple[str, ...]:
    """The tiers a call may be served in that asks for one."""
    match service_tier:
        case "batch":
            return ("batch",)
        case "auto":
            return ("", "priority")
    return ("", service_tier) if service_tier else ("",)


def _every_hour(listed: Listed, wanted: Wanted) -> list[RateTable]:
    midnight = datetime.combine(wanted.day, time(), UTC)
    return [rate_table(listed, midnight + n * _HALF_AN_HOUR, wanted) for n in range(48)]
