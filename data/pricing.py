"""What a request costs: effective-dated list prices, and the configuration's own over them.

List prices come from `genai-prices`; the rules are those of the accounting specification: counts are disjoint, a
tier reprices the whole request once its total input (cache included) passes a threshold, cache writes for one hour
have a price of their own, and a model no list knows is unpriced, never free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

import genai_prices
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from data.ceilings import Ceiling, ceilings
from data.config import PriceOverride
from data.model import Protocol, Tokens
from data.rates import UNPRICED, Priced, Rates, RateTable

__all__ = ["LIST_SOURCE", "OVERRIDE_SOURCE", "PriceBook", "Priced", "price"]

LIST_SOURCE = f"genai-prices {genai_prices.__version__}"
OVERRIDE_SOURCE = "override"

#: Usual prices of Anthropic's cache as multiples of the input price, where a price list is silent.
READ_FACTOR, WRITE_5M_FACTOR, WRITE_1H_FACTOR = Decimal("0.1"), Decimal("1.25"), Decimal(2)
#: US dollars one of Anthropic's web searches costs: $10 per 1,000.
WEB_SEARCH = Decimal("0.01")
BATCH_FACTOR = Decimal("0.5")
#: What Anthropic takes for staying within the United States.
US_FACTOR = Decimal("1.1")
#: Tiers and speeds that cost what is listed; a batch has its own rule.
_USUAL = frozenset({"", "standard", "default", "auto", "batch"})

_MILLION = Decimal(1_000_000)
_DAY, _HALF_AN_HOUR = timedelta(days=1), timedelta(minutes=30)
_FREE = Decimal(0)
_VENDORS: dict[str, str] = {Protocol.ANTHROPIC: "anthropic", Protocol.OPENAI: "openai", Protocol.GEMINI: "google"}
_CACHE_SIZE = 4096


class _Wanted(NamedTuple):
    """What a rate table is kept under."""

    provider: str
    protocol: str
    model: str
    service_tier: str
    speed: str
    inference_geo: str
    day: date


class PriceBook:
    """Prices under one set of overrides, with its rate tables kept ready; a warm call takes microseconds."""

    def __init__(self, overrides: Sequence[PriceOverride] = ()) -> None:
        self.overrides = tuple(overrides)
        self._table = lru_cache(_CACHE_SIZE)(self._look_up)
        self._ceilings = lru_cache(_CACHE_SIZE)(self._look_up_ceilings)
        self.window = lru_cache(_CACHE_SIZE)(_window)

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
        day = at.astimezone(UTC).date()
        wanted = _Wanted(provider, protocol, model, service_tier, speed, inference_geo, day)
        table = self._table(wanted)
        if table is None:
            return UNPRICED
        if isinstance(table, RateTable):
            return table.price(tokens)
        return _rate_table(table, at, wanted).price(tokens)

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
        return self._ceilings(_Wanted(provider, protocol, model, service_tier, speed, inference_geo, day))

    def _look_up_ceilings(self, wanted: "_Wanted") -> tuple[Ceiling, ...]:
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
        wanted = _Wanted(provider, protocol, model, service_tier, speed, inference_geo, day)
        found = self._table(wanted)
        return _rate_table(found, at, wanted) if isinstance(found, _Listed) else found

    def _look_up(self, wanted: "_Wanted") -> "RateTable | _Listed | None":
        """A day's rate table; the list's entry itself where its price depends on the hour; None: unpriced."""
        for override in self.overrides:
            if fnmatchcase(wanted.model, override.model) and fnmatchcase(wanted.provider, override.provider):
                return _overridden(override, wanted.protocol)
        listed = _listed(wanted.provider, wanted.protocol, wanted.model)
        if listed is None or _depends_on_hour(listed.model):
            return listed
        midnight = datetime.combine(wanted.day, time(), UTC)
        return _rate_table(listed, midnight, wanted)


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
    first override whose globs match the model and the provider is the price, in every tier.
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


def _overridden(override: PriceOverride, protocol: str) -> RateTable:
    anthropic = protocol == Protocol.ANTHROPIC

    def cache(listed: Decimal | None, factor: Decimal) -> Decimal:
        if listed is not None:
            return listed / _MILLION
        return override.input * (factor if anthropic else 1) / _MILLION

    output = override.output / _MILLION
    rates = Rates(
        above=-1,
        input=override.input / _MILLION,
        cache_read=cache(override.cache_read, READ_FACTOR),
        cache_write_5m=cache(override.cache_write_5m, WRITE_5M_FACTOR),
        cache_write_1h=cache(override.cache_write_1h, WRITE_1H_FACTOR),
        output=output,
        reasoning=output,
        tool_unit=WEB_SEARCH if anthropic else None,
        request=_FREE,
    )
    return RateTable((rates,), OVERRIDE_SOURCE)


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """A model as the price list has it; `own` when the provider itself lists it (then its variants apply)."""

    provider: Provider
    model: ModelInfo
    own: bool


def _listed(provider: str, protocol: str, model: str) -> _Listed | None:
    providers = data_snapshot.get_snapshot().providers
    seller = data_snapshot.find_provider_by_id(providers, provider) if provider else None
    if seller is None:
        seller = _vendor(providers, protocol, model)
    found = seller.find_model(model, all_providers=providers) if seller and model else None
    if seller is None or found is None:
        return None
    return _Listed(seller, found, any(found is own for own in seller.models))


def _vendor(providers: Sequence[Provider], protocol: str, model: str) -> Provider | None:
    if protocol in _VENDORS:
        return next(p for p in providers if p.id == _VENDORS[protocol])
    lower = model.lower()
    return next((p for p in providers if p.model_match is not None and p.model_match.is_match(lower)), None)


def _depends_on_hour(model: ModelInfo) -> bool:
    conditions = [] if isinstance(model.prices, ModelPrice) else [c.constraint for c in model.prices]
    conditions += [v.constraint for v in model.price_variants or ()]
    return any(isinstance(c, TimeOfDateConstraint) for c in conditions)


def _may_serve(service_tier: str) -> tuple[str, ...]:
    """The tiers a call may be served in that asks for one."""
    match service_tier:
        case "batch":
            return ("batch",)
        case "auto":
            return ("", "priority")
    return ("", service_tier) if service_tier else ("",)


def _every_hour(listed: _Listed, wanted: _Wanted) -> list[RateTable]:
    midnight = datetime.combine(wanted.day, time(), UTC)
    return [_rate_table(listed, midnight + n * _HALF_AN_HOUR, wanted) for n in range(48)]


def _window(provider: str, protocol: str, model: str) -> int | None:
    """How many tokens the model takes at once, as the price list has it; None where it does not say."""
    listed = _listed(provider, protocol, model)
    return None if listed is None else listed.model.context_window


def _rate_table(listed: _Listed, at: datetime, wanted: _Wanted) -> RateTable:
    context = _context(wanted) if listed.own else {}
    prices = listed.model.get_prices(at, context or None)
    batch = wanted.service_tier == "batch" and not _has_variant(listed, at, context)
    factor = BATCH_FACTOR if batch else Decimal(1)
    if wanted.inference_geo == "us" and listed.provider.id == "anthropic":
        factor *= US_FACTOR
    starts = {t.start for value in vars(prices).values() if isinstance(value, TieredPrices) for t in value.tiers}
    tiers = tuple(_rates(prices, above, factor, listed) for above in sorted(starts | {-1}, reverse=True))
    return RateTable(tiers, LIST_SOURCE, _unlisted(listed, wanted))


def _context(wanted: _Wanted) -> dict[str, str]:
    """What the price list selects variants by. Batch is a way of processing there, not a tier."""
    tier = wanted.service_tier
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    return {key: value for key, value in (context | {"speed": wanted.speed}).items() if value}


def _unlisted(listed: _Listed, wanted: _Wanted) -> str:
    """Say which tier or speed is not in the list, so that its usual price stands in; '' where nothing is missing."""
    variants = (listed.model.price_variants or ()) if listed.own else ()
    known = {item for variant in variants for item in variant.when.items()}
    asked = (("service_tier", wanted.service_tier), ("speed", wanted.speed))
    unknown = [each for each in asked if each[1] not in _USUAL and each not in known]
    said = " and ".join(f"{name.replace('_', ' ')} {value!r}" for name, value in unknown)
    return f"no price for {said}" if said else ""


def _has_variant(listed: _Listed, at: datetime, context: dict[str, str]) -> bool:
    return any(
        (v.constraint is None or v.constraint.active(at)) and v.when.items() <= context.items()
        for v in listed.model.price_variants or ()
        if "processing" in v.when
    )


def _rates(prices: ModelPrice, above: int, factor: Decimal, listed: _Listed) -> Rates:
    def a_token(key: str) -> Decimal | None:
        listed_price = _at_tier(getattr(prices, key), above)
        return None if listed_price is None else listed_price * factor / _MILLION

    def a_call(key: str) -> Decimal | None:
        listed_price = _at_tier(getattr(prices, key), above)
        return None if listed_price is None else listed_price / 1000

    uncached = a_token("input_mtok")
    write = a_token("cache_write_mtok")
    output = a_token("output_mtok")
    search = a_call("web_searches_kcount")
    return Rates(
        above=above,
        input=uncached,
        cache_read=_first(a_token("cache_read_mtok"), uncached),
        cache_write_5m=_first(a_token("cache_write_5m_mtok"), write, uncached),
        cache_write_1h=_first(a_token("cache_write_1h_mtok"), None if uncached is None else uncached * WRITE_1H_FACTOR),
        output=output,
        reasoning=_first(a_token("output_reasoning_mtok"), output),
        tool_unit=_first(search, WEB_SEARCH if listed.provider.id == "anthropic" else None),
        request=a_call("requests_kcount") or _FREE,
    )


def _at_tier(listed: object, above: int) -> Decimal | None:
    if isinstance(listed, TieredPrices):
        reached = [tier.price for tier in listed.tiers if tier.start <= above]
        return reached[-1] if reached else listed.base
    return listed if isinstance(listed, Decimal) else None


def _first(*prices: Decimal | None) -> Decimal | None:
    return next((p for p in prices if p is not None), None)
