"""The price list: what `genai-prices` says of a model, as rate tables. Pure, but for reading the list.

Where the list is silent, the accounting specification's usual factors stand in: half for a batch, the vendor's
multiples for caches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import genai_prices
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from data.model import Protocol
from data.rates import Rates, RateTable

LIST_SOURCE = f"genai-prices {genai_prices.__version__}"

#: Anthropic's cache write for one hour as a multiple of the input price.
WRITE_1H_FACTOR = Decimal(2)
#: US dollars one of Anthropic's web searches costs: $10 per 1,000.
WEB_SEARCH = Decimal("0.01")
BATCH_FACTOR = Decimal("0.5")
#: What Anthropic takes for staying within the United States.
US_FACTOR = Decimal("1.1")
#: Tiers and speeds that cost what is listed; a batch has its own rule.
_USUAL = frozenset({"", "standard", "default", "auto", "batch"})

_MILLION = Decimal(1_000_000)
_FREE = Decimal(0)
_VENDORS: dict[str, str] = {Protocol.ANTHROPIC: "anthropic", Protocol.OPENAI: "openai", Protocol.GEMINI: "google"}


class Wanted(NamedTuple):
    """What a rate table is looked up by."""

    provider: str
    protocol: str
    model: str
    service_tier: str
    speed: str
    inference_geo: str
    day: date


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A model as the price list has it; `own` when the provider itself lists it (then its variants apply)."""

    provider: Provider
    model: ModelInfo
    own: bool


def listed_model(provider: str, protocol: str, model: str) -> Listed | None:
    """The list's entry of a model, sold by `provider`, or by the vendor of `protocol` where the list knows no such."""
    providers = data_snapshot.get_snapshot().providers
    seller = data_snapshot.find_provider_by_id(providers, provider) if provider else None
    if seller is None:
        seller = _vendor(providers, protocol, model)
    found = seller.find_model(model, all_providers=providers) if seller and model else None
    if seller is None or found is None:
        return None
    return Listed(seller, found, any(found is own for own in seller.models))


def _vendor(providers: Sequence[Provider], protocol: str, model: str) -> Provider | None:
    if protocol in _VENDORS:
        return next(p for p in providers if p.id == _VENDORS[protocol])
    lower = model.lower()
    return next((p for p in providers if p.model_match is not None and p.model_match.is_match(lower)), None)


def depends_on_hour(model: ModelInfo) -> bool:
    """Whether a price of the model holds at some hours of the day only."""
    conditions = [] if isinstance(model.prices, ModelPrice) else [c.constraint for c in model.prices]
    conditions += [v.constraint for v in model.price_variants or ()]
    return any(isinstance(c, TimeOfDateConstraint) for c in conditions)


def context_window(provider: str, protocol: str, model: str) -> int | None:
    """How many tokens the model takes at once, as the price list has it; None where it does not say."""
    listed = listed_model(provider, protocol, model)
    return None if listed is None else listed.model.context_window


def rate_table(listed: Listed, at: datetime, wanted: Wanted) -> RateTable:
    """The rates of `listed` at a time (aware), in the tier, speed and place that are wanted."""
    context = _context(wanted) if listed.own else {}
    prices = listed.model.get_prices(at, context or None)
    batch = wanted.service_tier == "batch" and not _has_variant(listed, at, context)
    factor = BATCH_FACTOR if batch else Decimal(1)
    if wanted.inference_geo == "us" and listed.provider.id == "anthropic":
        factor *= US_FACTOR
    starts = {t.start for value in vars(prices).values() if isinstance(value, TieredPrices) for t in value.tiers}
    tiers = tuple(_rates(prices, above, factor, listed) for above in sorted(starts | {-1}, reverse=True))
    return RateTable(tiers, LIST_SOURCE, _unlisted(listed, wanted))


def _context(wanted: Wanted) -> dict[str, str]:
    """What the price list selects variants by. Batch is a way of processing there, not a tier."""
    tier = wanted.service_tier
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    return {key: value for key, value in (context | {"speed": wanted.speed}).items() if value}


def _unlisted(listed: Listed, wanted: Wanted) -> str:
    """Say which tier or speed is not in the list, so that its usual price stands in; '' where nothing is missing."""
    variants = (listed.model.price_variants or ()) if listed.own else ()
    known = {item for variant in variants for item in variant.when.items()}
    asked = (("service_tier", wanted.service_tier), ("speed", wanted.speed))
    unknown = [each for each in asked if each[1] not in _USUAL and each not in known]
    said = " and ".join(f"{name.replace('_', ' ')} {value!r}" for name, value in unknown)
    return f"no price for {said}" if said else ""


def _has_variant(listed: Listed, at: datetime, context: dict[str, str]) -> bool:
    return any(
        (v.constraint is None or v.constraint.active(at)) and v.when.items() <= context.items()
        for v in listed.model.price_variants or ()
        if "processing" in v.when
    )


def _rates(prices: ModelPrice, above: int, factor: Decimal, listed: Listed) -> Rates:
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
