"""Credentials stay out of the ledger, the request feed and the metrics."""

import socket
from pathlib import Path

import pytest
from yarl import URL

from proxy.metrics import MAX_ERRORS, Metrics
from proxy.readings import Readings
from proxy.secrets import MASK, error_class, masked, presented_in, scrubbed, secrets_of
from tests.proxy.gateway import answer, chunked, client, gateway, provider
from tests.proxy.samples import EVENTS, MESSAGES, STREAMED
from tests.proxy.spool_samples import ended

KEY = "tk_callers0own1credential2here"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Incorrect key {KEY}.", f"Incorrect key {MASK}."),
        ("bad sk-ant-api03-abc_DEF-123 given", f"bad {MASK} given"),
        ("Authorization: Bearer abc.def", f"Authorization: {MASK}"),
        ("http://x/v1?key=ABCDEFGHIJ0123456789xyz&a=b", f"http://x/v1?{MASK}&a=b"),
        ('{"api_key":"ABCDEFGHIJ0123456789xyz"}', f'{{"api_{MASK}"}}'),
        ("the risk-free desk-top: a key=word, a monkey: yes", "the risk-free desk-top: a key=word, a monkey: yes"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("x" * 480 + KEY[:20], "x" * 480 + MASK),
    ],
)
def test_what_is_masked(text: str, left: str):
    assert masked(text, (KEY,)) == left


def test_a_requests_credentials():
    headers = {"x-api-key": "one1", "authorization": "Bearer two2", "x-goog-api-key": "five5", "api-key": "six66"}
    found = secrets_of(presented_in(headers), URL("/v1/messages?key=three3&a=b"), "four4")
    assert set(found) == {"one1", "two2", "Bearer two2", "three3", "four4", "five5", "six66"}


def test_a_record_without_secrets_stays_as_it_is():
    row = ended()
    assert scrubbed(row, (KEY,)) is row


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("overloaded_error", "overloaded_error"),
        ("Invalid_Key", "invalid_key"),
        ("", ""),
        ("a b", "other"),
        ("x" * 65, "other"),
        ("caf\u00e9", "other"),
        ("abcdef0123456789abcdef01", "other"),
    ],
)
def test_what_an_error_may_be_called(name: str, label: str):
    assert error_class(name) == label


def test_the_kinds_of_errors_in_the_metrics_are_bounded():
    metrics = Metrics(Readings(*[lambda: 0.0] * 4))
    for number in range(MAX_ERRORS + 20):
        metrics.count(ended(error_class=f"error_{number}"))
    lines = [line for line in metrics.text().decode().splitlines() if "operation_duration_count{" in line]
    assert len(lines) == MAX_ERRORS + 1
    assert sum('error_type="other"' in line for line in lines) == 1


async def test_a_providers_error_that_echoes_the_key(tmp_path: Path):
    body = b'{"error":{"type":"%s","message":"Incorrect API key %s and sk-other-1234"}}' % (KEY.encode(), KEY.encode())
    wire = answer(body, status="401 Unauthorized", headers=f"request-id: {KEY}\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": KEY}) as got:
            assert await got.read() == body
        row = await proxy.record()
        shown = [await (await c.get(f"{proxy.url}/{path}")).text() for path in ("metrics", "api/system/request-feed")]
    assert row.error_class == "other"
    assert row.error_message == f"Incorrect API key {MASK} and {MASK}"
    for text in (str(row), *shown):
        assert KEY not in text
        assert "sk-other" not in text


async def test_an_error_event_whose_type_is_a_key(tmp_path: Path):
    event = b'event: error\ndata: {"type":"error","error":{"type":"sk-leaked-123456","message":"no"}}\n\n'
    async with provider(chunked(EVENTS[0], event)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            await got.read()
        row = await proxy.record()
        metrics = await (await c.get(f"{proxy.url}/metrics")).text()
    assert row.error_class == "other"
    assert "sk-leaked" not in metrics + str(row)


async def test_an_unreachable_provider_is_told_in_our_own_words(tmp_path: Path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        async with gateway(tmp_path, f"http://{address}") as proxy, client() as c:
            await c.post(f"{proxy.url}/v1/messages?key=hidden-in-the-query", data=MESSAGES)
            row = await proxy.record()
    assert row.error_message == "The provider anthropic cannot be reached (ClientConnectorError)"


@pytest.mark.parametrize("wire", [b"220 the text of an answer\r\n\r\n", answer(b"the text")[:-3]])
async def test_an_answer_that_breaks_off_leaves_nothing_of_its_text(tmp_path: Path, wire: bytes):
    async def script(_: object, writer: object) -> None:
        writer.write(wire)  # type: ignore[attr-defined]
        writer.close()  # type: ignore[attr-defined]

    async with provider(script) as (url, _), gateway(tmp_path, url) as proxy, client() as c:  # type: ignore[arg-type]
        async with c.post(f"{proxy.url}/v1/messages?key=hidden-in-the-query", data=MESSAGES) as got:
            assert got.status in {200, 502}
        row = await proxy.record()
    assert "the text" not in row.error_message
    assert "hidden" not in str(row)
