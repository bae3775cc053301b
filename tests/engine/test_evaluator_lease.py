"""Two evaluators on one store: who leads while a tick takes longer than the lease, stands still, or its worker dies."""

import asyncio
import os
import signal
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from data.queries import leases
from data.tasks import Tasks
from engine import rules
from engine.audit import clock
from engine.cadences import instant
from engine.desk import Desk
from engine.evaluator import LEASE, Evaluator
from engine.secrets import SecretBox
from tests.engine import leading_worker
from tests.engine.receivers import until
from tests.engine.traffic import rows, watch
from tests.forks import FORKS

pytestmark = pytest.mark.slow

LASTS = timedelta(seconds=2)
QUIET = {"metric": "requests", "window": "5m", "op": "<", "value": 1}
#: What a standby's next look and a busy machine may take beyond the lease's time.
SLACK = timedelta(seconds=10)


class Held:
    """A store that gives no answer to reads of the ledger, or commits of evaluations, until it is let go."""

    def __init__(self, store, wanted="", most=None):
        self._store, self.wanted, self._most = store, wanted, most
        self.held, self._free = threading.Event(), threading.Event()

    def let_go(self):
        self._free.set()

    def sql(self, text, *args, **options):
        self._hold("read")
        return self._store.sql(text, *args, **options)

    def transact(self, statements):
        if _evaluates(statements):
            self._hold("commit")
        return self._store.transact(statements)

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _hold(self, kind):
        if kind == self.wanted and self._most != 0:
            self._most = self._most and self._most - 1
            self.held.set()
            assert self._free.wait(120)


class Slow:
    """A store that takes its time for the commits of evaluations."""

    def __init__(self, store, seconds):
        self._store, self._seconds, self.commits = store, seconds, 0

    def transact(self, statements):
        if _evaluates(statements):
            self.commits += 1
            threading.Event().wait(self._seconds)
        return self._store.transact(statements)

    def __getattr__(self, name):
        return getattr(self._store, name)


def _evaluates(statements):
    return any("rule_health" in str(one.sql) for one in statements)


class Asked:
    """A store that counts how often the lease was asked for."""

    def __init__(self, store):
        self._store, self.times = store, 0

    def transact(self, statements):
        self.times += any("UPDATE leases" in str(one.sql) for one in statements)
        return self._store.transact(statements)

    def __getattr__(self, name):
        return getattr(self._store, name)


@asynccontextmanager
async def evaluating(store, config, **options):
    """An evaluator that runs, and its desk; it is stopped at the end."""
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk, **{"lease_for": LASTS, **options})
    task = Tasks().start(evaluator.run(), name="evaluate rules")
    try:
        yield desk.status, evaluator
    finally:
        if isinstance(store, Held):
            store.let_go()
        evaluator.stop()
        await task


def keepers():
    return [thread for thread in threading.enumerate() if thread.name == "lease keeper"]


def events(store):
    return [state for (state,) in rows(store, "alert_events", "to_state")]


@pytest.mark.parametrize("kind", ["read", "commit"])
async def test_a_first_tick_longer_than_the_lease_keeps_it_and_is_committed_once(store, config, kind):
    rule = watch(store, every="1h", when=QUIET)
    asked = Asked(store)
    held = Held(store, kind)
    async with evaluating(held, config) as (first, _):
        await until(held.held.is_set)
        begun = time.monotonic()
        async with evaluating(asked, config) as (second, _):
            await until(lambda: time.monotonic() - begun > 2.5 * LASTS.total_seconds() and asked.times >= 3)
            assert (first.leading, second.leading) == (True, False)
            held.let_go()
            await until(lambda: first.ticks)
            assert (second.leading, second.ticks) == (False, 0)
            assert (first.token, first.failed_ticks) == (1, 0)
            assert events(store) == ["firing"]
            assert rules.get(store, rule.id).state == "firing"


async def test_a_tick_of_a_cadence_longer_than_the_lease_keeps_it_too(store, config):
    watch(store, every="1h", when=QUIET)
    held = Held(store)
    async with evaluating(held, config) as (first, evaluator):
        await until(lambda: first.ticks == 1 and instant(clock()) > first.last_tick_at)
        held.wanted = "commit"
        beat = asyncio.ensure_future(evaluator._cadences._beat(3600))  # noqa: TID251 - a test's own task
        await until(held.held.is_set)
        begun = time.monotonic()
        async with evaluating(store, config) as (second, _):
            await until(lambda: time.monotonic() - begun > 2.5 * LASTS.total_seconds())
            held.let_go()
            await beat
            assert (first.ticks, first.token, second.leading, second.ticks) == (2, 1, False, 0)
    assert events(store) == ["firing"]


