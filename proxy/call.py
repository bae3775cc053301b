"""One client's request, read in full unless it is an upload: what it says, and what becomes of it for a provider."""

import asyncio
from time import time_ns
from typing import Final, NamedTuple

import aiohttp
import msgspec
import uuid_utils
from aiohttp import web

from data.model import Endpoint, Protocol, RequestStart
from proxy.admission.keys import VirtualKey
from proxy.attribution import Attribution, attribute
from proxy.client_head import Head
from proxy.decoding import Decoder, decoder_for, is_plain
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


class Told(NamedTuple):
    """What a body says, and what it is without its content coding; None where nobody here can read that."""

    facts: RequestFacts
    plain: bytes | None


class Call:
    """A request for what `asked` says, by the name of `request_id` to its client.

    `arrived`: when its last byte was here (`perf_counter` seconds).

    A `streamed` body is passed on as it comes: then `body` is empty, and `arrived` is when the head was here.

    `plain` is the body without its content coding; None where nobody here can read it (see `told_by`).
    """

    __slots__ = (
        "arrived",
        "asked",
        "body",
        "endpoint",
        "estimated_tokens",
        "facts",
        "head",
        "plain",
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
        told: Told,
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
        self.facts, self.plain = facts, plain = told
        self.request_id = request_id
        self.virtual = False  # whether it came with a virtual key, which is for this proxy alone
        self.who = Attribution()
        # 0 where nothing is billed, however much is sent
        bills = self.endpoint is not Endpoint.OTHER and (self.endpoint, facts.stream) in PARSERS
        text = body if plain is None else plain
        self.estimated_tokens = estimate_tokens(len(text)) if bills else 0  # what it is estimated to bring in

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


async def told_by(asked: Asked, request: web.Request, body: bytes) -> Told:
    """Return what `body` says, and what only the path says: Gemini's model, and whether its answer is a stream."""
    coding = ", ".join(request.headers.getall("Content-Encoding", ()))
    if asked.endpoint in _UNREAD:
        coded = asked.makes_batch and not is_plain(coding)
        return Told(NO_FACTS, await asyncio.to_thread(_plain, body, coding) if coded else body)
    facts, plain = await _told_by_body(body, coding)
    if asked.model or asked.stream:
        facts = msgspec.structs.replace(facts, model=asked.model, stream=asked.stream)
    return Told(facts, plain)


async def _told_by_body(body: bytes, coding: str) -> Told:
    """Read `body`; a coded or a large one in a thread, so that other calls go on."""
    if len(body) > MAX_READ_BYTES:
        return Told(NO_FACTS, body if is_plain(coding) else None)
    if coding or len(body) > _AT_ONCE_BYTES:
        return await asyncio.to_thread(_told, body, coding)
    return _told(body, coding)


def _told(body: bytes, coding: str) -> Told:
    plain = _plain(body, coding)
    return Told(read_facts(plain) if plain else NO_FACTS, plain)


def _plain(body: bytes, coding: str) -> bytes | None:
    """Return a body without its coding; None where that is not known here, or the body too long for it."""
    if not (body and coding):
        return body
    try:
        decoder = decoder_for(coding, MAX_DECODED_BYTES)
        return _decoded(decoder, body) if decoder else body
    except UnreadableBody:
        return None


def _decoded(decoder: Decoder, body: bytes) -> bytes:
    parts = [decoder.decode(body)]
    while decoder.pending:
        parts.append(decoder.decode(b""))
    return b"".join(parts)
