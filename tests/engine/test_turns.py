"""Rules of one cadence are evaluated together, whatever makes them due; no two evaluations of it at once."""

import asyncio
import threading

from engine import evaluator as module
from engine.desk import Desk
from engine.evaluator import Evaluator
from engine.secrets import SecretBox
from engine.tick import Tick
from engine.turns import Turns
from tests.engine.receivers import until
from tests.engine.traffic import NOON, SECOND, rows, spend, watch

SOURCE = {"name": "source", "severity": "critical", "every": "2s", "inhibits": [{"match": {"rule": "target*"}}]}
TARGET = {"name": "target", "every": "2s"}


async def leading(store, config, clock):
    """An evaluator that leads; what it does, the test does."""
    evaluator = Evaluator(Desk(config, SecretBox(config.home), connected=store), now=lambda: clock[0])
    await evaluator._look()
    return evaluator


def told(store):
    """Rule and reason of each notice."""
    joined = "notifications JOIN alerts ON alerts.id = alert_id"
    return sorted(store.sql(f"SELECT rule_name, notifications.reason FROM {joined}").rows())


async def test_a_new_rule_sees_the_source_that_is_due_at_the_same_instant(store, config):
    clock = [NOON - SECOND]
    watch(store, **SOURCE)
    evaluator = await leading(store, config, clock)
    spend(store, NOON - SECOND, "5")
    watch(store, **TARGET)
    clock[0] = NOON + SECOND  # the instant is a full two seconds, and nothing was evaluated at it yet
    await evaluator._look()
    await evaluator._cadences._beat(2)
    assert told(store) == [("source", "first"), ("target", "inhibited")]


async def test_a_source_that_was_changed_during_its_evaluation_takes_part_in_the_next(store, config, monkeypatch):
    clock = [NOON - SECOND]
    source, _ = watch(store, **SOURCE), watch(store, **TARGET)

    def conflicted(_store, _rules, at, **_options):
        return Tick(at, 2, 0, 0, (source.id,), 1.0)

    evaluator = await leading(store, config, clock)
    with monkeypatch.context() as patch:
        patch.setattr(module, "tick", conflicted)
        await evaluator._cadences._beat(2)
    spend(store, NOON - SECOND, "5")
    clock[0] = NOON + SECOND
    await evaluator._cadences._beat(2)
    assert told(store) == [("source", "first"), ("target", "inhibited")]


class Crowd:
    """Ticks that take their time, and how many were under way at once."""

    def __init__(self):
        self._real, self._lock = module.tick, threading.Lock()
        self.now = self.most = 0

    def __call__(self, *args, **options):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.7)
        try:
            return self._real(*args, **options)
        finally:
            with self._lock:
                self.now -= 1


async def test_of_one_cadence_no_two_evaluations_are_under_way_at_once(store, config, monkeypatch):
    crowd = Crowd()
    monkeypatch.setattr(module, "tick", crowd)
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk)
    watch(store, **{**SOURCE, "every": "1s"})
    running = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
    try:
        for number in range(3):
            before = desk.status.ticks
            watch(store, **{**TARGET, "name": f"target {number}", "every": "1s"})
            desk.rules_changed.set()
            await until(lambda before=before: desk.status.ticks > before + 1)
    finally:
        evaluator.stop()
        await running
    assert (crowd.most, desk.status.failed_ticks) == (1, 0)
    assert len(rows(store, "rule_health", "rule_id")) == 4


async def test_a_turn_is_waited_for_until_it_ends_or_is_given_up():
    turns, order, ending = Turns(), [], asyncio.Event()

    async def take(name, *cadences, until=None):
        async with turns.taking(cadences):
            order.append(name)
            if until:
                await until.wait()

    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        group.create_task(take("first", 1, 5, until=ending))
        await asyncio.sleep(0)
        assert (turns.under_way(5), turns.under_way(2)) == (True, False)
        group.create_task(take("of another cadence", 2))
        group.create_task(take("second", 5))
        for _ in range(10):
            await asyncio.sleep(0)
        assert order == ["first", "of another cadence"]
        turns.give_up()
        await until(lambda: order[-1] == "second")
        ending.set()
    assert not any(map(turns.under_way, (1, 2, 5)))
