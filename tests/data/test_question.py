from datetime import UTC, datetime, timedelta, timezone

import pytest

from data.query import Grain, Question, sentence

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Cost, from 1 Nov 2026 to 7 Nov 2026 (UTC)."),
        ({"end": START + timedelta(days=1)}, "Cost, on 1 Nov 2026 (UTC)."),
        (
            {"metrics": ("cost", "requests", "ttft_p95"), "by": ("model",), "grain": Grain.DAY},
            "Cost, requests and time to first token p95 by model each day, from 1 Nov 2026 to 7 Nov 2026 (UTC).",
        ),
        (
            {"by": ("key", "tag:branch"), "order_by": "error_rate", "limit": 10},
            "Cost by key and tag branch, from 1 Nov 2026 to 7 Nov 2026 (UTC); the 10 largest by error rate.",
        ),
        ({"by": ("key",), "limit": 3}, "Cost by key, from 1 Nov 2026 to 7 Nov 2026 (UTC); the 3 largest by cost."),
        (
            {"by": ("key",), "order_by": "requests"},
            "Cost by key, from 1 Nov 2026 to 7 Nov 2026 (UTC); largest requests first.",
        ),
        (
            {"tz": "Europe/Berlin", "grain": Grain.QUARTER},
            "Cost every 15 minutes, from 1 Nov 2026 01:00 to 8 Nov 2026 01:00 (Europe/Berlin).",
        ),
        (
            {"end": START + timedelta(seconds=90)},
            "Cost, from 1 Nov 2026 00:00 to 1 Nov 2026 00:01:30 (UTC).",
        ),
        (
            {"where": {"provider": ("anthropic", "openai"), "user": ("",)}},
            "Cost, from 1 Nov 2026 to 7 Nov 2026 (UTC), where provider is anthropic or openai and user is unknown.",
        ),
        ({"where": {"key": ()}}, "Cost, from 1 Nov 2026 to 7 Nov 2026 (UTC), where key is nothing."),
        (
            {"start": START.astimezone(timezone(timedelta(hours=5)))},
            "Cost, from 1 Nov 2026 to 7 Nov 2026 (UTC).",
        ),
    ],
    ids=str,
)
def test_a_question_reads_as_a_sentence(changes, words):
    assert sentence(Question(**({"metrics": ("cost",), "start": START, "end": END} | changes))) == words
