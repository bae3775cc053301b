"""The counters' file by itself: what is taken, spent and given back, and by whom."""

import os
import sqlite3
import stat

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from data.budget_periods import NEVER, Span
from data.counters import books, reports, slices
from data.counters.file import CounterFile
from data.counters.rows import Charge, Crossing, Document, Fold, Move, Want
from data.errors import CountersConflict, CountersOutdated

LIMIT = 1_000
ALL = Span(0, NEVER)
DOCUMENT = (Document("a", 1, "{}"), "shape")


@pytest.fixture
def file(tmp_path):
    opened = CounterFile.open(tmp_path / "budgets.sqlite")
    yield opened
    opened.close()


def counted(file, spools=("s",)):
    """A budget that is counted, and the generation that knows it."""
    for spool in spools:
        books.register(file, spool, 0)
    books.learn(file, [DOCUMENT], 0)
    number = books.install(file, ("a", "shape"), [], books.folded(file))
    assert number is not None
    return number, file.generation()


def want(number, need, *, back=0, value="v", limit=LIMIT, hard=True):
    return Want(number, value, back, need, ALL, limit, hard)


def test_it_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        file = CounterFile.open(tmp_path / "budgets.sqlite")
        counted(file)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    file.close()


def test_a_slice_is_what_is_needed_or_a_share_of_what_is_left(file):
    number, generation = counted(file)
    assert slices.lease(file, "s", [want(number, 10)], generation)[0].free == LIMIT // slices.SHARE
    assert slices.lease(file, "t", [want(number, 700)], generation)[0].free == 700
    assert not slices.lease(file, "u", [want(number, 51)], generation)[0].fits
    assert slices.lease(file, "u", [want(number, 50)], generation)[0].free == 50


def test_all_that_is_wanted_is_taken_or_nothing(file):
    number, generation = counted(file)
    given = slices.lease(file, "s", [want(number, 10), want(number, LIMIT + 1, value="w")], generation)
    assert [g.fits for g in given] == [True, False]
    assert [g.free for g in given] == [0, 0]
    assert reports.groups(file, number, ALL, 10) == []


def test_a_proxy_without_room_gives_back_what_it_has_free(file):
    number, generation = counted(file)
    slices.lease(file, "s", [want(number, 600)], generation)
    slices.lease(file, "t", [want(number, 400)], generation)
    assert slices.lease(file, "s", [want(number, 700, back=600)], generation)[0].free == 0
    assert slices.lease(file, "t", [want(number, 1000, back=400)], generation)[0].free == 1000


def test_a_soft_budget_gives_what_is_not_there(file):
    number, generation = counted(file)
    (given,) = slices.lease(file, "s", [want(number, 5 * LIMIT, hard=False)], generation)
    assert (given.free, given.fits) == (5 * LIMIT, True)


def test_what_is_spent_before_the_window_does_not_count(file):
    number, generation = counted(file)
    slices.fold(file, Move("s", 0, 1), [Fold(number, "v", 0, ((10, 900), (20, 80)), ALL)], generation)
    late = want(number, 920)._replace(counts=Span(20, NEVER))
    assert not slices.lease(file, "s", [want(number, 21)], generation)[0].fits
    assert slices.lease(file, "s", [late], generation)[0].fits


def test_a_fold_happens_once(file):
    number, generation = counted(file)
    fold = [Fold(number, "v", 0, ((0, 5),), ALL)]
    assert slices.fold(file, Move("s", 0, 3), fold, generation) == [(5, 0, 0)]
    with pytest.raises(CountersConflict):
        slices.fold(file, Move("s", 0, 3), fold, generation)
    assert reports.groups(file, number, ALL, 10)[0].spent == 5


