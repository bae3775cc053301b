"""Bodies that are not what their headers say: problem documents, and nothing in the log."""

import asyncio
import gzip
import json
import logging
import zlib

import pytest
from aiohttp import web

from data.http_server import PlainRunner
from engine.api.server import make_app
from engine.desk import Desk
from engine.secrets import SecretBox

PATHS = ["/api/alerts/rules", "/api/alerts/simulate", "/api/notifications/channels", "/api/alerts/silences"]


@pytest.fixture
async def port(config):
    runner = PlainRunner(make_app(Desk(config, SecretBox(config.home))), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def post(port: int, path: str, headers: str, body: bytes, *, ends: bool = False) -> tuple[int, bytes]:
    """Status and body of the answer to a POST; with `ends` nothing more will come from us."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n\r\n"
    writer.write(head.encode() + body)
    if ends:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    head_of_answer, _, document = answer.partition(b"\r\n\r\n")
    return (int(head_of_answer.split()[1]) if answer else 0), document


def sized(body: bytes, headers: str = "Content-Type: application/json") -> tuple[str, bytes]:
    return f"{headers}\r\nContent-Length: {len(body)}", body


ENCODED = "Content-Type: application/json\r\nContent-Encoding: "
CASES = {
    "no gzip": sized(b'{"SECRET": 1}', ENCODED + "gzip"),
    "half a gzip": sized(gzip.compress(b'{"SECRET": 1}' * 99)[:40], ENCODED + "gzip"),
    "no deflate": sized(b'{"SECRET": 1}', ENCODED + "deflate"),
    "no brotli": sized(b'{"SECRET": 1}', ENCODED + "br"),
    "unknown encoding": sized(b"\xff\xfe", ENCODED + "rot13"),
    "unknown charset": sized(b"\xff\xfe{", "Content-Type: application/json; charset=SECRET"),
    "no UTF-8": sized(b'{"a": "\xff"}'),
    "lone surrogate": sized(b'{"a": "\\ud800"}'),
    "UTF-16": sized('{"a": 1}'.encode("utf-16")),
    "deep": sized(b"[" * 100_000),
}


def our_errors(caplog) -> list[str]:
    """aiohttp notes what it could not unpack; the program's log filter takes the text out of that."""
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    return [record.getMessage() for record in errors if not record.name.startswith("aiohttp")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("headers", "body"), CASES.values(), ids=CASES)
async def test_a_body_that_cannot_be_read_is_the_caller_s_fault(port, caplog, path, headers, body):
    status, document = await post(port, path, headers, body)
    assert status == 400, document
    assert b"SECRET" not in document
    assert json.loads(document)["status"] == 400
    assert our_errors(caplog) == []


@pytest.mark.parametrize("body", [b"5\r\nhello_SECRET\r\n", b"SECRET\r\n{}\r\n0\r\n\r\n"], ids=["length", "size"])
async def test_a_bad_chunk_is_the_caller_s_fault(port, caplog, body):
    headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked"
    status, document = await post(port, PATHS[0], headers, body)
    assert status == 400
    assert b"SECRET" not in document
    assert our_errors(caplog) == []


async def test_a_bad_chunk_that_comes_later_is_answered_too(port, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /api/alerts/rules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert b"100 Continue" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    writer.write(b"5\r\nhello_SECRET\r\n")
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"SECRET" not in answer
    assert our_errors(caplog) == []


async def test_a_body_that_ends_early_is_no_error_of_ours(port, caplog):
    await post(port, PATHS[0], "Content-Type: application/json\r\nContent-Length: 99", b'{"a"', ends=True)
    assert our_errors(caplog) == []


async def test_a_small_body_that_unpacks_to_much_is_too_large(port):
    headers, body = sized(zlib.compress(b"[" + b" " * 8_000_000 + b"]"), ENCODED + "deflate")
    status, _ = await post(port, PATHS[0], headers, body)
    assert status == 413
