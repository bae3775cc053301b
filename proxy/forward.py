"""The hot path: a client's request is read, routed, written down and sent on."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aiohttp
from aiohttp import web

from data.config import ProviderConfig
from data.model import Protocol
from data.tasks import Tasks
from proxy.account import Account, Books
from proxy.call import Call, facts_of, read_body
from proxy.endpoints import Asked
from proxy.errors import BodyTooLarge, ClientGone
from proxy.exchange import Exchange
from proxy.headers import unsendable_header
from proxy.held import Failed
from proxy.refusals import refusal
from proxy.secrets import scrubbed, secrets_of
from proxy.standing import Standing

_RETRY_AFTER_S = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What calls are forwarded with. `begun` is told the provider of each call that is sent on."""

    session: aiohttp.ClientSession
    books: Books
    tasks: Tasks
    begun: Callable[[str], None]


class Forwarder:
    """Handles client endpoints. After `stop_taking` new calls are refused; `idle` waits for those in flight."""

    def __init__(self, means: Means, standing: Standing) -> None:
        self._means = means
        self.standing = standing  # may be exchanged at any time; a call that has begun keeps its own
        self._stopping = self._leaving = False
        self.ledger_trouble = ""  # why the last call could not be written down; '' if it could
        self._active: set[asyncio.Task[Any] | None] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def stopping(self) -> bool:
        """Whether new calls are refused."""
        return self._stopping

    def stop_taking(self) -> None:
        """Refuse new calls from now on."""
        self._stopping = True

    @property
    def leaving(self) -> bool:
        """Whether every answer is its connection's last."""
        return self._leaving

    def leave(self) -> None:
        """End each connection with its next answer: other proxies take what its client asks next."""
        self._leaving = True

    async def idle(self) -> None:
        """Wait until no call is in flight."""
        await self._idle.wait()

    def interrupt(self) -> None:
        """End the calls in flight; each leaves its record."""
        for task in self._active:
            if task is not None:
                task.cancel()

    async def handle(self, asked: Asked, request: web.Request) -> web.StreamResponse:
        """Answer one call: with the provider's answer, or with a refusal in the provider's shape."""
        protocol, standing = asked.protocol, self.standing
        if self._stopping:
            return _busy(protocol, "The proxy is stopping; ask again.", "proxy_stopping")
        if (refused := _unforwardable(request, protocol)) is not None:
            return refused
        try:
            body = await read_body(request, standing.config.proxy.max_body_bytes)
        except BodyTooLarge as error:
            return refusal(protocol, 413, str(error), code="request_too_large")
        except ClientGone as error:
            return refusal(protocol, 400, str(error), code="incomplete_request")
        arrived = perf_counter()
        call = Call(asked, request, body, arrived=arrived, facts=await facts_of(asked, request, body))
        provider = _provider(call, standing)
        if provider is None:
            message = f"No provider that speaks the {protocol} protocol is configured for this proxy."
            return refusal(protocol, 404, message, code="no_provider")
        return await self._forward(call, provider, standing)

    async def _forward(self, call: Call, provider: ProviderConfig, standing: Standing) -> web.StreamResponse:
        means = self._means
        secrets = secrets_of(call.request.headers, call.request.rel_url, provider.api_key)
        start, out = scrubbed(call.start(provider), secrets), await call.outgoing(provider, standing.limits)
        try:
            means.books.ledger.start(start)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is not written down is not sent on
            self._ledger_fails(error)
            return _busy(call.protocol, "The proxy cannot write its ledger now; ask again.", "ledger_full")
        self.ledger_trouble = ""
        means.begun(provider.name)
        account = Account(start, means.books, standing.prices.price, call.arrived, secrets)
        drains = standing.config.proxy.on_disconnect == "drain"
        exchange = Exchange(call.request, account, out, drains=drains)
        if drains:
            return await self._detached(exchange)
        return await self._run(exchange)

    def _ledger_fails(self, error: Exception) -> None:
        if not self.ledger_trouble:
            _log.error("the ledger takes no calls", exc_info=error)
        self.ledger_trouble = f"{type(error).__name__}: {error}"

    async def _run(self, exchange: Exchange) -> web.StreamResponse:
        task = asyncio.current_task()
        self._active.add(task)
        self._idle.clear()
        try:
            ended = await exchange.run(self._means.session)
            return ended.answer if isinstance(ended, Failed) else ended
        finally:
            self._active.discard(task)
            if not self._active:
                self._idle.set()

    async def _detached(self, exchange: Exchange) -> web.StreamResponse:
        """Run in a task of its own, so that the answer is read to its end when the client hangs up."""
        task = self._means.tasks.start(self._run(exchange), name="exchange")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.client_gone()
            raise


def _provider(call: Call, standing: Standing) -> ProviderConfig | None:
    """Return the provider that the path names, if it speaks the protocol; without a name the routed one."""
    asked = call.asked
    if not asked.provider:
        return standing.router.choose(asked.protocol, call.facts.model)
    named = standing.providers.get(asked.provider)
    return named if named is not None and named.protocol is asked.protocol else None


def _unforwardable(request: web.Request, protocol: Protocol) -> web.Response | None:
    """Refuse what would arrive as something else at the provider."""
    if name := unsendable_header(request.raw_headers):
        message = f"The value of the header {name[:100]} is not UTF-8; this proxy cannot send it on unchanged."
        return refusal(protocol, 400, message, code="header_not_utf8")
    return None


def _busy(protocol: Protocol, message: str, code: str) -> web.Response:
    return refusal(protocol, 503, message, code=code, retry_after_s=_RETRY_AFTER_S)
