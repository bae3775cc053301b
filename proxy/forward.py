"""The hot path: a client's request is read, routed, written down and sent on; an upload is sent on as it is read."""

import asyncio
import logging
from time import monotonic, perf_counter, time
from typing import Any, Final

from aiohttp import web
from msgspec.structs import replace
from multidict import MultiDict, MultiMapping

from data.model import Endpoint, Protocol
from proxy.admission.gate import Admitted, Caller, Refused, Wanted
from proxy.admission.keys import VirtualKey
from proxy.attempts import Attempts, Means
from proxy.budget.others import models_named
from proxy.budget.refuse import UNREADABLE
from proxy.call import NO_FACTS, Call, Told, read_body, told_by
from proxy.client_head import Head, Heads
from proxy.endpoints import Asked
from proxy.errors import BodyTooLarge, ClientGone
from proxy.logs import CALL
from proxy.refusals import refusal, refused
from proxy.standing import Standing
from proxy.streamed_body import StreamedBody
from proxy.uploads import UNREAD, is_upload

_RETRY_AFTER_S = 5
_NO_QUERY: Final[MultiMapping[str]] = MultiDict()
_log = logging.getLogger(__name__)


class Forwarder:
    """Handles client endpoints. After `stop_taking` new calls are refused; `idle` waits for those in flight."""

    def __init__(self, means: Means, standing: Standing) -> None:
        self._means = means
        self._heads = Heads()
        self.standing = standing  # may be exchanged at any time; a call that has begun keeps its own
        self._stopping = False
        self._active: set[asyncio.Task[Any] | None] = set()
        self._taken = 0  # calls that were not turned away, and whose clients are not answered yet
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ledger_trouble(self) -> str:
        """Why the last call could not be written down; '' if it could."""
        return self._means.trouble

    @property
    def stopping(self) -> bool:
        """Whether new calls are refused."""
        return self._stopping

    def stop_taking(self) -> None:
        """Refuse new calls from now on."""
        self._stopping = True
        self.leave()

    @property
    def leaving(self) -> bool:
        """Whether every answer is its connection's last."""
        return self._means.closing.is_set()

    def leave(self) -> None:
        """End each connection with its next answer: other proxies take what its client asks next."""
        self._means.closing.set()

    async def idle(self) -> None:
        """Wait until no call is in flight, and all are written down."""
        await self._idle.wait()
        self._means.books.flush()

    def interrupt(self) -> None:
        """End the calls in flight; each leaves its record."""
        for task in self._active:
            if task is not None:
                task.cancel()

    async def handle(self, asked: Asked, request: web.Request, request_id: str) -> web.StreamResponse:
        """Answer one call: with the provider's answer, or with a refusal in the provider's shape.

        An answer of the proxy itself does not say `request_id` yet.
        """
        head = self._heads.of(request)
        caller = self._caller(head, request)
        if (turned_away := self._turned_away(asked, caller)) is not None:
            return turned_away
        self._taken += 1
        self._idle.clear()
        try:
            return await self._served(asked, request, head, caller, request_id)
        finally:
            self._taken -= 1
            self._rest()

    async def _served(
        self, asked: Asked, request: web.Request, head: Head, caller: Caller, request_id: str
    ) -> web.StreamResponse:
        standing = self.standing
        call = await _read(asked, request, head, standing, request_id)
        if isinstance(call, web.Response):
            return call
        admitted = self._admit(call, caller)
        if isinstance(admitted, Refused):
            return refused(asked.protocol, admitted)
        own = admitted.key.routes if admitted.key is not None else ()
        plan = standing.router.plan(asked.endpoint, asked.protocol, call.facts.model, asked.provider, own)
        if plan is None:
            admitted.end(0, monotonic())
            answer = refusal(asked.protocol, 404, _nobody(call, standing), code="no_provider")
            answer.headers.update(admitted.headers(asked.protocol, monotonic(), time()))
            return answer
        attempts = Attempts(call, plan, self._means, standing, admitted)
        called = CALL.set(call.request_id)
        try:
            drains = standing.config.proxy.on_disconnect == "drain"
            ended = await (self._detached(attempts) if drains else self._run(attempts))
            if call.streamed is not None and not (call.streamed.ended or ended.prepared):
                ended.force_close()  # nobody reads the rest of the request
            return ended
        finally:
            CALL.reset(called)

    def key_of(self, request: web.Request) -> str:
        """Return the name of the virtual key that a call comes with; '' for none, and for one that is not known."""
        found = self._caller(self._heads.of(request), request).found
        return found.name if isinstance(found, VirtualKey) else ""

    def _caller(self, head: Head, request: web.Request) -> Caller:
        gate = self._means.gate
        if request.rel_url.raw_query_string:
            return gate.caller(request.headers, request.query)
        if head.caller is None or not gate.is_known(head.caller):
            head.caller = gate.caller(request.headers, _NO_QUERY)
        return head.caller

    def _turned_away(self, asked: Asked, caller: Caller) -> web.Response | None:
        """Refuse what need not be read."""
        if self._stopping:
            return _busy(asked.protocol, "The proxy is stopping; ask again.", "proxy_stopping")
        stranger = self._means.gate.stranger(caller)
        return None if stranger is None else refused(asked.protocol, stranger)

    def _admit(self, call: Call, caller: Caller) -> Admitted | Refused:
        request, gate = call.request, self._means.gate
        if not gate.is_known(caller):  # the keys have changed while the body came
            caller = self._caller(call.head, request)
        asks = (
            call.endpoint is Endpoint.MESSAGES and isinstance(caller.found, VirtualKey) and caller.found.is_for_models
        )
        others = models_named(call.plain or b"") if asks else ()
        wanted = Wanted(call.protocol, call.endpoint, call.facts.model, call.estimated_tokens, request.method, others)
        admitted = gate.admit(wanted, caller, now_s=monotonic(), wall_s=time())
        if isinstance(admitted, Admitted):
            call.belongs_to(admitted.key)
        elif admitted.code == "model_not_allowed" and call.plain is None and not call.facts.model:
            return replace(admitted, message=f"{admitted.message} {UNREADABLE}")
        return admitted

    async def _run(self, attempts: Attempts) -> web.StreamResponse:
        task = asyncio.current_task()
        self._active.add(task)
        self._idle.clear()
        try:
            return await attempts.run()
        finally:
            attempts.admitted.end(attempts.used_tokens, monotonic())
            self._active.discard(task)
            self._rest()

    def _rest(self) -> None:
        if not (self._active or self._taken):
            self._idle.set()

    async def _detached(self, attempts: Attempts) -> web.StreamResponse:
        """Run in a task of its own, so that the answer is read to its end when the client hangs up."""
        task = self._means.tasks.start(self._run(attempts), name="call")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            attempts.client_gone()
            raise


