"""Metrics are pushed where the configuration says, and from its next reading on where that one says."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from data.config import OtlpConfig
from data.tasks import Tasks
from proxy.otlp_push import OtlpPush
from proxy.tally import Series, Tally


class Telemetry:
    """Pushes `histograms`, which count from now on, as those of `resource`. Nothing is pushed before a `follow`."""

    def __init__(self, tasks: Tasks, histograms: Iterable[Series[Tally]], resource: Mapping[str, str]) -> None:
        self._tasks = tasks
        self._histograms = tuple(histograms)
        self._resource = resource
        self._since_ns = time.time_ns()
        self._config = OtlpConfig()
        self._push: OtlpPush | None = None
        self._pushing: asyncio.Task[None] | None = None

    def follow(self, config: OtlpConfig) -> None:
        """Push as `config` says. Raises TelemetryUnavailable, and then nothing has changed."""
        if config == self._config:
            return
        push = OtlpPush(config, self._histograms, self._resource, self._since_ns) if config.endpoint else None
        if self._pushing is not None:
            self._pushing.cancel()  # it pushes once more
        self._config, self._push = config, push
        self._pushing = None if push is None else self._tasks.start(push.run(), name="telemetry")

    def status(self) -> Mapping[str, Any]:
        """Return how pushing goes, as `OtlpPush.status` has it; nothing where nothing is pushed."""
        return {} if self._push is None else self._push.status()
