"""A provider's configured key that its errors echo: the client, who does not have it, is not shown it."""

import asyncio
import gzip
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from multidict import CIMultiDict

from data.config import ProviderConfig
from data.model import Outcome, Protocol
from data.route_config import RouteConfig
from proxy.echoes import KeyFilter, StreamedErrors, masked_error, masked_headers, masked_text, without_key
from proxy.held import MAX_HELD_BYTES
from proxy.secrets import MASK
from tests.proxy.gateway import answer, chunked, client, gateway, provider
from tests.proxy.samples import CHAT, CHAT_EVENTS, EVENTS, MESSAGE, MESSAGES, STREAMED

KEY = "house/0own1credential2+here"
OTHER = "tk_callers0own1credential2here"
ERROR = '{"type": "error", "error": {"type": "authentication_error",\n "message": "Incorrect key %s for %s"}}'
ECHO, SHOWN = (ERROR.replace("%s", each, 1).replace("%s", OTHER).encode() for each in (KEY, MASK))
ONCE = RouteConfig("*", "anthropic", retries=0)
AGAIN = RouteConfig("*", "anthropic", retries=1)


@pytest.mark.parametrize("form", [KEY, KEY.replace("/", "\\/"), quote(KEY, safe="")])
def test_every_form_of_the_key_is_masked(form: str):
    assert without_key(f"<{form}> {form}".encode(), KEY) == f"<{MASK}> {MASK}".encode()
    assert masked_text(f"no {form}", KEY) == f"no {MASK}"
    assert masked_error(gzip.compress(form.encode()), "gzip", KEY) == MASK.encode()
    assert masked_error(form.encode(), "gzip", KEY) == MASK.encode()  # which it is not


@pytest.mark.parametrize(
    ("key", "coding"),
    [
        *((key, coding) for key in (KEY, "", "EMPTY") for coding in ("", "identity", "gzip")),
        ("", "unheard of"),
        ("EMPTY", "unheard of"),
    ],
)
def test_what_does_not_hold_the_key_stays_the_same_object(key: str, coding: str):
    body = gzip.compress(b"EMPTY house") if coding == "gzip" else b"EMPTY house"
    headers = CIMultiDict([("a", "EMPTY"), ("A", "house")])
    assert masked_error(body, coding, key) is body
    assert masked_headers(headers, key) is headers


def test_a_coded_error_that_cannot_be_read_to_its_end_is_not_taken_for_clean():
    bomb = gzip.compress(b" " * (2 << 20) + KEY.encode())
    assert masked_error(b"?", "unheard of", KEY) is None
    assert masked_error(b"no gzip", "gzip", KEY) is None
    assert masked_error(bomb, "gzip", KEY) is None
    assert masked_error(b"", "unheard of", KEY) == b""


FORMS = (KEY, KEY.replace("/", "\\/"), quote(KEY, safe=""))


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_masked_wherever_its_pieces_are_cut(form: str):
    text = f"house/0 {form}{form} {form[:-1]} {form[:9]}{form} {form[:9]}".encode()
    whole = without_key(text, KEY)
    for at in range(len(text) + 1):
        filtered = KeyFilter(KEY)
        assert filtered.feed(text[:at]) + filtered.feed(text[at:]) + filtered.flush() == whole
    bytewise = KeyFilter(KEY)
    assert b"".join(bytewise.feed(text[n : n + 1]) for n in range(len(text))) + bytewise.flush() == whole


def test_only_what_may_begin_a_key_waits():
    filtered = KeyFilter(KEY)
    assert filtered.feed(b"x" * 1_000_000) == b"x" * 1_000_000
    assert filtered.feed(b"y house/") == b"y "
    assert filtered.feed(b" and ho") == b"house/ and "
    assert filtered.flush() == b"ho"
    nothing = KeyFilter("EMPTY")
    assert (nothing.feed(b"EMP"), nothing.feed(b"TY"), nothing.flush()) == (b"EMP", b"TY", b"")


def test_what_changes_the_error_too_comes_first():
    class Upper:
        def feed(self, data: bytes) -> bytes:
            return data.replace(b"!", KEY.encode())

        def flush(self) -> bytes:
            return KEY[3:].encode()

        def broken(self) -> bytes:
            return b"broken"

    filtered = KeyFilter(KEY, Upper())
    assert filtered.feed(b"a!" + KEY[:3].encode()) == b"a" + MASK.encode()
    assert filtered.flush() == MASK.encode()
    assert filtered.broken() == b"broken"


