"""Which headers pass."""

import asyncio
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from data.config import ProviderConfig
from data.model import Protocol
from proxy.headers import own_path, passed_headers, request_headers, response_headers, unsendable_header
from tests.proxy.gateway import answer, gateway, provider
from tests.proxy.samples import MESSAGE, MESSAGES

PLAIN = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="a")


def given(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_everything_passes_but_the_connections_own_and_ours():
    passed = passed_headers(
        given(
            ("Host", "proxy"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Expect", "100-continue"),
            ("X-HTTP-Method-Override", "POST"),
            ("X-Claude-Proxy-Team", "blue"),
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two"),
            ("x-api-key", "callers"),
        )
    )
    sent = request_headers(passed, PLAIN, "")
    assert list(sent.items()) == [("anthropic-beta", "one"), ("anthropic-beta", "two"), ("x-api-key", "callers")]


def test_a_configured_key_replaces_the_callers_in_the_protocols_header():
    came = CIMultiDict((("x-api-key", "callers"), ("authorization", "Bearer callers")))
    own = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", "own", "a")
    assert dict(request_headers(came, own, "own")) == {"x-api-key": "own"}
    own = ProviderConfig(Protocol.OPENAI, "https://o.example", "own", "o")
    assert dict(request_headers(came, own, "own")) == {"Authorization": "Bearer own"}


def test_googles_key_goes_into_googles_header():
    came = CIMultiDict((("x-goog-api-key", "callers"), ("authorization", "Bearer callers")))
    own = ProviderConfig(Protocol.GEMINI, "https://g.example", "own", "g")
    assert dict(request_headers(came, own, "own")) == {"x-goog-api-key": "own"}


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/m?alt=sse&key=callers&a=%2f", "/m?alt=sse&a=%2f"),
        ("/m?key=callers", "/m"),
        ("/m?%6Bey=callers&access_token=x&monkey=1", "/m?monkey=1"),
        ("/m?alt=sse", "/m?alt=sse"),
        ("/m", "/m"),
    ],
)
def test_a_callers_key_in_the_query_stays_here_where_the_provider_has_its_own(path: str, sent: str):
    assert own_path(path, ProviderConfig(Protocol.GEMINI, "https://g.example", name="g"), "own") == sent
    assert own_path(path, ProviderConfig(Protocol.GEMINI, "https://g.example", name="g"), "") == path
    assert own_path(path, ProviderConfig(Protocol.OPENAI, "https://o.example", name="o"), "own") == path


def test_the_providers_headers_pass_in_order_and_number():
    came = given(
        ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Keep-Alive", "5"), ("Content-Length", "3"), ("Date", "now")
    )
    kept = [("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Length", "3"), ("Date", "now")]
    assert list(response_headers(came).items()) == kept


@pytest.mark.parametrize(
    ("value", "name"),
    [(b"plain", ""), ("caf\u00e9".encode(), ""), (b"caf\xe9", "X-A")],
    ids=["ascii", "utf-8", "latin-1"],
)
def test_values_that_cannot_be_sent_on(value: bytes, name: str):
    assert unsendable_header(((b"Host", b"x"), (b"X-A", value))) == name


async def test_a_header_that_would_be_mutilated_is_refused(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.url.removeprefix("http://").split(":"))
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-A: caf\xe9\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        )
        writer.write(head % len(MESSAGES) + MESSAGES)
        got = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"X-A is not UTF-8" in got
    assert not seen.heads
