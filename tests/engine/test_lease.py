import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from data.errors import ConflictError, StoreUnavailable
from data.queries import leases
from engine.audit import clock
from engine.lease import Lease, holder_name
from tests.conftest import eventually
from tests.engine.traffic import MINUTE, NOON

NAME = "evaluator"
HOUR = 60 * MINUTE


class Clock:
    def __init__(self):
        self.at = NOON

    def __call__(self):
        return self.at


def lease(store, holder="a", *, lasts=MINUTE, now=clock):
    return Lease(store, NAME, holder, lasts, now=now)


def test_one_takes_it_and_it_lasts_from_when_it_was_last_prolonged(store):
    now = Clock()
    one, other = lease(store, "a", now=now), lease(store, "b", now=now)
    assert (one.take(), one.token) == (True, 1)
    now.at += MINUTE / 2
    assert one.prolong()
    now.at += MINUTE - timedelta(microseconds=1)
    assert (other.take(), other.token) == (False, 0)
    now.at += timedelta(microseconds=1)
    assert (other.take(), other.token) == (True, 2)


def test_whoever_prolongs_what_another_has_taken_learns_that_it_is_lost(store):
    now = Clock()
    one, other = lease(store, "a", now=now), lease(store, "b", now=now)
    one.take()
    now.at += 2 * MINUTE
    other.take()
    assert (one.prolong(), one.token) == (False, 0)
    assert leases.holder(store, NAME) == ("b", now.at + MINUTE)
    assert not one.prolong()


def test_taken_again_before_anybody_came_it_goes_on_by_the_same_token(store):
    now = Clock()
    one = lease(store, now=now)
    one.take()
    now.at += HOUR
    assert (one.prolong(), one.token) == (True, 1)


def test_a_clock_set_back_does_not_shorten_it(store):
    now = Clock()
    one = lease(store, now=now)
    one.take()
    now.at -= HOUR
    assert one.prolong()
    assert leases.holder(store, NAME) == ("a", NOON + MINUTE)


def test_who_loses_an_earlier_token_keeps_the_later_one(store):
    one = lease(store, lasts=timedelta(0))
    one.take()
    earlier = one.token
    assert one.lost(earlier)
    one.take()
    assert (one.lost(earlier), one.token) == (False, 2)
    with pytest.raises(ConflictError):
        store.transact(one.fence(earlier))
    store.transact(one.fence(one.token))


def test_two_threads_that_ask_at_once_get_one_token(store):
    one = lease(store)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: one.take(), range(8))) == [True] * 8
    assert one.token == 1
    assert store.sql("SELECT token FROM leases").rows() == [(1,)]


def test_on_offer_another_can_take_it_and_the_one_that_offers_cannot(store):
    one, other = lease(store, "a"), lease(store, "b")
    one.take()
    one.offer()
    assert (one.token, one.on_offer) == (0, True)
    assert not one.take()
    assert other.take()


def test_what_nobody_took_is_taken_back_once_the_offer_is_over(store):
    one = lease(store, lasts=timedelta(milliseconds=50))
    one.take()
    one.offer()
    eventually(lambda: not one.on_offer)
    assert (one.take(), one.token) == (True, 2)


def test_a_store_that_takes_its_time_to_take_it_back_shortens_no_offer(store):
    class Slow(Patient):
        def transact(self, statements):
            time.sleep(0.2)  # longer than the lease lasts
            return store.transact(statements)

    one = lease(Slow(store), lasts=timedelta(milliseconds=150))
    one.take()
    one.offer()
    assert one.on_offer


def test_it_is_taken_again_when_the_answer_that_it_was_taken_is_lost(store):
    class Deaf(Patient):
        lost = True

        def frame(self, question):
            found = store.frame(question)
            if "token" in found.columns and self.lost:
                self.lost = False
                raise StoreUnavailable("the connection broke off")
            return found

    one = lease(Deaf(store), lasts=HOUR)
    with pytest.raises(StoreUnavailable):
        one.take()
    assert leases.holder(store, NAME)[0] == "a"
    assert (one.take(), one.token) == (True, 2)


class Patient:
    """A store whose calls go through, but for those that a test has its own words for."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_after_the_end_it_is_anybodys_and_not_taken_again(store):
    one, other = lease(store, "a"), lease(store, "b")
    one.take()
    one.end()
    assert leases.holder(store, NAME)[0] == ""
    assert not one.take()
    assert not one.prolong()
    assert other.take()


def test_the_end_gives_back_what_is_being_taken_meanwhile(store):
    asked, answered = threading.Event(), threading.Event()

    class Slow(Patient):
        def transact(self, statements):
            asked.set()
            assert answered.wait(60)
            return store.transact(statements)

    one = lease(Slow(store))
    with ThreadPoolExecutor(2) as threads:
        threads.submit(one.take)
        assert asked.wait(60)
        ending = threads.submit(one.end)
        answered.set()
        ending.result(60)
    assert one.token == 0
    assert leases.holder(store, NAME)[0] == ""


def test_the_lease_of_a_process_that_has_ended_is_taken_at_once(store):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    name = holder_name().replace(f":{os.getpid()}:", f":{ended.stdout.strip()}:")
    assert lease(store, name, lasts=HOUR).take()
    assert (one := lease(store, holder_name())).take()
    assert one.token == 2


OTHERS = {
    "alive": holder_name(),
    "elsewhere": "elsewhere:1:abc",
    "in another container": holder_name().replace(":", "0:", 1).replace(f":{os.getpid()}:", ":999999:"),
    "no number of a process": holder_name().replace(f":{os.getpid()}:", f":{10**12}:"),
    "no process": "no process",
}


@pytest.mark.parametrize("name", OTHERS.values(), ids=OTHERS)
def test_that_of_a_process_that_lives_or_is_elsewhere_is_not(store, name):
    assert lease(store, name, lasts=HOUR).take()
    assert not lease(store, holder_name()).take()
