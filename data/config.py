"""What the programs are told at start, as frozen values; `data/settings.py` reads them from file and environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from data.model import Protocol
from data.route_config import BreakerConfig, RouteConfig, TiersConfig

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Money = Annotated[Decimal, Field(ge=0)]
Origin = Annotated[str, Field(pattern=r"^https?://[^/\s*@]+$")]
#: A list in the file; separated by commas in a variable.
Origins = Annotated[
    tuple[Origin, ...],
    BeforeValidator(lambda given: [part.strip() for part in given.split(",")] if isinstance(given, str) else given),
]
_STRICT = ConfigDict(extra="forbid")
#: A rule may compare 30 days with the 30 before them.
FEWEST_DAYS = 62
#: Bytes that a Unix socket's path may have: it must fit into `sockaddr_un`.
SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The store program: where it listens and what one query may cost."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    tcp: Annotated[str, Field(pattern=r"^$|^.+:\d+$")] = ""  # "host:port" to listen on TCP too
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*([KMGT]i?B)$")] = "4GB"
    threads: Annotated[int, Field(ge=0)] = 0  # 0: one per core
    reader_deadline_s: Seconds = 30.0
    reader_max_rows: Bytes = 1_000_000


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One upstream provider."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    protocol: Protocol
    base_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
    api_key: str = field(default="", repr=False)  # '': the caller's own credentials are passed on
    name: str = ""
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # several, instead of one
    rotation: Literal["round_robin", "failover"] = "round_robin"  # failover: the first one until it fails
    connect_timeout_s: Seconds | None = None  # None: as the proxy's
    first_byte_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None
    total_timeout_s: Seconds | None = None

    @property
    def credentials(self) -> tuple[str, ...]:
        """The provider's own keys, in the order of the configuration; empty: the caller's is passed on."""
        return self.api_keys or ((self.api_key,) if self.api_key else ())


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """The proxy program. Limits are seconds and bytes."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    host: str = "127.0.0.1"
    port: Port = 8082
    processes: Annotated[int, Field(ge=1, le=16)] = 1  # proxies that `up` runs side by side
    on_disconnect: Literal["abort", "drain"] = "abort"  # drain: read the provider's answer to its end
    connect_timeout_s: Seconds = 10.0
    first_byte_timeout_s: Seconds = 600.0
    idle_timeout_s: Seconds = 300.0
    total_timeout_s: Seconds = 3600.0
    retry_wait_s: Seconds = 10.0  # a provider that wants a longer pause is not waited for
    answer_headers: bool = True  # whether answers say who served them
    max_body_bytes: Bytes = 512 * 1024 * 1024
    spool_warn_bytes: Bytes = 64 * 1024 * 1024
    drain_s: Seconds = 30.0
    api_token: str = field(default="", repr=False)  # '': the API is open to this machine only
    cors_origins: Origins = ()  # pages of these sites may use the API
    crosstalk_sessions: Annotated[int, Field(ge=0, le=1000)] = 8  # conversations of models that one proxy runs at once
    access_log: bool = False  # a line a call
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The worker program."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    host: str = "127.0.0.1"
    port: Port = 8083
    rules_dir: str = ""  # the folder of rules as YAML; '': `rules` in the home
    public_url: str = ""  # where links in notifications lead; '': the app's address
    heartbeat_url: str = field(default="", repr=False)  # told that all is well; a service there cries when it is not
    heartbeat_s: Annotated[float, Field(ge=1)] = 60.0
    secret_key: str = field(default="", repr=False)  # channels' secrets are encrypted with it; '': with `secret.key`
    notices_per_minute: Annotated[float, Field(gt=0)] = 300.0  # over all channels; each has a limit of its own, too
    notices_burst: Annotated[int, Field(ge=1)] = 600  # so many at once


@dataclass(frozen=True, slots=True)
class UiConfig:
    """The app."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    host: str = "127.0.0.1"
    port: Port = 8501


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """Virtual keys."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    required: bool = False  # whether a call without a valid one is refused


@dataclass(frozen=True, slots=True)
class OtlpConfig:
    """Where metrics are pushed, beside being there to be scraped."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    endpoint: Annotated[str, Field(pattern=r"^$|^https?://[^/\s@]+[^\s@]*$")] = ""  # '': nowhere
    headers: str = field(default="", repr=False)  # "name=value,name=value": what the receiver wants to be shown
    interval_s: Annotated[float, Field(ge=1)] = 60.0


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """US dollars a million tokens for models that match `model` (a glob); wins over the price list.

    A batch costs half of it; other tiers cost the same.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    model: str
    input: Money
    output: Money
    cache_read: Money | None = None
    cache_write_5m: Money | None = None
    cache_write_1h: Money | None = None
    provider: str = "*"


@dataclass(frozen=True, slots=True)
class BudgetsConfig:
    """What budgets do where something is not known."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    #: what was spent so far is not known (a lost file, and the store away): refuse calls under hard budgets, or not
    on_outage: Literal["closed", "open"] = "closed"
    #: a model without a price under a hard budget: refuse it, or let it through and count nothing
    unpriced: Literal["refuse", "allow"] = "refuse"
    #: a new batch under a hard budget: hold what it may cost until its results are fetched, and refuse it where it does
    #: not tell (its calls lie in a file); refuse every one; or let it through where there is room for what it tells at
    #: the moment, and hold nothing
    batches: Literal["hold", "refuse", "allow"] = "hold"
    #: output tokens of a call that does not limit them
    assumed_max_output_tokens: Annotated[int, Field(gt=0)] = 128_000


def _enough(days: int) -> int:
    if 0 < days < FEWEST_DAYS:
        raise ValueError(f"must be 0, for ever, or at least {FEWEST_DAYS}")
    return days


Days = Annotated[int, Field(ge=0), AfterValidator(_enough)]


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """For how many days things are kept; 0: for ever."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    requests_days: Days = 0
    minutes_days: Days = 0  # sums by the minute
    hours_days: Days = 0  # sums by the hour
    incidents_days: Days = 0  # resolved ones, their events and comments, ended silences, versions of deleted rules
    deliveries_days: Days = 0  # notifications that are done with, and the attempts at them
    messages_days: Days = 0  # of the app's inbox
    audit_days: Days = 0
    events_days: Days = 0  # what providers told us: PagerDuty's webhooks
    statistics_days: Days = 0  # each day's figures on incidents and deliveries
    limits_days: Days = 0  # what answers of providers said of their limits


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, as one value."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    home: Path
    store: StoreConfig = field(default_factory=StoreConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    ui: UiConfig = field(default_factory=UiConfig)
    keys: KeysConfig = field(default_factory=KeysConfig)
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    routes: tuple[RouteConfig, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    tiers: TiersConfig = field(default_factory=TiersConfig)
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    prices: tuple[PriceOverride, ...] = ()
    otlp: OtlpConfig = field(default_factory=OtlpConfig)
    budgets: BudgetsConfig = field(default_factory=BudgetsConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.home / "analytics.duckdb"

    @property
    def socket(self) -> Path:
        """The store's Unix socket."""
        return self.home / "store.sock"

    @property
    def rules_folder(self) -> Path:
        """The folder whose files provide rules."""
        return Path(self.worker.rules_dir).expanduser() if self.worker.rules_dir else self.home / "rules"

    @property
    def spool(self) -> Path:
        """The folder of the proxies' spools, one folder each."""
        return self.home / "spool"