async def test_a_leader_that_computes_without_a_pause_keeps_its_lease(store, config, monkeypatch):
    computed = threading.Event()
    real = rules.watched

    def computing(row):
        """Holds up the event loop itself, and lets go of the interpreter only where that takes it away."""
        until_s = time.monotonic() + 2 * LASTS.total_seconds()
        while time.monotonic() < until_s and not computed.is_set():
            pass
        computed.set()
        return real(row)

    rival = FORKS.Value("b", -1)
    monkeypatch.setattr("engine.evaluator.watched", computing)
    async with evaluating(store, config) as (first, _):
        await until(lambda: first.leading)
        with another(config, rival):
            await until(lambda: rival.value == 0)
            watch(store, every="1h", when=QUIET)
            await until(lambda: first.ticks)
            assert computed.is_set()
            assert (first.token, rival.value) == (1, 0)


async def test_a_slow_tick_that_comes_further_is_not_taken_for_stuck(store, config, monkeypatch):
    monkeypatch.setattr("engine.commit.AT_ONCE", 1)
    for number in range(5):
        watch(store, name=f"Rule {number}", every="1h", when=QUIET)
    slow = Slow(store, LASTS.total_seconds() / 2)
    async with evaluating(slow, config, stuck_after=LASTS * 1.5) as (first, _):
        await until(lambda: slow.commits)
        async with evaluating(store, config) as (second, _):
            await until(lambda: first.ticks)
            assert (first.token, first.failed_ticks, second.ticks) == (1, 0, 0)
    assert (slow.commits, events(store)) == (5, ["firing"] * 5)


async def test_a_write_of_somebody_else_that_outlasts_the_lease_does_not_cost_it(running, store, config):
    asked = Asked(store)
    async with evaluating(store, config) as (first, _):
        await until(lambda: first.leading)
        async with evaluating(asked, config) as (second, _):
            await until(lambda: asked.times)
            with running.database.writing():
                begun = time.monotonic()
                await until(lambda: time.monotonic() - begun > 2 * LASTS.total_seconds())
            before = asked.times
            await until(lambda: asked.times >= before + 2)
            assert (first.leading, first.token, second.leading) == (True, 1, False)


async def test_the_keeper_ends_with_the_evaluator_and_the_lease_stays_given_back(store, config):
    async with evaluating(store, config) as (status, _):
        await until(lambda: status.leading)
        assert len(keepers()) == 1
    assert not keepers()
    holder, expires_at = leases.holder(store, LEASE)
    assert holder == ""
    assert expires_at <= datetime.now(UTC)


async def test_a_leader_that_is_cancelled_in_a_tick_gives_the_lease_back(store, config):
    watch(store, every="1h", when=QUIET)
    held = Held(store, "read")
    desk = Desk(config, SecretBox(config.home), connected=held)
    tasks = Tasks()
    tasks.start(Evaluator(desk, lease_for=LASTS).run(), name="evaluate rules")
    try:
        await until(held.held.is_set)
        await tasks.stop()
        assert not keepers()
        assert leases.holder(store, LEASE)[0] == ""
    finally:
        held.let_go()


async def test_a_lost_lease_stops_the_leader_in_the_middle_of_a_tick(store, config, caplog):
    watch(store, every="1h", when=QUIET)
    held = Held(store, "read")
    async with evaluating(held, config) as (status, evaluator):
        await until(held.held.is_set)
        assert status.leading
        stolen(store, status.holder, timedelta(hours=1))
        await until(lambda: not status.leading)
        assert not evaluator._cadences.seconds
        held.let_go()
    assert (status.ticks, events(store)) == (0, [])
    assert leases.holder(store, LEASE)[0] == "thief"
    assert caplog.text.count("another worker evaluates now") == 1


async def test_once_the_lease_is_free_again_all_rules_are_evaluated_at_once(store, config):
    watch(store, every="1h", when=QUIET)
    async with evaluating(store, config) as (status, _):
        await until(lambda: status.ticks == 1)
        stolen(store, status.holder, LASTS)
        await until(lambda: not status.leading)
        await until(lambda: status.ticks == 2)
        assert (status.leading, status.token) == (True, 3)
    assert events(store) == ["firing"]


