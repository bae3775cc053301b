"""The store comes back, and what waited for it meanwhile comes after: nothing is decided before."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from data.errors import StoreUnavailable
from data.serving import RunningStore
from data.store import connect
from data.tasks import Tasks
from engine import catching_up as module
from engine import rules
from engine.audit import clock
from engine.catching_up import Arrival, CatchingUp, behind, expected
from engine.desk import Desk
from engine.evaluator import Evaluator
from engine.housekeeping.heartbeat import trouble
from engine.secrets import SecretBox
from proxy.shipper import Shipper
from tests.engine.receivers import until
from tests.engine.traffic import rows, spend, watch
from tests.proxy.spool_samples import ended, opened

BUSY = {"metric": "requests", "window": "1m", "op": ">", "value": 20}
SILENT = {"metric": "requests", "window": "5s", "op": "<", "value": 1}
#: Between two requests; and how many make a store's absence long enough for all rules to see something else.
PAUSE_S, ABSENCE = 0.1, 110


@pytest.mark.parametrize(
    ("found", "back_s", "wanted"),
    [
        pytest.param([], 1, "", id="nobody ever sent anything"),
        pytest.param([("a", 40, 0.4)], 1, "a", id="nothing from it since the return"),
        pytest.param([("a", 55, 0.4)], module.SILENT_S, "", id="nothing from it for long: nothing to send"),
        pytest.param([("a", 1, 39)], 3, "a", id="what it sends is old"),
        pytest.param([("a", 1, 0.6)], 3, "", id="what it sends is of now"),
        pytest.param([("a", 1, 0.6), ("b", 50, 0.3)], 3, "b", id="one of two is back"),
        pytest.param([("a", 6, 39)], 10, "", id="its last request was long ago, and it has sent all"),
        pytest.param([("a", 1, 900)], module.MOST_S, "", id="it is behind for ever"),
        pytest.param([("a", 40, 0.4), ("b", 4000, 0.4)], 1, "a", id="a gateway of old is not waited for"),
        pytest.param([("a", 1, 90_000)], 3, "", id="what comes is imported"),
    ],
)
def test_a_gateway_is_waited_for_until_it_has_sent_what_waited(found, back_s, wanted):
    arrived = [Arrival(*one) for one in found]
    assert behind(arrived, expected(arrived, back_s), back_s) == frozenset(wanted)


def test_one_that_comes_up_meanwhile_is_not_waited_for():
    before = [Arrival("a", 40, 0.4)]
    after = [Arrival("a", 1, 0.3), Arrival("b", 1, 500)]
    assert behind(after, expected(before, 1), 3) == frozenset()


def test_it_looks_only_after_the_store_was_away(store):
    seconds = [1000.0]
    one = CatchingUp(lambda: seconds[0])
    one.look(store)
    assert one.why == ""
    spend(store, clock(), "1")
    one.away()
    one.look(store)
    assert one.why == "waiting for the ledger: 1 gateway still sends what waited for the store"
    seconds[0] += module.SILENT_S
    one.look(store)
    assert one.why == ""


class Gate:
    """What a shipper connects to its store by; shut, the store is out of its reach."""

    def __init__(self, config):
        self._config, self.open = config, True

    def __call__(self):
        if not self.open:
            raise StoreUnavailable("out of reach")
        return connect(self._config)


@asynccontextmanager
async def traffic(spool, gate):
    """A gateway's spool that gets requests without a pause, and is shipped."""
    tasks, shipper = Tasks(), Shipper(spool, gate, interval_s=0.2)

    async def ask():
        while True:
            now = time.time_ns() // 1000
            spool.end(ended(started_at=now - 1000, ended_at=now))
            await asyncio.sleep(PAUSE_S)

    tasks.start(ask(), name="requests")
    tasks.start(shipper.run(), name="shipper")
    try:
        yield
    finally:
        await tasks.stop()
        shipper.close()


@pytest.mark.slow
async def test_an_outage_of_the_store_fires_and_ends_nothing(config, tmp_path):
    running, gate = RunningStore(config), Gate(config)
    store = connect(config)
    desk = Desk(config, SecretBox(config.home), connected=store)
    status, evaluator, tasks = desk.status, Evaluator(desk), Tasks()
    busy = watch(store, name="Busy", every="1s", when=BUSY)
    try:
        with opened(tmp_path) as spool:
            async with traffic(spool, gate):
                evaluating = tasks.start(evaluator.run(), name="evaluate rules")
                await until(lambda: rules.get(store, busy.id).state == "firing")
                silent = watch(store, name="Silent", every="1s", when=SILENT)
                await until(lambda: rules.get(store, silent.id).evaluated_at)
                told, missed = rows(store, "alert_events", "rule_id", "to_state"), status.missed_ticks

                gate.open = False
                await asyncio.to_thread(running.stop)
                await until(lambda: status.store_error and spool.backlog().records > ABSENCE)
                away, missed = trouble(desk, clock()), status.missed_ticks - missed
                running = await asyncio.to_thread(RunningStore, config)
                # the worker has found the store, and the gateway has not
                await until(lambda: not status.store_error)
                ticks, waiting = status.ticks, trouble(desk, clock())
                gate.open = True
                await until(lambda: status.ticks > ticks + 3)
                assert spool.backlog().records < ABSENCE
                assert rows(store, "alert_events", "rule_id", "to_state") == told
                assert waiting.startswith("waiting for the ledger: 1 gateway")
                assert (status.waiting, trouble(desk, clock())) == ("", "")
                assert "the store is away" in away
                assert missed > 5
                evaluator.stop()
                await evaluating
    finally:
        evaluator.stop()
        await tasks.stop()
        store.close()
        running.stop()
