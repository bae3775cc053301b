"""Results out of a file are tied to the batch that named the file, as far as this home's proxies saw it."""

import gzip
import json
from pathlib import Path

import pytest

from data.config import ProviderConfig
from data.model import CostStatus, Endpoint, Protocol
from proxy.batch_files import files_in
from proxy.seen_results import SeenResults
from tests.proxy.gateway import Gateway, answer, client, gateway, provider, until
from tests.proxy.test_batches import FILE, OCTETS, OPENAI, OUTPUT, content, results

BATCH = {"id": "batch_1", "object": "batch", "output_file_id": "file-out", "error_file_id": None}
TOLD = json.dumps(BATCH).encode()


async def ask(proxy: Gateway, path: str = "/v1/batches/batch_1", method: str = "GET") -> bytes:
    async with client() as session, session.request(method, proxy.url + path, headers=OPENAI) as got:
        return await got.read()


def tags(proxy: Gateway) -> list[dict[str, str]]:
    return [row.tags for row in results(proxy)]


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/v1/batches/batch_1", TOLD),
        ("POST", "/v1/batches/batch_1/cancel", TOLD),
        ("GET", "/v1/batches?limit=2", b'{"object":"list","data":[{"id":7},%s]}' % TOLD),
        (
            "GET",
            "/v1/batches/batch_1",
            json.dumps(BATCH | {"output_file_id": None, "error_file_id": "file-out"}).encode(),
        ),
    ],
    ids=["asked for", "cancelled", "listed", "its errors"],
)
async def test_results_of_a_file_that_a_batch_named_carry_its_id(tmp_path: Path, method: str, path: str, told: bytes):
    async with provider(answer(told), answer(OUTPUT, headers=OCTETS)) as (url, _), gateway(tmp_path, url) as proxy:
        assert await ask(proxy, path, method) == told
        assert await content(proxy) == OUTPUT
        await until(lambda: len(proxy.records) == 5)
    asking = proxy.records[0]
    assert (asking.endpoint, asking.cost_usd, asking.cost_status) == (Endpoint.BATCHES, 0, CostStatus.EXACT)
    assert tags(proxy) == [
        {"batch_id": "batch_1", "file_id": "file-out", "custom_id": name} for name in ("one", "two", "bad")
    ]
    assert "batch_id" not in proxy.records[-1].tags  # the fetch itself


async def test_a_coded_batch_passes_as_it_is_and_is_read(tmp_path: Path):
    coded = gzip.compress(TOLD)
    first = answer(coded, headers="Content-Encoding: gzip\r\n")
    async with provider(first, answer(OUTPUT, headers=OCTETS)) as (url, _), gateway(tmp_path, url) as proxy:
        async with client() as session:
            headers = {**OPENAI, "Accept-Encoding": "gzip"}
            got = await session.get(f"{proxy.url}/v1/batches/batch_1", headers=headers)
            assert gzip.decompress(await got.read()) == TOLD
        await content(proxy)
        await until(lambda: len(proxy.records) == 5)
    assert {each["batch_id"] for each in tags(proxy)} == {"batch_1"}


async def test_a_restart_forgets_nothing(tmp_path: Path):
    async with provider(answer(TOLD), answer(OUTPUT, headers=OCTETS)) as (url, _):
        async with gateway(tmp_path, url) as proxy:
            await ask(proxy)
        async with gateway(tmp_path, url) as proxy:
            await content(proxy)
            await until(lambda: len(proxy.records) == 4)
    assert {each["batch_id"] for each in tags(proxy)} == {"batch_1"}


async def test_a_file_of_the_same_name_elsewhere_is_another_one(tmp_path: Path):
    async with provider(answer(TOLD), answer(OUTPUT, headers=OCTETS)) as (url, _):
        providers = {name: ProviderConfig(Protocol.OPENAI, url, "", name) for name in ("openai", "groq")}
        async with gateway(tmp_path, url, providers=providers) as proxy:
            await ask(proxy)
            await content(proxy, f"/groq{FILE}")
            await until(lambda: len(proxy.records) == 5)
    assert [set(each) for each in tags(proxy)] == [{"file_id", "custom_id"}] * 3


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b'{"id":', b'{"id":"b"}', b'{"id":7,"output_file_id":"f"}', b'{"output_file_id":"f"}'),
        *(b'{"id":"","output_file_id":"f"}', b'{"data":7}', b'{"data":[7,{}]}', b"[" * 5000, b"\xff"),
    ],
    ids=range(12),
)
def test_what_tells_of_no_file_ties_nothing(body: bytes):
    assert list(files_in(body)) == []


def test_what_is_tied_is_forgotten_with_the_results(tmp_path: Path):
    path = tmp_path / "seen.sqlite"
    first = SeenResults.open(path, 1_000_000.0)
    first.tie("openai\nfile", "batch_1", 1_000_000.0)
    first.tie("openai\nfile", "batch_2", 1_000_001.0)
    assert (first.batch_of("openai\nfile"), first.batch_of("groq\nfile")) == ("batch_2", "")
    first.close()
    later = SeenResults.open(path, 1_000_000.0 + 61 * 86_400)
    assert later.batch_of("openai\nfile") == ""
    later.close()
    assert later.batch_of("openai\nfile") == ""  # what does not work knows nothing
    later.tie("openai\nfile", "batch_1", 0.0)
