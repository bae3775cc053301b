"""Prometheus metrics: OpenTelemetry's GenAI names with their buckets, and the proxy's own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from data.model import LedgerRecord
from proxy import genai
from proxy.readings import Readings, ReadingsCollector
from proxy.tally import Count, Series, Tallies, Tally

TOKEN_BUCKETS = tuple(float(4**power) for power in range(14))
DURATION_BUCKETS = tuple(0.01 * 2**power for power in range(14))
TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OVERHEAD_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0)
#: Clients name models, so their number must be bounded; what is beyond counts as "other".
MAX_MODELS = 500
#: Kinds of calls that are told apart by models and errors: of pairs of models there could be very many.
MAX_KINDS = 2000
#: Providers name errors, and what stands in a batch's results may be any status.
MAX_ERRORS = 50
MAX_STATUSES = 100
_OTHER = "other"
_CALL = ("provider", "endpoint", "outcome", "status")
_MODEL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")


#: provider, endpoint, model asked for, model that answered, outcome, status, error class
_Kind = tuple[str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class _Children:
    """The time series of one kind of call."""

    requests: Count
    duration: Tally
    ttft: Tally
    input: Tally
    output: Tally
    cost: Count
    unpriced: Count


class Labelled(Collector):
    """The series of a registry with more labels."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._registry, self._labels = registry, labels

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        for metric in self._registry.collect():
            metric.samples = [sample._replace(labels={**sample.labels, **self._labels}) for sample in metric.samples]
            yield metric


class Metrics:
    """The proxy's registry. Counting a call touches prepared time series only.

    `provider_name` gives OpenTelemetry's name of a configured provider. `process` tells proxies on one socket apart, of
    which any may be the one that is asked; '' where there is one alone.
    """

    def __init__(
        self, readings: Readings, provider_name: Callable[[str], str] = genai.provider_name, *, process: str = ""
    ) -> None:
        self.registry = CollectorRegistry()
        self._shown = Labelled(self.registry, {"process": process}) if process else self.registry
        self._provider_name = provider_name
        self._children: dict[_Kind, _Children] = {}
        self._models: set[str] = set()
        self._errors: set[str] = set()
        self._codes: set[str] = set()
        self._statuses: set[str] = set()
        self._refusals = _counts("claude_proxy_refusals", "Calls refused by the proxy itself", "code")
        self._requests = _counts("claude_proxy_requests", "Calls that ended", *_CALL)
        self._cost = _counts("claude_proxy_cost_usd", "Money spent, US dollars", "provider", "model")
        self._unpriced = _counts("claude_proxy_unpriced", "Calls without a known price", "provider", "model")
        self._tokens = _tallies(
            "gen_ai_client_token_usage", "Tokens a call", TOKEN_BUCKETS, *_MODEL, "gen_ai_token_type"
        )
        self._duration = _tallies(
            "gen_ai_client_operation_duration", "Seconds a call took", DURATION_BUCKETS, *_MODEL, "error_type"
        )
        self._ttft = _tallies(
            "gen_ai_server_time_to_first_token", "Seconds to the first output of a stream", TTFT_BUCKETS, *_MODEL
        )
        overheads = _tallies("claude_proxy_overhead_seconds", "Seconds the proxy itself added", OVERHEAD_BUCKETS)
        self._overhead = overheads.at()
        self.registry.register(
            Tallies((self._requests, self._cost, self._unpriced, self._refusals), (*self.genai, overheads))
        )
        self.registry.register(ReadingsCollector(readings))

    @property
    def genai(self) -> tuple[Series[Tally], ...]:
        """The histograms of OpenTelemetry's GenAI convention."""
        return (self._tokens, self._duration, self._ttft)

    def count(self, record: LedgerRecord) -> None:
        """Count one ended call."""
        key = (
            record.provider,
            record.endpoint,
            _bounded(self._models, record.model_requested, MAX_MODELS),
            _bounded(self._models, record.model, MAX_MODELS),
            record.outcome,
            _bounded(self._statuses, str(record.status), MAX_STATUSES),
            _bounded(self._errors, record.error_class, MAX_ERRORS) if record.error_class else "",
        )
        children = self._children.get(key)
        if children is None:
            children = self._new(key)
        children.requests.add(1)
        if record.duration_ms:  # how long a result of a batch took, nobody knows
            children.duration.observe(record.duration_ms / 1000)
            self._overhead.observe(record.overhead_ms / 1000)
        if record.ttft_ms is not None:
            children.ttft.observe(record.ttft_ms / 1000)
        _count_tokens(children, record)
        if record.cost_usd is None:
            children.unpriced.add(1)
        else:
            children.cost.add(float(record.cost_usd))

    def refused(self, code: str) -> None:
        """Count a call that the proxy itself refused; `code` says why (the header `x-claude-proxy-error`)."""
        self._refusals.at(_bounded(self._codes, code, MAX_ERRORS)).add(1)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._shown)

    def _new(self, key: _Kind) -> _Children:
        if len(self._children) >= MAX_KINDS:
            provider, endpoint, _, _, outcome, status, error = key
            key = (provider, endpoint, _OTHER, _OTHER, outcome, status, _OTHER if error else "")
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = self._prepare(key)
        return children

    def _prepare(self, key: _Kind) -> _Children:
        provider, endpoint, asked, model, outcome, status, error = key
        labels = (genai.operation_name(endpoint), self._provider_name(provider), asked, model)
        return _Children(
            requests=self._requests.at(provider, endpoint, outcome, status),
            duration=self._duration.at(*labels, error),
            ttft=self._ttft.at(*labels),
            input=self._tokens.at(*labels, "input"),
            output=self._tokens.at(*labels, "output"),
            cost=self._cost.at(provider, model),
            unpriced=self._unpriced.at(provider, model),
        )


def _bounded(known: set[str], name: str, most: int) -> str:
    if name in known:
        return name
    if len(known) >= most:
        return _OTHER
    known.add(name)
    return name


def _counts(name: str, text: str, *labels: str) -> Series[Count]:
    return Series(name, text, labels, Count)


def _tallies(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Series[Tally]:
    return Series(name, text, labels, partial(Tally, buckets))


def _count_tokens(children: _Children, record: LedgerRecord) -> None:
    """Count input (cached tokens included, as the convention has it) and output."""
    cached = record.cache_read_tokens + record.cache_write_5m_tokens + record.cache_write_1h_tokens
    if tokens := record.uncached_input_tokens + cached:
        children.input.observe(tokens)
    if record.output_tokens:
        children.output.observe(record.output_tokens)
