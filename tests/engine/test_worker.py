import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent

from data.errors import DeadlineExceeded, QueryRejected
from data.queries import leases
from data.serving import RunningStore
from data.store import connect
from engine import evaluator as module
from engine import rules
from engine.bucket import Limit
from engine.cadences import instant
from engine.desk import Desk
from engine.evaluator import LEASE, Evaluator
from engine.housekeeping.heartbeat import trouble
from engine.lease import holder_name
from engine.lease_keeper import News
from engine.post import terms
from engine.secrets import SecretBox
from engine.terms import ALL
from tests.engine.receivers import free_port, until
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, rows, spend, watch

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(home, port):
    command = [sys.executable, "-m", "engine", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def health(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return {"status": "away", "checks": {}}


@contextmanager
def evaluating(store, config):
    desk = Desk(config, SecretBox(config.home), connected=store)
    yield desk, Evaluator(desk)


async def test_the_program_says_ready_finds_the_store_later_tells_of_a_breach_and_ends_cleanly(
    config, home, monkeypatch
):
    monkeypatch.setenv("CLAUDE_PROXY_WORKER_NOTICES_BURST", "7")
    port = free_port()
    with worker(home, port) as process:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line == f"worker ready http://127.0.0.1:{port}\n"
        found = await asyncio.to_thread(health, port)
        assert (found["status"], found["checks"]["store"]["ok"]) == ("degraded", False)
        running = RunningStore(config)
        store = connect(config)
        try:
            await until(lambda: health(port)["status"] == "ok")
            assert terms(store, NOON).buckets[ALL].limit == Limit(per_minute=300, burst=7)
            rules.save(store, {**COSTLY, "every": "1s"}, by="ada")
            spend(store, datetime.now(UTC), "2")
            begun = time.monotonic()
            await until(lambda: rows(store, "inbox", "title"))
            assert (
                time.monotonic() - begun < 15
            )  # every + 2 s, and more on a busy machine; a rule's own cadence were a minute
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 60) == 0
            assert leases.holder(store, LEASE)[0] == ""
        finally:
            store.close()
            running.stop()
        assert process.stderr.read() == ""


def test_a_bad_configuration_is_said_in_one_line(home):
    (home / "bad.toml").write_text("nonsense = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "engine", "--home", str(home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"CLAUDE_PROXY_CONFIG": str(home / "bad.toml"), "PATH": ""},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


async def test_a_new_rule_is_evaluated_at_once_and_an_edit_is_picked_up(store, config):
    rule = watch(store, every="1h", when={"metric": "requests", "window": "5m", "op": "<", "value": 1})
    with evaluating(store, config) as (desk, evaluator):
        running = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
        await until(lambda: rules.get(store, rule.id).state == "firing")
        rules.save(store, {**COSTLY, "every": "1h"}, rule_id=rule.id, by="ada")
        await until(lambda: rules.get(store, rule.id).health == "ok" and rules.get(store, rule.id).state == "normal")
        assert desk.status.cadences_s == (3600,)
        evaluator.stop()
        await running
    assert rows(store, "alerts", "status") == [("resolved",)]


async def test_a_second_worker_stands_by_until_the_first_ends(store, config):
    with evaluating(store, config) as (first, one), evaluating(store, config) as (second, other):
        runs = [asyncio.ensure_future(one.run())]  # noqa: TID251 - a test's own task
        await until(lambda: first.status.leading)
        runs.append(asyncio.ensure_future(other.run()))  # noqa: TID251 - a test's own task
        watch(store, every="1s")
        await until(lambda: first.status.ticks >= 2)
        assert (second.status.leading, second.status.ticks) == (False, 0)
        one.stop()
        await runs[0]
        await until(lambda: second.status.leading and second.status.ticks)
        other.stop()
        await runs[1]


async def test_a_worker_that_was_killed_is_succeeded_at_once(store, config):
    dead = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    holder = holder_name().replace(f":{os.getpid()}:", f":{dead.stdout.strip()}:")
    until_late = datetime.now(UTC) + timedelta(hours=1)
    assert leases.acquire(store, LEASE, holder, now=datetime.now(UTC), until=until_late) == 1
    with evaluating(store, config) as (desk, evaluator):
        running = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
        await until(lambda: desk.status.leading)
        assert desk.status.token == 2
        evaluator.stop()
        await running


async def test_a_living_holder_keeps_the_lease(store, config):
    until_late = datetime.now(UTC) + timedelta(hours=1)
    assert leases.acquire(store, LEASE, holder_name(), now=datetime.now(UTC), until=until_late) == 1
    with evaluating(store, config) as (desk, evaluator):
        await evaluator._look()
        assert not desk.status.leading


async def test_a_tick_that_takes_too_long_makes_the_next_ones_missed_and_counted(store, config, monkeypatch):
    watch(store, every="1s")
    released = threading.Event()
    real = module.tick

    def slow(*args, **options):
        released.wait(60)
        return real(*args, **options)

    with evaluating(store, config) as (desk, evaluator):
        running = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
        await until(lambda: desk.status.ticks >= 2)
        monkeypatch.setattr(module, "tick", slow)
        await until(lambda: desk.status.missed_ticks >= 1)
        released.set()
        evaluator.stop()
        await running


async def test_evaluations_that_a_suspended_a_late_and_a_new_worker_did_not_do_are_missed_and_counted_once(
    store, config
):
    clock = [NOON + SECOND]
    watch(store, every="10s")
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk, now=lambda: clock[0])
    await evaluator._look()
    for passed, missed in ((10, 0), (50, 4), (10, 4)):  # the second after a suspend
        clock[0] += passed * SECOND
        await evaluator._cadences._beat(10)
        assert desk.status.missed_ticks == missed
    event = JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, "10", "default", [clock[0] + 10 * SECOND])
    evaluator._cadences._missed(event)
    clock[0] += 20 * SECOND
    await evaluator._cadences._beat(10)
    assert desk.status.missed_ticks == 5

    clock[0] += 65 * SECOND
    after = Desk(config, SecretBox(config.home), connected=store)
    successor = Evaluator(after, now=lambda: clock[0])
    await successor._look()
    clock[0] += 5 * SECOND
    await successor._cadences._beat(10)
    assert (after.status.leading, after.status.missed_ticks) == (True, 5)


