from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.budget_periods import NEVER
from data.budgets import Budget, nano, parse, to_json
from data.errors import ConfigError
from data.settings import load
from tests.data.test_budget_periods import at

DOLLAR = 1_000_000_000


def budget(**more):
    return Budget.model_validate({"name": "core", "amount_usd": 10, "period": "month", **more})


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"amount_usd": -1}, "amount_usd", "greater than or equal to 0"),
        ({"amount_usd": "NaN"}, "amount_usd", "finite"),
        ({"amount_usd": "0.0000000001"}, "amount_usd", "9 decimal places"),
        ({"amount_usd": 1e12}, "amount_usd", "less than or equal"),
        ({"name": " "}, "name", "at least 1 character"),
        ({"name": "a\nb"}, "name", "pattern"),
        ({"period": "year"}, "period", "'hour', 'day'"),
        ({"time_zone": "Europe/Zurch"}, "time_zone", "Europe/Zurich"),
        ({"thresholds": [0]}, "thresholds.0", "greater than or equal to 1"),
        ({"scope": {"kind": "team"}}, "scope", "needs a value"),
        ({"scope": {"kind": "global", "value": "x"}}, "scope", "no value"),
        ({"scope": {"kind": "tag", "value": "x"}}, "scope", "tag's name"),
        ({"scope": {"kind": "team", "value": "x", "tag": "y"}}, "scope", "no other scope"),
        ({"scope": {"kind": "planet", "value": "x"}}, "scope.kind", "'global'"),
        ({"limit": 3}, "limit", "not permitted"),
        ({"starts_at": "2026-01-01T00:00:00Z"}, "", "for once"),
        ({"period": "once", "window": "rolling"}, "", "no rolling window"),
        ({"period": "once", "expires_at": "2026-01-01T00:00:00"}, "expires_at", "timezone"),
        ({"period": "once", "expires_at": "9999-12-31T00:00:00Z"}, "expires_at", "between the years"),
        (
            {"raises": [{"amount_usd": 1, "from": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}]},
            "raises.0",
            "until must come after",
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_fault_names_its_field_and_what_is_wrong(change, field, said):
    with pytest.raises(ValidationError) as raised:
        budget(**change)
    (fault,) = raised.value.errors()
    assert (".".join(map(str, fault["loc"])), said in fault["msg"]) == (field, True), fault["msg"]


def test_a_document_survives_being_stored():
    kept = budget(
        scope={"kind": "tag", "tag": "env", "value": "*"},
        time_zone="Europe/Zurich",
        raises=[
            {"amount_usd": "2.5", "from": "2026-01-01T00:00:00+01:00", "until": "2026-01-02T00:00:00Z", "by": "ann"}
        ],
        grants=[{"amount_usd": 1, "at": "2026-01-01T00:00:00Z"}],
    )
    assert parse(to_json(kept)) == kept


@pytest.mark.parametrize(
    ("more", "instant", "dollars", "until"),
    [
        ({}, "2026-03-10T00:00+00:00", 10, None),
        # a raise, for as long as it lasts
        ({"raises": [("2026-03-05", "2026-03-12")]}, "2026-03-04T00:00+00:00", 10, "2026-03-05T00:00+00:00"),
        ({"raises": [("2026-03-05", "2026-03-12")]}, "2026-03-05T00:00+00:00", 12, "2026-03-12T00:00+00:00"),
        ({"raises": [("2026-03-05", "2026-03-12")]}, "2026-03-12T00:00+00:00", 10, None),
        (
            {"raises": [("2026-03-05", "2026-03-12"), ("2026-03-07", "2026-03-08")]},
            "2026-03-07T00:00+00:00",
            14,
            "2026-03-08T00:00+00:00",
        ),
        # a grant tops up the month it is given in
        ({"grants": [("2026-03-05", None)]}, "2026-03-31T23:00+00:00", 13, "2026-04-01T00:00+00:00"),
        ({"grants": [("2026-03-05", None)]}, "2026-04-01T00:00+00:00", 10, None),
        ({"grants": [("2026-03-05", "2026-03-06")]}, "2026-03-06T00:00+00:00", 10, None),
        (
            {"grants": [("2026-03-05", None)], "window": "rolling"},
            "2026-04-03T00:00+00:00",
            13,
            "2026-04-04T06:00+00:00",
        ),
        # … and what is for once for good
        ({"grants": [("2026-03-05", None)], "period": "once"}, "2030-01-01T00:00+00:00", 13, None),
        (
            {"period": "once", "expires_at": "2026-03-10T00:00:00Z"},
            "2026-03-09T23:59+00:00",
            10,
            "2026-03-10T00:00+00:00",
        ),
        ({"period": "once", "expires_at": "2026-03-10T00:00:00Z"}, "2026-03-10T00:00+00:00", 0, None),
    ],
)  # fmt: skip
def test_the_limit_at_a_time_and_until_when_it_holds(more, instant, dollars, until):
    more = dict(more)
    day = "T00:00:00Z"
    raises = [{"amount_usd": 2, "from": a + day, "until": b + day} for a, b in more.pop("raises", [])]
    grants = [
        {"amount_usd": 3, "at": a + day, "expires_at": b and b + day} for a, b in more.pop("grants", [])
    ]  # fmt: skip
    limit, holds = budget(raises=raises, grants=grants, **more).limit(at(instant))
    assert limit == dollars * DOLLAR
    assert holds == (NEVER if until is None else at(until))


def test_budgets_that_count_the_same_have_one_shape():
    shape = budget().shape
    assert budget(amount_usd=99, name="other", thresholds=[10], enforcement="soft").shape == shape
    others = [
        budget(period="day"),
        budget(window="rolling"),
        budget(time_zone="Europe/Zurich"),
        budget(scope={"kind": "team", "value": "a"}),
    ]
    assert len({shape, *(other.shape for other in others)}) == 5
    assert budget(window="rolling").shape == budget(window="rolling", time_zone="Europe/Zurich").shape


def test_what_budgets_do_in_an_outage_is_configured_like_everything_else(tmp_path):
    variables = {"CLAUDE_PROXY_BUDGETS_ON_OUTAGE": "open", "CLAUDE_PROXY_BUDGETS_ASSUMED_MAX_OUTPUT_TOKENS": "9"}
    settings = load({"CLAUDE_PROXY_HOME": str(tmp_path), **variables}).budgets
    assert (settings.on_outage, settings.unpriced, settings.assumed_max_output_tokens) == ("open", "refuse", 9)
    with pytest.raises(ConfigError, match="UNPRICED"):
        load({"CLAUDE_PROXY_HOME": str(tmp_path), "CLAUDE_PROXY_BUDGETS_UNPRICED": "free"})


@given(st.integers(0, 10**18))
def test_dollars_are_counted_to_the_nanodollar(amount):
    assert nano(Decimal(amount).scaleb(-9)) == amount


def test_less_than_a_nanodollar_is_counted_as_one():
    assert nano(Decimal("0.0000000001")) == 1
