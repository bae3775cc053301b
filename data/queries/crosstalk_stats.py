"""What conversations of models came to. Tokens, costs and calls are the ledger's, by the conversations' ids."""

from datetime import datetime
from typing import Any, Final

from data.crosstalk import Status
from data.protocol import naive_utc
from data.queries.crosstalk import CrosstalkStore

_BEGUN: Final = "s.created_at >= ? AND s.created_at < ?"
_CALLS: Final = f"""
SELECT r.model, count(*) AS requests,
    CAST(sum(r.uncached_input_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens)
        AS BIGINT) AS input_tokens,
    CAST(sum(r.output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(r.cost_usd) AS DECIMAL(38, 9)) AS cost_usd,
    count(*) - count(r.cost_usd) AS unpriced_requests,
    avg(r.duration_ms) AS mean_duration_ms
FROM requests r JOIN crosstalk_sessions s ON s.id = r.session
WHERE {_BEGUN} AND r.started_at >= ?
GROUP BY r.model ORDER BY requests DESC, r.model"""
_SUMMED: Final = ("requests", "input_tokens", "output_tokens", "unpriced_requests")


def stats(store: CrosstalkStore, start: datetime, end: datetime) -> dict[str, Any]:
    """Conversations that began in [start, end).

    `running` (of all, whenever they began), `sessions` (by status), `messages`, `mean_turns` (of those that have ended)
    and `mean_turn_ms`, None without any; `requests`, `unpriced_requests`, `input_tokens`, `output_tokens`, `cost_usd`
    (None where nothing is priced), and the same for each of `models`, the one with the most requests first, with
    `mean_duration_ms`.
    """
    span = [naive_utc(start), naive_utc(end)]
    (now,) = store.rows(f"SELECT count(*) AS n FROM crosstalk_sessions WHERE status = '{Status.RUNNING}'")
    counted = store.rows(f"SELECT status, count(*) AS n FROM crosstalk_sessions s WHERE {_BEGUN} GROUP BY status", span)
    (turns,) = store.rows(
        f"SELECT avg(turns) AS mean FROM crosstalk_sessions s WHERE status <> '{Status.RUNNING}' AND {_BEGUN}", span
    )
    (said,) = store.rows(
        "SELECT count(*) AS n, avg(m.duration_ms) AS mean FROM crosstalk_messages m "
        f"JOIN crosstalk_sessions s ON s.id = m.session WHERE {_BEGUN}",
        span,
    )
    models = store.rows(_CALLS, [*span, span[0]])
    return {
        "running": now["n"],
        "sessions": {**dict.fromkeys(map(str, Status), 0), **{row["status"]: row["n"] for row in counted}},
        "messages": said["n"],
        "mean_turns": turns["mean"],
        "mean_turn_ms": said["mean"],
        **{name: sum(row[name] for row in models) for name in _SUMMED},
        "cost_usd": _sum_of_known(models),
        "models": models,
    }


def _sum_of_known(models: list[dict[str, Any]]) -> Any:
    known = [row["cost_usd"] for row in models if row["cost_usd"] is not None]
    return sum(known) if known else None
