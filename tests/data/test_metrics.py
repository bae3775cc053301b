import pytest

from data.errors import UnknownMetric
from data.metrics import DIMENSIONS, METRICS, Kind, dimension, metric
from data.schema import ROLLUP_DIMENSIONS, ROLLUP_MEASURES, requests

VOCABULARY = """
requests errors error_rate cost cost_per_request cost_per_token cost_per_1k_tokens input_tokens
uncached_input_tokens cache_read_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens
cache_hit_rate tokens_per_second latency_p50 latency_p95 latency_p99 latency_avg ttft_p50 ttft_p95
active_sessions active_keys rate_limited unpriced_requests fallback_rate estimated_share spend_rate ledger_lag
"""


def test_the_alerting_vocabulary_is_there():
    assert sorted(m.name for m in METRICS) == sorted(VOCABULARY.split())


@pytest.mark.parametrize("m", METRICS, ids=lambda m: m.name)
def test_every_metric_is_explained_and_computable(m):
    assert m.label
    assert m.unit
    assert m.definition.endswith(".")
    assert set(m.measures) <= set(ROLLUP_MEASURES)
    assert bool(m.per) == (m.kind is Kind.RATIO)
    assert (0 < m.percent < 100) == (m.kind is Kind.QUANTILE)
    assert m.empty == (0 if m.kind in {Kind.SUM, Kind.RATE, Kind.DISTINCT} else None)


def test_names_are_unique():
    for registry in (METRICS, DIMENSIONS):
        names = [entry.name for entry in registry]
        assert len(names) == len(set(names))
        assert len({entry.label for entry in registry}) == len(names)


def test_every_dimension_is_a_column_or_a_tag():
    assert {d.name for d in DIMENSIONS} - {"tag"} <= set(requests.c.keys())
    assert {d.name for d in DIMENSIONS if d.in_rollups} == set(ROLLUP_DIMENSIONS)


def test_a_tag_is_a_dimension_of_its_own():
    found = dimension("tag:team/eu")
    assert (found.name, found.tag, found.label, found.in_rollups) == ("tag:team/eu", "team/eu", "Tag team/eu", False)


@pytest.mark.parametrize(
    ("ask", "name", "words"),
    [
        (metric, "latency_p96", "latency_p95"),
        (metric, "Cost", "cost"),
        (metric, "???", "there is requests, errors"),
        (dimension, "modl", "did you mean model"),
        (dimension, "tag", "tag:NAME"),
        (dimension, "tag:", "tag"),
    ],
)
def test_an_unknown_name_is_answered_with_known_ones(ask, name, words):
    with pytest.raises(UnknownMetric, match=words):
        ask(name)
