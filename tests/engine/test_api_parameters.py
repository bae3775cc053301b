"""What the API's description says of query parameters is what can be asked."""

import pytest

from data.errors import QueryRejected
from data.metrics import BUDGET_METRICS, DIMENSIONS, LIMIT_METRICS, METRICS, RULE_METRICS, Metric
from data.query import Question, check
from engine.api import analytics
from engine.api.parameters import described
from tests.engine.test_api import api  # noqa: F401 - a fixture
from tests.engine.traffic import MINUTE, NOON

ROUTES = [route for route in analytics.ROUTES if "order_by" in route.query]
EVERY = [dimension.name for dimension in DIMENSIONS if dimension.name != "tag"]


def known(route, name: str) -> list[str]:
    (schema,) = [each.schema for each in described(route.query) if each.name == name]
    return schema["items"]["enum"] if "items" in schema else schema["enum"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
@pytest.mark.parametrize("each", [*METRICS[:1], *LIMIT_METRICS], ids=lambda each: each.name)
def test_every_metric_is_described_with_all_that_it_can_be_split_and_filtered_by(route, each: Metric):
    assert each.name in known(route, "metrics")
    filters = {parameter.name for parameter in described(route.query)}
    for name in each.dimensions or EVERY:
        assert name in known(route, "by")
        assert f"filter.{name}" in filters
    assert len(filters) == len(list(described(route.query)))


def test_metrics_of_budgets_are_described_where_they_can_be_asked_for():
    named = {route.path.rpartition("/")[2]: {*known(route, "metrics")} for route in ROUTES}
    assert named["aggregate"] - named["timeseries"] == {each.name for each in BUDGET_METRICS}
    by = {route.path.rpartition("/")[2]: "budget" in known(route, "by") for route in ROUTES}
    assert by == {"aggregate": True, "timeseries": False}


async def test_what_is_listed_of_a_metric_is_what_can_be_asked_of_it(api):  # noqa: F811
    said = await (await api.get("/api/analytics/metrics")).json()
    assert [each["name"] for each in said["metrics"]] == [each.name for each in RULE_METRICS]
    labels = {each["name"]: each["label"] for each in (*said["dimensions"], *said["own_dimensions"])}
    assert [each["name"] for each in said["dimensions"]] == [each.name for each in DIMENSIONS]
    for each in said["metrics"]:
        for name in labels:
            asked = Question((each["name"],), NOON - MINUTE, NOON, by=("tag:t" if name == "tag" else name,))
            assert answerable(asked) is (name in each["dimensions"])
        assert answerable(Question((each["name"],), NOON - MINUTE, NOON, grain="minute")) is each["over_time"]
    own = {each["name"]: each["dimensions"] for each in said["metrics"]}
    assert own["provider_limit_used"] == ["provider", "credential", "limit"]
    assert own["budget_used"] == ["budget"]


async def test_a_budget_is_asked_for_as_it_is_listed(api):  # noqa: F811
    asked = {"metrics": "budget_used", "by": "budget", "filter.budget": "core"}
    assert (await (await api.get("/api/analytics/aggregate", params=asked)).json())["rows"] == []
    over_time = await api.get("/api/analytics/timeseries", params=asked)
    assert (over_time.status, (await over_time.json())["detail"]) == (
        422,
        "budget_used has its budget's own time, and no grain",
    )


def answerable(asked: Question) -> bool:
    try:
        check(asked)
    except QueryRejected:
        return False
    return True


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_what_comes_first_is_told_by_a_metric_that_can_order(route):
    for name in known(route, "order_by"):
        check(Question((name,), NOON - MINUTE, NOON, by=("model",), order_by=name, limit=1))
