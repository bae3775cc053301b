"""A trace goes through the real replay to a real simulated provider."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from typer.testing import CliRunner

from app import cli
from app.replay import TraceCall, TraceError, outside_providers, read, replay, speed_of
from proxy.guard import Access, guarded
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROWS = ("2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:46.7805900,396,109", "2023-11-16 18:15:46.8,0,0")
AZURE = Path(__file__).parents[2] / "../shared/data/azure_llm_trace_conv.csv"


@pytest.fixture
async def provider() -> AsyncIterator[TestServer]:
    async with TestServer(make_app(SimulatedSettings(speed=0))) as server:
        yield server


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return written(tmp_path, HEADER, *ROWS)


@pytest.fixture
def azure_trace() -> Path:
    path = Path(os.environ.get("TRACE_FILE") or AZURE)
    if not path.is_file():
        say = f"the production trace is not at {path}: nothing was replayed; set TRACE_FILE"
        pytest.fail(say) if os.environ.get("CI") == "true" else pytest.skip(say)
    return path


def written(folder: Path, *lines: str, end: str = "\n", start: bytes = b"") -> Path:
    path = folder / "trace.csv"
    path.write_bytes(start + end.join(lines).encode())
    return path


class BrokenProvider:
    """Reads a request, closes the connection."""

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._hang_up, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _hang_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "gpt-5"])
async def test_the_provider_answers_with_the_counts_of_the_trace(provider, trace, model):
    result = await replay(trace, url=str(provider.make_url("/")), model=model)
    assert (result.sent, result.answered, result.failed) == (3, 3, 0)
    assert (result.input_tokens, result.output_tokens) == (770, 153)
    totals = provider.app[BOOKS].summary()["by_model"][model]
    assert (totals["requests"], totals["input_tokens"], totals["output_tokens"]) == (3, 770, 153)


async def test_real_time_is_kept_when_a_speed_is_given(provider, trace):
    result = await replay(trace, url=str(provider.make_url("")), speed=0.5)
    assert result.answered == 3
    assert result.seconds >= 0.23
    at = [served.at for served in provider.app[BOOKS].log]
    assert at[-1] - at[0] >= 0.2


async def test_at_full_speed_a_provider_at_real_speed_answers_at_once(trace):
    async with TestServer(make_app(SimulatedSettings(speed=0.01))) as server:
        result = await replay(trace, url=str(server.make_url("")))
    assert result.answered == 3
    assert result.seconds < 30


async def test_progress_is_told_of_every_call(provider, trace):
    seen = []
    await replay(trace, url=str(provider.make_url("")), progress=lambda result: seen.append(result.answered))
    assert seen == [1, 2, 3]


async def test_calls_that_reach_nobody_fail_and_are_sent_again_only_when_asked(trace):
    url = f"http://127.0.0.1:{unused_port()}"
    once = await replay(trace, url=url)
    assert (once.sent, once.failed, once.resent) == (3, 3, 0)
    again = await replay(trace, url=url, retries=1)
    assert (again.sent, again.failed, again.resent) == (3, 3, 3)


async def test_a_call_that_breaks_off_is_never_sent_again(trace):
    async with BrokenProvider() as url:
        result = await replay(trace, url=url, retries=3)
    assert (result.sent, result.answered, result.failed, result.resent) == (3, 0, 3, 0)


async def test_an_error_answer_counts_as_failed(trace):
    async with TestServer(make_app(SimulatedSettings(speed=0, api_key="another"))) as server:
        result = await replay(trace, url=str(server.make_url("")), retries=3)
    assert (result.sent, result.answered, result.failed, result.resent) == (3, 0, 3, 0)
    assert (result.input_tokens, result.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("header", "end", "start"),
    [
        pytest.param(HEADER, "\r\n", b"", id="crlf"),
        pytest.param(HEADER, "\n", b"\xef\xbb\xbf", id="byte order mark"),
        pytest.param("timestamp, context_tokens ,generated_tokens", "\n", b"", id="another spelling"),
        pytest.param("Time,Input Tokens,Output Tokens", "\n", b"", id="other words"),
    ],
)
def test_a_trace_is_read_in_its_variants(tmp_path, header, end, start):
    calls = read(written(tmp_path, header, *ROWS[:2], "", " , , ", end=end, start=start))
    assert [(call.input, call.output) for call in calls] == [(374, 44), (396, 109)]
    assert [round(call.at_s, 6) for call in calls] == [0, 0.1]


def test_times_may_be_seconds_and_columns_may_stand_anywhere(tmp_path):
    calls = read(written(tmp_path, "GeneratedTokens,Note,TIMESTAMP,ContextTokens", "5,x,12.5,7", "6,y,10,8"))
    assert calls == [TraceCall(1, 0, 8, 6), TraceCall(2, 2.5, 7, 5)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2023-11-16 18:15:47,12", "line 3: 2 columns"),
        ("2023-11-16 18:15:47,twelve,3", "line 3: 'twelve' is not a number of tokens"),
        ("2023-11-16 18:15:47,12,-3", "line 3: '-3' is not"),
        ("2023-11-16 18:15:47,1.5,3", "line 3: '1.5' is not"),
        ("yesterday,12,3", "line 3: 'yesterday' is neither"),
        ("nan,12,3", "line 3: 'nan' is neither"),
    ],
)
def test_a_bad_row_is_told_with_its_line(tmp_path, line, says):
    with pytest.raises(TraceError, match=says):
        read(written(tmp_path, HEADER, ROWS[0], line))


def test_a_file_that_is_no_trace_is_refused(tmp_path):
    with pytest.raises(TraceError, match=r"line 1: the header must name"):
        read(written(tmp_path, "a,b,c", "1,2,3"))
    with pytest.raises(TraceError, match="has no rows"):
        read(written(tmp_path, HEADER))
    with pytest.raises(TraceError, match="not a CSV in UTF-8"):
        read(written(tmp_path, HEADER, start=b"\xff\xfe"))
    with pytest.raises(TraceError, match="cannot be read"):
        read(tmp_path / "missing.csv")


def test_a_speed_is_a_number_or_max():
    assert speed_of("max") is None
    assert speed_of("2.5") == 2.5
    for text in ("0", "-1", "fast", "nan", "inf"):
        with pytest.raises(TraceError, match="speed"):
            speed_of(text)


@pytest.mark.trace
@pytest.mark.slow
async def test_a_production_hour_is_answered_token_for_token(provider, azure_trace):
    result = await replay(azure_trace, url=str(provider.make_url("")))
    assert (result.sent, result.answered, result.failed) == (19_366, 19_366, 0)
    assert (result.input_tokens, result.output_tokens) == (22_361_870, 4_088_665)
    totals = provider.app[BOOKS].summary()
    assert (totals["requests"], totals["input_tokens"], totals["output_tokens"]) == (19_366, 22_361_870, 4_088_665)


async def test_a_proxy_that_calls_real_providers_is_found_out():
    async def providers(_: web.Request) -> web.Response:
        return web.json_response(
            {"items": [{"base_url": "https://api.anthropic.com"}, {"base_url": "http://127.0.0.1:1"}], "next": None}
        )

    app = web.Application()
    app.router.add_get("/api/system/providers", providers)
    async with TestServer(app) as server:
        assert await outside_providers(str(server.make_url("/"))) == ["https://api.anthropic.com"]


@asynccontextmanager
async def guarded_proxy() -> AsyncIterator[str]:
    """The address of a proxy that listens to more than loopback, and so wants its token; it is its own provider."""

    async def providers(_: web.Request) -> web.Response:
        return web.json_response({"items": [{"base_url": "http://127.0.0.1:1"}], "next": None})

    app = make_app(SimulatedSettings(speed=0))
    app.router.add_get("/api/system/providers", guarded(providers, lambda: Access("0.0.0.0", "s3cret-ü")))
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def test_the_proxys_api_is_shown_its_token():
    async with guarded_proxy() as url:
        assert await outside_providers(url, "s3cret-ü") == []
        for other in ("", "another"):
            with pytest.raises(TraceError, match=r"wants its API token: set proxy\.api_token"):
                await outside_providers(url, other)


async def test_the_command_shows_the_configured_token(home, trace, tmp_path, monkeypatch):
    (file := tmp_path / "config.toml").write_text('[proxy]\napi_token = "env:TOKEN_OF_THE_API"\n')
    monkeypatch.setenv("TOKEN_OF_THE_API", "s3cret-ü")
    async with guarded_proxy() as url:
        command = ["replay", str(trace), "--url", url, "--home", str(home), "--config", str(file)]
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, command)
    assert result.exit_code == 0, result.output
    assert "3 answered" in result.output


async def test_no_proxy_is_said_before_anything_is_sent():
    with pytest.raises(TraceError, match="no proxy answers at"):
        await outside_providers(f"http://127.0.0.1:{unused_port()}")


async def test_the_first_failure_is_kept(trace):
    result = await replay(trace, url=f"http://127.0.0.1:{unused_port()}")
    assert result.failed == 3
    assert "Cannot connect" in result.first_failure
