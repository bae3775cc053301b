"""One attempt at one provider, byte for byte. However it ends, its account is closed."""

import asyncio
import logging
from time import perf_counter

import aiohttp
from aiohttp import web

from proxy.account import Account
from proxy.decoding import is_plain
from proxy.echoes import KeyFilter, StreamedErrors, hides, masked_headers, masked_text
from proxy.error_shown import ErrorShown
from proxy.errors import ClientGone, UnexpectedStatus
from proxy.faults import Phase
from proxy.headers import response_headers
from proxy.held import MAX_HELD_BYTES, Failed, error_event, plain_body
from proxy.outgoing import Outgoing
from proxy.progress import Progress
from proxy.provider_client import Answer, ProviderClient
from proxy.refusals import refusal
from proxy.reply import Reply
from proxy.rewriting import Filter
from proxy.streamed_body import StreamedPayload
from proxy.tee import Tee
from proxy.usage import is_stream, parser_for

_log = logging.getLogger(__name__)


class Exchange:
    """One attempt at one provider for one client."""

    def __init__(
        self, request: web.Request, account: Account, out: Outgoing, closing: asyncio.Event, *, drains: bool = False
    ) -> None:
        """`closing`: see `Reply`. `drains`: the answer is read to its end even when the client has gone."""
        self._account = account
        self._out = out
        self._reply = Reply(request, closing, keep_going=drains)
        self._progress = Progress(account, self._reply, out.limits, out.method)
        self._error = ErrorShown(self._reply, account.start.protocol, out.rewriting, out.key)
        self._filter: Filter | None = None
        self._errors: StreamedErrors | None = None
        self._keeping = False  # the answer is an error that the client may never see

    def client_gone(self) -> None:
        """Stop writing to the client; the rest of the answer is read for its counts alone."""
        self._reply.gone = True

    async def run(self, client: ProviderClient) -> web.StreamResponse | Failed:
        """Send the request, pass the answer on, and close the account. Raises only `CancelledError`.

        `Failed`: the client has been sent nothing, and may be sent another attempt's answer instead of this one's.
        """
        upstream: Answer | None = None
        try:
            with self._progress.clock:
                upstream = await self._send(client)
                return await self._take(upstream)
        except asyncio.CancelledError:
            self._account.close(self._progress.cancelled())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the call is accounted for and answered
            return await self._ended_by(error)
        finally:
            if upstream is not None:
                upstream.close()
            if self._out.streamed is not None:
                await self._out.streamed.settled()

    async def _send(self, client: ProviderClient) -> Answer:
        out, upload = self._out, self._progress.upload
        self._progress.wait(Phase.FIRST_BYTE)
        self._account.sent()
        if out.streamed is None:
            return await client.ask(out.method, out.url, out.headers, out.body, out.limits, upload=upload)
        body = StreamedPayload(out.streamed, self._uploads)
        return await client.ask_streaming(out.method, out.url, out.headers, body, out.limits, upload=upload)

    def _uploads(self, phase: Phase) -> None:
        """A streamed body has come a piece further, and what is waited for now is `phase`."""
        if phase is Phase.FIRST_BYTE:
            self._account.whole()
        if not self._account.status:
            self._progress.wait(phase)
        elif self._progress.phase is Phase.NEXT_BYTE:  # the answer, which came early, may wait for it
            self._progress.wait(Phase.NEXT_BYTE)

    async def _take(self, upstream: Answer) -> web.StreamResponse | Failed:
        """Pass the answer on, or keep it where it is an error and that is wanted, or must not show a key."""
        streams = self._open(upstream)
        body = upstream.content
        if upstream.status >= 400 and (self._out.may_fail or self._translates or self._out.key):
            return await self._keep(upstream, b"")
        if streams and self._out.may_fail:
            first, at = await self._next_piece(body), perf_counter()
            if error_event(first, upstream.headers.get("Content-Encoding", "")):
                self._account.saw(first, at)
                return await self._keep(upstream, first)
            if body.at_eof():
                return await self._end(first, at)
            await self._pass_on(first, at)
        return await self._relay(body, at_once=streams)

    def _open(self, upstream: Answer) -> bool:
        """Prepare the answer from the provider's head; True where it is a stream."""
        if upstream.status < 200:
            raise UnexpectedStatus(f"answered with status {upstream.status}")
        out, start, status = self._out, self._account.start, upstream.status
        told = upstream.headers
        streams = is_stream(out.endpoint, asked=start.stream, content_type=told.get("Content-Type", ""), status=status)
        headers, reason = response_headers(told), upstream.reason
        if status >= 400 and out.key:
            headers, reason = masked_headers(headers, out.key), reason and masked_text(reason, out.key)
        headers["x-claude-proxy-request-id"] = start.request_id
        headers.update(out.marks)
        if out.rewriting and status < 400:
            self._filter = out.rewriting.filter(streams=streams)
        if self._filter is not None:
            for name in ("Content-Encoding", "Content-Length"):
                headers.popall(name, None)
        plain = self._filter is not None or is_plain(told.get("Content-Encoding", ""))
        if streams and status < 400 and plain and hides(out.key):
            self._errors = StreamedErrors(out.key)
            headers.popall("Content-Length", None)
        self._reply.head(status, reason, headers)
        self._reply.last = out.streamed is not None and not out.streamed.ended  # nobody reads the rest of the request
        parser = parser_for(
            out.endpoint,
            stream=streams,
            status=status,
            method=out.method,
            tier=told.get("x-gemini-service-tier", ""),
            results=out.results,
            aside=out.aside,
        )
        endless = streams or out.results is not None
        tee = Tee(parser, told.get("Content-Encoding", ""), streams=endless)
        named = told.get("request-id") or told.get("x-request-id") or ""
        self._account.answered(status, told, tee, streams=streams, provider_request_id=named)
        return streams

    @property
    def _translates(self) -> bool:
        return self._out.rewriting is not None and self._out.rewriting.translates

    async def _keep(self, upstream: Answer, first: bytes) -> web.StreamResponse | Failed:
        """Read an error to its end and keep it; one that is too long for that is passed on."""
        self._keeping = True
        body, parts, size = upstream.content, [first], len(first)
        while not body.at_eof():
            parts.append(chunk := await self._next_piece(body))
            self._account.saw(chunk, perf_counter())
            size += len(chunk)
            if size > MAX_HELD_BYTES and not self._translates:
                self._keeping = False
                return await self._pass_on_masked(upstream, b"".join(parts))
        while self._account.pending:
            await asyncio.sleep(0)  # other calls have their turn
            self._account.saw(b"", perf_counter())
        self._upload_succeeded()
        self._account.close()
        coding = upstream.headers.get("Content-Encoding", "")
        whole = b"".join(parts)
        plain = error_event(whole, coding) if first else plain_body(whole, coding)
        answer = await self._reply.finish(self._error.shown(whole, plain, coding))
        return Failed(answer, upstream.status, upstream.headers, plain) if self._out.may_fail else answer

    async def _pass_on_masked(self, upstream: Answer, begun: bytes) -> web.StreamResponse:
        """Pass on an error that is too long to keep, without the key. A coded one that may hold it is not shown."""
        coding, hidden = upstream.headers.get("Content-Encoding", ""), hides(self._out.key)
        if hidden and not is_plain(coding):
            self._upload_succeeded()
            self._account.close()
            return await self._reply.finish(self._error.not_shown(coding))
        if hidden:
            self._filter = KeyFilter(self._out.key, self._filter)
            self._reply.rewritten()
            begun = self._filter.feed(begun)
        await self._reply.write(begun)
        return await self._relay(upstream.content, at_once=False)

    async def _relay(self, body: aiohttp.StreamReader, *, at_once: bool) -> web.StreamResponse:
        """Pass pieces on as they come; the account is closed before the last one leaves, and written down after it."""
        if at_once and not self._reply.begun:
            await self._reply.begin()
        chunk, at = b"", perf_counter()
        while not body.at_eof():
            chunk = await self._next_piece(body)
            at = perf_counter()
            if body.at_eof():
                break
            await self._pass_on(chunk, at)
            chunk = b""
        return await self._end(chunk, at)

    async def _end(self, chunk: bytes, at: float) -> web.StreamResponse:
        self._upload_succeeded()
        tail = await self._seen(chunk, at) + (self._filter.flush() if self._filter else b"")
        if self._errors is not None:
            tail = self._errors.feed(tail) + self._errors.flush()
        self._account.close(self._progress.left() if self._reply.gone else None)
        return await self._reply.finish(tail)

    def _upload_succeeded(self) -> None:
        if (streamed := self._out.streamed) is not None and streamed.failure is not None:
            raise streamed.failure  # the connection was closed for it, which ends some answers as if they were whole

    async def _next_piece(self, body: aiohttp.StreamReader) -> bytes:
        if not body.is_eof():
            self._progress.wait(Phase.NEXT_BYTE)
        try:
            return await body.readany()
        except aiohttp.ClientError:
            # what came just before the break is still there, though aiohttp no longer gives it out
            if not self._keeping and (rest := body._read_nowait(-1)):  # noqa: SLF001
                await self._pass_on(rest, perf_counter())
            raise

    async def _pass_on(self, chunk: bytes, at: float) -> None:
        self._progress.wait(Phase.CLIENT)
        if self._filter is not None:
            shown = await self._seen(chunk, at)
            await self._reply.write(shown if self._errors is None else self._errors.feed(shown))
            return
        await self._reply.write(chunk if self._errors is None else self._errors.feed(chunk))
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

    async def _ended_by(self, error: Exception) -> web.StreamResponse | Failed:
        streamed = self._out.streamed
        cause = error if streamed is None or streamed.failure is None else streamed.failure
        if isinstance(cause, ClientGone) and (self._reply.begun or self._reply.hung_up):
            self._account.close(self._progress.left())
            return self._reply.cut()
        return await self._failed(cause)

    async def _failed(self, error: Exception) -> web.StreamResponse | Failed:
        """Close the account with `error`; the client gets an error answer, or sees its answer break off."""
        status, fault = self._progress.failed(error)
        if fault.error_class == "proxy_error":
            _log.error("a call failed inside the proxy", exc_info=error, extra={"record": self._account.start.id})
        self._account.close(fault)
        if self._reply.begun:
            await self._say_that_it_broke()
            return self._reply.cut()
        body = refusal(self._account.start.protocol, status, fault.message, code=fault.error_class)
        for name, value in self._out.marks.items():
            body.headers[name] = value
        return Failed(body, error_class=fault.error_class) if self._out.may_fail else body

    async def _say_that_it_broke(self) -> None:
        """End a rewritten stream as its protocol ends one that failed; the provider's own just breaks off."""
        if self._filter is None or self._reply.gone:
            return
        try:
            async with asyncio.timeout(1):
                await self._reply.write(self._filter.broken())
        except (ClientGone, TimeoutError):
            return
