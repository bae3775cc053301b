import logging
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest

from data.errors import DeadlineExceeded
from data.queries import leases
from engine.audit import clock
from engine.lease import Lease
from engine.lease_keeper import STUCK_AFTER, LeaseKeeper, News
from engine.progress import Progress
from tests.conftest import eventually

LASTS = timedelta(seconds=1)
LONG = timedelta(seconds=10)


class Failing:
    """A store whose next transactions fail."""

    def __init__(self, store, *errors):
        self._store, self.errors = store, list(errors)

    def transact(self, statements):
        if self.errors:
            raise self.errors.pop(0)
        return self._store.transact(statements)

    def __getattr__(self, name):
        return getattr(self._store, name)


def made(store, holder="a", lasts=LASTS):
    return Lease(store, "evaluator", holder, lasts, now=clock)


@contextmanager
def keeping(lease, progress=None, told=None, **options):
    keeper = LeaseKeeper(lease, progress or Progress(), told.append if told is not None else print, **options)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


def expiry(store):
    return leases.holder(store, "evaluator")[1]


def outlasted(store, rival, times=3):
    """Whether the rival, who asks again and again, was refused for as many of the lease's times."""
    until = time.monotonic() + times * LASTS.total_seconds()
    return eventually(lambda: rival.take() or time.monotonic() > until) and not rival.token


def test_a_lease_is_kept_for_as_long_as_its_keeper_lives_and_no_longer(store):
    one, rival = made(store), made(store, "b")
    assert one.take()
    with keeping(one) as keeper:
        assert outlasted(store, rival)
        assert one.token == 1
        keeper.stop()
        eventually(rival.take)
    assert one.token == 1  # nobody has told it


def test_one_that_is_taken_after_the_keeper_began_is_kept_too(store):
    one, rival = made(store), made(store, "b")
    with keeping(one):
        assert one.take()
        assert outlasted(store, rival)


@pytest.mark.parametrize("error", [DeadlineExceeded("out of time"), RuntimeError("made up")])
def test_it_is_kept_over_failures_of_the_store_and_others(store, error, caplog):
    failing = Failing(store)
    one, rival = made(failing), made(store, "b")
    assert one.take()
    failing.errors += [error] * 2
    with keeping(one):
        before = expiry(store)
        eventually(lambda: not failing.errors and expiry(store) > before)
        assert outlasted(store, rival, times=2)
    assert str(error) in caplog.text


def test_a_lease_that_another_has_taken_is_told_of(store):
    one, told = made(store), []
    assert one.take()
    with keeping(one, told=told):
        store.transact([leases.evicting("evaluator", "a", now=clock())])
        assert leases.acquire(store, "evaluator", "b", now=clock(), until=clock() + LONG) == 2
        eventually(lambda: told)
    assert (told, one.token) == ([News.LOST], 0)
    assert leases.holder(store, "evaluator")[0] == "b"


def test_for_work_that_stands_still_it_is_offered_and_another_takes_it(store, caplog):
    one, rival, progress, told = made(store), made(store, "b", LONG), Progress(), []
    assert one.take()
    with progress.under_way("the tick"), keeping(one, progress, told, stuck_after=2 * LASTS):
        eventually(rival.take)
        eventually(lambda: len(told) == 2)
    assert told == [News.OFFERED, News.LOST]
    assert (one.token, rival.token) == (0, 2)
    assert "the tick stands still for 2 s: the lease is given back" in caplog.text


def test_what_nobody_takes_is_taken_back_and_offered_again_later(store):
    one, progress, told = made(store), Progress(), []
    assert one.take()
    with progress.under_way("the tick"), keeping(one, progress, told, stuck_after=2 * LASTS):
        eventually(lambda: len(told) == 3)
    assert told == [News.OFFERED, News.TAKEN_BACK, News.OFFERED]


def test_the_store_may_be_away_when_it_is_to_be_taken_back(store, caplog):
    failing, progress, told = Failing(store), Progress(), []
    one = made(failing)
    assert one.take()
    with progress.under_way("the tick"), keeping(one, progress, told, stuck_after=2 * LASTS):
        eventually(lambda: told)
        failing.errors += [DeadlineExceeded("out of time")] * 2
        eventually(lambda: len(told) == 2)
    assert (told[1], failing.errors) == (News.TAKEN_BACK, [])


def test_work_that_comes_further_keeps_it_however_long_it_takes(store):
    one, rival, progress, told = made(store), made(store, "b"), Progress(), []
    assert one.take()
    ended = threading.Event()

    def steps():
        while not ended.wait(LASTS.total_seconds() / 4):
            progress.further("the tick")

    stepping = threading.Thread(target=steps)
    stepping.start()
    try:
        with progress.under_way("the tick"), keeping(one, progress, told, stuck_after=LASTS * 1.5):
            assert outlasted(store, rival, times=6)
    finally:
        ended.set()
        stepping.join()
    assert told == []


def test_one_piece_of_work_that_stands_still_is_not_hidden_by_another_that_moves(store, caplog):
    one, progress, told = made(store, lasts=LONG), Progress(), []
    assert one.take()
    keeper = LeaseKeeper(one, progress, told.append, stuck_after=3 * LONG)
    with progress.under_way("fine"), progress.under_way("stuck"):
        for _ in range(4):
            assert told == []
            progress.further("fine")
            keeper._care(10.0)
    assert told == [News.OFFERED]
    assert "stuck stands still" in caplog.text


def test_the_time_that_the_process_was_stopped_is_not_held_against_its_work(store):
    one, progress, told = made(store, lasts=LONG), Progress(), []
    assert one.take()
    keeper = LeaseKeeper(one, progress, told.append)
    with progress.under_way("the tick"):
        for _ in range(STUCK_AFTER // LONG):
            keeper._care(3600.0)
        assert (told, one.token) == ([], 1)
        keeper._care(3600.0)
    assert told == [News.OFFERED]


def test_while_it_stands_by_nothing_counts(store):
    one, progress, told = made(store, lasts=LONG), Progress(), []
    keeper = LeaseKeeper(one, progress, told.append, stuck_after=2 * LONG)
    with progress.under_way("the tick"):
        for _ in range(5):
            keeper._care(10.0)
        assert one.take()
        keeper._care(10.0)
    assert (told, one.token) == ([], 1)


def test_a_store_that_is_away_is_logged_once(store, caplog):
    failing = Failing(store)
    one = made(failing)
    assert one.take()
    failing.errors += [DeadlineExceeded("out of time")] * 5
    with caplog.at_level(logging.WARNING), keeping(one):
        eventually(lambda: not failing.errors)
    assert caplog.text.count("out of time") == 1
