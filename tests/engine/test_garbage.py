import gc

import pytest

from engine.garbage import uncollected
from engine.tick import tick
from tests.engine.traffic import NOON, watch


def test_the_collector_is_back_afterwards_even_if_the_work_fails():
    during = []

    @uncollected()
    def fail():
        during.append(gc.isenabled())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert during == [False]
    assert gc.isenabled()


def test_who_comes_later_does_not_let_it_in_early():
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_tick_is_not_disturbed_by_it(store):
    during = []

    def asking(_store, asked):
        during.append(gc.isenabled())
        return [[] for _ in asked]

    tick(store, [watch(store)], NOON, asking=asking)
    assert during == [False]
    assert gc.isenabled()
