"""Which provider serves what."""

import pytest

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from data.route_config import RouteConfig, TargetConfig, TiersConfig
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


def places(router: Router, model: str, protocol: Protocol = Protocol.ANTHROPIC, **asked) -> list[tuple[str, str]]:
    plan = router.plan(ENDPOINT[protocol], protocol, model, **asked)
    return [] if plan is None else [(choice.provider.name, choice.model) for choice in plan.choices]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fast", [("anthropic", "claude-haiku-4-5")]),
        ("faster", [("anthropic", "claude-haiku-4-5")]),
        ("there", [("local", "llama3")]),
        ("routed", [("proxied", "claude-x-1")]),
        ("claude-opus-4-5", [("openai", "gpt-5")]),
        ("big", [("openai", "gpt-5")]),
        ("claude-sonnet-5", [("proxied", "claude-x-9")]),
        ("claude-haiku-4-5", [("anthropic", "")]),
        ("openai/gpt-5", [("anthropic", "")]),
    ],
    ids=[
        "alias",
        "alias of an alias",
        "alias with a provider",
        "alias that a route matches",
        "tier with a provider",
        "a tier's own name",
        "tier that a route matches",
        "no tier is set",
        "a client's own slash names no provider",
    ],
)
def test_what_a_name_stands_for(model: str, expected: list[tuple[str, str]]):
    router = Router(
        PROVIDERS,
        [RouteConfig("claude-x-*", "proxied")],
        limits=LIMITS,
        aliases={
            "fast": "claude-haiku-4-5",
            "faster": "fast",
            "there": "local/llama3",
            "routed": "claude-x-1",
        },
        tiers=TiersConfig(big="openai/gpt-5", middle="claude-x-9"),
    )
    assert places(router, model) == expected


def test_a_keys_own_routes_come_before_all_others():
    own = (RouteConfig("claude-opus-*", "anthropic", send_model="claude-opus-4-1"),)
    router = Router(PROVIDERS, [RouteConfig("claude-*", "proxied")], limits=LIMITS)
    assert places(router, "claude-opus-4-5") == [("proxied", "")]
    assert places(router, "claude-opus-4-5", own=own) == [("anthropic", "claude-opus-4-1")]
    assert places(router, "claude-haiku-4-5", own=own) == [("proxied", "")]


def test_a_provider_that_the_path_names_is_the_only_one():
    router = Router(PROVIDERS, [RouteConfig("*", "proxied")], limits=LIMITS)
    assert places(router, "claude-opus-4-5", named="anthropic") == [("anthropic", "")]
    assert places(router, "claude-opus-4-5", named="openai") == []


def test_a_target_that_cannot_serve_the_endpoint_is_left_out():
    targets = (TargetConfig("openai"), TargetConfig("proxied"))
    router = Router(PROVIDERS, [RouteConfig("*", targets=targets)], limits=LIMITS)
    plan = router.plan(Endpoint.BATCHES, Protocol.ANTHROPIC, "")
    assert [choice.provider.name for choice in plan.choices] == ["proxied"]


def test_a_providers_own_limits_win():
    slow = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="slow", first_byte_timeout_s=99)
    plan = Router({"slow": slow}, limits=LIMITS).plan(Endpoint.MESSAGES, Protocol.ANTHROPIC, "m")
    assert (plan.choices[0].limits.first_byte_s, plan.choices[0].limits.idle_s) == (99, LIMITS.idle_s)


def test_the_same_plan_is_made_once():
    router = Router(PROVIDERS, limits=LIMITS)
    first = router.plan(Endpoint.MESSAGES, Protocol.ANTHROPIC, "m", "", ())
    assert router.plan(Endpoint.MESSAGES, Protocol.ANTHROPIC, "m", "", ()) is first
