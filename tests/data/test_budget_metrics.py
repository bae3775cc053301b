"""What budgets say at an instant, from budgets and a ledger that are really stored."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from data import budget_changes
from data.budgets import Budget
from data.client import FlightStore
from data.errors import QueryRejected
from data.instants import instants
from data.queries.ledger import values
from data.query import answer, answers
from data.question import Question
from data.records import record_table
from tests.data.ledger import record

MONTH = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
METRICS = ("budget_used", "budget_forecast", "budget_burn")


def keep(store: FlightStore, name: str, **fields: object) -> None:
    document = {"name": name, "amount_usd": 100, "period": "month", **fields}
    budget_changes.create(store, Budget.model_validate(document), by="ada", now=MONTH)


def spend(store: FlightStore, *calls: tuple[datetime, str, dict[str, object]]) -> None:
    made = [
        record(n, at=at, cost_usd=Decimal(usd), model="opus", **{"team": "core", "source": "live", **more})
        for n, (at, usd, more) in enumerate(calls, 1)
    ]
    store.put(record_table(made), spool_id="spent", first=1, last=len(made))


def asked(metric: str, at: datetime, window: timedelta = HOUR, by=("budget",), where=()) -> Question:
    return Question((metric,), at - window, at, by=by, where=dict(where))


def found(store: FlightStore, metric: str, at: datetime, **more) -> dict[str, float]:
    return dict(answer(store, asked(metric, at, **more)).iter_rows())


def test_used_is_the_share_of_the_period_so_far_and_of_the_whole_period_at_its_end(store):
    keep(store, "core", scope={"kind": "team", "value": "core"})
    spend(
        store,
        (MONTH - MINUTE, "50", {}),
        (MONTH + DAY, "20", {}),
        (MONTH + DAY, "7", {"team": "web"}),
        (MONTH + 2 * DAY, "5", {"source": "imported"}),
    )
    at = [MONTH, MONTH + MINUTE, MONTH + DAY, MONTH + DAY + MINUTE]
    assert [found(store, "budget_used", instant)["core"] for instant in at] == [50, 0, 0, 20]


def test_budgets_in_force_are_listed_by_their_names(store):
    keep(store, "web", scope={"kind": "team", "value": "*"})
    keep(store, "core", scope={"kind": "team", "value": "core"})
    keep(store, "gone", enabled=False)
    assert values(store, "budget", MONTH, MONTH + DAY) == ["core", "web"]


def test_a_forecast_goes_on_as_it_did_and_says_nothing_in_the_first_hours(store):
    keep(store, "all", amount_usd=62)
    spend(store, (MONTH + HOUR, "10", {}))
    assert found(store, "budget_forecast", MONTH + DAY) == {"all": None}
    assert found(store, "budget_forecast", MONTH + 10 * DAY) == {"all": pytest.approx(10 * 31 / 10 / 62 * 100)}


def test_a_burn_rate_of_one_uses_the_budget_up_in_just_its_period(store):
    keep(store, "daily", amount_usd=24, period="day")
    keep(store, "rolling", amount_usd=24 * 30, window="rolling")
    spend(store, (MONTH + HOUR, "3", {}))
    assert found(store, "budget_burn", MONTH + HOUR + MINUTE) == {"daily": 3, "rolling": 3}
    assert found(store, "budget_burn", MONTH + HOUR + MINUTE, window=6 * HOUR) == {"daily": 0.5, "rolling": 0.5}


def test_each_value_of_a_star_has_a_budget_of_its_own_and_a_name_stands_for_all(store):
    keep(store, "teams", scope={"kind": "team", "value": "*"}, amount_usd=10)
    keep(store, "other")
    spend(store, (MONTH + HOUR, "3", {}), (MONTH + HOUR, "8", {"team": "web"}), (MONTH + HOUR, "1", {"team": ""}))
    at = MONTH + DAY
    assert found(store, "budget_used", at, where={"budget": ("teams",)}) == {"teams/core": 30, "teams/web": 80}
    assert found(store, "budget_used", at, where={"budget": ("teams/core", "other")}) == {"other": 12, "teams/core": 30}
    assert answer(store, asked("budget_used", at, by=())).item() == 80


def test_a_models_budget_counts_its_snapshots_and_a_raise_counts_while_it_holds(store):
    more = {"amount_usd": 100, "from": MONTH + DAY, "until": MONTH + 2 * DAY}
    keep(store, "opus", scope={"kind": "model", "value": "opus"}, raises=[more])
    spend(store, (MONTH + HOUR, "10", {"model_requested": "opus-20260101"}))
    used = [found(store, "budget_used", MONTH + n * DAY + MINUTE)["opus"] for n in (0.5, 1, 3)]
    assert used == [10, 5, 10]


def test_unknown_and_disabled_budgets_have_no_value(store):
    keep(store, "off", enabled=False)
    spend(store, (MONTH + HOUR, "10", {}))
    assert found(store, "budget_used", MONTH + DAY) == {}
    assert answer(store, asked("budget_used", MONTH + DAY, by=())).item() is None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("by", [(), ("budget",)])
@pytest.mark.parametrize(("start", "step"), [(MONTH - 2 * DAY, 7 * HOUR), (MONTH + timedelta(seconds=7), HOUR)])
def test_every_instant_of_a_series_is_the_answer_then(store, metric, by, start, step):
    keep(store, "core", scope={"kind": "team", "value": "core"}, time_zone="Europe/Berlin")
    keep(store, "teams", scope={"kind": "team", "value": "*"}, period="week", window="rolling", amount_usd=20)
    keep(store, "once", period="once", starts_at=MONTH - DAY, expires_at=MONTH + DAY)
    spend(store, *((MONTH + n * 3 * HOUR, f"{n % 5}.5", {"team": "core" if n % 3 else "web"}) for n in range(-20, 60)))
    end = start + 20 * step
    frame = instants(store, metric=metric, window=HOUR, start=start, end=end, step=step, by=by)
    for n in range(20):
        at = start + n * step
        rows = frame.filter(pl.col("time") == at).drop("time").rows()
        assert rows == answer(store, asked(metric, at, by=by)).rows(), at


def test_questions_of_budgets_and_of_requests_are_answered_together(store):
    keep(store, "all")
    spend(store, (MONTH + HOUR, "10", {}))
    at = MONTH + 2 * HOUR
    cost = Question(("cost",), MONTH, at)
    used, spent, again = answers(store, [asked("budget_used", at, by=()), cost, asked("budget_used", at)])
    assert (used.item(), spent.item(), again.rows()) == (10, 10, [("all", 10)])


@pytest.mark.parametrize(
    "question",
    [
        Question(("cost",), MONTH, MONTH + DAY, by=("budget",)),
        Question(("budget_used",), MONTH, MONTH + DAY, by=("model",)),
        Question(("budget_used", "cost"), MONTH, MONTH + DAY),
    ],
)
def test_what_makes_no_sense_is_refused(store, question):
    with pytest.raises(QueryRejected, match="budget"):
        answer(store, question)
