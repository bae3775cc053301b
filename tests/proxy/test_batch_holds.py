"""Batches under hard budgets through a running proxy: held when they are made, spent when their results are fetched."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data.config import BudgetsConfig
from data.model import Endpoint
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import Gateway, answer, chunked, client, gateway, provider, until

BATCHES = "/v1/messages/batches"
MODEL = "claude-opus-5-5"
#: Dollars a token: $4 and $20 a million, halved.
INPUT, OUTPUT = Decimal("0.000002"), Decimal("0.00001")
#: Tokens that providers may add to a call.
FRAME = 64
LINES = "Content-Type: application/x-jsonl\r\n"


def params(max_tokens: int, model: str = MODEL) -> dict[str, Any]:
    return {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]}


def requests(*max_tokens: int, model: str = MODEL) -> list[dict[str, Any]]:
    return [{"custom_id": f"r{n}", "params": params(most, model)} for n, most in enumerate(max_tokens)]


def worst(*max_tokens: int) -> Decimal:
    """By hand: a token for each byte of a call's own JSON and the frame, and all the output that it allows."""
    compact = [json.dumps(params(most), separators=(",", ":")) for most in max_tokens]
    read = sum(len(each) + FRAME for each in compact)
    return read * INPUT + sum(max_tokens) * OUTPUT


def body(*max_tokens: int, model: str = MODEL) -> bytes:
    return json.dumps({"requests": requests(*max_tokens, model=model)}, separators=(",", ":")).encode()


