"""What a request's line asks for."""

import asyncio
import json
from pathlib import Path

import pytest

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from proxy.endpoints import ENDPOINTS, Asked, Unknown, leaves_its_endpoint, read_line, spoken
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGE, MESSAGES

PROVIDERS = {
    "anthropic": ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="anthropic"),
    "openai": ProviderConfig(Protocol.OPENAI, "https://o.example", name="openai"),
    "my gemini": ProviderConfig(Protocol.GEMINI, "https://g.example", name="my gemini"),
    "v1": ProviderConfig(Protocol.OPENAI, "https://never.example", name="v1"),
}
KEY = {"x-api-key": "k"}


def read(method: str, path: str, headers: dict[str, str] | None = None) -> Asked | Unknown:
    return read_line(method, path, headers or {}, PROVIDERS)


def asked(endpoint: Endpoint, protocol: Protocol, path: str, **more: object) -> Asked:
    return Asked(endpoint, protocol, path, **more)  # type: ignore[arg-type]


A, OA, G = Protocol.ANTHROPIC, Protocol.OPENAI, Protocol.GEMINI
PRO = "/v1beta/models/gemini-2.5-pro"
BATCH = "/v1/messages/batches/msgbatch_01"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/messages?beta=true", asked(Endpoint.MESSAGES, A, "/v1/messages?beta=true")),
        ("POST", "/v1/messages/count_tokens", asked(Endpoint.COUNT_TOKENS, A, "/v1/messages/count_tokens")),
        ("POST", "/v1/chat/completions", asked(Endpoint.CHAT_COMPLETIONS, OA, "/v1/chat/completions")),
        ("POST", "/v1/responses", asked(Endpoint.RESPONSES, OA, "/v1/responses")),
        ("POST", "/v1/embeddings", asked(Endpoint.EMBEDDINGS, OA, "/v1/embeddings")),
        ("POST", "/v1/messages/batches", asked(Endpoint.BATCHES, A, "/v1/messages/batches")),
        (
            "GET",
            "/v1/messages/batches?limit=2",
            asked(Endpoint.BATCHES, A, "/v1/messages/batches?limit=2", method="GET"),
        ),
        ("GET", BATCH, asked(Endpoint.BATCHES, A, BATCH, method="GET")),
        ("DELETE", BATCH, asked(Endpoint.BATCHES, A, BATCH, method="DELETE")),
        ("POST", f"{BATCH}/cancel", asked(Endpoint.BATCHES, A, f"{BATCH}/cancel")),
        (
            "GET",
            f"{BATCH}/results",
            asked(Endpoint.BATCHES, A, f"{BATCH}/results", method="GET", batch="msgbatch_01"),
        ),
        ("POST", "/v1/batches", asked(Endpoint.BATCHES, OA, "/v1/batches")),
        ("GET", "/v1/batches?limit=2", asked(Endpoint.BATCHES, OA, "/v1/batches?limit=2", method="GET")),
        ("GET", "/v1/batches/batch_1", asked(Endpoint.BATCHES, OA, "/v1/batches/batch_1", method="GET")),
        ("POST", "/v1/batches/batch_1/cancel", asked(Endpoint.BATCHES, OA, "/v1/batches/batch_1/cancel")),
        (
            "GET",
            "/v1/files/file-1/content",
            asked(Endpoint.FILES, OA, "/v1/files/file-1/content", method="GET", file="file-1"),
        ),
        (
            "POST",
            f"{PRO}:generateContent",
            asked(Endpoint.GENERATE_CONTENT, G, f"{PRO}:generateContent", model="gemini-2.5-pro"),
        ),
        (
            "POST",
            f"{PRO}:streamGenerateContent?alt=sse&key=x",
            asked(
                Endpoint.GENERATE_CONTENT,
                G,
                f"{PRO}:streamGenerateContent?alt=sse&key=x",
                model="gemini-2.5-pro",
                stream=True,
            ),
        ),
        (
            "POST",
            "/v1/tunedModels/mine:countTokens",
            asked(Endpoint.COUNT_GEMINI_TOKENS, G, "/v1/tunedModels/mine:countTokens", model="tunedModels/mine"),
        ),
        (
            "POST",
            "/v1/projects/p/locations/eu/publishers/google/models/g-2:embedContent",
            asked(
                Endpoint.EMBEDDINGS,
                G,
                "/v1/projects/p/locations/eu/publishers/google/models/g-2:embedContent",
                model="g-2",
            ),
        ),
        (
            "POST",
            "/v1alpha/models/g:batchEmbedContents",
            asked(Endpoint.EMBEDDINGS, G, "/v1alpha/models/g:batchEmbedContents", model="g"),
        ),
        ("GET", "/v1beta/models", asked(Endpoint.MODELS, G, "/v1beta/models", method="GET")),
        ("GET", PRO, asked(Endpoint.MODELS, G, PRO, method="GET")),
        # a provider's name leads to all that it has
        (
            "POST",
            "/anthropic/v1/messages?beta=true",
            asked(Endpoint.MESSAGES, A, "/v1/messages?beta=true", provider="anthropic", prefix="/anthropic"),
        ),
        (
            "GET",
            "/anthropic/v1/models",
            asked(Endpoint.MODELS, A, "/v1/models", provider="anthropic", prefix="/anthropic", method="GET"),
        ),
        (
            "POST",
            "/openai/v1/audio/speech?x=%2f..%2f",
            asked(Endpoint.OTHER, OA, "/v1/audio/speech?x=%2f..%2f", provider="openai", prefix="/openai"),
        ),
        (
            "PATCH",
            "/my%20gemini/v1beta/cachedContents/1",
            asked(
                Endpoint.OTHER,
                G,
                "/v1beta/cachedContents/1",
                provider="my gemini",
                prefix="/my%20gemini",
                method="PATCH",
            ),
        ),
        # a project comes before all of them
        ("POST", "/p/web/v1/messages", asked(Endpoint.MESSAGES, A, "/v1/messages", project="web", prefix="/p/web")),
        (
            "POST",
            "/p/a%2Fb%20%C3%BC/openai/v1/embeddings",
            asked(
                Endpoint.EMBEDDINGS,
                OA,
                "/v1/embeddings",
                project="a/b ü",
                provider="openai",
                prefix="/p/a%2Fb%20%C3%BC/openai",
            ),
        ),
        (
            "POST",
            "/p/x%00y%0a/v1/messages",
            asked(Endpoint.MESSAGES, A, "/v1/messages", project="x y", prefix="/p/x%00y%0a"),
        ),
    ],
)
def test_a_line_is_read(method: str, path: str, expected: Asked):
    assert read(method, path) == expected