def stolen(store, holder, lasts):
    now = datetime.now(UTC)
    store.transact([leases.evicting(LEASE, holder, now=now)])
    assert leases.acquire(store, LEASE, "thief", now=now, until=now + lasts) == 2


async def test_a_stuck_evaluator_gives_up_and_the_one_that_stands_by_evaluates(store, config, caplog):
    rule = watch(store, every="1h", when=QUIET)
    held = Held(store, "read")
    async with evaluating(held, config, stuck_after=LASTS) as (first, evaluator):
        await until(held.held.is_set)
        async with evaluating(store, config) as (second, _):
            await until(lambda: second.leading and second.ticks)
            await until(lambda: not first.leading)
            assert "the look for changed rules stands still" in caplog.text
            held.let_go()
            await until(lambda: rule.id in evaluator._again)  # what it did is thrown away
            assert (first.ticks, second.token) == (0, 2)
            assert events(store) == ["firing"]


async def test_an_evaluator_of_which_one_cadence_is_stuck_gives_up_too(store, config, caplog):
    watch(store, every="1h", when=QUIET)
    held = Held(store)
    async with evaluating(held, config, stuck_after=LASTS) as (first, evaluator):
        await until(lambda: first.ticks == 1 and instant(clock()) > first.last_tick_at)
        held.wanted = "read"
        beat = asyncio.ensure_future(evaluator._cadences._beat(3600))  # noqa: TID251 - a test's own task
        async with evaluating(store, config) as (second, _):
            await until(lambda: second.leading and second.ticks)
            assert "the evaluation every 3600 s stands still" in caplog.text
            held.let_go()
            await beat
            assert (first.ticks, second.token) == (1, 2)
    assert events(store) == ["firing"]


async def test_a_stuck_evaluator_alone_goes_on_with_what_still_moves(store, config):
    watch(store, every="1s", when=QUIET)
    held = Held(store, "read", most=1)
    async with evaluating(held, config, stuck_after=LASTS) as (status, _):
        await until(held.held.is_set)
        await until(lambda: status.leading and status.token == 2)
        before = status.ticks
        await until(lambda: status.ticks > before)
        held.let_go()
        # what stood still was begun under the first token: it changes nothing, and is made up for
        await until(lambda: status.ticks > before + 1)
        assert status.leading
    assert events(store) == ["firing"]


@contextmanager
def another(config, leads):
    """A worker's evaluator in a process of its own."""
    arguments = (str(config.home), LASTS.total_seconds(), leads)
    process = FORKS.Process(target=leading_worker.work, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(60)


async def test_a_leader_that_is_stopped_is_succeeded_in_time_and_stands_by_when_it_wakes(store, config):
    watch(store, every="1s", when=QUIET)
    leads = FORKS.Value("b", -1)
    with another(config, leads) as process:
        await until(lambda: leads.value == 1 and events(store))
        async with evaluating(store, config) as (second, _):
            os.kill(process.pid, signal.SIGSTOP)
            stopped = datetime.now(UTC)
            await until(lambda: second.leading)
            assert datetime.now(UTC) - stopped < LASTS + SLACK
            await until(lambda: second.ticks)
            os.kill(process.pid, signal.SIGCONT)
            await until(lambda: leads.value == 0)
            assert (second.leading, second.token) == (True, 2)
    assert events(store) == ["firing"]


async def test_the_lease_of_a_leader_that_is_stopped_runs_out_in_its_time(store, config):
    leads = FORKS.Value("b", -1)
    with another(config, leads) as process:
        await until(lambda: leads.value == 1)
        os.kill(process.pid, signal.SIGSTOP)
        stopped = datetime.now(UTC)
        await until(lambda: leases.holder(store, LEASE)[1] < datetime.now(UTC))
        assert leases.holder(store, LEASE)[1] <= stopped + LASTS
        os.kill(process.pid, signal.SIGCONT)
        # nobody came: it goes on
        await until(lambda: leases.holder(store, LEASE)[1] > datetime.now(UTC))
        assert leads.value == 1


async def test_a_leader_that_is_killed_is_succeeded_in_time(store, config):
    watch(store, every="1s", when=QUIET)
    leads = FORKS.Value("b", -1)
    with another(config, leads) as process:
        await until(lambda: leads.value == 1 and events(store))
        async with evaluating(store, config) as (second, _):
            process.kill()
            killed = datetime.now(UTC)
            await until(lambda: second.leading and second.ticks)
            assert datetime.now(UTC) - killed < LASTS + SLACK
    assert events(store) == ["firing"]
