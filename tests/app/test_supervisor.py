"""The supervisor against real subprocesses: ready, restart, failure at start, clean end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import psutil
import pytest

from app import stack
from app.output_file import LOG_BYTES
from app.supervisor import Program, StartFailed, Supervisor

LIMIT_S = 60.0
WAITS = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: exit(0))
print('{name} ready', flush=True)
time.sleep(60)
"""


def program(name: str, code: str, **settings) -> Program:
    return Program(name, (sys.executable, "-c", code), "somewhere", **settings)


def waits(name: str) -> Program:
    return program(name, WAITS.format(name=name))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervise(tmp_path, said):
    def make(*programs: Program) -> Supervisor:
        return Supervisor(programs, environment=os.environ, folder=tmp_path, logs=tmp_path / "logs", say=said.append)

    return make


def pids(supervisor: Supervisor) -> list[int]:
    """The programs that run now; other tests' processes are none of ours."""
    return [p.pid for p in supervisor._running.values() if p.returncode is None and psutil.pid_exists(p.pid)]


async def running(supervisor: Supervisor, said: list[str]) -> asyncio.Task[None]:
    run = asyncio.get_running_loop().create_task(supervisor.run())
    await until(lambda: "ready" in said or run.done())
    return run


async def test_programs_start_in_order_and_are_announced_when_ready(supervise, said):
    supervisor = supervise(waits("one"), waits("two"))
    run = await running(supervisor, said)
    assert [line.split()[0] for line in said] == ["one", "two", "ready"]
    supervisor.stop_soon()
    await run
    await supervisor.stop()
    assert pids(supervisor) == []


async def test_a_killed_program_is_started_again(supervise, said):
    supervisor = supervise(waits("one"))
    run = await running(supervisor, said)
    os.kill(pids(supervisor)[0], signal.SIGKILL)
    await until(lambda: "one is back" in said)
    assert "exit -9" in said[-2]
    supervisor.stop_soon()
    await run
    await supervisor.stop()
    assert pids(supervisor) == []


async def test_a_program_that_ends_at_start_is_a_failure_with_its_last_words(supervise):
    supervisor = supervise(program("one", "import sys; sys.exit('the port is taken')"))
    with pytest.raises(StartFailed, match=r"one ended at start \(exit 1\):\nthe port is taken"):
        await supervisor.run()
    await supervisor.stop()


async def test_a_program_that_runs_once_is_ready_when_it_has_ended_well(supervise, said):
    supervisor = supervise(program("load", "print('loaded')", once=True), waits("two"))
    run = await running(supervisor, said)
    assert [line.split()[0] for line in said] == ["load", "two", "ready"]
    supervisor.stop_soon()
    await run
    await supervisor.stop()


async def test_output_does_not_grow_without_bound(supervise, said, tmp_path):
    chatty = WAITS.format(name="one").replace("time.sleep", "[print('x' * 65536) for _ in range(400)]; time.sleep")
    supervisor = supervise(program("one", chatty))
    run = await running(supervisor, said)
    await until((tmp_path / "logs" / "one.out.1").exists)
    supervisor.stop_soon()
    await run
    await supervisor.stop()
    files = [file.stat() for file in (tmp_path / "logs").iterdir()]
    assert len(files) == 2
    assert all(file.st_size <= LOG_BYTES and file.st_mode & 0o777 == 0o600 for file in files)


async def test_readiness_is_seen_though_much_is_said_in_one_breath(supervise, said):
    talk = "import os, time; os.write(1, b'one ready' + b'.' * 60_000); time.sleep(60)"
    supervisor = supervise(program("one", talk))
    run = await running(supervisor, said)
    assert said[-1] == "ready"
    supervisor.stop_soon()
    await run
    await supervisor.stop()


async def test_stopping_while_a_program_is_still_starting_ends_it(supervise, said):
    supervisor = supervise(program("slow", "import time; time.sleep(60)"))
    run = asyncio.get_running_loop().create_task(supervisor.run())
    await until(lambda: pids(supervisor))
    supervisor.stop_soon()
    await run
    await supervisor.stop()
    assert pids(supervisor) == []


HEARS = """
import os, signal, time
print('{name} ready', flush=True)
while not os.path.exists('go'):
    time.sleep(0.01)
signal.signal(signal.SIGHUP, lambda *_: print('{name} heard', flush=True))
signal.signal(signal.SIGTERM, lambda *_: exit(0))
print('{name} listens', flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def hangups():
    """SIGHUP ends a program that does not say otherwise, however these tests were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
async def test_a_reload_reaches_the_programs_that_can_and_ends_none(supervise, said, tmp_path):
    programs = [program(name, HEARS.format(name=name), reloads=name != "deaf") for name in ("one", "two", "deaf")]
    supervisor = supervise(*programs)
    run = await running(supervisor, said)

    def told(name: str, word: str) -> bool:
        return f"{name} {word}" in (tmp_path / "logs" / f"{name}.out").read_text()

    supervisor.reload()  # one that does not listen yet is left alone
    (tmp_path / "go").touch()
    await until(lambda: all(told(each.name, "listens") for each in programs))
    supervisor.reload()
    await until(lambda: told("one", "heard") and told("two", "heard"))
    assert len(pids(supervisor)) == 3
    assert not [line for line in said if "ended" in line]
    assert not told("deaf", "heard")
    await supervisor.stop()
    await run


def test_what_up_starts_reloads_where_it_can(config):
    assert {each.name for each in stack.programs(config) if each.reloads} == {"proxy", "worker"}
