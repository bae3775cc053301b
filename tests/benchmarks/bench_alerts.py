"""The alert engine over ten million requests: `python -m tests.benchmarks.bench_alerts [ROWS]`.

Uses the store that `bench_query` builds, in a copy. A process of its own is the worker's part (`ticks`): it evaluates
1,000 rules of three conditions each, half of them grouped by 20 keys, again and again, and says how long a tick took
and how much memory it had at most. Then a rule of three conditions is replayed over 30 days at every minute, and two
grouped by 20 keys over 90 days: one that is quiet, and one that flaps, whose every transition costs time. Targets: 2 s
a tick, 300 MB, 0.5 s, 3 s.
"""
# ruff: noqa: T201 - it prints its table

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from data.config import Config
from data.serving import RunningStore
from data.store import connect
from engine import rules
from engine.ledger import simulate
from engine.rule import Rule, parse
from tests.benchmarks.bench_query import END, ROUNDS, build, settle

RULES, GROUPS = 1000, 20
NOW = END.replace(second=0, microsecond=0)
_METRICS = ("cost", "error_rate", "latency_p95", "requests", "cache_hit_rate", "ttft_p95", "output_tokens", "errors")
_WINDOWS = ("5m", "15m", "1h", "1d", "7d")


def document(number: int) -> dict[str, Any]:
    """A rule of three conditions with scopes and windows of its own; every second one is grouped."""
    conditions = [
        {
            "metric": _METRICS[(number + place) % len(_METRICS)],
            "window": _WINDOWS[(number // 3 + place) % len(_WINDOWS)],
            "op": ">",
            "value": 10 + number % 50,
            **({"where": {"model": f"model-{number % 12}"}} if place == 2 else {}),
        }
        for place in range(3)
    ]
    keys = [f"key-{key}" for key in range(GROUPS)]
    scope = {"key": keys} if number % 2 else {"team": f"team-{number % 5}"}
    grouped = {"group_by": ["key"]} if number % 2 else {}
    return {"name": f"rule {number}", "where": scope, "when": {"any": conditions}, "for": "5m", **grouped}


def simulations(store: Any) -> None:
    """Replays of one rule: over a month, and by key over 90 days, of one that is quiet and one that flaps."""
    three = [("cost", "1d", 500), ("error_rate", "5m", 10), ("latency_p95", "5m", 8000)]
    plain = _replayed("plain", "all", three, {"for": "5m", "notify": ["mail"]})
    by_key = {"where": {"key": [f"key-{key}" for key in range(GROUPS)]}, "group_by": ["key"]}
    slow = [("cost", "1d", 500), ("error_rate", "1h", 10), ("latency_p95", "1h", 30_000)]
    calm = _replayed("calm", "all", slow, {"for": "5m", **by_key})
    noisy = _replayed("noisy", "any", three, by_key)
    for name, rule, days, aim in (
        ("30 days, 3 conditions", plain, 30, "   (aim: 500)"),
        ("90 days, 20 groups", calm, 90, "   (aim: 3,000)"),
        ("90 days, 20 groups that flap", noisy, 90, ""),
    ):
        taken = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            moved = len(simulate(store, rule, NOW - timedelta(days=days), NOW).transitions)
            taken.append((time.perf_counter() - begun) * 1000)
        print(f"{'simulated: ' + name:40} {statistics.median(taken):9.0f} ms{aim}   {moved:,} transitions")


def _replayed(name: str, how: str, conditions: Sequence[tuple[str, str, float]], more: dict[str, Any]) -> Rule:
    placed = [{"metric": m, "window": window, "op": ">", "value": value} for m, window, value in conditions]
    return parse({"name": name, "when": {how: placed}, **more})


def main(rows: int = 10_000_000) -> None:
    """Build, evaluate, simulate, print."""
    built = Path(tempfile.gettempdir()) / f"bench-query-{rows}"
    if not built.exists():
        unfinished = built.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        build(unfinished, rows)
        unfinished.rename(built)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(built, home, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
        running = RunningStore(Config(home=home))
        store = connect(Config(home=home))
        try:
            for number in range(RULES):
                rules.save(store, document(number), by="bench")
            settle()
            simulations(store)
            command = [sys.executable, "-m", "tests.benchmarks.ticks", str(home), NOW.isoformat(), str(ROUNDS)]
            subprocess.run(command, check=True)
        finally:
            store.close()
            running.stop()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
