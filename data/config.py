"""What the programs are told at start, read once and passed down as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from data.model import Protocol


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The store program: where it listens and what one query may cost."""

    tcp: str = ""  # "host:port" to listen on TCP too; '' for the Unix socket alone
    memory_limit: str = "4GB"
    threads: int = 0  # 0: one per core
    reader_deadline_s: float = 30.0
    reader_max_rows: int = 1_000_000


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One upstream provider."""

    name: str
    protocol: Protocol
    base_url: str
    api_key: str = field(default="", repr=False)  # '': the caller's own credentials are passed on


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """Models that match `model` (a glob) go to `provider`; the first match wins."""

    model: str
    provider: str


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """The proxy program. Limits are seconds and bytes."""

    host: str = "127.0.0.1"
    port: int = 8082
    on_disconnect: str = "abort"  # or "drain": read the provider's answer to its end for exact usage
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 600.0
    idle_timeout_s: float = 300.0
    max_body_bytes: int = 512 * 1024 * 1024
    spool_warn_bytes: int = 64 * 1024 * 1024
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The worker program."""

    host: str = "127.0.0.1"
    port: int = 8083
    #: where links in notifications lead; '' derives it from the app's address
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class UiConfig:
    """The app."""

    host: str = "127.0.0.1"
    port: int = 8501


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """US dollars a million tokens for models that match `model` (a glob); wins over the price list."""

    model: str
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    provider: str = "*"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, as one value."""

    home: Path
    store: StoreConfig = field(default_factory=StoreConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    ui: UiConfig = field(default_factory=UiConfig)
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    routes: tuple[RouteConfig, ...] = ()
    prices: tuple[PriceOverride, ...] = ()

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.home / "analytics.duckdb"

    @property
    def socket(self) -> Path:
        """The store's Unix socket."""
        return self.home / "store.sock"

    @property
    def spool(self) -> Path:
        """The folder of the proxies' spools, one folder each."""
        return self.home / "spool"
