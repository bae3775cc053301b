"""What a provider is sent, byte for byte."""

import socket

import aiohttp
import pytest
from multidict import CIMultiDict

from proxy.provider_client import AT_ONCE_BYTES, Upload, provider_client
from proxy.time_limits import time_limits
from tests.proxy.gateway import answer, provider

LIMITS = time_limits(connect_s=1, first_byte_s=1, idle_s=1, total_s=1)


async def asked(method, url, headers, body):
    """Ask once; the answer's status and body."""
    async with provider_client(1) as (client, _):
        got = await client.ask(method, url, CIMultiDict(headers), body, LIMITS, upload=Upload())
        try:
            return got.status, await got.content.read()
        finally:
            got.close()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES, AT_ONCE_BYTES + 1, 300_000])
async def test_a_body_arrives_whole_and_nothing_is_added(method, size):
    async with provider(answer(b"{}")) as (url, seen):
        assert await asked(method, f"{url}/v1/messages?a=%20b", {"x-api-key": "k"}, b"x" * size) == (200, b"{}")
    assert seen.bodies == [b"x" * size]
    line, *headers = seen.heads[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    assert line == f"{method} /v1/messages?a=%20b HTTP/1.1"
    assert sorted(headers) == [f"Content-Length: {size}", f"Host: {url.removeprefix('http://')}", "x-api-key: k"]


async def test_without_a_body_there_is_none():
    async with provider(answer(b"{}")) as (url, seen):
        assert await asked("GET", f"{url}/v1/models", {}, b"") == (200, b"{}")
    assert seen.bodies == [b""]
    assert b"User-Agent" not in seen.heads[0]


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_credentials_in_the_url_are_sent_as_such(size):
    async with provider(answer(b"{}")) as (url, seen):
        await asked("POST", f"{url.replace('//', '//me:secret@')}/v1/messages", {}, b"x" * size)
    assert b"Authorization: Basic bWU6c2VjcmV0\r\n" in seen.heads[0]
    assert b"secret" not in seen.heads[0]


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_a_credential_of_the_call_wins_over_the_one_in_the_url(size):
    async with provider(answer(b"{}")) as (url, seen):
        own = {"Authorization": "Bearer mine"}
        await asked("POST", f"{url.replace('//', '//me:secret@')}/v1/messages", own, b"x" * size)
    assert seen.heads[0].lower().count(b"authorization:") == 1
    assert b"Bearer mine" in seen.heads[0]


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_informational_answers_are_passed_over(size):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with provider(early + answer(b"{}")) as (url, _):
        assert await asked("POST", f"{url}/v1/messages", {}, b"x" * size) == (200, b"{}")


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_a_connection_is_used_again_only_after_a_whole_answer(size):
    async with provider(answer(b"{}")) as (url, seen), provider_client(1) as (client, _):
        for read in (True, False, True):
            got = await client.ask("POST", f"{url}/v1/messages", CIMultiDict(), b"x" * size, LIMITS, upload=Upload())
            if read:
                await got.content.read()
            got.close()
        assert len(seen.heads) == 3


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", aiohttp.ServerDisconnectedError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", aiohttp.ServerDisconnectedError),
        (b"no http at all\r\n\r\n", aiohttp.ClientResponseError),
    ],
)
async def test_what_breaks_is_the_same_error_by_both_ways(size, said, error):
    async def breaks_off(_reader, writer):
        writer.write(said)
        writer.close()

    async with provider(breaks_off) as (url, _):
        with pytest.raises(error):
            await asked("POST", f"{url}/v1/messages", {}, b"x" * size)


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_where_nobody_listens_it_says_so(size):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        with pytest.raises(aiohttp.ClientConnectorError):
            await asked("POST", f"http://127.0.0.1:{taken.getsockname()[1]}/v1/messages", {}, b"x" * size)


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES + 1])
async def test_a_header_cannot_smuggle_another_one(size):
    async with provider(answer(b"{}")) as (url, seen):
        with pytest.raises(ValueError, match="header"):
            await asked("POST", f"{url}/v1/messages", {"x-api-key": "k\r\nX-More: 1"}, b"x" * size)
    assert seen.heads == []
