"""What the API's description says of query parameters is what can be asked."""

import pytest

from data.metrics import DIMENSIONS, LIMIT_METRICS, METRICS, Metric
from data.query import Question, check
from engine.api import analytics
from engine.api.parameters import described
from tests.engine.traffic import MINUTE, NOON

ROUTES = [route for route in analytics.ROUTES if "metrics" in route.query]
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


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_what_comes_first_is_told_by_a_metric_that_can_order(route):
    for name in known(route, "order_by"):
        check(Question((name,), NOON - MINUTE, NOON, by=("model",), order_by=name, limit=1))
