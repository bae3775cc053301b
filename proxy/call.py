"""One client's request, read in full unless it is an upload: what it says, and what becomes of it for a provider."""

import asyncio
from time import time_ns
from typing import Final

import aiohttp
import msgspec
import uuid_utils
from aiohttp import web

from data.model import Endpoint, Protocol, RequestStart
from proxy.admission.keys import VirtualKey
from proxy.attribution import Attribution, attribute
from proxy.client_head import Head
from proxy.decoding import Decoder, decoder_for
from proxy.endpoints import Asked
from proxy.errors import ClientGone, UnreadableBody
from proxy.journey import Step, credential_label
from proxy.request import RequestFacts, read_facts
from proxy.streamed_body import StreamedBody, too_large
from proxy.usage import PARSERS, estimate_tokens

#: A longer body is forwarded unread; no provider takes one with a model in it.
MAX_READ_BYTES: Final = 32 * 1024 * 1024
#: What a coded request is decoded to for reading.
MAX_DECODED_BYTES: Final = 8 * 1024 * 1024
_AT_ONCE_BYTES: Final = 1024 * 1024
NO_FACTS: Final = RequestFacts(readable=False)
#: What tells nothing that the proxy needs, and may be large.
_UNREAD: Final = frozenset({Endpoint.MODELS, Endpoint.FILES, Endpoint.BATCHES})


class Call:
    """A request for what `asked` says, by the name of `request_id` to its client.

    `arrived`: when its last byte was here (`perf_counter` seconds).

    A `streamed` body is passed on as it comes: then `body` is empty, and `arrived` is when the head was here.
    """

    __slots__ = (
        "arrived",
        "asked",
        "body",
        "endpoint",
        "estimated_tokens",
        "facts",
        "head",
        "protocol",
        "request",
        "request_id",
        "streamed",
        "virtual",
        "who",
    )

    def __init__(
        self,
        asked: Asked,
        request: web.Request,
        head: Head,
        body: bytes,
        *,
        request_id: str,
        arrived: float,
        facts: RequestFacts,
        streamed: StreamedBody | None = None,
    ) -> None:
        self.asked = asked
        self.endpoint: Endpoint = asked.endpoint
        self.protocol: Protocol = asked.protocol
        self.request = request
        self.head = head
        self.body = body
        self.streamed = streamed
        self.arrived = arrived
        self.facts = facts
        self.request_id = request_id
        self.virtual = False  # whether it came with a virtual key, which is for this proxy alone
        self.who = Attribution()
        # 0 where nothing is billed, however much is sent
        bills = self.endpoint is not Endpoint.OTHER and (self.endpoint, facts.stream) in PARSERS
        # what it is estimated to bring in
        self.estimated_tokens = estimate_tokens(facts.decoded_bytes or len(body)) if bills else 0

    @property
    def spent(self) -> bool:
        """Whether it cannot be sent again."""
        return self.streamed is not None and self.streamed.spent

    def belongs_to(self, key: VirtualKey | None) -> None:
        """Note whose call it is: what the key says wins over what the call says of itself."""
        said, project = self.head.said, self.asked.project
        if key is None:
            self.who = attribute(said, self.facts.user_id, project=project, url=self.request.rel_url)
            return
        self.virtual = True
        self.who = attribute(said, self.facts.user_id, project=project, forced=key.forced)

    def start(self, step: Step, number: int) -> RequestStart:
        """Return what the ledger is told before the request leaves on its attempt `number` (from 1)."""
        who, candidate = self.who, step.candidate
        attempt_id = self.request_id if number == 1 else str(uuid_utils.uuid7())
        return RequestStart(
            id=attempt_id,
            request_id=self.request_id,
            attempt=number,
            cause=step.cause,
            started_at=time_ns() // 1000,
            key=who.key,
            user=who.user,
            team=who.team,
            project=who.project,
            session=who.session,
            agent=who.agent,
            user_agent=who.user_agent,
            protocol=self.protocol,
            endpoint=self.endpoint,
            provider=candidate.provider.name,
            credential=credential_label(candidate, step.credential),
            upstream_protocol=candidate.provider.protocol if candidate.translates else "",
            model_requested=self.facts.model,
            model_sent=candidate.model,
            stream=self.facts.stream,
            request_bytes=len(self.body) if self.streamed is None else self.streamed.length or 0,
            estimated_input_tokens=self.estimated_tokens,
            tags=who.tags,
        )


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the request's body. Raises `BodyTooLarge`, or `ClientGone` where it ends too early."""
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        while chunk := await request.content.readany():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            if request.content.at_eof():
                break
    except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError) as error:
        raise ClientGone(f"the request's body broke off ({type(error).__name__})") from error
    return b"".join(parts) if len(parts) != 1 else parts[0]


async def facts_of(asked: Asked, request: web.Request, body: bytes) -> RequestFacts:
    """Return what `body` says, and what only the path says: Gemini's model, and whether its answer is a stream."""
    if asked.endpoint in _UNREAD:
        return NO_FACTS
    facts = await _facts_of_body(request, body)
    if not (asked.model or asked.stream):
        return facts
    return msgspec.structs.replace(facts, model=asked.model, stream=asked.stream)


async def _facts_of_body(request: web.Request, body: bytes) -> RequestFacts:
    """Read `body`; a coded or a large one in a thread, so that other calls go on."""
    coding = request.headers.get("Content-Encoding", "")
    if len(body) > MAX_READ_BYTES:
        return NO_FACTS
    if coding or len(body) > _AT_ONCE_BYTES:
        return await asyncio.to_thread(_facts, body, coding)
    return _facts(body, coding)


def _facts(body: bytes, coding: str) -> RequestFacts:
    if not body:
        return NO_FACTS
    try:
        decoder = decoder_for(coding, MAX_DECODED_BYTES) if coding else None
        if decoder is None:
            return read_facts(body)
        plain = _decoded(decoder, body)
        return msgspec.structs.replace(read_facts(plain), decoded_bytes=len(plain))
    except UnreadableBody:
        return NO_FACTS


def _decoded(decoder: Decoder, body: bytes) -> bytes:
    parts = [decoder.decode(body)]
    while decoder.pending:
        parts.append(decoder.decode(b""))
    return b"".join(parts)
