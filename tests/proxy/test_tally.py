"""Counters and histograms as Prometheus reads them."""

from math import inf

from prometheus_client import CollectorRegistry, generate_latest

from proxy.tally import Count, Series, Tallies, Tally


def test_a_value_counts_in_every_bucket_that_reaches_it():
    tally = Tally((1.0, 4.0))
    for value in (0.5, 1.0, 1.5, 4.0, 9.0):
        tally.observe(value)
    assert tally.buckets() == [("1.0", 2.0), ("4.0", 4.0), ("+Inf", 5.0)]
    assert tally.sum == 16.0
    assert tally.bounds[-1] < inf


def test_series_with_the_same_labels_are_one():
    series = Series("calls", "Calls", ("model",), Count)
    series.at("a").add(1)
    series.at("a").add(2)
    assert {labels: count.value for labels, count in series.by_labels.items()} == {("a",): 3.0}


def test_what_is_collected_is_written_as_prometheus_expects():
    calls = Series("calls", "Calls", ("model",), Count)
    times = Series("seconds", "Seconds", (), lambda: Tally((1.0,)))
    calls.at("a").add(2)
    times.at().observe(0.5)
    registry = CollectorRegistry()
    registry.register(Tallies((calls,), (times,)))
    lines = generate_latest(registry).decode().splitlines()
    assert 'calls_total{model="a"} 2.0' in lines
    assert [line for line in lines if line.startswith("seconds")] == [
        'seconds_bucket{le="1.0"} 1.0',
        'seconds_bucket{le="+Inf"} 1.0',
        "seconds_count 1.0",
        "seconds_sum 0.5",
    ]