async def _read(
    asked: Asked, request: web.Request, head: Head, standing: Standing, request_id: str
) -> Call | web.Response:
    """Return the call, read in full unless it is an upload, or why it is refused."""
    protocol = asked.protocol
    if head.unsendable:
        return _unforwardable(head.unsendable, protocol)
    limit = standing.config.proxy.max_body_bytes
    try:
        if asked.endpoint in UNREAD and is_upload(asked, request.headers, request.content_length):
            streamed = StreamedBody(request, limit)
            return Call(
                asked, request, head, b"",
                request_id=request_id, arrived=perf_counter(), told=Told(NO_FACTS, b""), streamed=streamed,
            )  # fmt: skip
        body = await read_body(request, limit)
    except BodyTooLarge as error:
        return refusal(protocol, 413, str(error), code="request_too_large")
    except ClientGone as error:
        return refusal(protocol, 400, str(error), code="incomplete_request")
    arrived = perf_counter()
    told = await told_by(asked, request, body)
    return Call(asked, request, head, body, request_id=request_id, arrived=arrived, told=told)


def _nobody(call: Call, standing: Standing) -> str:
    """Say that no provider can serve a call, and which there are."""
    listed = ", ".join(f"{provider.name} ({provider.protocol})" for provider in standing.providers.values())
    what = f"{call.endpoint} in the {call.protocol} protocol"
    return f"No provider of this proxy can serve {what}. Configured: {listed or 'none'}."


def _unforwardable(name: str, protocol: Protocol) -> web.Response:
    """Refuse what would arrive as something else at the provider."""
    message = f"The value of the header {name[:100]} is not UTF-8; this proxy cannot send it on unchanged."
    return refusal(protocol, 400, message, code="header_not_utf8")


def _busy(protocol: Protocol, message: str, code: str) -> web.Response:
    return refusal(protocol, 503, message, code=code, retry_after_s=_RETRY_AFTER_S)
