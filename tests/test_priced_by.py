"""Whoever prices a call names everything that its price depends on."""

import inspect
import json
from decimal import Decimal

import pytest

from data.imports.claude_code import Transcript
from data.imports.rows import Labels, Rows
from data.model import CostStatus, Tokens
from data.price_list import Wanted
from data.pricing import PriceBook
from data.pricing import price as price_once
from data.queries.cache import PRICED_BY
from data.rates import Priced
from data.reprice import Wanted as Past
from data.reprice import reprice
from proxy.budget.appraisal import Appraiser
from proxy.budget.liability import liability
from proxy.budget.worst_case import Worst
from proxy.record import Cost, cost_of
from proxy.usage.usage import Usage
from tests.data.imports.logs import OPUS, assistant, usage
from tests.data.ledger import NOON, record
from tests.data.test_corrections import put
from tests.proxy.spool_samples import NOW, started

#: A call that is unusual in everything its price depends on, but for the caller's word.
ASKED = {
    "provider": "anthropic",
    "protocol": "anthropic",
    "model": OPUS,
    "service_tier": "priority",
    "speed": "fast",
    "inference_geo": "us",
}
BILLED = {name: ASKED[name] for name in ("service_tier", "speed", "inference_geo")}
USED = Usage(tokens=Tokens(uncached_input=1000, output=50), model=OPUS, **BILLED)


class Prices(PriceBook):
    """Notes what it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def price(self, **asked):
        self.asked.append(asked)
        return Priced(Decimal(1), CostStatus.EXACT, "noted")

    def ceilings(self, **asked):
        self.asked.append(asked)
        return super().ceilings(**asked)


def past_rows(prices, store):
    row = record(1, cost_usd=None, cost_status=CostStatus.UNPRICED, **ASKED)
    put(store, [row])
    reprice(store, prices, Past(), protocols={}, now=NOON, actor="test")


def imported_rows(prices, _store):
    line = assistant(1, usage=usage(**BILLED))
    call = Transcript(["projects", "p", "s.jsonl"]).read(json.dumps(line).encode())
    Rows(prices, Labels()).of(call)


def rows(prices, _store):
    cost_of(started(), USED, prices.price, at_us=NOW)


def broken_streams(prices, _store):
    start, cost = started(reserved_usd=Decimal(1)), Cost(None, CostStatus.UNPRICED)
    liability(start, USED, cost, Worst(10**9, 100, 0), prices.price, billed=True, at_us=NOW)


def new_batches(prices, _store):
    call = {"model": OPUS, "max_tokens": 9, "inference_geo": "us", "speed": "fast", "messages": []}
    body = json.dumps({"requests": [{"custom_id": "one", "params": call}]}).encode()
    appraiser = Appraiser(prices, 100)
    appraiser.batch(body, provider="anthropic", protocol="anthropic", now_s=NOW / 1e6)


@pytest.mark.parametrize(
    ("site", "differs"),
    [
        (past_rows, {}),
        (imported_rows, {}),
        (rows, {}),
        (broken_streams, {}),
        (new_batches, {"service_tier": "batch"}),
    ],
)
def test_everything_that_a_price_depends_on_is_named(store, site, differs):
    prices = Prices()
    site(prices, store)
    assert prices.asked
    for asked in prices.asked:
        assert {name: asked.get(name) for name in PRICED_BY} == ASKED | differs


def test_the_list_holds_everything_that_a_price_depends_on():
    known = {*PRICED_BY}
    assert known == {*ASKED} == {*Wanted._fields} - {"day"}
    for asked in (PriceBook.price, PriceBook.table, PriceBook.ceilings, price_once):
        assert {*inspect.signature(asked).parameters} - {"self", "tokens", "at", "overrides"} == known
