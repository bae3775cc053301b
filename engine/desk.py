"""What the worker's parts share: the configuration, the store once it has answered, and how they are."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from data.config import Config
from data.errors import StoreUnavailable
from data.store import Store
from engine.housekeeping.housekeeper import Housekeeper
from engine.inbox import Hub
from engine.provisioning import FileFault
from engine.secrets import SecretBox


@dataclass(slots=True)
class EvaluatorStatus:
    """How the evaluations go, for whoever asks after the worker's health."""

    holder: str = ""
    leading: bool = False
    token: int = 0
    rules: int = 0
    cadences_s: tuple[int, ...] = ()
    ticks: int = 0
    failed_ticks: int = 0
    missed_ticks: int = 0
    last_tick_at: datetime | None = None
    last_tick_ms: float = 0.0
    last_error: str = ""
    store_error: str = ""
    #: why nothing is evaluated although the store answers; '' while nothing is in the way
    waiting: str = ""


@dataclass(slots=True)
class ProvisioningStatus:
    """What the folder of rules came to: how many files provide rules, and why others do not."""

    files: int = 0
    applied_at: datetime | None = None
    faults: tuple[FileFault, ...] = ()


@dataclass(slots=True)
class Desk:
    """One worker's shared values. For the event loop's thread only, except `store`, which is thread-safe."""

    config: Config
    box: SecretBox
    hub: Hub = field(default_factory=Hub)
    status: EvaluatorStatus = field(default_factory=EvaluatorStatus)
    provisioning: ProvisioningStatus = field(default_factory=ProvisioningStatus)
    #: set when something new waits in the outbox, or a rule was changed through this worker
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    rules_changed: asyncio.Event = field(default_factory=asyncio.Event)
    connected: Store | None = None
    housekeeper: Housekeeper | None = None  # once the store has answered

    @property
    def store(self) -> Store:
        """The store; raises StoreUnavailable until it has answered for the first time."""
        if self.connected is None:
            raise StoreUnavailable("the store has not answered yet; the worker keeps trying")
        return self.connected

    @property
    def public_url(self) -> str:
        """Where links in notifications lead: the configured address, else the app's."""
        ui = self.config.ui
        return self.config.worker.public_url or f"http://{ui.host}:{ui.port}"