def test_who_does_not_know_the_newest_budgets_may_neither_take_nor_fold(file):
    number, generation = counted(file)
    books.learn(file, [DOCUMENT, (Document("b", 1, "{}"), "other")], 0)
    with pytest.raises(CountersOutdated):
        slices.lease(file, "s", [want(number, 1)], generation)
    with pytest.raises(CountersOutdated):
        slices.fold(file, Move("s", 0, 1), [], generation)
    assert books.folded(file) == {"s": 0}


def test_a_budget_is_counted_only_from_where_every_spool_is(file):
    counted(file, ("s", "t"))
    books.learn(file, [DOCUMENT, (Document("b", 1, "{}"), "other")], 0)
    slices.fold(file, Move("t", 0, 4), [], file.generation())
    charges = [Charge(0, "v", 0, 7)]
    assert books.install(file, ("b", "other"), charges, {"s": 0, "t": 0}) is None
    number = books.install(file, ("b", "other"), charges, {"s": 0, "t": 4})
    assert reports.groups(file, number, ALL, 10)[0].spent == 7
    assert books.install(file, ("b", "other"), charges, {"s": 0, "t": 4}) is None


def test_a_budget_that_is_switched_off_or_gone_is_forgotten(file):
    number, generation = counted(file)
    slices.lease(file, "s", [want(number, 1)], generation)
    assert books.learn(file, [(Document("a", 2, "{}"), None)], 0)
    assert reports.groups(file, number, ALL, 10) == []
    assert books.known(file).counted == {}
    again, _ = counted(file)
    assert again != number


def test_nothing_new_changes_nothing(file):
    _, generation = counted(file)
    assert not books.learn(file, [DOCUMENT], 5)
    assert file.generation() == generation


def test_too_many_values_share_a_counter_until_it_is_empty(file, monkeypatch):
    monkeypatch.setattr(slices, "MAX_COUNTERS", 2)
    number, generation = counted(file)
    for sequence, value in enumerate("abcd"):
        fold = Fold(number, value, 0, ((0, 1),), ALL)
        slices.fold(file, Move("s", sequence, sequence + 1), [fold], generation)
    found = {group.value: group.spent for group in reports.groups(file, number, ALL, 10)}
    assert found == {"a": 1, "b": 1, slices.OTHERS: 2}
    assert reports.group(file, number, "d", ALL) == (slices.OTHERS, 2, 0, 0)
    assert reports.group(file, number, "a", ALL) == ("a", 1, 0, 0)
    books.prune(file, number, 1)
    slices.lease(file, "s", [want(number, 1, value="d")], generation)
    assert [group.value for group in reports.groups(file, number, ALL, 10)] == ["d"]


def test_a_threshold_is_told_once_a_period(file):
    crossing = Crossing(1, "v", "80%", 100, 8, 10)
    assert reports.cross(file, crossing, since=50)
    assert not reports.cross(file, crossing._replace(at=120), since=50)
    assert reports.cross(file, crossing._replace(at=200), since=150)
    assert reports.crossings(file, 1, 10) == [crossing._replace(at=200)]


def test_what_a_lost_spools_proxy_had_taken_counts_as_spent(file):
    number, generation = counted(file)
    slices.lease(file, "s", [want(number, 300)], generation)
    slices.give_up(file, "s", {number: 7}.get)
    assert reports.groups(file, number, ALL, 10) == [("v", 300, 0, 0)]


def test_after_a_power_cut_a_spool_that_lost_its_end_is_folded_to_where_it_ends(file):
    counted(file)
    slices.fold(file, Move("s", 0, 9), [], file.generation())
    assert books.register(file, "s", 6) == 6


@pytest.mark.parametrize("damage", [b"this is no database" * 300, b""], ids=["garbage", "emptied"])
def test_a_damaged_file_is_kept_aside_and_a_new_one_made(tmp_path, damage):
    path = tmp_path / "budgets.sqlite"
    file = CounterFile.open(path)
    counted(file)
    file.close()
    path.write_bytes(damage)
    again = CounterFile.open(path)
    assert books.known(again).documents == ()
    assert (tmp_path / "budgets.sqlite.corrupt").exists() == bool(damage)
    again.close()


