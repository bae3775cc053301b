"""Results of batches through a running proxy: each is written down once, and passes byte for byte."""

import asyncio
import gzip
import json
import os
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from data.config import BudgetsConfig, PriceOverride, ProviderConfig
from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, Protocol
from proxy.batches import result_id
from proxy.decoding import MAX_DECODED_BYTES
from proxy.seen_results import SeenResults
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import Gateway, TakingStore, answer, chunked, client, gateway, provider, until

BATCH = "msgbatch_01"
PATH = f"/v1/messages/batches/{BATCH}/results"
USAGE = {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"}


def line(custom_id: str, **more: object) -> bytes:
    message = {"id": f"msg_{custom_id}", "model": "claude-opus-4-5", "stop_reason": "end_turn", "usage": USAGE, **more}
    return json.dumps({"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}).encode() + b"\n"


FAILED = (
    b'{"custom_id":"bad","result":{"type":"errored","error":{"type":"error","error":'
    b'{"type":"invalid_request_error","message":"no such thing"}}}}\n'
)
RESULTS = line("one") + line("two") + FAILED + b'{"custom_id":"late","result":{"type":"expired"}}\n'
LINES = "Content-Type: application/x-jsonl\r\n"
#: 1,000 tokens in at $5 and 100 out at $25 a million, halved
PRICE = Decimal("0.00375")


async def fetch(proxy: Gateway, path: str = PATH, **headers: str) -> bytes:
    async with client() as session:
        got = await session.get(proxy.url + path, headers={"x-api-key": "secretkey", **headers})
        return await got.read()


def results(proxy: Gateway) -> list[LedgerRecord]:
    return [record for record in proxy.records if record.endpoint is Endpoint.BATCH_RESULT]


async def test_each_result_is_a_row_and_the_fetch_is_free(tmp_path: Path):
    async with (
        provider(chunked(RESULTS[:100], RESULTS[100:], headers=LINES)) as (url, _),
        gateway(tmp_path, url) as proxy,
    ):
        headers = {"x-claude-proxy-tags": "run=7", "x-claude-proxy-project": "web", "x-claude-code-session-id": "s1"}
        assert await fetch(proxy, **headers) == RESULTS
        await until(lambda: len(proxy.records) == 5)
        assert proxy.proxy.live.in_flight == 0
    rows, free = results(proxy), proxy.records[-1]
    assert (free.endpoint, free.cost_usd, free.cost_status) == (Endpoint.BATCHES, 0, CostStatus.EXACT)
    assert [row.tags["custom_id"] for row in rows] == ["one", "two", "bad", "late"]
    assert [row.outcome for row in rows] == [Outcome.OK, Outcome.OK, Outcome.ERROR, Outcome.ERROR]
    assert [row.cost_usd for row in rows] == [PRICE, PRICE, 0, 0]
    assert [row.error_class for row in rows] == ["", "", "invalid_request_error", "expired"]
    done = rows[0]
    assert done.tags == {"run": "7", "batch_id": BATCH, "custom_id": "one"}
    assert (done.project, done.session, done.service_tier) == ("web", "s1", "batch")
    assert (done.model, done.provider_request_id, done.status) == ("claude-opus-4-5", "msg_one", 200)
    assert (done.uncached_input_tokens, done.output_tokens, done.cost_status) == (1000, 100, CostStatus.EXACT)
    assert [row.id for row in rows] == [result_id(BATCH, name) for name in ("one", "two", "bad", "late")]


async def test_results_cost_money_but_took_no_time_that_anybody_knows(tmp_path: Path):
    async with provider(answer(RESULTS, headers=LINES)) as (url, _), gateway(tmp_path, url) as proxy:
        await fetch(proxy)
        await until(lambda: len(proxy.records) == 5)
        async with client() as session:
            said = (await (await session.get(f"{proxy.url}/metrics")).text()).splitlines()
    timed = [line for line in said if "duration_count" in line and 'operation_name="chat"' in line]
    assert {line.rpartition(" ")[2] for line in timed} == {"0.0"}
    assert 'claude_proxy_cost_usd_total{model="claude-opus-4-5",provider="anthropic"} 0.0075' in said
    sums = proxy.proxy.live._sums(time.time())
    assert sum(slot.duration.total() for slot in sums.values()) == 1  # of the fetch itself


async def test_a_second_fetch_writes_nothing_down(tmp_path: Path):
    async with provider(answer(RESULTS, headers=LINES)) as (url, _):
        async with gateway(tmp_path, url) as proxy:
            for path in (PATH, PATH, f"/anthropic{PATH}", f"/p/other{PATH}"):
                assert await fetch(proxy, path) == RESULTS
            await until(lambda: len(proxy.records) == 8)
            assert len(results(proxy)) == 4
        async with gateway(tmp_path, url) as proxy:  # nor after a restart
            assert await fetch(proxy) == RESULTS
            await until(lambda: len(proxy.records) == 1)
            assert not results(proxy)


@pytest.mark.parametrize("path", [PATH, f"/anthropic{PATH}", "/openai/v1/files/file-1/content"])
async def test_results_are_asked_for_as_a_whole(tmp_path: Path, path: str):
    async with (
        provider(answer(RESULTS, headers=LINES)) as (url, seen),
        gateway(tmp_path, url) as proxy,
    ):
        await fetch(proxy, path, Range="bytes=0-99")
        assert b"\r\nrange:" not in seen.heads[0].lower()


async def test_two_batches_with_the_same_names_are_two(tmp_path: Path):
    async with provider(answer(line("one"), headers=LINES)) as (url, _), gateway(tmp_path, url) as proxy:
        await fetch(proxy)
        await fetch(proxy, "/v1/messages/batches/msgbatch_02/results")
        await until(lambda: len(proxy.records) == 4)
        assert len({row.id for row in results(proxy)}) == 2


async def test_what_had_come_before_a_break_counts_and_the_rest_when_it_is_fetched_again(tmp_path: Path):
    broken = chunked(line("one"), line("two")[:40], headers=LINES, end=False)

    async def breaks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(broken)
        await writer.drain()
        writer.close()

    async with provider(breaks, answer(RESULTS, headers=LINES)) as (url, _), gateway(tmp_path, url) as proxy:
        with pytest.raises(Exception, match="payload"):
            await fetch(proxy)
        await until(lambda: len(proxy.records) == 2)
        assert [row.tags["custom_id"] for row in results(proxy)] == ["one"]
        assert await fetch(proxy) == RESULTS
        await until(lambda: len(proxy.records) == 6)
        assert sorted(row.tags["custom_id"] for row in results(proxy)) == ["bad", "late", "one", "two"]


async def test_coded_results_count_however_long_they_are(tmp_path: Path):
    many = b"".join(line(f"r{number}", pad=os.urandom(25_000).hex()) for number in range(700))
    assert len(many) > MAX_DECODED_BYTES
    coded = gzip.compress(many, 1)
    pieces = [coded[i : i + 65_536] for i in range(0, len(coded), 65_536)]
    headers = f"{LINES}Content-Encoding: gzip\r\n"
    async with provider(chunked(*pieces, headers=headers)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await fetch(proxy) == coded
        await until(lambda: len(proxy.records) == 701, 60)
        assert sum(row.cost_usd or 0 for row in results(proxy)) == 700 * PRICE


async def test_an_error_is_no_result(tmp_path: Path):
    body = b'{"type":"error","error":{"type":"not_found_error","message":"no results yet"}}'
    async with provider(answer(body, status="404 Not Found")) as (url, _), gateway(tmp_path, url) as proxy:
        assert await fetch(proxy) == body
        record = await proxy.record()
    assert (record.endpoint, record.error_class, record.cost_usd) == (Endpoint.BATCHES, "not_found_error", 0)


async def test_a_result_keeps_no_credential(tmp_path: Path):
    echo = FAILED.replace(b"no such thing", b"the key secretkey is wrong")
    async with provider(answer(echo, headers=LINES)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await fetch(proxy) == echo
        await until(lambda: len(proxy.records) == 2)
    assert results(proxy)[0].error_message == "the key [masked] is wrong"


@pytest.mark.parametrize(
    ("path", "headers", "origin"),
    [
        ("/v1/messages/batches", {}, "http://{host}"),
        (f"/p/a%20b/anthropic/v1/messages/batches/{BATCH}", {}, "http://{host}/p/a%20b/anthropic"),
        (f"/v1/messages/batches/{BATCH}", {"X-Forwarded-Proto": "https"}, "https://{host}"),
    ],
)
async def test_clients_are_led_here_for_the_results(tmp_path: Path, path: str, headers: dict[str, str], origin: str):
    told = b'{"data":[{"id":"msgbatch_01", "results_url" : "https://api.anthropic.com%s"},{"results_url":null}]}'
    async with provider(answer(told % PATH.encode())) as (url, seen), gateway(tmp_path, url) as proxy:
        got = await fetch(proxy, path, **headers, **{"Accept-Encoding": "gzip"})
        wanted = origin.format(host=proxy.url.removeprefix("http://")).encode() + PATH.encode()
    assert got == told.replace(b"https://api.anthropic.com%s", wanted)
    assert b"accept-encoding: identity" in seen.heads[0].lower()


FILE = "/v1/files/file-out/content"
OPENAI = {"authorization": "Bearer secretkey"}
OCTETS = "Content-Type: application/octet-stream\r\n"
COUNTS = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 200}}


def output(custom_id: str, body: object = None, status: int = 200, **more: object) -> bytes:
    chat = {"id": f"chatcmpl-{custom_id}", "object": "chat.completion", "model": "gpt-5", "usage": COUNTS}
    chat["choices"] = [{"finish_reason": "stop", "message": {"content": "x" * 500}}]
    response = {"status_code": status, "request_id": f"req_{custom_id}", "body": chat if body is None else body}
    value = {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": None, **more}
    return json.dumps(value).encode() + b"\n"


OUTPUT = output("one") + output("two") + output("bad", {"error": {"code": "oops", "message": "no"}}, 400)
#: 800 tokens in at $1.25, 200 read at $0.125 and 100 out at $10 a million, halved
GPT_PRICE = Decimal("0.0010125")


async def content(proxy: Gateway, path: str = FILE, **headers: str) -> bytes:
    async with client() as session:
        return await (await session.get(proxy.url + path, headers={**OPENAI, **headers})).read()


async def test_each_line_of_a_batchs_output_is_a_row_and_the_fetch_is_free(tmp_path: Path):
    pieces = [OUTPUT[at : at + 97] for at in range(0, len(OUTPUT), 97)]
    async with provider(chunked(*pieces, headers=OCTETS)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await content(proxy, **{"x-claude-proxy-project": "web", "x-claude-proxy-tags": "run=7"}) == OUTPUT
        await until(lambda: len(proxy.records) == 4)
    rows, free = results(proxy), proxy.records[-1]
    assert (free.endpoint, free.cost_usd, free.cost_status, free.cost_note) == (
        Endpoint.FILES,
        0,
        CostStatus.EXACT,
        "",
    )
    assert [(row.outcome, row.status, row.cost_usd) for row in rows] == [
        (Outcome.OK, 200, GPT_PRICE),
        (Outcome.OK, 200, GPT_PRICE),
        (Outcome.ERROR, 400, 0),
    ]
    done = rows[0]
    assert done.tags == {"run": "7", "file_id": "file-out", "custom_id": "one"}
    assert (done.project, done.provider, done.protocol) == ("web", "openai", Protocol.OPENAI)
    assert (done.model, done.service_tier, done.provider_request_id) == ("gpt-5", "batch", "req_one")
    assert (done.uncached_input_tokens, done.cache_read_tokens, done.output_tokens) == (800, 200, 100)
    assert (done.cost_status, rows[2].error_class) == (CostStatus.EXACT, "oops")
    assert {row.id for row in rows} == {result_id("openai\nfile-out", name) for name in ("one", "two", "bad")}


async def test_output_is_counted_once_for_each_provider_and_file(tmp_path: Path):
    providers = {name: ProviderConfig(Protocol.OPENAI, "", "", name) for name in ("openai", "groq")}
    async with provider(answer(OUTPUT, headers=OCTETS)) as (url, _):
        for name in providers:
            providers[name] = ProviderConfig(Protocol.OPENAI, url, "", name)
        prices = (PriceOverride("gpt-*", Decimal(2), Decimal(4)),)
        async with gateway(tmp_path, url, providers=providers, prices=prices) as proxy:
            for path in (FILE, FILE, f"/openai{FILE}", f"/p/other{FILE}"):
                assert await content(proxy, path) == OUTPUT
            await until(lambda: len(proxy.records) == 7)
            assert len(results(proxy)) == 3
            for path in ("/v1/files/file-other/content", f"/groq{FILE}"):
                assert await content(proxy, path) == OUTPUT
            await until(lambda: len(proxy.records) == 15)
            assert len({row.id for row in results(proxy)}) == len(results(proxy)) == 9
        async with gateway(tmp_path, url, providers=providers) as proxy:  # nor after a restart
            assert await content(proxy) == OUTPUT
            await until(lambda: len(proxy.records) == 1)
            assert not results(proxy)


async def test_output_that_broke_off_counts_as_far_as_it_came_and_the_rest_when_it_is_fetched_again(tmp_path: Path):
    async def breaks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(output("one"), output("two")[:300], headers=OCTETS, end=False))
        await writer.drain()
        writer.close()

    async with provider(breaks, answer(OUTPUT, headers=OCTETS)) as (url, _), gateway(tmp_path, url) as proxy:
        with pytest.raises(Exception, match="payload"):
            await content(proxy)
        await until(lambda: len(proxy.records) == 2)
        assert [row.tags["custom_id"] for row in results(proxy)] == ["one"]
        assert await content(proxy) == OUTPUT
        await until(lambda: len(proxy.records) == 5)
        assert sorted(row.tags["custom_id"] for row in results(proxy)) == ["bad", "one", "two"]


async def test_coded_output_counts_however_long_it_is(tmp_path: Path):
    many = b"".join(output(f"r{number}", pad=os.urandom(25_000).hex()) for number in range(700))
    assert len(many) > MAX_DECODED_BYTES
    coded = gzip.compress(many, 1)
    pieces = [coded[at : at + 65_536] for at in range(0, len(coded), 65_536)]
    headers = f"{OCTETS}Content-Encoding: gzip\r\n"
    async with provider(chunked(*pieces, headers=headers)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await content(proxy) == coded
        await until(lambda: len(proxy.records) == 701, 60)
        assert sum(row.cost_usd or 0 for row in results(proxy)) == 700 * GPT_PRICE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"m"}}\n' * 999, OPENAI),
        (os.urandom(300_000), OPENAI),
        (b"", OPENAI),
        (OUTPUT, {"x-api-key": "key", "anthropic-version": "2023-06-01"}),  # Anthropic's files are no batch's
    ],
    ids=["a batch's input", "noise", "nothing", "Anthropic's"],
)
async def test_other_files_pass_and_cost_nothing(tmp_path: Path, body: bytes, headers: dict[str, str]):
    async with (
        provider(answer(body, headers=OCTETS)) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as session,
    ):
        got = await session.get(proxy.url + FILE, headers=headers)
        assert (await got.read(), got.headers["Content-Length"]) == (body, str(len(body)))
        record = await proxy.record()
    assert (record.endpoint, record.cost_usd, record.outcome) == (Endpoint.FILES, 0, Outcome.OK)


async def test_output_keeps_no_credential(tmp_path: Path):
    echo = output("bad", {"error": {"code": "oops", "message": "the key secretkey is wrong"}}, 401)
    async with provider(answer(echo, headers=OCTETS)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await content(proxy) == echo
        await until(lambda: len(proxy.records) == 2)
    assert results(proxy)[0].error_message == "the key [masked] is wrong"


async def test_an_openai_batch_tells_of_counts_that_are_not_charged_twice_and_nothing_of_it_changes(tmp_path: Path):
    told = b'{"id":"batch_1","object":"batch", "usage":{"input_tokens":9,"output_tokens":9}}'
    async with provider(answer(told)) as (url, seen), gateway(tmp_path, url) as proxy, client() as session:
        for method, path in (("POST", "/v1/batches"), ("GET", "/v1/batches/batch_1"), ("POST", "/v1/batches/b/cancel")):
            got = await session.request(method, proxy.url + path, headers={**OPENAI, "Accept-Encoding": "gzip"})
            assert await got.read() == told
        await until(lambda: len(proxy.records) == 3)
    assert {(row.endpoint, row.output_tokens, row.cost_usd) for row in proxy.records} == {(Endpoint.BATCHES, 0, 0)}
    assert all(b"accept-encoding: gzip" in head.lower() for head in seen.heads)


IN_A_FILE = b'{"input_file_id":"file-in","endpoint":"/v1/responses","completion_window":"24h"}'
OF_OPUS = {"kind": "model", "value": "claude-opus-4-5"}


def new_batch(model: str = "claude-opus-4-5", max_tokens: int = 9) -> bytes:
    params = {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]}
    return json.dumps({"requests": [{"custom_id": "one", "params": params}]}).encode()


@pytest.mark.parametrize(
    ("path", "body", "setting"),
    [
        ("/v1/messages/batches", new_batch(), "refuse"),
        ("/v1/messages/batches", b"{", "hold"),
        ("/v1/messages/batches", b'{"requests":[]}', "hold"),
        ("/v1/messages/batches", gzip.compress(new_batch()), "hold"),
        ("/v1/batches", IN_A_FILE, "hold"),
    ],
    ids=["refused by setting", "no JSON", "empty", "compressed", "in a file"],
)
@pytest.mark.parametrize("scope", [{}, OF_OPUS], ids=["of all", "of a model"])
async def test_a_batch_that_cannot_be_held_is_not_made_under_a_hard_budget(
    tmp_path: Path, path: str, body: bytes, setting: str, scope: dict[str, str]
):
    begin_counting(tmp_path, [budget("strict", scope=scope)])
    async with (
        provider(answer(b"{}")) as (url, seen),
        gateway(tmp_path, url, budgets=BudgetsConfig(unpriced="allow", batches=setting)) as proxy,
        client() as session,
    ):
        refused = await session.post(proxy.url + path, data=body)
        said = await refused.text()
        for allowed in (f"{path}/b/cancel", f"/openai{FILE}"):  # what is there may be ended and looked at
            method = "POST" if allowed.endswith("cancel") else "GET"
            assert (await session.request(method, proxy.url + allowed)).status == 200
    assert (refused.status, refused.headers["x-claude-proxy-error"]) == (429, "budget_batch")
    assert refused.headers["x-should-retry"] == "false"
    assert "'strict'" in said
    assert "only known when its results are fetched" in said
    assert "[budgets] batches =" in said
    assert len(seen.heads) == 2


async def test_a_batch_passes_a_hard_budget_where_that_is_allowed_and_there_is_room(tmp_path: Path):
    begin_counting(tmp_path, [budget()])
    async with (
        provider(answer(b"{}")) as (url, seen),
        gateway(tmp_path, url, budgets=BudgetsConfig(batches="allow")) as proxy,
        client() as session,
    ):
        # half of $25 a million: $0.75 each, of which nothing stays held
        bodies = [new_batch(max_tokens=60_000), new_batch(max_tokens=60_000)]
        for path, body in [*(("/v1/messages/batches", each) for each in bodies), ("/v1/batches", IN_A_FILE)]:
            assert (await session.post(proxy.url + path, data=body)).status == 200
        codes = []
        for body in (new_batch(max_tokens=90_000), new_batch("mystery")):
            refused = await session.post(f"{proxy.url}/v1/messages/batches", data=body)
            codes.append(refused.headers["x-claude-proxy-error"])
    assert codes == ["budget_exceeded", "budget_unpriced"]
    assert len(seen.heads) == 3


async def test_a_batch_passes_soft_budgets(tmp_path: Path):
    begin_counting(tmp_path, [budget(enforcement="soft")])
    async with provider(answer(b"{}")) as (url, _), gateway(tmp_path, url) as proxy, client() as session:
        for path, body in (("/v1/messages/batches", new_batch()), ("/v1/batches", IN_A_FILE)):
            assert (await session.post(proxy.url + path, data=body)).status == 200


SCRIPT = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.proxy.gateway import TakingStore, gateway
from proxy import batches

async def main():
    async with gateway(Path(sys.argv[1]), sys.argv[2]) as proxy:
        seen = proxy.proxy.forwarder._means.batches._seen
        noted = seen.add
        def die(number, now_s):
            if number == sys.argv[3]:
                os.kill(os.getpid(), signal.SIGKILL)
            noted(number, now_s)
        seen.add = die
        print(proxy.url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_kill_between_the_row_and_the_note_loses_nothing_and_repeats_with_the_same_id(tmp_path: Path):
    async with provider(answer(RESULTS, headers=LINES)) as (url, _):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), url, result_id(BATCH, "two")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        async with client() as session:
            with pytest.raises(Exception, match=r".+"):
                await (await session.get(address + PATH)).read()
        assert await process.wait() == -signal.SIGKILL
        store = TakingStore()
        async with gateway(tmp_path, url, store=store) as proxy:
            await fetch(proxy)
            await until(lambda: len(store.taken) == 7)
    ids = [row["id"] for row in store.taken if row["endpoint"] == "batch_result"]
    # "one" was noted; "two" was written but not noted, so it comes again under its own id, which the store knows
    assert sorted(ids) == sorted(result_id(BATCH, name) for name in ("one", "two", "two", "bad", "late"))


def test_the_file_of_what_was_seen_is_its_owners_and_forgets(tmp_path: Path):
    path = tmp_path / "seen.sqlite"
    first = SeenResults.open(path, 1_000_000.0)
    first.add("a", 1_000_000.0)
    first.add("a", 1_000_001.0)
    assert "a" in first
    assert "b" not in first
    second = SeenResults.open(path, 1_000_000.0)  # another proxy on the same home
    assert "a" in second
    second.add("b", 1_000_000.0)
    assert "b" in first
    first.close()
    second.close()
    assert path.stat().st_mode & 0o077 == 0
    later = SeenResults.open(path, 1_000_000.0 + 61 * 86_400)
    assert "a" not in later
    later.close()


@pytest.mark.parametrize("damage", ["no file", "no database", "closed"])
def test_without_a_file_results_are_counted_in_this_process_alone(tmp_path: Path, damage: str, caplog):
    path = tmp_path / "seen.sqlite"
    if damage == "no file":
        path.mkdir()
    elif damage == "no database":
        path.write_bytes(b"not a database, whatever its name says" * 100)
    seen = SeenResults.open(path, 0.0)
    if damage == "closed":
        seen.close()
    seen.add("a", 0.0)
    assert ("a" in seen) is (damage != "closed")
    assert "batch results" in caplog.text
    seen.close()
