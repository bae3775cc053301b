"""The ledger's vocabulary: what one request to a provider was, in plain values. No I/O, no clock."""

from decimal import Decimal
from enum import StrEnum

import msgspec


class Protocol(StrEnum):
    """The wire protocol a client spoke."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"


class Endpoint(StrEnum):
    """What was asked of the provider."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    MODELS = "models"
    CHAT_COMPLETIONS = "chat_completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    GENERATE_CONTENT = "generate_content"  # Gemini's, streamed or not
    COUNT_GEMINI_TOKENS = "count_gemini_tokens"
    BATCHES = "batches"  # Anthropic's and OpenAI's: made, listed, cancelled, read
    BATCH_RESULT = "batch_result"  # one result of a batch, by its `custom_id`
    FILES = "files"
    OTHER = "other"  # whatever else passes through under a provider's prefix


class Outcome(StrEnum):
    """How a request ended, as the ledger says it."""

    OK = "ok"
    ERROR = "error"  # the provider answered with an error, or could not be reached
    PARTIAL = "partial"  # the provider's answer broke off
    DISCONNECTED = "disconnected"  # the client hung up first
    TIMEOUT = "timeout"  # a time limit of ours ended it
    INTERRUPTED = "interrupted"  # the proxy itself died while it was in flight


class Cause(StrEnum):
    """Why an attempt was made."""

    FIRST = "first"
    RETRY = "retry"  # the same provider and model again, perhaps with another credential
    FALLBACK = "fallback"  # another provider or another model
    FALLBACK_RETRY = "fallback_retry"  # a fallback's provider and model again

    @property
    def again(self) -> "Cause":
        """The cause of another attempt at the same place."""
        return Cause.FALLBACK_RETRY if self in FALLBACKS else Cause.RETRY


#: The causes of attempts elsewhere than at the first choice.
FALLBACKS = frozenset({Cause.FALLBACK, Cause.FALLBACK_RETRY})


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


class Tokens(msgspec.Struct, frozen=True, gc=False):
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
    cause: Cause = Cause.FIRST
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
    credential: str = ""  # which of the provider's credentials was used: its label, never a part of it
    model_requested: str = ""  # what the client asked for
    model: str = ""  # the one that answered; the one the provider was asked for where none did
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
    liability_usd: Decimal | None = None  # what budgets count where that is not the cost: the most it may have been
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
    cause: Cause = Cause.FIRST
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
    credential: str = ""
    model_requested: str = ""
    upstream_protocol: str = ""  # the provider's, where calls are translated; '' for the caller's own
    model_sent: str = ""  # what the provider is asked for; '' where that is what the client asked for
    stream: bool = False
    request_bytes: int = 0
    estimated_input_tokens: int = 0
    reserved_usd: Decimal | None = None  # the worst case that budgets hold for it; None: none holds anything
    tags: dict[str, str] = {}
