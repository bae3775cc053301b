"""What is held for batches in the counters' file: taken over from slices, drawn by results, let go at the end."""

import pytest

from data.budget_periods import NEVER, Span
from data.counters import books, holds, reports, slices
from data.counters.file import CounterFile
from data.counters.rows import Batch, BatchKey, Charge, Document, Group, Move, Part, Want
from data.errors import CountersOutdated

ALL = Span(0, NEVER)
LIMIT = 1_000
KEY = BatchKey("anthropic", "b1")
OTHER = BatchKey("anthropic", "b2")
DAY = 24 * 3600 * 1_000_000


@pytest.fixture
def file(tmp_path):
    opened = CounterFile.open(tmp_path / "budgets.sqlite")
    for spool in ("s", "t"):
        books.register(opened, spool, 0)
    books.learn(opened, [(Document("a", 1, "{}"), "shape")], 0)
    assert books.install(opened, ("a", "shape"), [], books.folded(opened)) == 1
    yield opened
    opened.close()


def lease(file, need, spool="s", back=0):
    (given,) = slices.lease(file, spool, [Want(1, "v", back, need, ALL, LIMIT, hard=True)], file.generation())
    return given


def begin(file, nano, key=KEY, spool="s", at=0):
    lease(file, nano, spool)
    return holds.begin(file, spool, Batch(key, at, "me"), [Part(1, "v", nano)], file.generation())


def draw(file, nano, key=KEY, spool="s"):
    return holds.draw(file, spool, key, [Part(1, "v", nano)], file.generation())


def group(file):
    return (reports.groups(file, 1, ALL, 10) or [Group("v", 0, 0)])[0]


def test_a_hold_is_taken_over_from_a_slice_and_outlives_its_proxy(file):
    lease(file, 600)
    assert holds.begin(file, "s", Batch(KEY, 0, "me"), [Part(1, "v", 600)], file.generation())
    assert group(file) == Group("v", 0, 600, 600) == reports.group(file, 1, "v", ALL)
    slices.settle(file, Move("s", 0, 1), [], [], file.generation())
    assert group(file) == Group("v", 0, 600, 600)
    given = lease(file, 401, "t")
    assert (given.fits, given.leased, given.batches) == (False, 600, 600)
    assert lease(file, 400, "t").fits


@pytest.mark.parametrize("again", [False, True], ids=["new", "told of before"])
def test_what_was_held_by_another_name_is_the_batchs_then(file, *, again):
    lease(file, 600)
    begin(file, 100, OTHER)
    if again:
        begin(file, 250)
    made = Batch(KEY, 0, "me")
    assert holds.begin(file, "s", made, [Part(1, "v", 200)], file.generation(), instead_of=OTHER) is not again
    assert holds.account_of(file, OTHER) is None
    assert group(file).batches == (250 if again else 300)
    holds.end(file, KEY)
    assert group(file).batches == 0


def test_a_batch_has_one_hold(file):
    assert begin(file, 300)
    lease(file, 300)
    assert not holds.begin(file, "s", Batch(KEY, 0, "you"), [Part(1, "v", 300)], file.generation())
    assert group(file).batches == 300
    assert holds.account_of(file, KEY) == "me"
    assert begin(file, 50, OTHER)
    assert group(file).batches == 350


def test_what_a_result_costs_goes_to_the_slice_of_whoever_reads_it(file):
    begin(file, 600)
    before = group(file)
    assert draw(file, 100, spool="t") == [100]
    assert group(file) == before._replace(batches=500)
    slices.settle(file, Move("t", 0, 1), [Charge(1, "v", 0, 100)], [], file.generation())
    assert group(file) == Group("v", 100, 500, 500)


def test_no_more_is_drawn_than_is_left_of_the_batchs_own(file):
    begin(file, 100)
    begin(file, 100, OTHER)
    assert draw(file, 70) == [70]
    assert draw(file, 70) == [30]
    assert draw(file, 70) == [0]
    assert draw(file, 70, BatchKey("openai", "b1")) == [0]
    assert group(file).batches == 100


def test_the_end_of_a_batch_lets_go_of_what_is_left_and_of_nothing_else(file):
    begin(file, 100)
    begin(file, 200, OTHER)
    for _ in range(2):
        holds.end(file, KEY)
        assert group(file).batches == 200
    assert holds.account_of(file, KEY) is None
    assert holds.account_of(file, OTHER) == "me"
    assert draw(file, 70) == [0]


def test_a_batch_that_nobody_reads_is_forgotten_in_the_end(file):
    begin(file, 100, at=DAY)
    begin(file, 200, OTHER, at=2 * DAY)
    assert holds.end_older(file, DAY) == []
    assert holds.end_older(file, DAY + 1) == [KEY]
    assert group(file).batches == 200


def test_a_change_of_the_budgets_is_not_overlooked(file):
    old = file.generation()
    books.learn(file, [(Document("a", 2, "{}"), "shape")], 0)
    with pytest.raises(CountersOutdated):
        holds.begin(file, "s", Batch(KEY, 0, "me"), [Part(1, "v", 1)], old)
    with pytest.raises(CountersOutdated):
        holds.draw(file, "s", KEY, [Part(1, "v", 1)], old)


def test_a_counter_with_a_hold_is_kept_and_goes_with_its_budget(file):
    begin(file, 100)
    slices.settle(file, Move("s", 0, 1), [], [], file.generation())
    books.prune(file, 1, 0)
    with file.transaction() as execute:
        assert execute("SELECT value FROM counters").fetchall() == [("v",)]
    assert group(file) == Group("v", 0, 100, 100)
    assert draw(file, 100) == [100]
    books.learn(file, [], 0)
    with file.transaction() as execute:
        assert execute("SELECT count(*) FROM holds").fetchone() == (0,)


def test_a_file_from_before_there_were_holds_gets_them(tmp_path):
    file = CounterFile.open(tmp_path / "budgets.sqlite")
    with file.transaction() as execute:
        execute("DROP TABLE holds")
        execute("DROP TABLE batches")
    file.close()
    again = CounterFile.open(tmp_path / "budgets.sqlite")
    assert holds.account_of(again, KEY) is None
    again.close()
