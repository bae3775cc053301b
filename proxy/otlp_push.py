"""Pushes the metrics to an OTLP receiver over HTTP, once an interval; a receiver that is away disturbs nothing."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Final

import aiohttp
from yarl import URL

from data.config import OtlpConfig
from proxy.errors import TelemetryUnavailable
from proxy.otlp import export_request
from proxy.tally import Series, Tally

_LIMIT_S: Final = 10.0
_LAST_LIMIT_S: Final = 1.0
_log = logging.getLogger(__name__)


class OtlpPush:
    """Pushes `histograms`, which count since `since_ns`. `status` says how it goes."""

    def __init__(
        self, config: OtlpConfig, histograms: Iterable[Series[Tally]], resource: Mapping[str, str], since_ns: int
    ) -> None:
        """`resource` says whose counts they are. Raises TelemetryUnavailable where a package is not installed."""
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
            raise TelemetryUnavailable(
                'otlp.endpoint is set, but a package is missing: pip install "claude-proxy-analytics[otlp]"'
            )
        self._url = metrics_url(config.endpoint)
        self._headers = {"Content-Type": "application/x-protobuf", **headers_of(config.headers)}
        self._interval_s = config.interval_s
        self._histograms = tuple(histograms)
        self._resource = dict(resource)
        self._since_ns = since_ns
        self._pushed_at: float | None = None
        self._trouble = ""

    def status(self) -> Mapping[str, Any]:
        """Return `{"receiver", "pushed_at", "trouble"}`: seconds since the epoch or None, '' where there is none."""
        return {"receiver": str(self._url.origin()), "pushed_at": self._pushed_at, "trouble": self._trouble}

    async def run(self) -> None:
        """Push until cancelled; then once more, so that the last interval is not lost."""
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    await asyncio.sleep(self._interval_s)
                    await self._push(session, _LIMIT_S)
            finally:
                await self._push(session, _LAST_LIMIT_S)

    async def _push(self, session: aiohttp.ClientSession, limit_s: float) -> None:
        """Send the present counts; why that failed is logged once, and told by `status`."""
        trouble = await self._sent(session, limit_s)
        if not trouble:
            self._pushed_at = time.time()
        elif not self._trouble:
            _log.warning("metrics cannot be pushed to %s: %s", self._url.origin(), trouble)
        self._trouble = trouble

    async def _sent(self, session: aiohttp.ClientSession, limit_s: float) -> str:
        body = await asyncio.to_thread(self._body)
        sending = session.post(self._url, data=body, headers=self._headers, allow_redirects=False)
        try:
            async with asyncio.timeout(limit_s), sending as answer:
                return "" if answer.status < 300 else f"it answers with status {answer.status}"
        except TimeoutError:
            return f"no answer within {limit_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__

    def _body(self) -> bytes:
        now_ns = time.time_ns()
        request = export_request(self._histograms, self._resource, since_ns=self._since_ns, now_ns=now_ns)
        return bytes(request.SerializeToString())


def metrics_url(endpoint: str) -> URL:
    """Return where metrics are posted: an address without a path is a receiver's base, as OpenTelemetry has it."""
    url = URL(endpoint)
    return url / "v1/metrics" if url.path == "/" else url


def headers_of(text: str) -> dict[str, str]:
    """Return the headers of `name=value,name=value`."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals and name.strip()}
