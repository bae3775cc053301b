"""Which provider serves what."""

import pytest

from data.config import ProviderConfig, RouteConfig
from data.model import Protocol
from proxy.routing import Router, upstream_url

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