@pytest.mark.parametrize(
    ("path", "headers", "protocol"),
    [
        ("/v1/files", {"anthropic-version": "2023-06-01"}, A),
        ("/v1/files", {"authorization": "Bearer sk"}, OA),
        ("/v1/files/file_1/content", KEY, A),
        ("/v1/models", {"x-goog-api-key": "g"}, G),
        ("/v1/models?pageSize=2&key=g", {}, G),
        ("/v1/models?key=g", {"authorization": "Bearer sk"}, OA),
        ("/openai/v1/files", KEY, OA),
        ("/anthropic/v1/files/f", {}, A),
    ],
)
def test_what_several_have_is_told_by_the_headers_or_by_the_provider(path, headers, protocol):
    found = read("GET", path, headers)
    assert isinstance(found, Asked)
    assert found.protocol is protocol


@pytest.mark.parametrize(
    ("method", "path", "status", "protocol"),
    [
        ("GET", "/v1/messages", 405, A),
        ("PUT", "/v1/messages/batches/b", 405, A),
        ("GET", "/v1/responses", 405, OA),
        ("GET", f"{PRO}:generateContent", 200, G),  # a model may be called so
        ("PUT", f"{PRO}:generateContent", 405, G),
        ("POST", f"{PRO}:predict", 405, G),
        ("POST", "/v1beta/models/a%2fb:generateContent", 405, G),
        ("POST", "/v1beta/nothing", 404, G),
        ("POST", "/v1/audio/speech", 404, OA),
        ("POST", "/nobody/v1/messages", 404, A),
        ("POST", "/anthropic", 404, OA),
        ("POST", "/anthropic/", 404, OA),
        ("POST", "/v1/completions", 404, OA),  # a provider cannot take the name of a path that is there
        ("POST", "/p/web", 404, OA),
        ("POST", "/p//v1/messages", 404, A),
        ("POST", "/p/%20/v1/messages", 404, A),
        ("POST", "/p/a/p/b/v1/messages", 404, A),
        ("GET", "/", 404, OA),
        ("GET", "", 404, OA),
    ],
)
def test_what_there_is_not_is_told_in_the_protocol_that_is_meant(method, path, status, protocol):
    found = read(method, path)
    if status == 200:
        assert isinstance(found, Asked)
    else:
        assert isinstance(found, Unknown)
        assert (found.status, found.protocol) == (status, protocol)


