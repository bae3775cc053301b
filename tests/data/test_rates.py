from datetime import UTC, datetime, timedelta

from data.queries import rates

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row(spent, *, channel="a", at=NOON, burst=10, per_minute=6.0):
    return {
        "channel": channel,
        "level": burst - spent,
        "at": at,
        "per_minute": per_minute,
        "burst": burst,
        "spent": spent,
    }


def levels(store):
    return {name: (level, at) for name, level, at, *_ in rates.levels(store).rows()}


def test_what_is_taken_comes_back_with_time_up_to_the_burst(store):
    store.transact(rates.spending([row(4)]))
    store.transact(rates.spending([row(1, at=NOON + 20 * SECOND)]))
    assert levels(store) == {"a": (7.0, NOON + 20 * SECOND)}  # 10 - 4 + 2 - 1
    store.transact(rates.spending([row(2, at=NOON + 3600 * SECOND)]))
    assert levels(store)["a"][0] == 8.0


def test_several_of_one_channel_are_added_up_and_others_are_apart(store):
    store.transact(rates.spending([row(1), row(2), row(3, channel="b")]))
    assert {name: level for name, (level, _) in levels(store).items()} == {"a": 7.0, "b": 7.0}


def test_two_who_take_at_once_both_count_even_below_nothing(store):
    for _ in range(2):
        store.transact(rates.spending([row(8)]))
    assert levels(store)["a"][0] == -6.0


def test_a_clock_that_was_set_back_brings_nothing(store):
    store.transact(rates.spending([row(5)]))
    store.transact(rates.spending([row(1, at=NOON - 3600 * SECOND)]))
    assert levels(store) == {"a": (4.0, NOON)}


def test_nothing_taken_is_nothing_written(store):
    assert rates.spending([]) == []


def limit(store, per_minute, burst):
    store.transact([rates.limiting("", per_minute=per_minute, burst=burst, at=NOON)])


def test_a_limit_that_was_set_stays_whatever_is_taken_under_another(store):
    limit(store, 2.0, 5)
    store.transact(rates.spending([row(1, channel="", burst=600, per_minute=300.0)]))
    assert rates.levels(store).rows() == [("", 4.0, NOON, 2.0, 5)]


def test_a_raised_limit_gives_nothing_at_once_and_a_lowered_one_takes(store):
    limit(store, 2.0, 5)
    limit(store, 2.0, 50)
    assert levels(store) == {"": (5.0, NOON)}
    limit(store, 1.0, 3)
    assert rates.levels(store).rows() == [("", 3.0, NOON, 1.0, 3)]
