import pytest

from data.errors import QueryRejected
from engine.noted_store import NotedStore
from engine.progress import Progress, Still, watched_on


@pytest.mark.parametrize(
    ("before", "marks", "after"),
    [
        pytest.param({}, {"a": 3}, {"a": Still(3)}, id="what is new has not stood still yet"),
        pytest.param({"a": Still(3, 5.0)}, {"a": 3}, {"a": Still(3, 7.0)}, id="the same mark: it stands still"),
        pytest.param({"a": Still(3, 5.0)}, {"a": 4}, {"a": Still(4)}, id="another mark: it came further"),
        pytest.param({"a": Still(3, 5.0)}, {}, {}, id="what has ended is forgotten"),
        pytest.param(
            {"a": Still(3, 5.0), "b": Still(4)},
            {"a": 3, "b": 6},
            {"a": Still(3, 7.0), "b": Still(6)},
            id="that one moves says nothing about another",
        ),
    ],
)
def test_how_long_work_stands_still(before, marks, after):
    assert watched_on(before, marks, 2.0) == after


def test_work_has_a_new_mark_when_it_begins_comes_further_and_begins_again():
    progress, seen = Progress(), []
    for _ in range(2):
        with progress.under_way("a"):
            seen.append(progress.marks()["a"])
            progress.further("a")
            seen.append(progress.marks()["a"])
        assert progress.marks() == {}
    assert len(set(seen)) == 4


def test_work_that_has_ended_is_not_under_way_again_by_a_late_step():
    progress = Progress()
    with progress.under_way("a"):
        pass
    progress.further("a")
    assert progress.marks() == {}


def test_each_answer_of_the_store_is_a_step_and_an_error_is_none(store):
    steps = []
    noted = NotedStore(store, lambda: steps.append(1))
    assert noted.sql("SELECT ? AS a", [1]).rows() == [(1,)]
    assert noted.rows("SELECT 1 AS a", max_rows=1) == [{"a": 1}]
    assert noted.transact([]) == []
    assert noted.ping().version
    assert [batch.num_rows for batch in noted.batches("SELECT 1 AS a")] == [1]
    assert len(steps) == 5
    with pytest.raises(QueryRejected):
        noted.sql("SELECT nothing")
    assert len(steps) == 5
