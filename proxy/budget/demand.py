"""The most that a call's body asks for, whatever the model makes of it. Pure.

A token of text is at least one byte, so the body's length bounds its text, with the names and numbers around it for
what a provider adds to a message. What the length does not bound is named: an image counts by its pixels, a document by
its pages, what is referred to (a file, a cached content, an earlier answer) by what it holds, and a tool that the
provider runs brings pages of its own, which the model is given again each time it goes on.
"""

from typing import Final

import msgspec

from data.model import Endpoint
from proxy.budget.media import media_of

#: What providers add to a call, and to one with tools, that the body does not show.
_FRAME_TOKENS: Final = 64
_TOOLS_TOKENS: Final = 1_000
#: How often a tool that the provider runs is used where the call does not say.
_ASSUMED_USES: Final = 10
_MOST_USES: Final = 1_000
#: Bytes of text a token, for what a call is likely to be rather than at its worst.
_LIKELY_BYTES: Final = 3
#: What bills nothing by itself.
_FREE: Final = frozenset({Endpoint.COUNT_TOKENS, Endpoint.COUNT_GEMINI_TOKENS, Endpoint.MODELS, Endpoint.FILES})
_NO_OUTPUT: Final = frozenset({Endpoint.EMBEDDINGS})
#: In the names and keys of tools that providers run; a schema that has one of them makes the call look dearer.
_RUN_BY_PROVIDERS: Final = (
    b"_20",  # Anthropic's have a date: web_search_20250305
    b'"mcp',
    b'"web_search',
    b'"file_search',
    b'"code_interpreter',
    b'"image_generation',
    b'"googleSearch',
    b'"google_search',
    b'"urlContext',
    b'"url_context',
    b'"codeExecution',
    b'"code_execution',
    b'"googleMaps',
    b'"google_maps',
    b'"fileSearch',
)


class Demand(msgspec.Struct, frozen=True):
    """What a call asks for at the most.

    `open_ended`: something in it is as long as the model's window may be. `output_tokens`: of all answers together;
    None: the call does not limit them. `turns`: how often the model goes on with what a tool brought.
    `hidden_tokens`: output that a stream does not show.
    """

    bills: bool = True
    input_tokens: int = 0
    likely_input_tokens: int = 0
    open_ended: bool = False
    output_tokens: int | None = None
    answers: int = 1
    turns: int = 1
    tool_units: int = 0
    writes_5m: bool = False
    writes_1h: bool = False
    hidden_tokens: int | None = 0
    service_tier: str = ""
    speed: str = ""
    inference_geo: str = ""


class Limits(msgspec.Struct, frozen=True):
    """What is known of a body already (see `proxy.request.RequestFacts`); 0 and '' where it does not say."""

    max_tokens: int = 0
    answers: int = 1
    service_tier: str = ""
    speed: str = ""
    inference_geo: str = ""
    readable: bool = True


class _Top(msgspec.Struct):
    """The parts of a body, as they stand there, that change what it may cost."""

    tools: msgspec.Raw = msgspec.Raw()
    thinking: msgspec.Raw = msgspec.Raw()
    mcp_servers: msgspec.Raw = msgspec.Raw()
    max_tool_calls: msgspec.Raw = msgspec.Raw()
    web_search_options: msgspec.Raw = msgspec.Raw()
    prediction: msgspec.Raw = msgspec.Raw()
    # what lies at the provider
    previous_response_id: msgspec.Raw = msgspec.Raw()
    conversation: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    container: msgspec.Raw = msgspec.Raw()
    cached_content: msgspec.Raw = msgspec.field(name="cachedContent", default=msgspec.Raw())
    cached_content_snake: msgspec.Raw = msgspec.field(name="cached_content", default=msgspec.Raw())


class _Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int = 0


class _Tool(msgspec.Struct):
    max_uses: int = 0


_TOP: Final = msgspec.json.Decoder(_Top)
_THINKING: Final = msgspec.json.Decoder(_Thinking)
_TOOL_LIST: Final = msgspec.json.Decoder(list[_Tool])
_NUMBER: Final = msgspec.json.Decoder(int)
_BAD: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)
_NOTHING: Final = frozenset({b"", b"null", b"[]", b"{}", b'""', b"false"})


