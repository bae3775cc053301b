"""Questions over ten million requests: `python -m tests.benchmarks.bench_query [ROWS] [--fresh]`.

Builds a store with ROWS requests (default 10 million) over 90 days in the system's temporary folder, once, then asks
through the Flight server everything the pages ask, a tick of 100 rule conditions, and 30 days of instants.
Targets: 100 ms a question, 10 ms a rule, 0.5 s for three conditions at 43,200 instants. Times are the median of five.
"""
# ruff: noqa: T201 - it prints its table

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data import rollups
from data.config import Config
from data.database import Database
from data.instants import instants
from data.migrations import migrate
from data.queries import ledger
from data.query import Grain, Question, answer, answers
from data.serving import RunningStore
from data.store import Store, connect

DAYS = 90
END = datetime(2026, 6, 1, 12, 34, 56, 789_000, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ROUNDS = 5

#: A day of requests: 25 keys of 5 teams, 12 models, busy office hours, log-normal latencies, one in 50 fails.
_DAY_OF_REQUESTS = """
CREATE OR REPLACE TEMP TABLE day AS
WITH drawn AS (
    SELECT i, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e, random() AS f,
        sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS g
    FROM range({rows}) r(i)
), placed AS (
    SELECT *, CAST(floor(25 * pow(a, 1.6)) AS INTEGER) AS k, CAST(floor(12 * pow(b, 2)) AS INTEGER) AS m,
        CASE WHEN f < 0.98 THEN 'ok' WHEN f < 0.995 THEN 'error' ELSE 'disconnected' END AS ended,
        TIMESTAMP '{day}' + to_microseconds(CAST(86400e6 * (0.7 * (0.375 + 0.4 * c) + 0.3 * d) AS BIGINT)) AS moment,
        600 * exp(1.1 * g) AS ttft
    FROM drawn
)
SELECT '{number}-' || i AS id, '{number}-' || i AS request_id, CASE WHEN e < 0.01 THEN 2 ELSE 1 END AS attempt,
    CASE WHEN e < 0.01 THEN 'retry' ELSE 'first' END AS cause, '' AS credential,
    moment - INTERVAL 5 SECOND AS started_at, moment AS ended_at, 'demo' AS source,
    'key-' || k AS "key", 'user-' || k AS "user", 'team-' || (k % 5) AS team,
    'project-' || ((k + (i % 2)) % 12) AS project,
    's-{number}-' || k || '-' || (i % 20) AS session, '' AS agent, 'claude-cli/2' AS user_agent,
    CASE WHEN m % 3 = 1 THEN 'openai' ELSE 'anthropic' END AS protocol,
    CASE WHEN m % 3 = 1 THEN 'chat_completions' ELSE 'messages' END AS endpoint,
    CASE WHEN m % 3 = 1 THEN 'openai' ELSE 'anthropic' END AS provider,
    'model-' || m AS model_requested, 'model-' || m AS model, e < 0.85 AS stream, ended AS outcome,
    CASE ended WHEN 'ok' THEN 200 WHEN 'error' THEN CASE WHEN e < 0.5 THEN 429 ELSE 529 END ELSE 0 END AS status,
    '' AS error_class, '' AS error_message, 'end_turn' AS stop_reason, '' AS provider_request_id,
    CAST(2000 * c AS BIGINT) AS uncached_input_tokens, CAST(40000 * d AS BIGINT) AS cache_read_tokens,
    CAST(3000 * e AS BIGINT) AS cache_write_5m_tokens, 0 AS cache_write_1h_tokens,
    CAST(800 * b AS BIGINT) AS output_tokens, 0 AS reasoning_tokens, 0 AS tool_units,
    CAST(0.05 * c AS DECIMAL(18, 9)) AS cost_usd, CASE WHEN f < 0.99 THEN 'exact' ELSE 'estimated' END AS cost_status,
    '' AS cost_note, 'genai-prices' AS price_source, '' AS service_tier, '' AS inference_geo, '' AS speed,
    CASE WHEN e < 0.85 THEN ttft END AS ttft_ms, ttft * (2 + 8 * b) AS duration_ms, 1.5 AS overhead_ms,
    4000 AS request_bytes, 9000 AS response_bytes,
    CASE WHEN i % 3 = 0 THEN '{{"branch":"b' || (k % 7) || '"}}' ELSE '{{}}' END AS tags, '' AS usage
FROM placed WHERE moment < TIMESTAMP '{end}' ORDER BY moment
"""


def build(home: Path, rows: int) -> None:
    """Fill a store's file, a day at a time, as batches would."""
    config = Config(home=home)
    home.mkdir(parents=True)
    database = Database(config.database, config.store)
    migrate(database, END)
    for number in range(DAYS + 1):
        day = (END - timedelta(days=DAYS - number)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        text = _DAY_OF_REQUESTS.format(rows=rows // DAYS, day=day, number=number, end=END.replace(tzinfo=None))
        with database.writing() as cursor:
            cursor.execute(text)
            cursor.execute("INSERT INTO requests BY NAME SELECT * FROM day")
            rollups.append(cursor, "day")
        if number % 10 == 0:
            database.checkpoint()
    database.checkpoint()
    database.close()


def pages(now: datetime) -> dict[str, Callable[[Store], object]]:
    """What the pages and the API ask, by name."""
    card = ("cost", "requests", "total_tokens", "error_rate", "latency_p95", "cache_hit_rate")

    def asked(metrics: tuple[str, ...], span: timedelta, **more: object) -> Callable[[Store], object]:
        question = Question(metrics, now - span, now, **more)  # type: ignore[arg-type]
        return lambda store: answer(store, question)

    berlin = {"tz": "Europe/Berlin"}
    month = 30 * DAY
    return {
        "cards, 24 h": asked(card, DAY),
        "cards, 7 d": asked(card, 7 * DAY),
        "cards, 90 d": asked(card, 90 * DAY),
        "sparks, 24 h by 15 minutes": asked(card, DAY, grain=Grain.QUARTER),
        "sparks, 30 d by day, Berlin": asked(card, month, grain=Grain.DAY, **berlin),
        "cost by model, 24 h by minute": asked(("cost",), DAY, by=("model",), grain=Grain.MINUTE),
        "cost by model, 7 d by hour": asked(("cost",), 7 * DAY, by=("model",), grain=Grain.HOUR, **berlin),
        "cost by model, 90 d by day, Berlin": asked(("cost",), 90 * DAY, by=("model",), grain=Grain.DAY, **berlin),
        "cost by key, 30 d by day, Kolkata": asked(("cost",), month, by=("key",), grain=Grain.DAY, tz="Asia/Kolkata"),
        "latency by model, 7 d by hour": asked(
            ("latency_p50", "latency_p95", "ttft_p95"), 7 * DAY, by=("model",), grain=Grain.HOUR
        ),
        "latency, 90 d by day": asked(("latency_p50", "latency_p95", "latency_p99"), 90 * DAY, grain=Grain.DAY),
        "top 10 keys, 30 d": asked(("cost", "requests", "latency_p95"), month, by=("key",), order_by="cost", limit=10),
        "top 10 sessions, 24 h": asked(("cost", "requests"), DAY, by=("session",), order_by="cost", limit=10),
        "top 10 sessions, 30 d": asked(("cost", "requests"), month, by=("session",), order_by="cost", limit=10),
        "by tag, 7 d by day": asked(("cost", "requests"), 7 * DAY, by=("tag:branch",), grain=Grain.DAY),
        "status by model, 30 d": asked(("requests", "error_rate"), month, by=("status", "model")),
        "one key, 30 d by hour": asked(
            ("cost", "requests", "error_rate"), month, grain=Grain.HOUR, where={"key": ("key-3",)}
        ),
        "active keys and sessions, 24 h": asked(("active_keys", "active_sessions"), DAY),
        "active sessions, 30 d by day": asked(("active_sessions",), month, grain=Grain.DAY),
        "recent": lambda store: ledger.recent(store, 100),
        "recent, failed": lambda store: ledger.recent(store, 100, where={"outcome": ("error",)}),
        "one request": lambda store: ledger.request(store, "45-100"),
        "sessions, 24 h": lambda store: ledger.sessions(store, now - DAY, now),
        "values of model, 7 d": lambda store: ledger.values(store, "model", now - 7 * DAY, now),
        "extent": ledger.extent,
    }


def conditions(now: datetime) -> list[Question]:
    """A tick of 100 rule conditions: every metric family, five windows, scopes of their own, some grouped."""
    metrics = ("cost", "error_rate", "latency_p95", "requests", "cache_hit_rate", "ttft_p95", "output_tokens", "errors")
    windows = (5 * MINUTE, 15 * MINUTE, HOUR, DAY, 7 * DAY)
    asked = []
    for number in range(100):
        window = windows[number % len(windows)]
        where = {"key": (f"key-{number % 25}",)} if number % 2 else {"model": (f"model-{number % 12}",)}
        by = ("model",) if number % 5 == 0 else ()
        asked.append(Question((metrics[number % len(metrics)],), now - window, now, by=by, where=where))
    return asked


def history(store: Store, now: datetime) -> None:
    """Three conditions of one rule, at every minute of 30 days."""
    start, end = now - 30 * DAY, now
    for metric, window in (("cost", DAY), ("error_rate", 5 * MINUTE), ("latency_p95", 5 * MINUTE)):
        instants(store, metric=metric, window=window, start=start, end=end, step=MINUTE)


def settle() -> None:
    """Wait until the store, which looks for rollups to merge when it starts, has nothing left to do."""
    until = time.monotonic() + 300
    busy = 1.0
    while busy > 0.1 and time.monotonic() < until:
        before = time.process_time()
        time.sleep(1)
        busy = time.process_time() - before


def median_ms(act: Callable[[], object]) -> float:
    """The median of some runs, after one that warms up."""
    act()
    taken = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        act()
        taken.append((time.perf_counter() - before) * 1000)
    return statistics.median(taken)


def main(rows: int = 10_000_000, *, fresh: bool = False) -> None:
    """Build, ask, print."""
    home = Path(tempfile.gettempdir()) / f"bench-query-{rows}"
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    if not home.exists():
        before = time.perf_counter()
        unfinished = home.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        build(unfinished, rows)
        unfinished.rename(home)
        print(f"built {rows:,} requests in {time.perf_counter() - before:.0f} s")
    config = Config(home=home)
    running = RunningStore(config)
    store = connect(config)
    settle()
    try:
        for name, ask in pages(END).items():
            print(f"{name:40} {median_ms(lambda ask=ask: ask(store)):9.1f} ms")  # type: ignore[misc]
        asked = conditions(END)
        print(f"{'100 rule conditions, each':40} {median_ms(lambda: answers(store, asked)) / len(asked):9.1f} ms")
        minute = END.replace(second=0, microsecond=0)
        print(f"{'30 days of minutes, 3 conditions':40} {median_ms(lambda: history(store, minute)):9.1f} ms")
    finally:
        store.close()
        running.stop()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    main(*numbers, fresh="--fresh" in sys.argv)
