"""Large files that the SDKs send through a proxy program: they arrive whole, and take no memory there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anthropic
import openai
import psutil
import pytest
from aiohttp import BodyPartReader, web
from aiohttp.test_utils import TestServer

from tests.proxy.gateway import gateway, until
from tests.proxy.sink import MB, blocks, hash_of
from tests.proxy.test_program import started

SIZE = 200 * MB
MOST_GROWTH = 40 * MB
ANTHROPICS = {
    "id": "file_1",
    "type": "file",
    "filename": "a",
    "mime_type": "application/pdf",
    "size_bytes": SIZE,
    "created_at": "2026-01-01T00:00:00Z",
}
OPENAIS = {"id": "file-1", "object": "file", "bytes": SIZE, "created_at": 1, "filename": "a", "purpose": "batch"}


class Provider:
    """Takes files as Anthropic and OpenAI do; keeps their hash, and the most memory that `watched` had meanwhile."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.watched: psutil.Process | None = None
        self.most_bytes = 0

    async def upload(self, request: web.Request) -> web.Response:
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                await self._take(part)
        return web.json_response(ANTHROPICS if "anthropic-version" in request.headers else OPENAIS)

    async def transcribe(self, request: web.Request) -> web.Response:
        await self.upload(request)
        return web.json_response({"text": "hello", "usage": {"type": "duration", "seconds": 3}})

    async def _take(self, part: BodyPartReader) -> None:
        known, size = hashlib.sha256(), 0
        while piece := await part.read_chunk(256 * 1024):
            known.update(piece)
            size += len(piece)
            if self.watched is not None:
                self.most_bytes = max(self.most_bytes, self.watched.memory_info().rss)
        self.hashes.append(known.hexdigest())


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/files", provider.upload)
    app.router.add_post("/v1/audio/transcriptions", provider.transcribe)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    with path.open("wb") as file:
        file.writelines(blocks(SIZE))
    return path


def with_anthropic(url: str, path: Path) -> None:
    with path.open("rb") as file, anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client:
        client.beta.files.upload(file=("a.pdf", file, "application/pdf"))


def with_openai(url: str, path: Path) -> None:
    with path.open("rb") as file, openai.OpenAI(api_key="k", base_url=f"{url}/openai/v1", max_retries=0) as client:
        client.files.create(file=("a.jsonl", file), purpose="batch")


@pytest.mark.slow
async def test_a_large_file_takes_no_memory(tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch):
    provider = Provider()
    async with serving(provider) as url:
        monkeypatch.setenv("CLAUDE_PROXY_PROVIDERS_OPENAI_BASE_URL", url)
        async with started(tmp_path, url) as (process, address):
            provider.watched = psutil.Process(process.pid)
            before = provider.watched.memory_info().rss
            for upload in (with_anthropic, with_openai):
                await asyncio.to_thread(upload, address, large)
    assert provider.hashes == [hash_of(blocks(SIZE))] * 2
    assert provider.most_bytes - before < MOST_GROWTH


@pytest.mark.slow
async def test_large_files_at_once_take_no_memory(tmp_path: Path, large: Path):
    provider = Provider()
    async with serving(provider) as url, started(tmp_path, url) as (process, address):
        provider.watched = psutil.Process(process.pid)
        before = provider.watched.memory_info().rss
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(asyncio.to_thread(with_anthropic, address, large))
    assert provider.hashes == [hash_of(blocks(SIZE))] * 4
    assert provider.most_bytes - before < MOST_GROWTH


async def test_speech_in_a_form_reaches_its_model(tmp_path: Path):
    provider, sound = Provider(), b"".join(blocks(MB))
    async with serving(provider) as url, gateway(tmp_path, url) as proxy:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{proxy.url}/openai/v1", max_retries=0) as client:
            answer = await client.audio.transcriptions.create(file=("a.wav", sound), model="gpt-4o-transcribe")
        record = await proxy.record()
    assert answer.text == "hello"
    assert provider.hashes == [hash_of(blocks(MB))]
    assert (record.endpoint, record.provider, record.status) == ("other", "openai", 200)
    assert record.request_bytes > MB


async def test_the_sdks_say_that_a_file_is_too_large(tmp_path: Path):
    async with serving(Provider()) as url, gateway(tmp_path, url, settings={"max_body_bytes": MB}) as proxy:
        content = b"".join(blocks(8 * MB))
        async with anthropic.AsyncAnthropic(api_key="k", base_url=proxy.url, max_retries=0) as claude:
            with pytest.raises(anthropic.APIStatusError) as refused:
                await claude.beta.files.upload(file=("a.pdf", content, "application/pdf"))
            assert refused.value.status_code == 413
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{proxy.url}/openai/v1", max_retries=0) as gpt:
            with pytest.raises(openai.APIStatusError) as told:
                await gpt.files.create(file=("a.jsonl", content), purpose="batch")
            assert told.value.status_code == 413
        await until(lambda: proxy.proxy.live.in_flight == 0)
    assert proxy.records == []