async def test_a_rule_that_was_off_has_missed_nothing_meanwhile(store, config):
    clock = [NOON + SECOND]
    watched = watch(store, every="10s")
    rules.toggle(store, watched.id, by="ada", enabled=True, at=NOON)
    for desk in (Desk(config, SecretBox(config.home), connected=store) for _ in range(2)):
        evaluator = Evaluator(desk, now=lambda: clock[0])
        await evaluator._look()
        assert (desk.status.ticks, desk.status.missed_ticks) == (1, 0)
        rules.toggle(store, watched.id, by="ada", enabled=False, at=clock[0] + SECOND)
        clock[0] += timedelta(hours=1)
        rules.toggle(store, watched.id, by="ada", enabled=True, at=clock[0])


async def test_a_stored_rule_that_cannot_be_read_is_in_bad_health_and_the_others_go_on(store, config):
    broken, fine = watch(store, name="Broken"), watch(store, name="Fine")
    from data.store import Statement

    store.transact([Statement("UPDATE rules SET document = '{\"name\": 1}' WHERE id = ?", (broken.id,))])
    with evaluating(store, config) as (_, evaluator):
        running = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
        await until(lambda: rules.get(store, fine.id).health and rules.get(store, broken.id).health)
        evaluator.stop()
        await running
    assert (rules.get(store, broken.id).health, rules.get(store, fine.id).health) == ("error", "ok")


async def test_the_evaluator_outlives_the_store(config):
    running = RunningStore(config)
    store = connect(config)
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk)
    task = asyncio.ensure_future(evaluator.run())  # noqa: TID251 - a test's own task
    try:
        watch(store, every="1s")
        await until(lambda: desk.status.ticks)
        await asyncio.to_thread(running.stop)
        await until(lambda: desk.status.store_error)
        running = await asyncio.to_thread(RunningStore, config)
        before = desk.status.ticks
        await until(lambda: desk.status.ticks > before and not desk.status.store_error)
    finally:
        evaluator.stop()
        await task
        store.close()
        running.stop()


