"""The made-up team calls a real simulated provider the way a team would."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from aiohttp.test_utils import TestServer, unused_port

from app.traffic import Person, drive
from data.demo_team import MEMBERS, OPUS_BEFORE, TEAM
from proxy.attribution import attribute, said_by
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def provider() -> AsyncIterator[TestServer]:
    async with TestServer(make_app(SimulatedSettings(speed=0))) as server:
        yield server


async def driven(provider: TestServer, calls: int) -> list:
    """What the provider served of about that many calls."""
    log = provider.app[BOOKS].log
    stopping = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(drive(str(provider.make_url("/")), rate=400, stopping=stopping, seed=3))
        while len(log) < calls:
            await asyncio.sleep(0.01)
        stopping.set()
    return list(log)


async def test_the_team_asks_in_every_protocol_streaming_or_not(provider):
    served = await driven(provider, 300)
    kinds = Counter((each.endpoint.value, each.stream) for each in served)
    assert {kind for kind, _ in kinds} == {"messages", "chat_completions", "responses"}
    assert {stream for _, stream in kinds} == {True, False}
    assert OPUS_BEFORE not in {each.model for each in served}


async def test_most_calls_are_answered_and_some_fail(provider):
    served = await driven(provider, 400)
    answered = sum(each.status == 200 for each in served)
    assert len(served) * 0.9 < answered < len(served)
    assert not [each for each in served if each.status == 400 and not each.fault]


async def test_conversations_read_the_cache(provider):
    await driven(provider, 300)
    totals = provider.app[BOOKS].totals
    assert totals.cache_read_tokens > totals.cache_write_5m_tokens > 0


async def test_a_proxy_that_is_away_is_tried_again_and_the_end_comes_when_asked():
    stopping, tried = asyncio.Event(), []

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        tried.append(1)
        if len(tried) == 5:
            stopping.set()

    async with asyncio.timeout(30), await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        assert await drive(f"http://{host}:{port}", rate=500, stopping=stopping) >= 5


@pytest.mark.parametrize("member", TEAM, ids=lambda member: member.user)
def test_a_call_says_whose_it_is_as_the_history_does(member):
    call = Person(member, Random(1)).next_call()
    who = attribute(said_by(call.headers))
    assert (who.key, who.user, who.team) == (member.key, member.user, member.team)
    assert who.project in member.projects
    assert bool(who.session) is member.traits.has_sessions
    assert who.tags == {"env": member.env}


def test_keys_are_told_apart():
    assert len({member.key for member in MEMBERS}) == len(MEMBERS)


def test_a_session_ends_and_another_begins():
    person = Person(TEAM[0], Random(1))
    sessions = {person.next_call().headers["x-claude-code-session-id"] for _ in range(60)}
    assert len(sessions) == 3


def test_the_program_says_that_it_is_ready_and_stops_cleanly():
    command = (sys.executable, "-m", "app.traffic", "--url", f"http://127.0.0.1:{unused_port()}")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout.readline().startswith("traffic ready http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert (process.returncode, rest) == (0, "")
