"""One call on its way to a provider and back, byte for byte. However it ends, its account is closed."""

import asyncio
import io
import logging
from enum import StrEnum
from time import perf_counter

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from data.config import ProxyConfig
from data.model import Outcome
from proxy.account import Account, Fault
from proxy.errors import ClientGone, UnexpectedStatus
from proxy.headers import response_headers
from proxy.refusals import refusal
from proxy.reply import Reply
from proxy.tee import Tee
from proxy.usage import parser_for
from proxy.usage.include_usage import UsageChunkFilter

#: A larger body is sent in pieces, which aiohttp does for files alone.
_ONE_WRITE_BYTES = 256 * 1024
_log = logging.getLogger(__name__)


class Phase(StrEnum):
    """What an exchange waits for; the value completes "no … within 10 s"."""

    CONNECT = "connection"
    FIRST_BYTE = "answer"
    NEXT_BYTE = "further byte"
    CLIENT = "reading client"


class Outgoing(msgspec.Struct, frozen=True):
    """A request as the provider gets it."""

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes
    hides_usage: bool = False  # the proxy asked for usage, not the caller: hide the chunk that brings it


class Exchange:
    """One attempt at one provider for one client."""

    def __init__(self, request: web.Request, account: Account, limits: ProxyConfig) -> None:
        self._request = request
        self._account = account
        self._limits = limits
        self._reply = Reply(request, keep_going=limits.on_disconnect == "drain")
        self._now = asyncio.get_running_loop().time
        self._clock = asyncio.timeout(None)
        self._phase = Phase.CONNECT
        self._filter: UsageChunkFilter | None = None

    def client_gone(self) -> None:
        """Stop writing to the client; the rest of the answer is read for its counts alone."""
        self._reply.gone = True

    async def run(self, session: aiohttp.ClientSession, out: Outgoing) -> web.StreamResponse:
        """Send `out`, pass the answer on, and close the account. Raises only `CancelledError`."""
        upstream: aiohttp.ClientResponse | None = None
        try:
            async with self._clock:
                upstream = await self._send(session, out)
                streams = self._open(upstream, hides_usage=out.hides_usage)
                return await self._relay(upstream.content, at_once=streams)
        except asyncio.CancelledError:
            self._account.close(self._cancelled())
            raise
        except ClientGone:
            self._account.close(self._left())
            return self._reply.cut()
        except Exception as error:  # noqa: BLE001 - whatever it is, the call is accounted for and answered
            return self._failed(error)
        finally:
            if upstream is not None:
                upstream.close()

    async def _send(self, session: aiohttp.ClientSession, out: Outgoing) -> aiohttp.ClientResponse:
        body = out.body if len(out.body) <= _ONE_WRITE_BYTES else io.BytesIO(out.body)
        self._wait(Phase.FIRST_BYTE, self._limits.first_byte_timeout_s)
        self._account.sent()
        return await session.request(
            out.method, URL(out.url, encoded=True), headers=out.headers, data=body or None, allow_redirects=False
        )

    def _open(self, upstream: aiohttp.ClientResponse, *, hides_usage: bool) -> bool:
        """Prepare the answer from the provider's head; True where it is an event stream."""
        if upstream.status < 200:
            raise UnexpectedStatus(f"answered with status {upstream.status}")
        streams = upstream.content_type == "text/event-stream"
        headers = response_headers(upstream.headers)
        headers["x-claude-proxy-request-id"] = self._account.start.request_id
        if hides_usage and streams:
            self._filter = UsageChunkFilter()
            for name in ("Content-Encoding", "Content-Length"):
                headers.popall(name, None)
        self._reply.head(upstream.status, upstream.reason, headers)
        parser = parser_for(self._account.start.endpoint, stream=streams, status=upstream.status)
        tee = Tee(parser, upstream.headers.get("Content-Encoding", ""), streams=streams)
        named = upstream.headers.get("request-id") or upstream.headers.get("x-request-id") or ""
        self._account.answered(upstream.status, tee, streams=streams, provider_request_id=named)
        return streams

    async def _relay(self, body: aiohttp.StreamReader, *, at_once: bool) -> web.StreamResponse:
        """Pass pieces on as they come; the account is closed before the last one leaves."""
        if at_once:
            await self._reply.begin()
        while True:
            if not body.is_eof():
                self._wait(Phase.NEXT_BYTE, self._limits.idle_timeout_s)
            chunk = await self._next(body)
            at = perf_counter()
            if body.at_eof():
                break
            await self._pass_on(chunk, at)
        tail = await self._seen(chunk, at) + (self._filter.flush() if self._filter else b"")
        self._account.close(self._left() if self._reply.gone else None)
        return await self._reply.finish(tail)

    async def _next(self, body: aiohttp.StreamReader) -> bytes:
        try:
            return await body.readany()
        except aiohttp.ClientError:
            # what came just before the break is still there, though aiohttp no longer gives it out
            if rest := body._read_nowait(-1):  # noqa: SLF001
                await self._pass_on(rest, perf_counter())
            raise

    async def _pass_on(self, chunk: bytes, at: float) -> None:
        self._phase = Phase.CLIENT
        if self._filter is not None:
            await self._reply.write(await self._seen(chunk, at))
            return
        await self._reply.write(chunk)
        await self._seen(chunk, at)

    async def _seen(self, chunk: bytes, at: float) -> bytes:
        """Count `chunk`, slice by slice; return what the client gets of it."""
        shown = self._shown(chunk, self._account.saw(chunk, at))
        while self._account.pending:
            await asyncio.sleep(0)  # other calls have their turn
            more = self._account.saw(b"", at)
            if self._filter is not None:
                shown += self._shown(b"", more)
        return shown

    def _shown(self, chunk: bytes, plain: bytes | None) -> bytes:
        if self._filter is None:
            return chunk
        if plain is None:
            raise aiohttp.ClientPayloadError("the stream's content coding cannot be read")
        return self._filter.feed(plain)

    def _wait(self, phase: Phase, limit_s: float) -> None:
        self._phase = phase
        self._clock.reschedule(self._now() + limit_s)

    def _left(self) -> Fault:
        # in drain mode the whole answer was read, but not by the client
        return Fault(Outcome.DISCONNECTED, self._reply.status, "client_disconnected", final=self._reply.gone)

    def _cancelled(self) -> Fault:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return self._left()
        return Fault(Outcome.INTERRUPTED, self._reply.status, "proxy_stopped")

    def _failed(self, error: Exception) -> web.StreamResponse:
        """Close the account with `error`; the client gets an error answer, or sees its answer break off."""
        status, fault = self._fault(error)
        self._account.close(fault)
        if self._reply.begun:
            return self._reply.cut()
        return refusal(self._account.start.protocol, status, fault.message, code=fault.error_class)

    def _fault(self, error: Exception) -> tuple[int, Fault]:
        """Return the status for a client that has no answer yet, and what the ledger says."""
        broke_off = self._reply.begun
        provider = self._account.start.provider
        if isinstance(error, TimeoutError):
            return 504, self._overdue(error)
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
            message = f"The provider {provider} cannot be reached ({type(error).__name__})"
            return 502, Fault(Outcome.ERROR, 502, "provider_unreachable", message, billed=False)
        if isinstance(error, UnexpectedStatus):
            return 502, Fault(Outcome.ERROR, 502, "unexpected_status", f"The provider {provider} {error}", billed=False)
        if isinstance(error, aiohttp.ClientError | OSError) and broke_off:
            return 502, Fault(
                Outcome.PARTIAL,
                self._reply.status,
                "provider_broke_off",
                f"The answer broke off ({type(error).__name__})",
            )
        if isinstance(error, aiohttp.ClientError | OSError):
            kind = type(error).__name__
            began = _has_begun(error)
            message = f"The provider {provider} closed the connection without a complete answer ({kind})"
            outcome = Outcome.PARTIAL if began else Outcome.ERROR
            return 502, Fault(outcome, 502, "provider_broke_off", message, billed=began)
        _log.error("a call failed inside the proxy", exc_info=error, extra={"record": self._account.start.id})
        status = self._reply.status or 500
        return 500, Fault(Outcome.ERROR, status, "proxy_error", "The proxy failed; its log says why.", billed=broke_off)

    def _overdue(self, error: TimeoutError) -> Fault:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            message = f"The provider took no connection within {self._limits.connect_timeout_s:g} s"
            return Fault(Outcome.TIMEOUT, 504, "connect_timeout", message, billed=False)
        if self._phase is Phase.CLIENT:
            message = f"The client read nothing for {self._limits.idle_timeout_s:g} s"
            return Fault(Outcome.DISCONNECTED, self._reply.status, "client_too_slow", message)
        first = self._phase is Phase.FIRST_BYTE
        limit_s = self._limits.first_byte_timeout_s if first else self._limits.idle_timeout_s
        name = "first_byte_timeout" if first else "idle_timeout"
        message = f"The provider sent no {self._phase} within {limit_s:g} s"
        return Fault(Outcome.TIMEOUT, self._reply.status or 504, name, message)


def _has_begun(error: Exception) -> bool:
    """Whether an answer had begun that aiohttp could not read on: its head came, but not by itself."""
    return isinstance(error, aiohttp.ClientResponseError) and not error.message.startswith("Bad status line")
