"""The app on a store of its own: empty, or with a week of requests in it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, Protocol
from data.queries.limits import LimitRow, keeping
from data.records import record_table
from data.store import Statement

MAIN = Path(__file__).parents[2] / "app" / "main.py"
MODELS = (("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-opus-4-5"), ("openai", "gpt-5"))


def requests(now: datetime, *, hours: int = 15 * 24) -> list[LedgerRecord]:
    """Two requests an hour, oldest first; every tenth fails, every seventh has no key."""
    return [
        _request(number, now - timedelta(hours=hours) + timedelta(minutes=30 * number)) for number in range(2 * hours)
    ]


def _request(number: int, ended: datetime) -> LedgerRecord:
    provider, model = MODELS[number % 3]
    at, failed = int(ended.timestamp() * 1_000_000), number % 10 == 0
    return LedgerRecord(
        id=f"id-{number}",
        request_id=f"request-{number}",
        started_at=at - 2_000_000,
        ended_at=at,
        key="" if number % 7 == 0 else f"key-{number % 4}",
        project=["checkout", "=cmd()", "<b>docs</b>"][number % 3],
        team="search" if number % 2 else "growth",
        protocol=Protocol.ANTHROPIC if provider == "anthropic" else Protocol.OPENAI,
        endpoint=Endpoint.MESSAGES,
        provider=provider,
        model=model,
        outcome=Outcome.ERROR if failed else Outcome.OK,
        status=529 if failed else 200,
        uncached_input_tokens=1_000,
        cache_read_tokens=3_000,
        output_tokens=500,
        cost_usd=Decimal("0.25"),
        cost_status=CostStatus.EXACT,
        ttft_ms=300.0,
        duration_ms=2_000.0,
    )


@pytest.fixture
def full(store) -> None:
    """Requests in the store, up to just now."""
    records = requests(datetime.now(UTC))
    store.put(record_table(records), spool_id="s", first=0, last=len(records) - 1)


def limits(now: datetime) -> Statement:
    """Readings of three limits of two providers, the last an hour ago; each counts for another two hours."""
    places = [("anthropic", "main", "tokens", 80), ("anthropic", "main", "requests", 20), ("openai", "", "tokens", 40)]
    at = (now - timedelta(hours=1)).replace(second=0, microsecond=0)
    rest = {"minute": at, "at": at, "reset_at": at + timedelta(hours=2), "remaining": 1.0, "most": 5.0}
    return keeping(
        [
            LimitRow(proxy="p", provider=provider, credential=credential, limit=limit, used_percent=used, **rest)
            for provider, credential, limit, used in places
        ]
    )


@pytest.fixture
def app(running, config, monkeypatch) -> Iterator[Callable[..., AppTest]]:
    """Opens the app on the running store, on a page's file, with query parameters."""
    monkeypatch.setenv("CLAUDE_PROXY_HOME", str(config.home))
    monkeypatch.setenv("CLAUDE_PROXY_PROXY_PORT", "1")  # nothing answers there
    monkeypatch.setenv("CLAUDE_PROXY_WORKER_PORT", "2")

    def opened(page: str = "overview", **params: str | list[str]) -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=30).run()
        for name, value in params.items():
            test.query_params[name] = value
        return test.switch_page(f"../pages/{page}.py").run()

    yield opened
    st.cache_resource.clear()
