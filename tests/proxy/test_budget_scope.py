import pytest

from data.budget_scope import models, values, who_asked, who_asks, without_snapshot
from data.budgets import Scope
from data.model import Cause
from proxy.budget.money import counted, shown
from proxy.budget.plan import Plan
from proxy.budget.plans import Plans
from tests.proxy.budget_worlds import budget, usd
from tests.proxy.spool_samples import ended, started

WHO = {
    "key": "k1",
    "user": "ann",
    "team": "core",
    "project": "web",
    "session": "s1",
    "provider": "anthropic",
    "tags": {"env": "prod"},
}


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, ("",)),
        ({"kind": "team", "value": "core"}, ("core",)),
        ({"kind": "team", "value": "Core"}, ()),
        ({"kind": "team", "value": "*"}, ("core",)),
        ({"kind": "user", "value": "ann"}, ("ann",)),
        ({"kind": "key", "value": "*"}, ("k1",)),
        ({"kind": "project", "value": "web"}, ("web",)),
        ({"kind": "session", "value": "*"}, ("s1",)),
        ({"kind": "provider", "value": "openai"}, ()),
        ({"kind": "tag", "tag": "env", "value": "prod"}, ("prod",)),
        ({"kind": "tag", "tag": "env", "value": "*"}, ("prod",)),
        ({"kind": "tag", "tag": "region", "value": "*"}, ()),
        ({"kind": "model", "value": "claude-sonnet-4-5"}, ("claude-sonnet-4-5",)),
        ({"kind": "model", "value": "claude-sonnet-4-5-20250929"}, ("claude-sonnet-4-5-20250929",)),
        ({"kind": "model", "value": "claude-*"}, ("claude-*",)),
        ({"kind": "model", "value": "gpt-*"}, ()),
        ({"kind": "model", "value": "*"}, ("claude-sonnet-4-5",)),
    ],
    ids=str,
)
def test_what_a_call_counts_in_is_the_same_before_it_and_after_it(scope, found):
    asks = started(**WHO, model_requested="claude-sonnet-4-5")
    asked = ended(**WHO, model_requested="claude-sonnet-4-5", model="claude-sonnet-4-5-20250929")
    scope = Scope.model_validate(scope)
    assert values(scope, who_asks(asks)) == values(scope, who_asked(asked)) == found


@pytest.mark.parametrize("kind", ["team", "user", "key", "project", "session"])
def test_a_call_without_a_value_counts_for_no_value(kind):
    assert values(Scope(kind=kind, value="*"), who_asks(started())) == ()


@pytest.mark.parametrize(
    ("cause", "requested", "answering", "found"),
    [
        (Cause.FIRST, "small", "gpt-5-mini-2025-08-07", ("small", "gpt-5-mini")),
        (Cause.FIRST, "gpt-5", "", ("gpt-5",)),
        (Cause.RETRY, "gpt-5", "gpt-5", ("gpt-5",)),
        (Cause.FALLBACK, "claude-opus-4-1", "gpt-5", ("gpt-5",)),
        (Cause.FALLBACK, "claude-opus-4-1", "", ("claude-opus-4-1",)),
        (Cause.FALLBACK_RETRY, "claude-opus-4-1", "gpt-5", ("gpt-5",)),
        (Cause.FIRST, "", "", ()),
    ],
)
def test_a_call_counts_for_the_model_it_asked_for_and_the_one_that_answers(cause, requested, answering, found):
    assert models(cause, requested, answering) == found


@pytest.mark.parametrize(
    ("named", "model"),
    [
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("models/gemini-1.5-pro-002", "gemini-1.5-pro"),
        ("gpt-5.1", "gpt-5.1"),
        ("claude-opus-4-1", "claude-opus-4-1"),
    ],
)
def test_a_snapshot_is_the_model_it_is_of(named, model):
    assert without_snapshot(named) == model


def test_plans_find_the_same_counters_as_the_scopes_say_and_remember_them():
    scopes = [
        {},
        {"kind": "team", "value": "*"},
        {"kind": "tag", "tag": "env", "value": "*"},
        {"kind": "model", "value": "m"},
    ]
    budgets = [budget(str(n), scope=scope) for n, scope in enumerate(scopes)]
    plans = Plans([Plan(each.name, 1, each, n, each.schedule) for n, each in enumerate(budgets)])
    start = started(**WHO, model_requested="m")
    match = plans.asking(start)
    assert [(c.plan.id, c.value) for c in match.counters] == [("0", ""), ("1", "core"), ("2", "prod"), ("3", "m")]
    assert plans.asking(started(**WHO, model_requested="m")) is match
    assert plans.asked(ended(**WHO, model_requested="m", model="m")) == match.counters
    assert plans.asking(started(team="web")).counters != match.counters
    plans.forget(1)
    assert plans.asking(start).counters != match.counters  # nobody had anything of them


@pytest.mark.parametrize(
    ("cost", "liability", "more", "found"),
    [
        (5, None, {}, 5),
        (5, 9, {}, 9),
        (5, 0, {}, 0),
        (None, None, {}, 0),
        (None, 7, {}, 7),
        (5, None, {"source": "demo"}, 0),
        (5, None, {"source": "imported"}, 0),
        (10**17, None, {}, 10**15),
    ],
)
def test_what_a_record_counts(cost, liability, more, found):
    money = {"cost_usd": cost and usd(cost), "liability_usd": None if liability is None else usd(liability)}
    assert counted(ended(**money, **more)) == found


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (1_000_000_000, "$1.00"), (1_234_567_891_234, "$1,234.57"), (12_300_000, "$0.0123")],
)
def test_amounts_as_people_read_them(nano, text):
    assert shown(nano) == text