def line(custom_id: str, output: int) -> bytes:
    usage = {"input_tokens": 10, "output_tokens": output, "service_tier": "batch"}
    message = {"id": f"msg_{custom_id}", "model": MODEL, "stop_reason": "end_turn", "usage": usage}
    return json.dumps({"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}).encode() + b"\n"


def cost(*outputs: int) -> Decimal:
    return sum((10 * INPUT + output * OUTPUT for output in outputs), Decimal(0))


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def upstream(app: web.Application) -> AsyncIterator[str]:
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def stands(proxy: Gateway, name: str = "all") -> dict[str, Decimal]:
    """What a budget's one group says of its money, once all calls are written down."""
    await proxy.proxy.forwarder.idle()
    async with client() as session:
        said = json.loads(
            await (await session.get(f"{proxy.url}/api/budget/status?name={name}")).read(), parse_float=Decimal
        )
    (item,) = said["items"]
    group = item["groups"][0]
    return {name: Decimal(group[f"{name}_usd"]) for name in ("spent", "held", "held_by_batches")}


async def spent_and_held(proxy: Gateway, name: str = "all") -> tuple[Decimal, Decimal]:
    found = await stands(proxy, name)
    assert found["held"] == found["held_by_batches"]
    return found["spent"], found["held"]


async def make(proxy: Gateway, *max_tokens: int, **headers: str) -> tuple[int, str, str]:
    """Status, code and text (the batch's id, where it was made)."""
    async with client() as session:
        got = await session.post(proxy.url + BATCHES, data=body(*max_tokens), headers=headers)
        said = await got.json()
        return got.status, got.headers.get("x-claude-proxy-error", ""), said.get("id") or said["error"]["message"]


async def fetch(proxy: Gateway, batch: str, **headers: str) -> bytes:
    async with client() as session:
        await session.get(f"{proxy.url}{BATCHES}/{batch}", headers=headers)
        got = await session.get(f"{proxy.url}{BATCHES}/{batch}/results", headers=headers)
        assert got.status == 200
        return await got.read()


async def test_anthropics_sdk_makes_batches_as_long_as_there_is_room_and_has_it_back_with_their_results(
    upstream, tmp_path: Path
):
    begin_counting(tmp_path, [budget()])
    async with (
        gateway(tmp_path, upstream) as proxy,
        anthropic.AsyncAnthropic(api_key="key", base_url=proxy.url, max_retries=2) as claude,
    ):
        batches = claude.messages.batches
        steering = {"x-simulate": "input=10,output=300"}
        made = await batches.create(requests=requests(20_000, 40_000), extra_headers=steering)
        assert await spent_and_held(proxy) == (0, worst(20_000, 40_000))
        with pytest.raises(anthropic.RateLimitError) as refused:
            await batches.create(requests=requests(50_000))
        assert "'all'" in str(refused.value)
        assert "held by batches" in str(refused.value)
        assert refused.value.response.headers["x-claude-proxy-error"] == "budget_held"
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert len([r for r in proxy.records if r.endpoint is Endpoint.BATCHES]) == 1  # which was not tried again
        assert (await batches.retrieve(made.id)).processing_status == "ended"
        assert [each.custom_id async for each in await batches.results(made.id)] == ["r0", "r1"]
        assert await spent_and_held(proxy) == (cost(300, 300), 0)
        again = await batches.create(requests=requests(50_000), extra_headers=steering)
        assert await spent_and_held(proxy) == (cost(300, 300), worst(50_000))
        assert again.id != made.id


async def test_results_that_are_fetched_again_release_nothing_of_another_batch(upstream, tmp_path: Path):
    begin_counting(tmp_path, [budget()])
    async with gateway(tmp_path, upstream) as proxy:
        steering = {"x-simulate": "input=10,output=300"}
        _, _, first = await make(proxy, 20_000, **steering)
        await make(proxy, 30_000)
        for _ in range(3):
            await fetch(proxy, first)
            assert await spent_and_held(proxy) == (cost(300), worst(30_000))


async def test_two_proxies_of_a_home_share_what_batches_hold(upstream, tmp_path: Path):
    begin_counting(tmp_path, [budget()])
    async with gateway(tmp_path, upstream) as one, gateway(tmp_path, upstream) as two:
        steering = {"x-simulate": "input=10,output=300"}
        _, _, batch = await make(one, 60_000, **steering)
        assert await spent_and_held(two) == (0, worst(60_000))
        assert (await make(two, 60_000))[:2] == (429, "budget_held")
        await fetch(two, batch)
        assert await spent_and_held(one) == (cost(300), 0)
        assert (await make(one, 60_000))[0] == 200


@pytest.mark.parametrize("whole", [True, False])
async def test_what_broke_off_is_spent_and_the_rest_is_held_until_it_is_fetched(tmp_path: Path, *, whole: bool):
    begin_counting(tmp_path, [budget()])
    results = line("r0", 100) + (line("r1", 200) if whole else line("r1", 200)[:40])

    async def breaks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(results, headers=LINES, end=False))
        await writer.drain()
        writer.close()

    again = answer(line("r0", 100) + line("r1", 200), headers=LINES)
    async with (
        provider(answer(b'{"id":"b1"}'), breaks, again) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as session,
    ):
        await make(proxy, 20_000, 20_000)
        with pytest.raises(aiohttp.ClientError):
            await (await session.get(f"{proxy.url}{BATCHES}/b1/results")).read()
        spent = cost(100, 200) if whole else cost(100)
        assert await spent_and_held(proxy) == (spent, worst(20_000, 20_000) - spent)
        await (await session.get(f"{proxy.url}{BATCHES}/b1/results")).read()
        assert await spent_and_held(proxy) == (cost(100, 200), 0)


GOOD = answer(b'{"id":"b1","type":"message_batch","processing_status":"in_progress"}')
COUNTS = b'{"processing":0,"succeeded":%d,"errored":1,"canceled":0,"expired":0}'
ENDED = b'{"id":"b1","type":"message_batch","processing_status":"ended","request_counts":%s}'


@pytest.mark.parametrize(
    ("method", "path", "said", "released"),
    [
        ("GET", "b1", ENDED % (COUNTS % 0), True),
        ("GET", "b1", ENDED % (COUNTS % 1), False),
        ("GET", "b1", ENDED.replace(b"ended", b"in_progress") % (COUNTS % 0), False),
        ("GET", "b1", ENDED.replace(b"b1", b"b2") % (COUNTS % 0), False),
        ("POST", "b1/cancel", b'{"id":"b1","type":"message_batch","processing_status":"canceling"}', False),
        ("DELETE", "b1", b'{"id":"b1","type":"message_batch_deleted"}', False),
        ("GET", "", b'{"data":[%s],"has_more":false}' % (ENDED % (COUNTS % 0)), False),
        ("GET", "b1/results", b'{"custom_id":"r0","result":{"type":"expired"}}\n', True),
        ("GET", "b1/results", b'{"custom_id":"r0"}\n', False),
    ],
    ids=[
        "none succeeded", "one succeeded", "in progress", "another", "canceling", "deleted", "in a list", "read",
        "unreadable",
    ],
)  # fmt: skip
async def test_what_is_held_is_let_go_once_nothing_can_be_charged(
    tmp_path: Path, method: str, path: str, said: bytes, *, released: bool
):
    begin_counting(tmp_path, [budget()])
    async with (
        provider(GOOD, answer(said)) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as session,
    ):
        await make(proxy, 20_000)
        got = await session.request(method, f"{proxy.url}{BATCHES}/{path}".rstrip("/"))
        assert (got.status, await got.read()) == (200, said)
        assert await spent_and_held(proxy) == (0, 0 if released else worst(20_000))


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "206 Partial Content"])
async def test_an_answer_that_is_no_batch_lets_nothing_go(tmp_path: Path, status: str):
    begin_counting(tmp_path, [budget()])
    body_ = ENDED % (COUNTS % 0)
    async with (
        provider(GOOD, answer(body_, status=status)) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as session,
    ):
        await make(proxy, 20_000)
        for path in ("b1", "b1/results"):
            await (await session.get(f"{proxy.url}{BATCHES}/{path}")).read()
        assert await spent_and_held(proxy) == (0, worst(20_000))


