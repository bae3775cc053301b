"""One turn: an Anthropic Messages call, made to this proxy's own address as any client makes it."""

import io
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

import aiohttp
import msgspec
from multidict import CIMultiDict

from proxy.crosstalk.credentials import Credentials
from proxy.crosstalk.document import CrosstalkDocument, Participant
from proxy.request import clean
from proxy.secrets import error_class, masked

#: How long the call itself may take is the gateway's own business.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
_MOST_TEXT: Final = 500


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a participant said. `text` may be ''."""

    text: str
    model: str
    stop_reason: str
    input_tokens: int
    output_tokens: int
    request_id: str
    duration_ms: float


class Failed(msgspec.Struct, frozen=True):
    """Why there is no answer: the error's type and message, without secrets. `status` 0: no HTTP answer came."""

    kind: str
    message: str
    status: int = 0
    request_id: str = ""


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Usage(msgspec.Struct):
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0


class _Message(msgspec.Struct):
    content: list[_Block]
    model: str = ""
    stop_reason: str | None = ""
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


def headers_of(
    session: str, document: CrosstalkDocument, participant: Participant, shown: Credentials
) -> CIMultiDict[str]:
    """Return the headers of a participant's call, by which the ledger knows whose it is."""
    headers = CIMultiDict(
        {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "claude-proxy-crosstalk",
            "anthropic-version": "2023-06-01",
            "x-claude-proxy-session": session,
            "x-claude-code-agent-id": participant.name,
        }
    )
    if document.project is not None:
        headers["x-claude-proxy-project"] = document.project
    headers.update({f"x-claude-proxy-tag-{name}": value for name, value in document.tags.items()})
    headers.extend(shown.headers)
    return headers


async def ask(
    http: aiohttp.ClientSession,
    address: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    secrets: tuple[str, ...],
) -> Answered | Failed:
    """Make the call. `secrets` are in nothing that is returned."""
    begun = perf_counter()
    try:
        async with http.post(
            f"{address}/v1/messages",
            data=io.BytesIO(msgspec.json.encode(body)),
            headers=headers,
            timeout=_TIMEOUT,
            allow_redirects=False,
        ) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Failed("gateway_unreachable", f"The proxy's own address did not answer ({type(error).__name__}).")
    request_id = answer.headers.get("x-claude-proxy-request-id", "")
    if answer.status != 200:
        return _failed(answer.status, raw, request_id, secrets)
    return _answered(raw, request_id, (perf_counter() - begun) * 1000)


def _answered(raw: bytes, request_id: str, duration_ms: float) -> Answered | Failed:
    try:
        message = msgspec.json.decode(raw, type=_Message)
    except (msgspec.MsgspecError, ValueError):
        return Failed("unreadable_answer", "The provider's answer is no message.", 200, request_id)
    usage = message.usage
    counts = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    return Answered(
        text="".join(block.text for block in message.content if block.type == "text"),
        model=clean(message.model, 200),
        stop_reason=clean(message.stop_reason, 100),
        input_tokens=sum(count or 0 for count in counts),
        output_tokens=usage.output_tokens or 0,
        request_id=request_id,
        duration_ms=duration_ms,
    )


def _failed(status: int, raw: bytes, request_id: str, secrets: tuple[str, ...]) -> Failed:
    try:
        error = msgspec.json.decode(raw, type=_ErrorBody).error
    except (msgspec.MsgspecError, ValueError):
        error = _Error()
    kind = error_class(error.type) or f"http_{status}"
    message = masked(clean(error.message, _MOST_TEXT), secrets) or f"The call was answered with status {status}."
    return Failed(kind, message, status, request_id)
