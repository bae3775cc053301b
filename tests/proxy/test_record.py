"""What a call's row says, and what it costs."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from data.model import CostStatus, Endpoint, Outcome, Protocol, RequestStart, Tokens
from data.pricing import Priced
from proxy.record import Ending, ledger_record
from proxy.usage import Usage

T0 = 1_800_000_000_000_000
START = RequestStart(
    id="i",
    request_id="r",
    started_at=T0,
    protocol=Protocol.ANTHROPIC,
    endpoint=Endpoint.MESSAGES,
    provider="anthropic",
    model_requested="asked",
    tags={"a": "b"},
)
ENDING = Ending(outcome=Outcome.OK, status=200, ended_at=T0 + 5_000_000, duration_ms=5000.0)
COUNTED = Usage(tokens=Tokens(uncached_input=3, output=2), model="answered", complete=True, service_tier="flex")
DOLLAR = Priced(Decimal(1), CostStatus.EXACT, "list 1")


class Prices:
    """A price list that remembers what it was asked."""

    def __init__(self, priced: Priced = DOLLAR) -> None:
        self.asked: list[dict[str, object]] = []
        self.priced = priced

    def __call__(self, **question: object) -> Priced:
        self.asked.append(question)
        return self.priced


def test_a_row_is_priced_by_the_model_that_answered_when_it_ended():
    prices = Prices()
    row = ledger_record(START, ENDING, COUNTED, prices)
    assert (row.model_requested, row.model, row.cost_usd, row.price_source) == ("asked", "answered", 1, "list 1")
    assert row.tags == {"a": "b"}
    question = prices.asked[0]
    assert (question["model"], question["service_tier"], question["protocol"]) == ("answered", "flex", "anthropic")
    assert question["at"] == datetime.fromtimestamp(T0 / 1e6 + 5, UTC)


@pytest.mark.parametrize(
    ("usage", "priced", "status", "note"),
    [
        (COUNTED, DOLLAR, CostStatus.EXACT, ""),
        (replace(COUNTED, complete=False, note="from text"), DOLLAR, CostStatus.ESTIMATED, "from text"),
        (COUNTED, Priced(None, CostStatus.UNPRICED, ""), CostStatus.UNPRICED, ""),
        (replace(COUNTED, complete=False, note="x"), Priced(None, CostStatus.UNPRICED, ""), CostStatus.UNPRICED, "x"),
        (
            COUNTED,
            Priced(Decimal(1), CostStatus.ESTIMATED, "l", "no tool price"),
            CostStatus.ESTIMATED,
            "no tool price",
        ),
    ],
    ids=["exact", "estimated", "unpriced", "unpriced estimate", "partly priced"],
)
def test_how_far_a_cost_can_be_trusted(usage: Usage, priced: Priced, status: CostStatus, note: str):
    row = ledger_record(START, ENDING, usage, Prices(priced))
    assert (row.cost_status, row.cost_note) == (status, note)
    assert (row.cost_usd is None) == (status is CostStatus.UNPRICED)


@pytest.mark.parametrize("endpoint", [Endpoint.COUNT_TOKENS, Endpoint.MODELS])
def test_some_endpoints_are_free(endpoint: Endpoint):
    prices = Prices()
    start = RequestStart(id="i", request_id="r", started_at=T0, protocol="anthropic", endpoint=endpoint, provider="p")
    row = ledger_record(start, ENDING, Usage(), prices)
    assert (row.cost_usd, row.cost_status, prices.asked) == (0, CostStatus.EXACT, [])


def test_what_was_not_billed_is_free_unless_the_provider_counted_it():
    ending = replace(ENDING, outcome=Outcome.ERROR, billed=False)
    assert ledger_record(START, ending, Usage(), Prices()).cost_usd == 0
    assert ledger_record(START, ending, COUNTED, Prices()).cost_usd == 1


def test_what_a_provider_says_is_stored_clean():
    odd = replace(COUNTED, model="m\x00\ud800" * 200, stop_reason="s\n", error_message="x" * 900)
    row = ledger_record(START, ENDING, odd, Prices())
    assert len(row.model) == 200
    assert row.model.isprintable()
    assert (row.stop_reason, len(row.error_message)) == ("s ", 500)
