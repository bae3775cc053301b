"""What a provider is sent, byte for byte."""

import aiohttp
import pytest

from proxy.whole_request import AT_ONCE_BYTES, WholeRequest
from tests.proxy.gateway import answer, provider


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES, AT_ONCE_BYTES + 1])
async def test_a_body_arrives_whole_and_nothing_is_added(method, size):
    async with (
        provider(answer(b"{}")) as (url, seen),
        aiohttp.ClientSession(request_class=WholeRequest) as session,
        session.request(method, f"{url}/v1/messages?a=%20b", data=b"x" * size, headers={"x-api-key": "k"}) as got,
    ):
        assert await got.read() == b"{}"
    assert seen.bodies == [b"x" * size]
    line, *headers = seen.heads[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    assert line == f"{method} /v1/messages?a=%20b HTTP/1.1"
    assert sorted(headers) == [f"Content-Length: {size}", f"Host: {url.removeprefix('http://')}", "x-api-key: k"]


async def test_without_a_body_there_is_none():
    async with (
        provider(answer(b"{}")) as (url, seen),
        aiohttp.ClientSession(request_class=WholeRequest) as session,
        session.get(f"{url}/v1/models") as got,
    ):
        assert got.status == 200
    assert seen.bodies == [b""]
    assert b"User-Agent" not in seen.heads[0]
