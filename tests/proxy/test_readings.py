"""What Prometheus is told besides counts."""

import pytest

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from proxy import genai, metrics
from proxy.metrics import Metrics
from proxy.readings import MAX_SERIES, BudgetUse, Readings
from tests.proxy.test_live import record

FOUR = {name: lambda: 0.0 for name in ("in_flight", "spool_bytes", "spool_records", "store_up")}


def text(**more: object) -> str:
    return Metrics(Readings(**{**FOUR, **more})).text().decode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("anthropic", "", "anthropic"),
        ("claude", "https://api.anthropic.com", "anthropic"),
        ("main", "https://api.openai.com/v1", "openai"),
        ("g", "https://generativelanguage.googleapis.com", "gcp.gemini"),
        ("Google", "http://127.0.0.1:1", "gcp.gemini"),
        ("openrouter", "https://openrouter.ai/api", "openrouter"),
    ],
)
def test_providers_have_the_conventions_names(name: str, url: str, expected: str):
    assert genai.provider_name(name, url) == expected


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [
        (Endpoint.MESSAGES, "chat"),
        (Endpoint.RESPONSES, "chat"),
        (Endpoint.BATCH_RESULT, "chat"),
        (Endpoint.EMBEDDINGS, "embeddings"),
        (Endpoint.GENERATE_CONTENT, "generate_content"),
        (Endpoint.COUNT_TOKENS, "count_tokens"),
    ],
)
def test_operations_have_the_conventions_names(endpoint: Endpoint, operation: str):
    assert genai.operation_name(endpoint) == operation


def test_circuits_are_shown_by_place_and_counted_by_state():
    circuits = {
        ("a", "m", "one"): {"state": "open"},
        ("a", "n", "one"): {"state": "half_open"},
        ("b", "m", ""): {"state": "closed"},
    }
    shown = text(circuits=lambda: circuits)
    assert 'claude_proxy_breaker_state{credential="one",model="m",provider="a"} 2.0' in shown
    assert 'claude_proxy_breaker_state{credential="one",model="n",provider="a"} 1.0' in shown
    assert 'claude_proxy_breaker_state{credential="",model="m",provider="b"} 0.0' in shown
    assert 'claude_proxy_breaker_circuits{provider="a",state="open"} 1.0' in shown


def test_circuits_without_number_do_not_become_series_without_number():
    shown = text(circuits=lambda: {("a", f"m{n}", ""): {"state": "open"} for n in range(MAX_SERIES + 100)})
    assert shown.count("claude_proxy_breaker_state{") == MAX_SERIES
    assert f'claude_proxy_breaker_circuits{{provider="a",state="open"}} {MAX_SERIES + 100:.1f}' in shown


def test_budgets_refusals_and_listeners():
    counting = Metrics(
        Readings(
            **FOUR,  # type: ignore[arg-type]
            listeners=lambda: 3.0,
            dropped_listeners=lambda: 2.0,
            budgets=lambda: [BudgetUse("team-a", 12.5, 100.0)],
        )
    )
    for _ in range(2):
        counting.refused("key_expired")
    shown = counting.text().decode()
    assert 'claude_proxy_budget_used_usd{budget="team-a"} 12.5' in shown
    assert 'claude_proxy_budget_limit_usd{budget="team-a"} 100.0' in shown
    assert 'claude_proxy_refusals_total{code="key_expired"} 2.0' in shown
    assert "claude_proxy_live_listeners 3.0" in shown
    assert "claude_proxy_live_listeners_dropped_total 2.0" in shown


def test_of_several_proxies_each_says_whose_its_series_are():
    counting = Metrics(Readings(**FOUR), process="0a1b2c3d")  # type: ignore[arg-type]
    counting.count(record(1))
    lines = [line for line in counting.text().decode().splitlines() if not line.startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if 'process="0a1b2c3d"' not in line] == []


def test_kinds_of_calls_are_bounded_and_what_is_beyond_still_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "MAX_KINDS", 10)
    counting = Metrics(Readings(**FOUR))  # type: ignore[arg-type]
    for number in range(30):
        counting.count(record(number, model=f"m{number}", model_requested=f"m{number}"))
    shown = counting.text().decode()
    counts = [line for line in shown.splitlines() if line.startswith("gen_ai_client_operation_duration_count{")]
    assert len(counts) == 11
    assert sum(float(line.rpartition(" ")[2]) for line in counts) == 30
    assert 'gen_ai_response_model="other"' in shown


def test_the_configured_address_names_the_provider():
    providers = {"main": ProviderConfig(Protocol.ANTHROPIC, "https://api.anthropic.com", name="main")}
    counting = Metrics(
        Readings(**FOUR),  # type: ignore[arg-type]
        lambda name: genai.provider_name(name, providers[name].base_url),
    )
    counting.count(record(1, provider="main"))
    shown = counting.text().decode()
    assert 'gen_ai_provider_name="anthropic"' in shown
    assert 'claude_proxy_requests_total{endpoint="messages",outcome="ok",provider="main",status="0"} 1.0' in shown
