"""The ledger's vocabulary: what one request to a provider was, in plain values. No I/O, no clock."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec


class Protocol(StrEnum):
    """The wire protocol a client spoke."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"


class Endpoint(StrEnum):
    """What was asked of the provider."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    MODELS = "models"
    CHAT_COMPLETIONS = "chat_completions"
    RESPONSES = "responses"


class Outcome(StrEnum):
    """How a request ended, as the ledger says it."""

    OK = "ok"
    ERROR = "error"  # the provider answered with an error, or could not be reached
    PARTIAL = "partial"  # the provider's answer broke off
    DISCONNECTED = "disconnected"  # the client hung up first
    TIMEOUT = "timeout"  # a time limit of ours ended it
    INTERRUPTED = "interrupted"  # the proxy itself died while it was in flight


class CostStatus(StrEnum):
    """How far a row's cost can be trusted."""

    EXACT = "exact"  # the provider's own counts and a known price
    ESTIMATED = "estimated"  # a known price, counts partly estimated; `cost_note` says from what
    UNPRICED = "unpriced"  # no price is known: the cost is NULL, never 0


class Source(StrEnum):
    """Where a row came from."""

    LIVE = "live"
    DEMO = "demo"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Disjoint token counts of one request; `reasoning` alone is a subset (of `output`)."""

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    tool_units: int = 0

    @property
    def input(self) -> int:
        """Total input: uncached, read from cache and written to cache."""
        return self.uncached_input + self.cache_read + self.cache_write_5m + self.cache_write_1h


class LedgerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of `requests`: one attempt at one provider.

    Times are UTC microseconds since the epoch, durations milliseconds, money US dollars.
    `request_id` is shared by all attempts of one client call. Text is '' where unknown.
    """

    id: str
    request_id: str
    attempt: int = 1
    started_at: int
    ended_at: int
    source: Source = Source.LIVE
    # who
    key: str = ""
    user: str = ""
    team: str = ""
    project: str = ""
    session: str = ""
    agent: str = ""
    user_agent: str = ""
    # what
    protocol: Protocol
    endpoint: Endpoint
    provider: str
    model_requested: str = ""
    model: str = ""  # the one that answered; the requested one where none did
    stream: bool = False
    # how it ended
    outcome: Outcome
    status: int = 0  # the HTTP status the client was sent; 0: none
    error_class: str = ""
    error_message: str = ""
    stop_reason: str = ""
    provider_request_id: str = ""
    # counts are disjoint; money follows from them
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    tool_units: int = 0
    cost_usd: Decimal | None = None
    cost_status: CostStatus = CostStatus.UNPRICED
    cost_note: str = ""
    price_source: str = ""
    service_tier: str = ""
    inference_geo: str = ""
    speed: str = ""
    # time and size
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    overhead_ms: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    # the rest
    tags: dict[str, str] = {}
    usage: str = ""  # the provider's raw usage object, JSON


class RequestStart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known when a request is sent on; enough to account for it if the proxy dies."""

    id: str
    request_id: str
    attempt: int = 1
    started_at: int
    source: Source = Source.LIVE
    key: str = ""
    user: str = ""
    team: str = ""
    project: str = ""
    session: str = ""
    agent: str = ""
    user_agent: str = ""
    protocol: Protocol
    endpoint: Endpoint
    provider: str
    model_requested: str = ""
    stream: bool = False
    request_bytes: int = 0
    estimated_input_tokens: int = 0
    tags: dict[str, str] = {}