async def ask(tmp_path: Path, *wires: Any, body: bytes = MESSAGES, api_key: str = KEY, **config: Any):
    """The status, reason, headers and body that the client gets, and the row."""
    async with provider(*wires) as (url, _), gateway(tmp_path, url, api_key=api_key, **config) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=body, headers={"x-api-key": OTHER}) as got:
            read = await got.read()
        await proxy.proxy.forwarder.idle()
        return got, read, proxy.records[-1]


@pytest.mark.parametrize("config", [{}, {"routes": (ONCE,)}, {"routes": (AGAIN,)}], ids=["relayed", "once", "again"])
@pytest.mark.parametrize("coded", ["", "gzip"])
async def test_an_error_that_echoes_the_configured_key(tmp_path: Path, config: dict[str, Any], coded: str):
    body, coding = (gzip.compress(ECHO), "Content-Encoding: gzip\r\n") if coded else (ECHO, "")
    wire = answer(body, status=f"401 Not {KEY}", headers=f"request-id: req_1\r\nX-Key: {KEY}\r\n{coding}")
    got, read, row = await ask(tmp_path, wire, **config)
    assert (got.status, got.reason, read) == (401, f"Not {MASK}", SHOWN)
    assert (got.headers["X-Key"], got.headers["request-id"]) == (MASK, "req_1")
    assert got.headers["Content-Length"] == str(len(SHOWN))
    assert "Content-Encoding" not in got.headers
    assert (row.outcome, row.status, row.error_class) == (Outcome.ERROR, 401, "authentication_error")
    assert row.response_bytes == len(body)


async def test_in_an_error_event_that_is_held(tmp_path: Path):
    event = b"event: error\ndata: " + ECHO.replace(b"\n", b"") + b"\n\n"
    got, read, _ = await ask(tmp_path, chunked(event), body=STREAMED, routes=(AGAIN,))
    assert got.status == 200
    assert read == event.replace(KEY.encode(), MASK.encode())


ERROR_EVENT = b"event: error\ndata: " + ECHO.replace(b"\n", b"") + b"\n\n"
ERROR_SHOWN = ERROR_EVENT.replace(KEY.encode(), MASK.encode())


@pytest.mark.parametrize("before", [0, 2], ids=["first", "in the middle"])
@pytest.mark.parametrize(
    "cut", [len(ERROR_EVENT), 10, ERROR_EVENT.index(KEY.encode()) + 9], ids=["whole", "word", "key"]
)
@pytest.mark.parametrize("length", [False, True], ids=["in chunks", "with its length"])
async def test_in_an_error_event_that_is_passed_on(tmp_path: Path, before: int, cut: int, *, length: bool):
    pieces = [*EVENTS[:before], ERROR_EVENT[:cut], *([ERROR_EVENT[cut:]] if ERROR_EVENT[cut:] else [])]
    whole = answer(b"".join(pieces)).replace(b"application/json", b"text/event-stream")
    got, read, row = await ask(tmp_path, whole if length else chunked(*pieces), body=STREAMED)
    assert (got.status, row.outcome) == (200, Outcome.ERROR)
    assert read == b"".join(EVENTS[:before]) + ERROR_SHOWN


async def test_in_an_error_event_of_a_stream_whose_counts_are_hidden(tmp_path: Path):
    event = b"data: " + ECHO.replace(b"\n", b"") + b"\n\n"
    wire = chunked(CHAT_EVENTS[0], event[:60], event[60:])
    async with provider(wire) as (url, _), gateway(tmp_path, url, api_key=KEY) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/chat/completions", data=CHAT) as got:
            read = await got.read()
    assert read == CHAT_EVENTS[0] + event.replace(KEY.encode(), MASK.encode())


async def test_a_stream_that_speaks_of_no_error_keeps_its_bytes(tmp_path: Path):
    good = EVENTS[0] + b'event: ping\ndata: {"type":"ping","key":"' + KEY.encode() + b'"}\n\n' + b"".join(EVENTS[1:])
    _, read, _ = await ask(tmp_path, chunked(good[:100], good[100:]), body=STREAMED)
    assert read == good


def test_a_key_in_a_streamed_error_is_masked_wherever_its_pieces_are_cut():
    text = EVENTS[0] + ERROR_EVENT
    for at in range(len(text) + 1):
        streamed = StreamedErrors(KEY)
        assert streamed.feed(text[:at]) + streamed.feed(text[at:]) + streamed.flush() == EVENTS[0] + ERROR_SHOWN
    bytewise = StreamedErrors(KEY)
    pieces = [bytewise.feed(text[n : n + 1]) for n in range(len(text))]
    assert b"".join(pieces) + bytewise.flush() == EVENTS[0] + ERROR_SHOWN


