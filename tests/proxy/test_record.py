"""What a call's row says, and what it costs."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from data.model import CostStatus, Endpoint, Outcome, Protocol, RequestStart, Tokens
from data.pricing import Priced
from proxy.record import Ending, ledger_record
from proxy.usage import Billing, Share, Usage

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


BY_MODEL = {
    "answered": Priced(Decimal(1), CostStatus.EXACT, "list 1"),
    "advisor": Priced(Decimal(3), CostStatus.EXACT, "list 1"),
}
SHARED = replace(COUNTED, others=(Share("advisor", Tokens(uncached_input=10, output=5)),))


def by_model(prices: dict[str, Priced]):
    def price(*, model: str, **_question: object) -> Priced:
        return prices.get(model, Priced(None, CostStatus.UNPRICED, ""))

    return price


def test_what_other_models_had_a_share_in_is_counted_and_priced_with_them():
    row = ledger_record(START, ENDING, SHARED, by_model(BY_MODEL))
    assert (row.model, row.cost_usd, row.cost_status) == ("answered", 4, CostStatus.EXACT)
    assert (row.uncached_input_tokens, row.output_tokens) == (13, 7)


@pytest.mark.parametrize(
    ("advisor", "usd", "status", "note"),
    [
        (None, None, CostStatus.UNPRICED, ""),
        (Priced(Decimal(3), CostStatus.ESTIMATED, "l", "no price for x"), 4, CostStatus.ESTIMATED, "no price for x"),
    ],
    ids=["unpriced", "estimated"],
)
def test_a_cost_is_as_good_as_the_worst_of_its_shares(advisor, usd, status, note):
    prices = {"answered": DOLLAR} | ({"advisor": advisor} if advisor else {})
    row = ledger_record(START, ENDING, SHARED, by_model(prices))
    assert (row.cost_usd, row.cost_status, row.cost_note) == (usd, status, note)


@pytest.mark.parametrize(
    ("usage", "usd", "status"),
    [
        (replace(COUNTED, billing=Billing.FREE, note="why"), 0, CostStatus.EXACT),
        (replace(COUNTED, billing=Billing.PARTLY, note="why"), 1, CostStatus.ESTIMATED),
        (replace(COUNTED, billing=Billing.UNKNOWN, note="why"), 1, CostStatus.ESTIMATED),
        (Usage(complete=True, billing=Billing.UNKNOWN, note="why"), None, CostStatus.UNPRICED),
    ],
    ids=["free", "partly", "unknown but counted", "unknown"],
)
def test_how_counts_become_money(usage: Usage, usd: int | None, status: CostStatus):
    row = ledger_record(START, ENDING, usage, Prices())
    assert (row.cost_usd, row.cost_status, row.cost_note) == (usd, status, "why")


def test_what_no_counts_tell_of_an_error_is_free_all_the_same():
    usage = Usage(complete=True, billing=Billing.UNKNOWN, note="why")
    row = ledger_record(START, replace(ENDING, billed=False), usage, Prices())
    assert (row.cost_usd, row.cost_status) == (0, CostStatus.EXACT)


def test_an_answers_own_number_stands_in_for_the_requests():
    row = ledger_record(START, ENDING, replace(COUNTED, response_id="r1"), Prices())
    assert row.provider_request_id == "r1"
    row = ledger_record(START, replace(ENDING, provider_request_id="req"), replace(COUNTED, response_id="r1"), Prices())
    assert row.provider_request_id == "req"


def test_place_and_speed_are_priced():
    prices = Prices()
    ledger_record(START, ENDING, replace(COUNTED, inference_geo="us", speed="fast"), prices)
    assert (prices.asked[0]["inference_geo"], prices.asked[0]["speed"]) == ("us", "fast")