async def hangs_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        (answer(b'{"type":"error","error":{"type":"invalid_request_error"}}', status="400 Bad Request"), False),
        (answer(b'{"type":"error","error":{"type":"overloaded_error"}}', status="529 Overloaded"), False),
        (answer(b'{"no":"name"}'), True),
        (answer(b"not JSON"), True),
        (hangs_up, True),
    ],
    ids=["refused", "overloaded", "without a name", "no JSON", "broken off"],
)
async def test_a_batch_that_was_not_made_holds_nothing_and_one_without_a_name_is_spent(
    tmp_path: Path, said: Any, *, counts: bool
):
    begin_counting(tmp_path, [budget()])
    async with provider(said) as (url, _), gateway(tmp_path, url) as proxy, client() as session:
        await (await session.post(proxy.url + BATCHES, data=body(20_000))).read()
        assert await spent_and_held(proxy) == (worst(20_000) if counts else 0, 0)


async def test_results_count_for_whoever_made_the_batch(upstream, tmp_path: Path):
    begin_counting(tmp_path, [budget("web", scope={"kind": "project", "value": "web"})])
    async with gateway(tmp_path, upstream) as proxy:
        maker = {"x-claude-proxy-project": "web", "x-claude-proxy-tags": "run=7"}
        _, _, batch = await make(proxy, 20_000, **maker, **{"x-simulate": "input=10,output=300"})
        await fetch(proxy, batch, **{"x-claude-proxy-project": "other"})
        assert await spent_and_held(proxy, "web") == (cost(300), 0)
    (row,) = [record for record in proxy.records if record.endpoint is Endpoint.BATCH_RESULT]
    assert (row.project, row.tags) == ("web", {"run": "7", "batch_id": batch, "custom_id": "r0"})


async def test_results_count_for_the_model_that_was_asked_whichever_answered(tmp_path: Path):
    begin_counting(tmp_path, [budget("asked", scope={"kind": "model", "value": "claude-opus-4-0"})])
    lines = answer(line("r0", 100), headers=LINES)  # by another one
    async with provider(GOOD, lines) as (url, _), gateway(tmp_path, url) as proxy, client() as session:
        sent = body(20_000, model="claude-opus-4-0")
        assert (await session.post(proxy.url + BATCHES, data=sent)).status == 200
        assert (await spent_and_held(proxy, "asked"))[1] > 0
        await (await session.get(f"{proxy.url}{BATCHES}/b1/results")).read()
        assert await spent_and_held(proxy, "asked") == (cost(100), 0)
    rows = [(row.endpoint, row.model_requested, row.model) for row in proxy.records]
    assert rows[1] == (Endpoint.BATCH_RESULT, "claude-opus-4-0", MODEL)


