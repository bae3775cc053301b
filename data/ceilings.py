"""The dearest rates that a call to a model may come to, as whole numbers: what budgets hold is worked out from them."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final, NamedTuple

from data.rates import Rates, RateTable

#: Femtodollars a nanodollar. List prices a million tokens have at most nine decimals: none is rounded.
FEMTO: Final = 1_000_000
_EXPONENT: Final = 15


class Ceiling(NamedTuple):
    """Femtodollars a token (a tool call, a request) for calls of more than `above` input tokens; None: no price."""

    above: int
    input: int | None  # read from a cache or not
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None
    tool_unit: int | None
    request: int


def ceilings(tables: Sequence[RateTable]) -> tuple[Ceiling, ...]:
    """The dearest of several rate tables, tier by tier, lowest first; nothing where there is no table."""
    if not tables:
        return ()
    starts = sorted({rates.above for table in tables for rates in table.tiers})
    return tuple(_ceiling(above, [_at(table, above) for table in tables]) for above in starts)


def _at(table: RateTable, above: int) -> Rates:
    """The rates of a call just over `above`; tiers stand highest first."""
    return next((rates for rates in table.tiers if rates.above <= above), table.tiers[-1])


def _ceiling(above: int, found: list[Rates]) -> Ceiling:
    return Ceiling(
        above=above,
        input=_dearest(rate for rates in found for rate in (rates.input, rates.cache_read or rates.input)),
        cache_write_5m=_dearest(rates.cache_write_5m for rates in found),
        cache_write_1h=_dearest(rates.cache_write_1h for rates in found),
        output=_dearest(rate for rates in found for rate in (rates.output, rates.reasoning or rates.output)),
        tool_unit=_dearest(rates.tool_unit for rates in found),
        request=_dearest(rates.request for rates in found) or 0,
    )


def _dearest(rates: Iterable[Decimal | None]) -> int | None:
    known = list(rates)
    if any(rate is None for rate in known):
        return None
    dearest = max(rate for rate in known if rate is not None)
    return int(dearest.scaleb(_EXPONENT).to_integral_value(ROUND_CEILING))
