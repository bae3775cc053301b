"""Every metric and dimension there is: one registry for charts, rules, budgets, the API and the export.

A metric says what it is in one sentence and how it follows from the ledger's sums; the query layer does the rest.
Division by nothing has no value (null), never 0.
"""

from typing import Literal

from data.dimensions import BUDGET, CREDENTIAL, DIMENSIONS, LIMIT, Dimension, dimension
from data.errors import UnknownMetric
from data.metric import Kind, Metric
from data.names import unknown

__all__ = [
    "BUDGET_METRICS",
    "DIMENSIONS",
    "LIMIT_METRICS",
    "METRICS",
    "RULE_METRICS",
    "Dimension",
    "Kind",
    "Metric",
    "dimension",
    "dimensions_of",
    "metric",
]


_INPUT = ("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_TOKENS = (*_INPUT, "output_tokens")


def _sum(
    name: str, label: str, unit: str, definition: str, *of: str, better: Literal["lower", "higher"] | None = None
) -> Metric:
    return Metric(name, label, unit, definition, better, Kind.SUM, of)


def _ratio(
    name: str,
    label: str,
    unit: str,
    definition: str,
    *,
    of: tuple[str, ...],
    per: tuple[str, ...],
    better: Literal["lower", "higher"],
    scale: float = 1.0,
) -> Metric:
    return Metric(name, label, unit, definition, better, Kind.RATIO, of, per, scale)


def _quantile(name: str, label: str, of: str, percent: int, what: str) -> Metric:
    definition = f"{percent} % of {what} took at most this long (within 5 %)."
    return Metric(name, label, "ms", definition, "lower", Kind.QUANTILE, (of,), percent=percent)


METRICS: tuple[Metric, ...] = (
    _sum("requests", "Requests", "requests", "Attempts at a provider that ended.", "requests"),
    _sum(
        "errors",
        "Errors",
        "requests",
        "Requests that failed; one that its client broke off has not.",
        "errors",
        better="lower",
    ),
    _ratio(
        "error_rate",
        "Error rate",
        "percent",
        "Share of requests that failed.",
        of=("errors",),
        per=("requests",),
        better="lower",
        scale=100,
    ),
    _sum(
        "cost",
        "Cost",
        "usd",
        "What the priced requests cost; nothing where none has a price.",
        "cost_usd",
        better="lower",
    ),
    _ratio(
        "cost_per_request",
        "Cost per request",
        "usd",
        "Cost divided by requests.",
        of=("cost_usd",),
        per=("requests",),
        better="lower",
    ),
    _ratio(
        "cost_per_token",
        "Cost per token",
        "usd",
        "Cost divided by input and output tokens.",
        of=("cost_usd",),
        per=_TOKENS,
        better="lower",
    ),
    _ratio(
        "cost_per_1k_tokens",
        "Cost per 1,000 tokens",
        "usd",
        "Cost divided by thousands of input and output tokens.",
        of=("cost_usd",),
        per=_TOKENS,
        better="lower",
        scale=1000,
    ),
    Metric(
        "spend_rate",
        "Spend rate",
        "usd/h",
        "Cost an hour of the time asked about.",
        "lower",
        Kind.RATE,
        ("cost_usd",),
    ),
    _sum("input_tokens", "Input tokens", "tokens", "All input: uncached, read from and written to cache.", *_INPUT),
    _sum(
        "uncached_input_tokens",
        "Uncached input tokens",
        "tokens",
        "Input tokens neither read from nor written to cache.",
        "uncached_input_tokens",
    ),
    _sum("cache_read_tokens", "Cache read tokens", "tokens", "Input tokens read from cache.", "cache_read_tokens"),
    _sum(
        "cache_write_tokens",
        "Cache write tokens",
        "tokens",
        "Input tokens written to cache, for five minutes or one hour.",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
    ),
    _sum("output_tokens", "Output tokens", "tokens", "Generated tokens, reasoning included.", "output_tokens"),
    _sum("reasoning_tokens", "Reasoning tokens", "tokens", "Output tokens spent on reasoning.", "reasoning_tokens"),
    _sum("total_tokens", "Total tokens", "tokens", "Input and output tokens together.", *_TOKENS),
    _ratio(
        "cache_hit_rate",
        "Cache hit rate",
        "percent",
        "Share of input tokens that were read from cache.",
        of=("cache_read_tokens",),
        per=_INPUT,
        better="higher",
        scale=100,
    ),
    _ratio(
        "tokens_per_second",
        "Output speed",
        "tokens/s",
        "Output tokens a second of request time, the wait for the first one included.",
        of=("output_tokens",),
        per=("duration_ms",),
        better="higher",
        scale=1000,
    ),
    _quantile("latency_p50", "Latency p50", "durations", 50, "requests"),
    _quantile("latency_p95", "Latency p95", "durations", 95, "requests"),
    _quantile("latency_p99", "Latency p99", "durations", 99, "requests"),
    _ratio(
        "latency_avg",
        "Average latency",
        "ms",
        "Mean duration of requests, failed ones included.",
        of=("duration_ms",),
        per=("requests",),
        better="lower",
    ),
    _quantile("ttft_p50", "Time to first token p50", "ttfts", 50, "first tokens"),
    _quantile("ttft_p95", "Time to first token p95", "ttfts", 95, "first tokens"),
    Metric(
        "active_sessions",
        "Active sessions",
        "sessions",
        "Different sessions that made requests.",
        None,
        Kind.DISTINCT,
        ("session",),
    ),
    Metric("active_keys", "Active keys", "keys", "Different keys that made requests.", None, Kind.DISTINCT, ("key",)),
    _sum(
        "rate_limited",
        "Rate limited",
        "requests",
        "Requests refused because of a rate limit (status 429).",
        "rate_limited",
        better="lower",
    ),
    _sum(
        "unpriced_requests",
        "Unpriced requests",
        "requests",
        "Requests whose model has no known price; their cost is missing from every sum.",
        "unpriced",
        better="lower",
    ),
    _ratio(
        "fallback_rate",
        "Fallback rate",
        "percent",
        "Share of requests that were further attempts after a first one failed.",
        of=("fallbacks",),
        per=("requests",),
        better="lower",
        scale=100,
    ),
    _ratio(
        "estimated_share",
        "Estimated share",
        "percent",
        "Share of requests whose cost is partly estimated.",
        of=("estimated",),
        per=("requests",),
        better="lower",
        scale=100,
    ),
    Metric(
        "ledger_lag",
        "Ledger lag",
        "s",
        "Seconds from the last request in the ledger to the end of the time asked about.",
        "lower",
        Kind.AGE,
        ("ended_at",),
    ),
)


def _of_budget(name: str, label: str, unit: str, definition: str) -> Metric:
    return Metric(name, label, unit, definition, "lower", Kind.BUDGET, (), dimensions=(BUDGET.name,))


#: Metrics of budgets, for rules: their time is the budget's own, and they are split by nothing but the budget.
BUDGET_METRICS: tuple[Metric, ...] = (
    _of_budget("budget_used", "Budget used", "percent", "Share of the budget that its period has spent so far."),
    _of_budget(
        "budget_forecast",
        "Budget forecast",
        "percent",
        "Share of the budget that its period will have spent at its end, if it goes on like this.",
    ),
    _of_budget(
        "budget_burn",
        "Budget burn rate",
        "x",
        "Spending an hour of the time asked about, as a multiple of what would use the budget up in just its period.",
    ),
)

#: Metrics of providers' limits, as the headers of answers tell them: a reading counts until the limit's reset.
LIMIT_METRICS: tuple[Metric, ...] = (
    Metric(
        "provider_limit_used",
        "Provider limit used",
        "percent",
        "The most used at any time asked about of a provider's limit, as its answers say; of several the fullest.",
        "lower",
        Kind.LIMIT,
        (),
        dimensions=("provider", CREDENTIAL.name, LIMIT.name),
    ),
)

#: Every metric that a rule can watch.
RULE_METRICS: tuple[Metric, ...] = (*METRICS, *BUDGET_METRICS, *LIMIT_METRICS)
_METRICS = {m.name: m for m in RULE_METRICS}


def metric(name: str) -> Metric:
    """The metric of that name; raises UnknownMetric with the nearest names."""
    found = _METRICS.get(name)
    if found is None:
        raise UnknownMetric(unknown("metric", name, _METRICS))
    return found


def dimensions_of(of: Metric) -> tuple[Dimension, ...]:
    """What it can be split and filtered by: what it has of its own, or what requests have."""
    return tuple(dimension(name) for name in of.dimensions) or DIMENSIONS
