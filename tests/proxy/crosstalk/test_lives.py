"""Conversations when programs end: the proxy is killed or told to stop, the store goes away, a sibling is asked."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from data.serving import RunningStore
from proxy.crosstalk import talking
from tests.conftest import ROOT
from tests.proxy.crosstalk.test_crosstalk import ONE_PROTOCOL
from tests.proxy.crosstalk.test_socket import Paced, heard, rest
from tests.proxy.crosstalk.world import DOCUMENT, World, message, world
from tests.proxy.gateway import NoStore, provider, until


@asynccontextmanager
async def proxy_process(home: Path, upstream: str, *, shared: socket.socket | None = None):
    """`python -m proxy` on a home, and a client's view of it."""
    environ = {
        **os.environ,
        "CLAUDE_PROXY_HOME": str(home),
        "CLAUDE_PROXY_PROXY_PORT": "0",
        "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": upstream,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *(("--fd", str(shared.fileno())) if shared else ())),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(shared.fileno(),) if shared else (),
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line.startswith("proxy ready "), "the proxy did not start"
        async with aiohttp.ClientSession() as http:
            yield process, _Remote(line.split()[-1], http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Remote(World):
    """A proxy of another process."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.proxy = type("Address", (), {"url": url})()


async def test_a_killed_proxys_conversation_is_interrupted_by_its_next_life_and_never_goes_on(running, config):
    paced = Paced()
    async with provider(paced) as (url, seen):
        async with proxy_process(config.home, url) as (process, at):
            begun = await at.begin(**ONE_PROTOCOL)
            paced.let()
            await until(lambda: paced.asked == 2)
            async with asyncio.timeout(60):
                while (await at.session(begun["id"]))["unstored"]:
                    await asyncio.sleep(0.01)
            process.kill()
            await process.wait()
        asked = len(seen.bodies)
        async with proxy_process(config.home, url) as (process, at):
            done = await at.ended(begun["id"])
            assert (done["status"], done["reason"], done["turns"]) == ("interrupted", "proxy_ended", 1)
            assert [each["text"] for each in await at.said(begun["id"])] == ["turn 1"]
            listed = await at.ask("GET", "/api/crosstalk/sessions?status=running")
            assert listed["items"] == []
            stats = await at.ask("GET", "/api/system/crosstalk-stats")
            assert (stats["running"], stats["sessions"]["interrupted"], stats["messages"]) == (0, 1, 1)
        assert len(seen.bodies) == asked


async def test_a_proxy_that_starts_leaves_its_siblings_conversations_alone(running, config):
    paced = Paced()
    async with provider(paced) as (url, _):
        async with proxy_process(config.home, url) as (_, first):
            begun = await first.begin(**ONE_PROTOCOL, max_turns=2)
            async with proxy_process(config.home, url) as (second, other):
                # its own past was looked through when it has held a conversation itself
                own = await other.begin(**ONE_PROTOCOL, max_turns=1)
                paced.let(3)
                assert (await other.ended(own["id"]))["status"] == "finished"
                # as the store has it
                assert (await other.ended(begun["id"]))["status"] == "finished"
                assert second.returncode is None


async def test_with_two_proxies_on_one_socket_each_makes_its_own_calls(running, config):
    """What a turn cost is known to the proxy alone that made the call."""
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen(1024)
        async with provider(message("x")) as (url, _), proxy_process(config.home, url, shared=shared) as (_, at):
            async with proxy_process(config.home, url, shared=shared):
                begun = [await at.begin(**ONE_PROTOCOL, max_turns=3, max_cost_usd=1) for _ in range(8)]
                done = [await at.ended(each["id"]) for each in begun]
    assert {(each["status"], each["turns"]) for each in done} == {("finished", 3)}
    assert len({each["cost_usd"] for each in done}) == 1
    assert done[0]["cost_usd"] > 0


async def test_a_sigterm_ends_conversations_at_once(running, config):
    paced = Paced()
    async with provider(paced) as (url, _):
        async with proxy_process(config.home, url) as (process, at):
            begun = await at.begin(**ONE_PROTOCOL)
            paced.let()
            await until(lambda: paced.asked == 2)
            process.send_signal(signal.SIGTERM)
            # the drain would wait 30 s for a call in flight
            assert await asyncio.wait_for(process.wait(), 25) == 0
        async with world(config, url) as at:
            found = await at.session(begun["id"])
    assert (found["status"], found["reason"], found["turns"]) == ("interrupted", "proxy_ended", 1)


async def test_a_sibling_on_the_same_socket_is_asked_to_stop_and_can_be_followed(running, config):
    paced = Paced()
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen(1024)
        async with provider(paced) as (url, _), proxy_process(config.home, url, shared=shared) as (_, at):
            begun = await at.begin(**ONE_PROTOCOL)
            paced.let()
            await until(lambda: paced.asked == 2)
            async with world(config, url) as other:
                found = await other.session(begun["id"])
                assert (found["status"], found["turns"]) == ("running", 1)
                async with other.http.ws_connect(f"{other.proxy.url}/ws/crosstalk/{begun['id']}") as listener:
                    assert [(await heard(listener))["type"] for _ in range(2)] == ["session", "message"]
                    stopped = await other.ask("POST", f"/api/crosstalk/sessions/{begun['id']}/stop")
                    assert stopped["status"] == "stopped"
                    assert (await rest(listener))[-1]["session"]["status"] == "stopped"
            asked = paced.asked
            # the proxy that runs it has given up the turn
            async with asyncio.timeout(60):
                while (await at.ask("GET", "/api/system/stats"))["in_flight"]:
                    await asyncio.sleep(0.01)
            paced.let(5)
            assert (await at.session(begun["id"]))["status"] == "stopped"
            assert paced.asked == asked


async def test_without_a_store_none_begins(config):
    async with provider(message("x")) as (url, seen), world(config, url, store=NoStore()) as at:
        refused = await at.begin(**ONE_PROTOCOL, status=503)
        assert refused["title"] == "Store unavailable"
        for path in ("/api/crosstalk/sessions", "/api/system/crosstalk-stats"):
            await at.ask("GET", path, status=503)
    assert not seen.bodies


@pytest.mark.slow
async def test_while_the_store_is_away_it_goes_on_for_a_bit_and_is_written_when_the_store_returns(config):
    store, paced = RunningStore(config), Paced()
    async with provider(paced) as (url, _), world(config, url) as at:
        begun = await at.begin(**ONE_PROTOCOL, max_turns=20)
        await asyncio.to_thread(store.stop)
        paced.let(20)
        await until(lambda: paced.asked == talking.AHEAD)
        session = at.proxy.proxy.parts.crosstalk.find(begun["id"])
        await until(lambda: session.unstored == talking.AHEAD)
        shown = await at.session(begun["id"])
        assert (shown["status"], shown["unstored"]) == ("running", talking.AHEAD)
        assert [each["stored"] for each in await at.said(begun["id"])] == [False] * talking.AHEAD
        assert paced.asked == talking.AHEAD
        store = await asyncio.to_thread(RunningStore, config)
        done = await at.ended(begun["id"])
        await until(lambda: at.proxy.proxy.parts.crosstalk.find(begun["id"]) is None)
        said = await at.said(begun["id"])
    await asyncio.to_thread(store.stop)
    assert (done["status"], done["turns"]) == ("finished", 20)
    assert [each["text"] for each in said] == [f"turn {turn}" for turn in range(1, 21)]
    assert DOCUMENT["topic"] == done["document"]["topic"]