@pytest.mark.parametrize(
    "path",
    [
        "/p/../v1/messages",
        "/p/%2e%2e/v1/messages",
        "/p/a/../v1/messages",
        "/anthropic/../v1/messages",
        "/anthropic/v1/%2e%2e/messages",
        "/anthropic/v1/messages%2fbatches",
        "/anthropic/v1/messages%2Fbatches%2Fb%2fresults",
        "/anthropic//v1/messages",
        "/anthropic/v1%5cmessages",
        "/anthropic/v1\\messages",
        "/v1beta/models/a%2f..%2fb:generateContent",
        "/v1/messages/batches/b%2fresults",
        "/v1/messages/batches/../batches",
        "/v1/files/..%2fmodels",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_that_a_server_may_read_as_another_one_is_not_there(method: str, path: str):
    found = read(method, path)
    assert isinstance(found, Unknown)
    assert found.status in {404, 405}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/anthropic/v1/messages/batches/msgbatch%5F01/results"),
        ("GET", "/anthropic/v1/messages/batches/msgbatch%255F01/results"),
        ("GET", "/anthropic/v1/messages/batches/msgbatch_01/results/"),
        ("GET", "/anthropic/v1/messages/batches/msgbatch_01/results;v=1?beta=true"),
        ("GET", "/openai/v1/files/file%2Dabc/content"),
        ("GET", "/p/web/openai/v1/files/file-abc/content/"),
        ("POST", "/anthropic/v1/messages/batche%73"),
        ("POST", "/anthropic/v1/messages/batches/"),
        ("POST", "/openai/v1/batche%73"),
        ("POST", "/anthropic/v1/message%73"),
        ("POST", "/my%20gemini/v1beta/models/gemini-2.5-pro%3AgenerateContent"),
    ],
)
def test_an_endpoint_that_is_written_otherwise_is_not_there(method: str, path: str):
    found = read(method, path)
    assert isinstance(found, Unknown)
    assert found.status == 404


def test_what_is_no_endpoint_passes_however_it_is_written():
    for path in ("/openai/v1/audio/speec%68", "/anthropic/v1/x/", "/my%20gemini/v1beta/cachedContents/a%20b"):
        found = read("POST", path)
        assert isinstance(found, Asked)
        assert found.endpoint is Endpoint.OTHER
    assert isinstance(read("GET", "/openai/v1/models/"), Asked)


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [
        ({"anthropic-version": "2023-06-01", "authorization": "Bearer oat"}, A),
        ({"x-api-key": "k"}, A),
        ({"x-goog-api-key": "k"}, G),
        ({"authorization": "Bearer sk"}, OA),
        ({}, OA),
    ],
)
def test_what_headers_speak(headers: dict[str, str], protocol: Protocol):
    assert spoken(headers) is protocol