def demand(body: bytes, endpoint: Endpoint, limits: Limits) -> Demand:
    """Return what `body` (decoded, '' for none) asks for at the most."""
    if endpoint in _FREE or endpoint is Endpoint.BATCHES or (endpoint is Endpoint.OTHER and not body):
        return Demand(bills=False)
    output = 0 if endpoint in _NO_OUTPUT else (limits.max_tokens * limits.answers or None)
    read = Demand(
        input_tokens=len(body) + _FRAME_TOKENS,
        likely_input_tokens=len(body) // _LIKELY_BYTES,
        output_tokens=output,
        answers=limits.answers,
        service_tier=limits.service_tier,
        speed=limits.speed,
        inference_geo=limits.inference_geo,
    )
    top = _top(body) if limits.readable else None
    if top is None:  # it says nothing that can be relied on
        changed = {"open_ended": True, "hidden_tokens": None, "writes_5m": True, "writes_1h": True}
        return msgspec.structs.replace(read, **changed)
    return _measured(read, body, top)


def _measured(read: Demand, body: bytes, top: _Top) -> Demand:
    media = media_of(body)
    uses = _uses(top)
    caches = b'"cache_control"' in body or media.doubtful
    return msgspec.structs.replace(
        read,
        input_tokens=read.input_tokens - media.data_bytes + media.tokens + (_TOOLS_TOKENS if _is_any(top.tools) else 0),
        likely_input_tokens=max(read.likely_input_tokens - media.data_bytes // _LIKELY_BYTES, 0),
        open_ended=media.open_ended or _lies_elsewhere(top),
        output_tokens=_with_prediction(read.output_tokens, top),
        turns=1 + uses,
        tool_units=uses,
        writes_5m=caches or uses > 0,
        writes_1h=caches and (b'"1h"' in body or media.doubtful),
        hidden_tokens=_hidden(top.thinking),
    )


def _top(body: bytes) -> _Top | None:
    try:
        return _TOP.decode(body)
    except _BAD:
        return None


def _uses(top: _Top) -> int:
    """How often the provider runs a tool for this call, at the most."""
    tools = bytes(top.tools)
    run = tools and any(name in tools for name in _RUN_BY_PROVIDERS)
    if not (run or _is_any(top.mcp_servers) or _is_any(top.web_search_options)):
        return 0
    if limit := _number(top.max_tool_calls):
        return min(limit, _MOST_USES)
    try:
        limits = [tool.max_uses for tool in _TOOL_LIST.decode(tools)] if tools else []
    except _BAD:
        limits = []
    stated = sum(limit for limit in limits if limit > 0)
    return min(stated or _ASSUMED_USES, _MOST_USES)


def _lies_elsewhere(top: _Top) -> bool:
    stored = (top.previous_response_id, top.conversation, top.prompt, top.cached_content, top.cached_content_snake)
    return any(_is_any(part) for part in (*stored, top.container))


def _with_prediction(output: int | None, top: _Top) -> int | None:
    """Rejected tokens of a predicted output are charged as output."""
    return output + len(bytes(top.prediction)) if output is not None and _is_any(top.prediction) else output


def _hidden(thinking: msgspec.Raw) -> int | None:
    """How much a call may think without showing it; None: as much as it may answer."""
    if not _is_any(thinking):
        return 0
    try:
        asked = _THINKING.decode(thinking)
    except _BAD:
        return None
    if asked.type == "disabled":
        return 0
    return asked.budget_tokens if asked.type == "enabled" and asked.budget_tokens > 0 else None


def _is_any(raw: msgspec.Raw) -> bool:
    size = memoryview(raw).nbytes
    return size > 0 and (size > 8 or bytes(raw).strip() not in _NOTHING)


def _number(raw: msgspec.Raw) -> int:
    value = bytes(raw) if 0 < memoryview(raw).nbytes <= 20 else b""
    return _NUMBER.decode(value) if value.isdigit() else 0
