"""A call as one provider is sent it: the same bytes where that is possible, else renamed or translated."""

import asyncio
from collections.abc import Callable, Mapping
from time import time
from typing import Final, TypeVar

import msgspec
from multidict import CIMultiDict

from data.model import Endpoint, Protocol
from proxy.call import Call
from proxy.errors import UnreadableBody
from proxy.headers import drop_credentials, own_path, path_without_virtual_keys, request_headers, translated_headers
from proxy.journey import Step
from proxy.outgoing import Outgoing
from proxy.renaming import renamed_body, renamed_path
from proxy.rewriting import HiddenUsage, Relocating, Translating
from proxy.routing import upstream_url
from proxy.translate import TRANSLATIONS, Context, Translation, estimate_input_tokens
from proxy.usage.include_usage import ask_for_usage

T = TypeVar("T")
_AT_ONCE_BYTES: Final = 1024 * 1024
#: What a translated call is at its provider.
_UPSTREAM: Final = {Protocol.OPENAI: Endpoint.CHAT_COMPLETIONS, Protocol.ANTHROPIC: Endpoint.MESSAGES}


class Sending(msgspec.Struct, frozen=True):
    """How a call is sent on this attempt.

    `key` is the provider's own credential, '' for none; `strange`: the caller's is not for this provider. `may_fail`
    and `marks`: see `Outgoing`.
    """

    key: str = ""
    strange: bool = False
    may_fail: bool = False
    marks: Mapping[str, str] = {}


async def outgoing(call: Call, step: Step, sending: Sending) -> Outgoing:
    """Return the request for the step's provider.

    Raises `UnreadableBody` where it cannot be changed as it must be, `Untranslatable` for what has no counterpart.
    """
    if step.candidate.translates:
        return await _translated(call, step, sending)
    candidate, key = step.candidate, sending.key
    headers = request_headers(_passed(call), candidate.provider, key)
    body, path = call.body, own_path(call.asked.path, candidate.provider, key)
    if call.virtual:
        path = path_without_virtual_keys(path)
    if sending.strange and not key:
        drop_credentials(headers)
    if candidate.model:
        body, path = _renamed(call, body, path, candidate.model)
    asks = call.endpoint is Endpoint.CHAT_COMPLETIONS and call.facts.stream and not call.facts.include_usage
    asking = await _asking(call, body) if asks else body
    rewriting = HiddenUsage() if asking is not body else _relocating(call)
    if rewriting is not None:
        headers["Accept-Encoding"] = "identity"  # what is to be changed must be readable
    return Outgoing(
        call.request.method,
        upstream_url(candidate.provider.base_url, path),
        headers,
        asking,
        call.endpoint,
        candidate.limits,
        rewriting=rewriting,
        may_fail=sending.may_fail,
        marks=sending.marks,
        key=sending.key,
        streamed=call.streamed,
    )


async def counted(call: Call) -> int:
    """Return the input tokens of a count_tokens call as estimated here, for a provider that counts none."""
    return await _apart(call, lambda: estimate_input_tokens(call.body))


async def _translated(call: Call, step: Step, sending: Sending) -> Outgoing:
    candidate = step.candidate
    _check_plain(call, "translated")
    translation = await _apart(call, lambda: _translation(call, step))
    headers = translated_headers(_passed(call), candidate.provider, sending.key)
    if sending.strange and not sending.key:
        drop_credentials(headers)
    headers.update(translation.headers)
    return Outgoing(
        "POST",
        upstream_url(candidate.provider.base_url, translation.path),
        headers,
        translation.body,
        _UPSTREAM[candidate.provider.protocol],
        candidate.limits,
        rewriting=Translating(translation),
        may_fail=sending.may_fail,
        marks=sending.marks,
        key=sending.key,
    )


def _passed(call: Call) -> CIMultiDict[str]:
    return call.head.passed_without_keys if call.virtual else call.head.passed


def _translation(call: Call, step: Step) -> Translation:
    make = TRANSLATIONS[call.endpoint, step.candidate.provider.protocol]
    asked = call.facts.model
    estimated = estimate_input_tokens(call.body)
    return make(call.body, Context(step.candidate.model or asked, asked, estimated, call.request_id, int(time())))


async def _apart(call: Call, work: Callable[[], T]) -> T:
    """Do it in a thread where the body is large, so that other calls go on."""
    return await asyncio.to_thread(work) if len(call.body) > _AT_ONCE_BYTES else work()


def _relocating(call: Call) -> Relocating | None:
    """Return what makes clients fetch a batch's results here, where they are counted."""
    if call.endpoint is not Endpoint.BATCHES or call.protocol is not Protocol.ANTHROPIC or call.asked.batch:
        return None
    forwarded = call.request.headers.get("X-Forwarded-Proto", "")
    scheme = forwarded if forwarded in {"http", "https"} else call.request.scheme
    return Relocating(f"{scheme}://{call.request.host}{call.asked.prefix}")


def _renamed(call: Call, body: bytes, path: str, model: str) -> tuple[bytes, str]:
    if call.asked.model:
        return body, renamed_path(path, model)
    _check_plain(call, "sent to another model")
    return renamed_body(body, model), path


def _check_plain(call: Call, what: str) -> None:
    if call.request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnreadableBody(f"a request whose body is compressed cannot be {what}")


async def _asking(call: Call, body: bytes) -> bytes:
    if call.request.headers.get("Content-Encoding", "identity") != "identity":
        return body
    asking = await _apart(call, lambda: ask_for_usage(body))
    return body if asking == body else asking
