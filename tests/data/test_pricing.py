"""Costs worked out by hand from the providers' published prices (US dollars a million tokens)."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.types import TimeOfDateConstraint, Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import PriceOverride
from data.model import CostStatus, Tokens
from data.pricing import LIST_SOURCE, PriceBook, price

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
MILLION = 1_000_000
#: 1,000 fresh, 20,000 read, 3,000 and 4,000 written for 5 minutes and 1 hour, 500 out of which 200 reasoning.
MIXED = Tokens(1_000, 20_000, 3_000, 4_000, 500, 200)


def cost(model, tokens, *, provider="", at=AT, tier="", speed="", overrides=(), protocol=""):
    provider = provider or ("anthropic" if model.startswith("claude") else "openai")
    protocol = protocol or ("anthropic" if model.startswith("claude") else "openai")
    return price(
        provider=provider, protocol=protocol, model=model, tokens=tokens, at=at, service_tier=tier, speed=speed,
        overrides=overrides,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        # input $3, read 0.30, 5m 3.75, 1h 6, output 15: .003 + .006 + .01125 + .024 + .0075
        ("claude-sonnet-4-20250514", MIXED, "0.05175"),
        ("claude-3-7-sonnet-20250219", MIXED, "0.05175"),
        ("claude-3-5-sonnet-20241022", MIXED, "0.05175"),
        # 15 / 1.50 / 18.75 / 30 / 75: .015 + .03 + .05625 + .12 + .0375
        ("claude-opus-4-1-20250805", MIXED, "0.25875"),
        ("claude-3-opus-20240229", MIXED, "0.25875"),
        # 5 / .50 / 6.25 / 10 / 25: .005 + .01 + .01875 + .04 + .0125
        ("claude-opus-4-5-20251101", MIXED, "0.08625"),
        ("claude-opus-5", MIXED, "0.08625"),
        # 4 / .20 / 5 / 8 / 20 - the read factor is 0.05: .004 + .004 + .015 + .032 + .01
        ("claude-opus-5-5", MIXED, "0.065"),
        # 2 / .10 / 2.50 / 4 / 10: .002 + .002 + .0075 + .016 + .005
        ("claude-sonnet-5-5", MIXED, "0.0325"),
        # 8 / .20 / 10 / 16 / 40 - the read factor is 0.025: .008 + .004 + .03 + .064 + .02
        ("claude-fable-5-2", MIXED, "0.126"),
        # 1 / .10 / 1.25 / 2 / 5: .001 + .002 + .00375 + .008 + .0025
        ("claude-haiku-4-5-20251001", MIXED, "0.01725"),
        # .80 / .08 / 1 / 1.60 / 4: .0008 + .0016 + .003 + .0064 + .002
        ("claude-3-5-haiku-20241022", MIXED, "0.0138"),
        # .25 / .03 / .30 / .50 / 1.25: .00025 + .0006 + .0009 + .002 + .000625
        ("claude-3-haiku-20240307", MIXED, "0.004375"),
        # one token read from cache at $0.03 a million
        ("claude-3-haiku-20240307", Tokens(cache_read=1), "0.00000003"),
        ("claude-sonnet-4-5", Tokens(), "0"),
        # a long context reprices everything: over 200,000 input tokens 6 / .60 / 7.50 / 12 / 22.50
        ("claude-sonnet-4-5", Tokens(uncached_input=200_000, output=1_000), "0.615"),
        ("claude-sonnet-4-5", Tokens(uncached_input=200_001, output=1_000), "1.222506"),
        # … and the threshold counts the cache: 1 + 200,000 read = $0.000006 + .12 + .0225
        ("claude-sonnet-4-5", Tokens(uncached_input=1, cache_read=200_000, output=1_000), "0.142506"),
        ("claude-sonnet-4-5", Tokens(cache_write_1h=200_001), "2.400012"),
        # 2.50 / 1.25 / 10: .0025 + .025 + .005; writes to cache cost what input costs
        ("gpt-4o-2024-08-06", Tokens(1_000, 20_000, output=500), "0.0325"),
        ("gpt-4o", Tokens(1_000, 20_000, 4_000, output=500), "0.0425"),
        ("gpt-4o-mini", Tokens(1_000, 20_000, output=500), "0.00195"),
        # reasoning is part of output, not on top: 1.25 / .125 / 10
        ("gpt-5-2025-08-07", Tokens(1_000, 20_000, output=500, reasoning=400), "0.00875"),
        ("gpt-5-mini", Tokens(1_000, 20_000, output=500), "0.00175"),
        ("gpt-5-nano", Tokens(1_000, 20_000, output=500), "0.00035"),
        ("gpt-5.1", Tokens(1_000, 20_000, output=500), "0.00875"),
        # 2.50 / .25 / 15 up to 272,000 tokens, then 5 / .50 / 22.50
        ("gpt-5.4", Tokens(200_000, 72_000, output=1_000), "0.533"),
        ("gpt-5.4", Tokens(200_001, 72_000, output=1_000), "1.058505"),
        ("o3", Tokens(1_000, 20_000, output=500), "0.016"),
        ("o4-mini", Tokens(1_000, 20_000, output=500), "0.0088"),
        ("o1", Tokens(1_000, 20_000, output=500), "0.195"),
        ("o3-mini", Tokens(1_000, 20_000, output=500), "0.0143"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cost_by_hand(model, tokens, dollars):
    found = cost(model, tokens)
    assert (found.cost_usd, found.status, found.source) == (Decimal(dollars), CostStatus.EXACT, LIST_SOURCE)


@pytest.mark.parametrize(
    ("model", "tier", "speed", "tokens", "dollars"),
    [
        ("gpt-5", "default", "", Tokens(1_000, 20_000, output=500), "0.00875"),
        ("gpt-5", "flex", "", Tokens(1_000, 20_000, output=500), "0.004375"),
        ("gpt-5", "priority", "", Tokens(1_000, 20_000, output=500), "0.0175"),
        ("gpt-5", "batch", "", Tokens(1_000, 20_000, output=500), "0.004375"),
        ("gpt-5", "something new", "", Tokens(1_000, 20_000, output=500), "0.00875"),
        ("claude-opus-4-5", "standard", "", MIXED, "0.08625"),
        ("claude-opus-4-5", "batch", "", MIXED, "0.043125"),
        ("claude-opus-4-0", "batch", "", MIXED, "0.129375"),  # not in the list's batch table: half all the same
        ("claude-opus-5", "", "fast", MIXED, "0.1725"),
        ("claude-sonnet-4-5", "batch", "", Tokens(uncached_input=200_001, output=1_000), "0.611253"),
    ],
)
def test_service_tiers(model, tier, speed, tokens, dollars):
    assert cost(model, tokens, tier=tier, speed=speed).cost_usd == Decimal(dollars)


@pytest.mark.parametrize(
    ("model", "tier", "speed", "note"),
    [
        ("gpt-5", "something new", "", "no price for service tier 'something new'"),
        ("gpt-5", "priority", "", ""),
        ("gpt-5", "auto", "", ""),
        ("gpt-5", "batch", "", ""),
        ("claude-opus-5", "standard", "standard", ""),
        ("claude-opus-5", "priority", "", "no price for service tier 'priority'"),
        ("claude-opus-5", "", "fast", ""),
        ("claude-opus-4-5", "x", "fast", "no price for service tier 'x' and speed 'fast'"),
        ("claude-opus-4-0", "batch", "", ""),
    ],
)
def test_a_tier_or_a_speed_without_a_price_makes_the_cost_an_estimate(model, tier, speed, note):
    found = cost(model, MIXED, tier=tier, speed=speed)
    assert found.note == note
    assert found.status is (CostStatus.ESTIMATED if note else CostStatus.EXACT)


@pytest.mark.parametrize(
    ("model", "provider", "place", "tier", "dollars"),
    [
        # .08625 and a tenth more
        ("claude-opus-5", "anthropic", "us", "", "0.094875"),
        ("claude-opus-5", "anthropic", "global", "", "0.08625"),
        ("claude-opus-5", "anthropic", "not_available", "", "0.08625"),
        ("claude-opus-5", "anthropic", "us", "batch", "0.0474375"),
        ("claude-opus-5", "corporate gateway", "us", "", "0.094875"),
    ],
)
def test_staying_in_the_united_states_costs_a_tenth_more(model, provider, place, tier, dollars):
    found = price(
        provider=provider,
        protocol="anthropic",
        model=model,
        tokens=MIXED,
        at=AT,
        service_tier=tier,
        inference_geo=place,
    )
    assert found.cost_usd == Decimal(dollars)


def test_only_anthropic_takes_more_for_it():
    asked = {"provider": "openai", "model": "gpt-5", "tokens": Tokens(1_000, 20_000, output=500), "at": AT}
    assert price(**asked, inference_geo="us") == price(**asked)


def test_a_search_costs_a_cent_in_the_united_states_too():
    tokens = Tokens(uncached_input=1_000, tool_units=3)
    found = price(provider="anthropic", model="claude-opus-5", tokens=tokens, at=AT, inference_geo="us")
    assert found.cost_usd == Decimal("0.0355")


def test_a_search_costs_a_cent_in_a_batch_too():
    tokens = Tokens(uncached_input=1_000, tool_units=3)
    assert cost("claude-sonnet-4-5", tokens).cost_usd == Decimal("0.033")
    assert cost("claude-sonnet-4-5", tokens, tier="batch").cost_usd == Decimal("0.0315")
    assert cost("claude-3-haiku-20240307", tokens).cost_usd == Decimal("0.03025")


def test_calls_of_a_tool_without_a_price_make_the_cost_an_estimate():
    found = cost("o1", Tokens(uncached_input=1_000, tool_units=2))
    assert (found.cost_usd, found.status) == (Decimal("0.015"), CostStatus.ESTIMATED)
    assert "2 tool calls" in found.note


@pytest.mark.parametrize(
    ("at", "dollars"),
    [
        (datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), "50"),  # o3 cost 10 and 40 …
        (datetime(2025, 6, 10, tzinfo=UTC), "10"),  # … and from this day on 2 and 8
    ],
)
def test_the_price_is_that_of_the_day(at, dollars):
    assert cost("o3", Tokens(uncached_input=MILLION, output=MILLION), at=at).cost_usd == Decimal(dollars)


def test_a_price_that_ended_its_tiers_has_none_any_more():
    tokens = Tokens(uncached_input=300_000)
    assert cost("claude-opus-4-6", tokens, at=datetime(2026, 3, 12, tzinfo=UTC)).cost_usd == Decimal(3)
    assert cost("claude-opus-4-6", tokens, at=datetime(2026, 3, 13, tzinfo=UTC)).cost_usd == Decimal("1.5")


@pytest.mark.parametrize("model", ["claude-opus-9", "gpt-77", "", "llama"])
def test_a_model_nobody_knows_is_unpriced_and_not_free(model):
    found = cost(model, MIXED)
    assert (found.cost_usd, found.status, found.source) == (None, CostStatus.UNPRICED, "")


@pytest.mark.parametrize(
    ("provider", "protocol", "model", "dollars"),
    [
        ("corporate gateway", "anthropic", "claude-opus-5-5", "4"),
        ("corporate gateway", "openai", "gpt-5", "1.25"),
        ("corporate gateway", "openai", "claude-opus-5-5", None),  # the vendor of that protocol has no such model
        ("corporate gateway", "", "claude-opus-5-5", "4"),
        ("bedrock", "anthropic", "anthropic.claude-opus-4-5-20251101-v1:0", "5.5"),
        ("azure", "openai", "gpt-4o", "2.5"),
        ("gemini", "gemini", "gemini-2.5-flash", "0.3"),
    ],
)
def test_the_providers_name_decides_then_its_protocol(provider, protocol, model, dollars):
    found = cost(model, Tokens(uncached_input=MILLION), provider=provider, protocol=protocol or "none")
    assert found.cost_usd == (None if dollars is None else Decimal(dollars))


def test_an_override_wins_and_says_so():
    overrides = (
        PriceOverride("claude-*", Decimal(2), Decimal(6), provider="inhouse"),
        PriceOverride("claude-*", Decimal(1), Decimal(3), cache_read=Decimal("0.2")),
        PriceOverride("own-*", Decimal(10), Decimal(20)),
    )
    found = cost("claude-opus-4-5", MIXED, overrides=overrides)
    # 1 / .20 / 1.25 / 2 / 3: .001 + .004 + .00375 + .008 + .0015
    assert (found.cost_usd, found.source, found.status) == (Decimal("0.01825"), "override", CostStatus.EXACT)
    inhouse = cost("claude-opus-4-5", Tokens(output=MILLION), overrides=overrides, provider="inhouse")
    assert inhouse.cost_usd == Decimal(6)
    # outside Anthropic's protocol the cache costs what input costs
    assert cost("own-7b", Tokens(1_000, 1_000, output=1_000), overrides=overrides).cost_usd == Decimal("0.04")
    assert cost("gpt-4o", Tokens(uncached_input=MILLION), overrides=overrides).source == LIST_SOURCE


@pytest.mark.parametrize(
    ("tier", "dollars"),
    # .003 + .004 + .01125 + .024 + .0075, and two searches at a cent each
    [("", "0.06975"), ("flex", "0.06975"), ("priority", "0.06975"), ("batch", "0.044875")],
)
def test_an_override_costs_half_in_a_batch_but_for_its_searches(tier, dollars):
    overrides = (PriceOverride("claude-*", Decimal(3), Decimal(15), cache_read=Decimal("0.2")),)
    tokens = Tokens(1_000, 20_000, 3_000, 4_000, 500, tool_units=2)
    found = cost("claude-opus-4-5", tokens, tier=tier, overrides=overrides, protocol="anthropic")
    assert (found.cost_usd, found.status) == (Decimal(dollars), CostStatus.EXACT)


def test_an_override_costs_half_in_other_protocols_batches_too():
    overrides = (PriceOverride("own-*", Decimal(10), Decimal(20)),)
    found = cost("own-7b", Tokens(1_000, 1_000, output=1_000), tier="batch", overrides=overrides, protocol="openai")
    assert found.cost_usd == Decimal("0.02")


def test_each_set_of_overrides_has_its_own_prices():
    for dollars in range(40):
        overrides = [PriceOverride("*", Decimal(dollars), Decimal(0))]
        assert cost("gpt-4o", Tokens(uncached_input=MILLION), overrides=overrides).cost_usd == Decimal(dollars)


@pytest.mark.parametrize(("nano", "rounded"), [("0.0005", "0"), ("0.0015", "2E-9"), ("0.0025", "2E-9")])
def test_half_a_nanodollar_goes_to_the_even_one(nano, rounded):
    overrides = (PriceOverride("*", Decimal(nano), Decimal(0)),)
    assert cost("m", Tokens(uncached_input=1), overrides=overrides).cost_usd == Decimal(rounded)


def test_an_hourly_price_follows_the_hour():
    listed = [
        (provider.id, model)
        for provider in data_snapshot.get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list) and any(isinstance(p.constraint, TimeOfDateConstraint) for p in model.prices)
    ]
    assert listed
    book = PriceBook()
    for provider, model in listed:
        for hour in range(24):
            at = datetime(2025, 3, 1, hour, 45, tzinfo=UTC)
            found = book.price(provider=provider, model=model.id, tokens=Tokens(MILLION), at=at)
            assert found.cost_usd == model.get_prices(at).input_mtok


MODELS = [
    (provider.id, model.id)
    for provider in data_snapshot.get_snapshot().providers
    for model in provider.models
    if provider.id in {"anthropic", "openai"}
    and provider.find_model(model.id) is model
    and model.get_prices(AT).input_mtok
    and model.get_prices(AT).output_mtok
]


@settings(max_examples=300, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    counts=st.tuples(*[st.integers(0, 400_000)] * 5),
    day=st.dates(date(2023, 1, 1), date(2026, 12, 1)),
)
def test_it_agrees_with_the_price_lists_own_calculation(model, counts, day):
    provider, name = model
    tokens = Tokens(*counts)
    at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    info = next(m for m in data_snapshot.find_provider_by_id(data_snapshot.get_snapshot().providers, provider).models
                if m.id == name)  # fmt: skip
    prices = info.get_prices(at)
    if tokens.cache_write_1h and prices.cache_write_1h_mtok is None:
        return
    usage = Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write_5m + tokens.cache_write_1h,
        cache_write_5m_tokens=tokens.cache_write_5m,
        cache_write_1h_tokens=tokens.cache_write_1h,
        output_tokens=tokens.output,
        input_audio_tokens=0,
        output_audio_tokens=0,
        cache_audio_read_tokens=0,
    )
    wanted = prices.calc_price(usage)["total_price"]
    table = PriceBook().price(provider=provider, model=name, tokens=tokens, at=at)
    assert table.cost_usd == wanted.quantize(Decimal("1e-9"))


def test_the_version_of_the_list_is_on_the_row():
    assert f"genai-prices {genai_prices.__version__}" == LIST_SOURCE


def test_a_warm_price_takes_microseconds():
    book = PriceBook()

    def once():
        return book.price(provider="anthropic", protocol="anthropic", model="claude-opus-4-5", tokens=MIXED, at=AT)

    once()
    taken = []
    for _ in range(200):
        before = time.perf_counter_ns()
        once()
        taken.append(time.perf_counter_ns() - before)
    assert min(taken) < 20_000
