"""A server's answers to what is not HTTP, and to what fails inside."""

import asyncio
import logging

import aiohttp
import pytest
from aiohttp import web

from data.http_server import PlainRunner
from data.log_safety import NothingQuoted, ShortLines

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(ShortLines())
        self.addFilter(NothingQuoted())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines():
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture
async def port():
    async def fails(request: web.Request) -> web.Response:
        raise ValueError(await request.text())

    app = web.Application()
    app.router.add_post("/", fails)
    runner = PlainRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"x-api-key: sk-SECRET\x01\r\n\r\n", 400),
        (HEAD + b"Content-Length: SECRET\r\n\r\n", 400),
        (HEAD + b"Content-Length: 6\r\n\r\nSECRET", 500),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello_SECRET\r\n", 400),
    ],
    ids=["header", "length", "handler", "chunk"],
)
async def test_nothing_of_a_request_that_fails_is_logged_or_sent_back(port, lines, sent, status):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert int(answer.split()[1]) == status
    assert b"SECRET" not in answer
    assert lines
    assert "SECRET" not in "".join(lines)


async def test_a_path_with_a_handler_of_its_own_needs_no_routing_and_all_else_has_it():
    async def routed(request: web.Request) -> web.Response:
        return web.Response(text=f"routed {request.match_info['rest']}")

    async def straight(request: web.Request) -> web.Response:
        return web.Response(text=f"straight {(await request.read()).decode()}")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", routed)
    runner = PlainRunner(app, straight_to={"/v1/a": straight}, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            said = [
                await (await session.post(path, data=b"x", expect100=expects)).text()
                for path, expects in (("/v1/a", False), ("/v1/a?b=c", False), ("/v1/b", False), ("/v1/a", True))
            ]
    finally:
        await runner.cleanup()
    # whoever expects a 100 gets it from the application
    assert said == ["straight x", "straight x", "routed v1/b", "routed v1/a"]
