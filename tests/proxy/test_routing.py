"""Which provider serves what."""

import pytest

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from data.route_config import RouteConfig
from proxy.routing import Router, upstream_url
from proxy.time_limits import time_limits

ANTHROPIC = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="anthropic")
PROXIED = ProviderConfig(Protocol.ANTHROPIC, "https://b.example", name="proxied")
OPENAI = ProviderConfig(Protocol.OPENAI, "https://o.example", name="openai")
LOCAL = ProviderConfig(Protocol.OPENAI, "http://localhost:11434", name="local")
LIMITS = time_limits(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
ENDPOINT = {Protocol.ANTHROPIC: Endpoint.MESSAGES, Protocol.OPENAI: Endpoint.CHAT_COMPLETIONS}
PROVIDERS = {p.name: p for p in (ANTHROPIC, PROXIED, OPENAI, LOCAL)}


@pytest.mark.parametrize(
    ("protocol", "model", "expected"),
    [
        (Protocol.ANTHROPIC, "claude-opus-4", "proxied"),
        (Protocol.ANTHROPIC, "claude-haiku-4", "anthropic"),
        (Protocol.OPENAI, "llama3", "local"),
        (Protocol.OPENAI, "gpt-5", "openai"),
        (Protocol.OPENAI, "claude-opus-4", "proxied"),
        (Protocol.ANTHROPIC, "", "anthropic"),
    ],
    ids=["first route", "no route", "other protocol", "default", "by translation", "no model"],
)
def test_the_first_matching_route_else_the_protocols_first_provider(protocol: Protocol, model: str, expected: str):
    routes = [
        RouteConfig("claude-opus-*", "proxied"),
        RouteConfig("claude-op*", "anthropic"),
        RouteConfig("llama*", "local"),
    ]
    plan = Router(PROVIDERS, routes, limits=LIMITS).plan(ENDPOINT[protocol], protocol, model)
    assert [choice.provider.name for choice in plan.choices] == [expected]


def test_no_provider_of_the_protocol():
    assert Router({"openai": OPENAI}, limits=LIMITS).plan(Endpoint.BATCHES, Protocol.ANTHROPIC, "") is None


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
