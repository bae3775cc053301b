"""What the rollups sum, as SQL over rows of `requests`: for whoever writes them, and for whoever asks the rows."""

from data.model import CostStatus, Outcome

#: Outcomes that count as an error; a client that hung up is none.
ERROR_OUTCOMES = (Outcome.ERROR, Outcome.PARTIAL, Outcome.TIMEOUT, Outcome.INTERRUPTED)
_ERRORS = ", ".join(f"'{outcome}'" for outcome in ERROR_OUTCOMES)

#: What each measure of ROLLUP_MEASURES is over rows of `requests`; a column of the same name is summed.
MEASURE_SQL: dict[str, str] = {
    "requests": "count(*)",
    "errors": f"count_if(outcome IN ({_ERRORS}))",
    "rate_limited": "count_if(status = 429)",
    "fallbacks": "count_if(attempt > 1)",
    "unpriced": f"count_if(cost_status = '{CostStatus.UNPRICED}')",
    "estimated": f"count_if(cost_status = '{CostStatus.ESTIMATED}')",
    "cost_usd": "coalesce(sum(cost_usd), 0)",
    "ttft_ms": "coalesce(sum(ttft_ms), 0)",
    "ttft_requests": "count(ttft_ms)",
}
