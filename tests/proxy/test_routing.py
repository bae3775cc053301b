"""Which provider serves what."""

import asyncio
from pathlib import Path

import pytest

from data.config import ProviderConfig, RouteConfig
from data.model import Protocol
from proxy.routing import Router, leaves_its_endpoint, spoken, upstream_url
from tests.proxy.gateway import answer, gateway, provider

ANTHROPIC = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="anthropic")
PROXIED = ProviderConfig(Protocol.ANTHROPIC, "https://b.example", name="proxied")
OPENAI = ProviderConfig(Protocol.OPENAI, "https://o.example", name="openai")
LOCAL = ProviderConfig(Protocol.OPENAI, "http://localhost:11434", name="local")
PROVIDERS = {p.name: p for p in (ANTHROPIC, PROXIED, OPENAI, LOCAL)}


@pytest.mark.parametrize(
    ("protocol", "model", "expected"),
    [
        (Protocol.ANTHROPIC, "claude-opus-4", "proxied"),
        (Protocol.ANTHROPIC, "claude-haiku-4", "anthropic"),
        (Protocol.OPENAI, "llama3", "local"),
        (Protocol.OPENAI, "gpt-5", "openai"),
        (Protocol.OPENAI, "claude-opus-4", "openai"),
        (Protocol.ANTHROPIC, "", "anthropic"),
    ],
    ids=["first route", "no route", "other protocol", "default", "route speaks another protocol", "no model"],
)
def test_the_first_matching_route_else_the_protocols_first_provider(protocol: Protocol, model: str, expected: str):
    routes = [
        RouteConfig("claude-opus-*", "proxied"),
        RouteConfig("claude-op*", "anthropic"),
        RouteConfig("llama*", "local"),
    ]
    chosen = Router(PROVIDERS, routes).choose(protocol, model)
    assert chosen is not None
    assert chosen.name == expected


def test_no_provider_of_the_protocol():
    assert Router({"openai": OPENAI}, []).choose(Protocol.ANTHROPIC, "claude") is None


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [
        ({"anthropic-version": "2023-06-01", "authorization": "Bearer oat"}, Protocol.ANTHROPIC),
        ({"x-api-key": "k"}, Protocol.ANTHROPIC),
        ({"authorization": "Bearer sk"}, Protocol.OPENAI),
        ({}, Protocol.OPENAI),
    ],
)
def test_what_headers_speak(headers: dict[str, str], protocol: Protocol):
    assert spoken(headers) is protocol


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://a.example", "https://a.example/v1/messages?beta=true"),
        ("https://a.example/", "https://a.example/v1/messages?beta=true"),
        ("https://a.example/v1", "https://a.example/v1/messages?beta=true"),
        ("https://a.example/api", "https://a.example/api/v1/messages?beta=true"),
    ],
)
def test_where_a_request_goes(base: str, expected: str):
    assert upstream_url(base, "/v1/messages?beta=true") == expected


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
        reader, writer = await asyncio.open_connection(*proxy.url.removeprefix("http://").split(":"))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}: 1\r\n\r\n".encode())
        got = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert got.startswith(b"HTTP/1.1 404 ")
    assert kind.encode() in got
    assert not seen.heads
