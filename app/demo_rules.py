"""The rules of the made-up team, so that a demo has something that watches and something that fires."""

from typing import Any

from data.store import Store
from engine import rules

RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "A model spends too much",
        "severity": "high",
        "when": {
            "all": [
                {"metric": "cost", "window": "1d", "op": ">", "value": 4},
                {"metric": "requests", "window": "1d", "op": ">", "value": 20},
            ]
        },
        "group_by": ["model"],
        "cooldown": "4h",
        "notify": ["in-app"],
    },
    {
        "name": "Errors or slow answers",
        "severity": "critical",
        "when": {
            "all": [
                {"metric": "requests", "window": "15m", "op": ">=", "value": 30},
                {
                    "any": [
                        {"metric": "error_rate", "window": "15m", "op": ">", "value": 15, "recovery": 10},
                        {"metric": "latency_p95", "window": "15m", "op": ">", "value": 60000},
                    ]
                },
            ]
        },
        "for": "5m",
        "notify": ["in-app"],
    },
    {
        "name": "A model without a known price",
        "severity": "low",
        "when": {"all": [{"metric": "unpriced_requests", "window": "1d", "op": ">", "value": 0}]},
        "group_by": ["model"],
        "every": "5m",
        "notify": ["in-app"],
    },
)


def add(store: Store) -> int:
    """Save the rules, unless there are rules already; how many were saved."""
    if rules.every(store):
        return 0
    for document in RULES:
        rules.save(store, document, by="demo")
    return len(RULES)