def test_it_knows_that_another_file_took_its_place(tmp_path):
    file = CounterFile.open(tmp_path / "budgets.sqlite")
    assert not file.replaced
    (tmp_path / "budgets.sqlite").rename(tmp_path / "gone")
    assert file.replaced
    file.close()


def test_syncing_a_long_log_empties_it(tmp_path, monkeypatch):
    monkeypatch.setattr("data.counters.file._LOG_BYTES", 10_000)
    file = CounterFile.open(tmp_path / "budgets.sqlite")
    number, generation = counted(file)
    for _ in range(20):
        slices.lease(file, "s", [want(number, 1)], generation)
    file.sync()
    copy = sqlite3.connect(f"file:{tmp_path}/budgets.sqlite?immutable=1", uri=True)
    assert copy.execute("SELECT sum(nano) FROM slices").fetchone()[0] > 0
    copy.close()
    file.close()


class Sharing(RuleBasedStateMachine):
    """Proxies take, hold, spend and give back as they like; the file must never let them have more than there is."""

    spools = ("s", "t", "u")

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.file = CounterFile.open(Path(self.folder.name) / "budgets.sqlite")
        self.number, self.generation = counted(self.file, self.spools)
        self.free = dict.fromkeys(self.spools, 0)
        self.held = dict.fromkeys(self.spools, 0)
        self.settled = dict.fromkeys(self.spools, 0)
        self.spent = 0
        self.reached = dict.fromkeys(self.spools, 0)

    def teardown(self):
        self.file.close()
        self.folder.cleanup()

    @rule(spool=st.sampled_from(spools), need=st.integers(1, 400))
    def lease(self, spool, need):
        (given,) = slices.lease(self.file, spool, [want(self.number, need, back=self.free[spool])], self.generation)
        self.free[spool] = given.free
        room = LIMIT - self.spent - sum(self.settled.values()) - sum(self.held.values()) - self.others(spool)
        assert given.fits == (room >= need)
        if given.fits:
            self.free[spool] -= need
            self.held[spool] += need

    @precondition(lambda self: any(self.held.values()))
    @rule(spool=st.sampled_from(spools), part=st.floats(0, 1))
    def settle(self, spool, part):
        cost = int(self.held[spool] * part)
        self.free[spool] += self.held[spool] - cost
        self.settled[spool] += cost
        self.held[spool] = 0

    @rule(spool=st.sampled_from(spools))
    def fold(self, spool):
        spent, back = self.settled[spool], self.free[spool]
        move = Move(spool, self.reached[spool], self.reached[spool] + 1)
        slices.fold(self.file, move, [Fold(self.number, "v", -spent - back, ((0, spent),), ALL)], self.generation)
        self.reached[spool] += 1
        self.spent += spent
        self.free[spool] = self.settled[spool] = 0

    @rule(spool=st.sampled_from(spools))
    def die(self, spool):
        """Its calls in flight are kept, what it had settled is found in its spool."""
        spent, kept = self.settled[spool], self.held[spool]
        move = Move(spool, self.reached[spool], self.reached[spool] + 1)
        charges, keep = [Charge(self.number, "v", 0, spent)], [Charge(self.number, "v", 0, kept)]
        slices.settle(self.file, move, charges, keep, self.generation)
        self.reached[spool] += 1
        self.spent += spent
        self.free[spool] = self.settled[spool] = 0

    def others(self, spool):
        return sum(free for name, free in self.free.items() if name != spool)

    @invariant()
    def the_file_says_what_is_so_and_never_more_than_there_is(self):
        taken = sum((*self.free.values(), *self.held.values(), *self.settled.values()))
        group = reports.group(self.file, self.number, "v", ALL)
        assert (group.spent, group.leased) == (self.spent, taken)
        assert self.spent + taken <= LIMIT


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