async def test_a_large_batch_is_appraised_too(tmp_path: Path):
    begin_counting(tmp_path, [budget(amount_usd=1_000)])
    many = [1_000] * 5_000
    assert len(body(*many)) > 256 * 1024
    async with provider(GOOD) as (url, _), gateway(tmp_path, url) as proxy:
        assert (await make(proxy, *many))[0] == 200
        assert await spent_and_held(proxy) == (0, worst(*many))


async def test_a_batch_with_a_model_without_a_price_is_refused_or_holds_the_rest(tmp_path: Path):
    begin_counting(tmp_path, [budget()])
    both = [*requests(20_000), {"custom_id": "x", "params": params(9, "mystery")}]
    sent = json.dumps({"requests": both}, separators=(",", ":")).encode()
    for setting, status in (("refuse", 429), ("allow", 200)):
        async with (
            provider(GOOD) as (url, _),
            gateway(tmp_path, url, budgets=BudgetsConfig(unpriced=setting)) as proxy,
            client() as session,
        ):
            got = await session.post(proxy.url + BATCHES, data=sent)
            assert got.status == status
            if status == 429:
                assert "'mystery'" in await got.text()
            else:
                assert await spent_and_held(proxy) == (0, worst(20_000))


SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.proxy.gateway import gateway

async def main():
    async with gateway(Path(sys.argv[1]), sys.argv[2]) as proxy:
        print(proxy.url, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_kill_between_a_batch_and_its_results_forgets_nothing(upstream, tmp_path: Path):
    begin_counting(tmp_path, [budget()])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(tmp_path), upstream, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().strip()
    headers = {"x-simulate": "input=10,output=300"}
    async with client() as session:
        made = await session.post(address + BATCHES, data=body(60_000), headers=headers)
        batch = (await made.json())["id"]
        # the row of a second call is written behind the first one's
        await (await session.get(f"{address}{BATCHES}/{batch}")).read()
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    async with gateway(tmp_path, upstream) as proxy:
        assert await spent_and_held(proxy) == (0, worst(60_000))
        assert (await make(proxy, 60_000))[:2] == (429, "budget_held")
        await fetch(proxy, batch)
        assert await spent_and_held(proxy) == (cost(300), 0)
        assert (await make(proxy, 60_000))[0] == 200


async def test_64_callers_with_batches_never_pass_a_budget_of_a_dollar(upstream, app, tmp_path: Path):
    begin_counting(tmp_path, [budget(period="once")])
    chance = random.Random(7)
    most = [Decimal(0)]

    def charged() -> Decimal:
        noted = [each.tokens for each in app[BOOKS].last(100_000) if each.endpoint is Endpoint.BATCH_RESULT]
        return sum((each.input * INPUT + each.output * OUTPUT for each in noted), Decimal(0))

    async def call(proxy: Gateway) -> None:
        while True:
            most_output, calls = chance.randrange(500, 1_500), chance.randrange(1, 4)
            steering = f"input=10,output={chance.randrange(1, most_output + 1)}"
            status, code, said = await make(proxy, *[most_output] * calls, **{"x-simulate": steering})
            if status == 200:
                await fetch(proxy, said)
            elif code == "budget_exceeded":
                return
            else:
                await asyncio.sleep(0.02)  # as a client waits
            found = await stands(proxy) if chance.random() < 0.05 else None
            if found is not None:
                most.append(found["spent"] + found["held"])

    async with gateway(tmp_path, upstream) as one, gateway(tmp_path, upstream) as two:
        async with asyncio.TaskGroup() as callers:
            for number in range(64):
                callers.create_task(call((one, two)[number % 2]))
        await until(lambda: one.proxy.live.in_flight == two.proxy.live.in_flight == 0)
        assert max(most) <= 1
        assert await spent_and_held(one) == (charged(), 0)
        assert Decimal("0.9") <= charged() <= 1