@pytest.mark.parametrize(
    ("path", "leaves"),
    [
        ("/v1/models/claude-sonnet-4-5", False),
        ("/v1/models/org/model.v1..2", False),
        ("/v1/models/ft%3Agpt", False),
        ("/v1/models/..", True),
        ("/v1/models/../files", True),
        ("/v1/models/%2e%2E/files", True),
        ("/v1/models/a%2f..%2ffiles", True),
        ("/v1/models/%252e%252e/files", True),
        ("/v1/models/..%5cfiles", True),
        ("/v1/models/..;x/files", True),
        ("/v1/models/./a", True),
        ("/v1/models/%25252525252e", True),
    ],
)
def test_paths_that_lead_elsewhere(path: str, *, leaves: bool):
    assert leaves_its_endpoint(path) is leaves


@pytest.mark.parametrize("path", ["/v1/models/../files/x", "/v1/models/%2e%2e/files", "/v1/models/a%2F..%2F..%2Ffiles"])
@pytest.mark.parametrize(("header", "kind"), [("x-api-key", "not_found_error"), ("x-none", "invalid_request_error")])
async def test_a_models_name_that_leads_elsewhere_is_refused(tmp_path: Path, path: str, header: str, kind: str):
    async with provider(answer(b"{}")) as (url, seen), gateway(tmp_path, url, api_key="own") as proxy:
        got = await raw(
            proxy.url, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}: 1\r\n\r\n"
        )
    assert got.startswith(b"HTTP/1.1 404 ")
    assert kind.encode() in got
    assert not seen.heads


async def raw(url: str, request: str) -> bytes:
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(request.encode())
    got = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return got


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/messages?b=%20+%2B&a", "/v1/messages?b=%20+%2B&a"),
        ("/p/web%20%C3%A4/v1/messages?x=/p/", "/v1/messages?x=/p/"),
        ("/anthropic/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/p/web/anthropic/v1/Some:thing,(new)%41~", "/v1/Some:thing,(new)%41~"),
        ("/p/a%0ab/anthropic/v1/x%0d%0ay", "/v1/x%0d%0ay"),
    ],
)
async def test_the_rest_of_a_path_arrives_byte_for_byte(tmp_path: Path, path: str, sent: str):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(MESSAGES)}\r\n\r\n"
        )
        got = await raw(proxy.url, head + MESSAGES.decode())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert seen.heads[0].split(b"\r\n")[0] == f"POST {sent} HTTP/1.1".encode()


@pytest.mark.parametrize(("path", "project"), [("/p/prefix/v1/messages", "prefix"), ("/v1/messages", "header")])
async def test_a_paths_project_wins_over_the_headers(tmp_path: Path, path: str, project: str):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as session:
        headers = {"x-claude-proxy-project": "header"}
        await (await session.post(proxy.url + path, data=MESSAGES, headers=headers)).read()
        record = await proxy.record()
    assert record.project == project
    assert b"prefix" not in seen.heads[0]
    assert b"/p/" not in seen.heads[0]


async def test_a_named_provider_that_speaks_another_protocol_does_not_serve(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as session:
        got = await session.post(f"{proxy.url}/openai/v1/messages", data=MESSAGES)
        assert got.status == 404
    assert not seen.heads


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/v1beta/nothing", 404, "NOT_FOUND"),
        ("PUT", f"{PRO}:generateContent", 405, "INVALID_ARGUMENT"),
    ],
)
async def test_googles_clients_get_googles_errors(tmp_path: Path, method, path, status, said):
    async with provider(answer(b"{}")) as (url, _), gateway(tmp_path, url) as proxy, client() as session:
        got = await session.request(method, proxy.url + path)
        error = json.loads(await got.read())["error"]
    assert got.status == error["code"] == status
    assert error["status"] == said
    assert path in error["message"]
    assert error["details"][0]["reason"] == got.headers["x-claude-proxy-error"].upper()


def test_every_endpoint_is_found_under_its_own_line():
    samples = {
        "{id}": "x1",
        "{batch}": "x1",
        "{file}": "x1",
        "{rest}": "x/y",
        "{gemini}": "v1beta",
        "{model}": "models/g",
    }
    for each in ENDPOINTS:
        path = each.path
        for place, sample in samples.items():
            path = path.replace(place, sample)
        found = read(each.method, path)
        assert isinstance(found, Asked), path
        assert (found.endpoint, found.stream) == (each.endpoint, each.stream)