async def test_a_tick_that_found_the_store_away_is_made_up_for_once_it_is_back(config):
    running = RunningStore(config)
    store = connect(config)
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk)
    try:
        watch(store, every="1d")
        await evaluator._look()
        await asyncio.to_thread(running.stop)
        await evaluator._cadences._beat(86_400)
        assert desk.status.store_error
        running = await asyncio.to_thread(RunningStore, config)
        await evaluator._guarded(evaluator._look())
        assert (desk.status.ticks, desk.status.store_error) == (2, "")
    finally:
        store.close()
        running.stop()


async def test_a_tick_that_the_store_refuses_shows_in_the_health_until_one_succeeds(store, config, monkeypatch):
    watch(store, every="1d")
    with evaluating(store, config) as (desk, evaluator):
        await evaluator._look()
        with monkeypatch.context() as patch:
            patch.setattr(module, "tick", refusing)
            await evaluator._cadences._beat(86_400)
        await evaluator._look()
        assert (desk.status.failed_ticks, desk.status.last_error) == (1, "made up")
        await evaluator._cadences._beat(86_400)
        assert desk.status.last_error == ""


async def test_a_worker_that_lost_the_lead_is_not_in_trouble_by_its_last_tick_when_it_leads_again(store, config):
    watch(store, every="60s")
    with evaluating(store, config) as (desk, evaluator):
        await evaluator._look()
        desk.status.last_error = "made up"
        evaluator._lease.lost(desk.status.token)
        evaluator._hear(News.LOST)
        assert not desk.status.leading
        later = datetime.now(UTC) + timedelta(hours=3)
        assert (trouble(desk, later), desk.status.last_tick_at) == ("", None)
        desk.status.last_tick_at = later - timedelta(minutes=4)
        assert "no rule was evaluated since" in trouble(desk, later)


async def test_a_tick_that_failed_halfway_is_made_up_for_by_a_later_look(store, config, monkeypatch):
    monkeypatch.setattr("engine.commit.AT_ONCE", 1)
    clock = [datetime.now(UTC)]
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk, now=lambda: clock[0])
    await evaluator._look()
    made = [watch(store, name=f"Rule {n}", every="1d") for n in range(2)]

    with monkeypatch.context() as patch:
        patch.setattr(store, "transact", running_out(store.transact, portions=2))
        await evaluator._guarded(evaluator._look())
    assert desk.status.last_error == "out of time"
    assert len([one for one in made if rules.get(store, one.id).health]) == 1

    clock[0] += module.AGAIN_AFTER - timedelta(seconds=1)
    await evaluator._look()
    assert desk.status.last_error == "out of time"
    clock[0] += timedelta(seconds=1)
    await evaluator._look()
    assert desk.status.last_error == ""
    assert [rules.get(store, one.id).health for one in made] == ["ok"] * 2


async def test_what_a_cadence_made_up_for_is_not_evaluated_once_more(store, config, monkeypatch):
    clock = [datetime.now(UTC)]
    desk = Desk(config, SecretBox(config.home), connected=store)
    evaluator = Evaluator(desk, now=lambda: clock[0])
    watch(store, every="10s")
    with monkeypatch.context() as patch:
        patch.setattr(module, "tick", refusing)
        await evaluator._guarded(evaluator._look())
    await evaluator._cadences._beat(10)
    clock[0] += 2 * module.AGAIN_AFTER
    await evaluator._look()
    assert (desk.status.failed_ticks, desk.status.ticks) == (1, 1)


def running_out(transact, *, portions):
    """A store that runs out of time from a number of commits of evaluations on."""
    left = portions

    def limited(statements):
        nonlocal left
        left -= any("rule_health" in str(one.sql) for one in statements)
        if not left:
            raise DeadlineExceeded("out of time")
        return transact(statements)

    return limited


def refusing(*_, **__):
    raise QueryRejected("made up")


def test_the_instant_of_an_evaluation_leaves_the_ledger_a_second():
    assert instant(NOON + timedelta(milliseconds=1010)) == NOON
    assert instant(NOON + timedelta(milliseconds=1999)) == NOON
    assert instant(NOON + MINUTE) == NOON + MINUTE - SECOND