async def test_in_a_translated_error(tmp_path: Path):
    echo = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}).encode()
    async with provider(answer(echo, status="401 Unauthorized")) as (url, _):
        only = {"only": ProviderConfig(Protocol.OPENAI, url, KEY, "only")}
        async with gateway(tmp_path, url, providers=only) as proxy, client() as c:
            got = await c.post(f"{proxy.url}/v1/messages", data=MESSAGES)
            said = await got.json()
    assert (got.status, said["error"]["message"]) == (401, f"Incorrect API key provided: {MASK}")


@pytest.mark.parametrize("size", [0, 1000, MAX_HELD_BYTES])
@pytest.mark.parametrize("coded", ["", "gzip"])
async def test_an_error_without_the_key_keeps_its_bytes(tmp_path: Path, size: int, coded: str):
    body = gzip.compress(SHOWN + b" " * size) if coded else b" " * size
    wire = answer(
        body, status="400 So it is", headers="Content-Encoding: gzip\r\nX-A: 1\r\nX-A: 2\r\n" if coded else ""
    )
    got, read, row = await ask(tmp_path, wire)
    assert (got.status, got.reason, read) == (400, "So it is", body)
    assert got.headers["Content-Length"] == str(len(body))
    assert got.headers.get("Content-Encoding") == ("gzip" if coded else None)
    assert got.headers.getall("X-A", []) == (["1", "2"] if coded else [])
    assert row.response_bytes == len(body)


LONG = b" " * MAX_HELD_BYTES


@pytest.mark.parametrize("config", [{}, {"routes": (ONCE,)}, {"routes": (AGAIN,)}], ids=["relayed", "once", "again"])
@pytest.mark.parametrize("end", [b"", b"house/0"], ids=["a key", "the beginning of a key"])
async def test_an_error_that_is_too_long_to_keep_is_masked_as_it_passes(tmp_path: Path, config: Any, end: bytes):
    many = 40_000  # keys side by side: wherever the network cuts such a body, it cuts one of them
    body, shown = (each + LONG + key.encode() * many + end for each, key in ((ECHO, KEY), (SHOWN, MASK)))
    wire = answer(body, status=f"401 Not {KEY}", headers=f"X-Key: {KEY}\r\n")
    got, read, row = await ask(tmp_path, wire, **config)
    assert (got.status, got.reason, got.headers["X-Key"]) == (401, f"Not {MASK}", MASK)
    assert read == shown
    assert (row.outcome, row.status) == (Outcome.ERROR, 401)
    assert row.response_bytes == len(body)


async def test_a_long_error_of_the_callers_own_key_keeps_its_bytes(tmp_path: Path):
    body = ECHO + LONG
    got, read, _ = await ask(tmp_path, answer(body, status="401 Unauthorized"), api_key="")
    assert (got.headers["Content-Length"], read) == (str(len(body)), body)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(ECHO + random.Random(1).randbytes(MAX_HELD_BYTES)),
        gzip.compress(b" " * (2 << 20) + ECHO),
        b"no gzip at all",
    ],
    ids=["long", "long when decoded", "not what it says"],
)
@pytest.mark.parametrize("config", [{}, {"routes": (AGAIN,)}], ids=["relayed", "again"])
async def test_a_coded_error_that_cannot_be_looked_at_is_not_shown(tmp_path: Path, body: bytes, config: Any):
    wire = answer(body, status="401 Unauthorized", headers="request-id: req_1\r\nContent-Encoding: gzip\r\n")
    got, read, row = await ask(tmp_path, wire, **config)
    assert (got.status, got.headers["request-id"], got.content_type) == (401, "req_1", "application/json")
    said = json.loads(read)
    assert (said["type"], said["error"]["type"]) == ("error", "authentication_error")
    assert "not shown" in said["error"]["message"]
    assert "Content-Encoding" not in got.headers
    assert (row.outcome, row.status) == (Outcome.ERROR, 401)


async def test_callers_see_their_own_key_and_good_answers_what_they_hold(tmp_path: Path):
    got, read, _ = await ask(tmp_path, answer(ECHO, status="401 Unauthorized"), api_key="")
    assert (got.status, read) == (401, ECHO)
    good = MESSAGE[:-1] + b', "key": "' + KEY.encode() + b'"}'
    got, read, _ = await ask(tmp_path / "good", answer(good, headers=f"X-Key: {KEY}\r\n"))
    assert (read, got.headers["X-Key"]) == (good, KEY)


async def test_an_error_that_breaks_off_shows_nothing(tmp_path: Path):
    async def breaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(ECHO, status="401 Unauthorized")[:-3])
        await writer.drain()
        writer.close()

    got, read, row = await ask(tmp_path, breaks)
    assert got.status == 502
    assert KEY.encode() not in read
    assert row.outcome is Outcome.ERROR
