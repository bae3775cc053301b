"""The most that a call's body asks for, whatever the model makes of it. Pure.

A token of text is at least one byte, so the body's length bounds its text, with the names and numbers around it for
what a provider adds to a message. What the length does not bound is named: an image counts by its pixels, a document by
its pages, what is referred to (a file, a cached content, an earlier answer) by what it holds, and a tool that the
provider runs brings pages of its own, which the model is given again each time it goes on.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Raw

from data.model import Endpoint
from proxy.budget.body import ABSENT, Body, Inline, Part, Thinking, Tool, is_any, prompts_in, read_body, size_of
from proxy.budget.others import ASSUMED_USES, Other, others_in

#: What providers add to a call, and to one with tools, that the body does not show.
_FRAME_TOKENS: Final = 64
_TOOLS_TOKENS: Final = 1_000
#: Tokens of one image at the most. Anthropic's largest is some 4,800, Gemini's some 4,400; OpenAI charges its small
#: models up to 48,169 for one (2,833 and 5,667 for each of eight tiles).
_IMAGE_TOKENS: Final = 50_000
_MOST_USES: Final = 1_000
#: Bytes of text a token, for what a call is likely to be rather than at its worst.
_LIKELY_BYTES: Final = 3
#: What bills nothing by itself.
_FREE: Final = frozenset(
    {
        Endpoint.COUNT_TOKENS,
        Endpoint.COUNT_GEMINI_TOKENS,
        Endpoint.MODELS,
        Endpoint.FILES,
        Endpoint.BATCHES,
        Endpoint.BATCH_RESULT,
    }
)
#: Tools by type that the caller runs; Anthropic's own have a date behind these names (bash_20250124).
_RUN_BY_CALLERS: Final = ("", "custom", "function")
_DATED_OF_CALLERS: Final = ("bash_", "text_editor_", "computer_", "memory_")
_TEXTS: Final = frozenset({"text", "tool_result", "tool_use", "thinking", "input_text", "output_text"})
_IMAGES: Final = frozenset({"image", "image_url", "input_image"})
_DOCUMENTS: Final = frozenset({"document", "file", "input_file"})
_ELSEWHERE: Final = frozenset({"container_upload", "item_reference"})
#: A second of sound is 32 tokens and one of film some 300, which is less than their bytes.
_BOUND_BY_BYTES: Final = ("audio/", "video/", "text/")


class Limits(msgspec.Struct, frozen=True):
    """What is known of a body already (see `proxy.request.RequestFacts`); 0 and '' where it does not say."""

    max_tokens: int = 0
    answers: int = 1
    service_tier: str = ""
    speed: str = ""
    inference_geo: str = ""
    readable: bool = True


class Demand(msgspec.Struct, frozen=True):
    """What a call asks for at the most.

    `open_ended`: something in it is as long as the model's window may be. `output_tokens`: of all answers together;
    None: the call does not limit them. `turns`: how often the model is asked, with what its tools have brought.
    `hidden_tokens`: output that a stream does not show; None: all of it may be.
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
    others: tuple[Other, ...] = ()


class _Found:
    """What is found in the parts of messages."""

    __slots__ = ("data_bytes", "images", "open_ended", "writes_1h", "writes_5m")

    def __init__(self) -> None:
        self.data_bytes = 0
        self.images = 0
        self.open_ended = False
        self.writes_5m = False
        self.writes_1h = False

    def cached(self, control: Raw) -> None:
        """Take note of what is to be written to a cache, and for how long."""
        if is_any(control):
            said = bytes(control)
            self.writes_5m = True
            self.writes_1h |= (b"ttl" in said or b"\\" in said) and b'"5m"' not in said


def demand(body: bytes, endpoint: Endpoint, limits: Limits) -> Demand:
    """Return what `body` (decoded; '' for none) asks for at the most."""
    if endpoint in _FREE or (endpoint is Endpoint.OTHER and not body):
        return Demand(bills=False)
    embeds = endpoint is Endpoint.EMBEDDINGS
    output = 0 if embeds else (limits.max_tokens * limits.answers or None)
    read = read_body(body) if limits.readable else None
    return _unread(len(body), output, limits) if read is None else _measured(body, output, limits, read)


def demand_unread(size: int, endpoint: Endpoint, limits: Limits) -> Demand:
    """Return what a body of at most `size` bytes that nobody looks at asks for at the most."""
    return Demand(bills=False) if endpoint in _FREE else _unread(size, None, limits)


def _unread(size: int, output: int | None, limits: Limits) -> Demand:
    """A body that cannot be read may hold anything."""
    return Demand(
        input_tokens=size + _FRAME_TOKENS,
        likely_input_tokens=size // _LIKELY_BYTES,
        open_ended=True,
        output_tokens=output,
        answers=limits.answers,
        writes_5m=True,
        writes_1h=True,
        hidden_tokens=None,
        service_tier=limits.service_tier,
        speed=limits.speed,
        inference_geo=limits.inference_geo,
    )


def _measured(body: bytes, output: int | None, limits: Limits, read: Body) -> Demand:
    found = _found(read)
    uses = _uses(read)
    text = max(len(body) - found.data_bytes, 0)
    tools = _TOOLS_TOKENS if read.tools else 0
    answers = max(limits.answers, read.best_of or 1) * prompts_in(read.prompt)
    if output is not None:
        output = output // limits.answers * answers
    if output is not None and is_any(read.prediction):
        output += size_of(read.prediction)  # what is rejected of a prediction is charged as output
    return Demand(
        input_tokens=text + found.images * _IMAGE_TOKENS + tools + _FRAME_TOKENS,
        likely_input_tokens=text // _LIKELY_BYTES,
        open_ended=found.open_ended or _lies_elsewhere(read),
        output_tokens=output,
        answers=answers,
        turns=1 + uses,
        tool_units=uses,
        writes_5m=found.writes_5m or uses > 0,
        writes_1h=found.writes_1h,
        hidden_tokens=_hidden(read.thinking) if read.thinking else 0,
        service_tier=limits.service_tier,
        speed=limits.speed,
        inference_geo=limits.inference_geo,
        others=others_in(read, output),
    )


def _found(read: Body) -> _Found:
    found = _Found()
    if read.cache_control is not ABSENT:
        found.cached(read.cache_control)
    for tool in read.tools or ():
        for control in (tool.cache_control, tool.caching):
            if control is not ABSENT:
                found.cached(control)
    for parts in (read.messages, read.input, read.contents, read.system, read.instruction, read.instruction_snake):
        if parts is not None and not isinstance(parts, str):
            _look(parts, found)
    return found


def _look(parts: "Part | Iterable[object]", found: _Found) -> None:
    for part in (parts,) if isinstance(parts, Part) else parts:
        if not isinstance(part, Part):
            continue
        if part.cache_control is not ABSENT:
            found.cached(part.cache_control)
        if part.type not in _TEXTS:
            _weigh(part, found)
        sourced = None if part.source is None else part.source.content
        for each in (part.content, part.output, part.parts, sourced, part.response, part.response_snake):
            if each is not None and not isinstance(each, str):
                _look(each, found)


def _weigh(part: Part, found: _Found) -> None:
    """Take off the bytes that are not text, and add what they count as."""
    if part.type in _IMAGES:
        found.images += 1
        if part.source is not None and part.source.type == "base64":
            found.data_bytes += size_of(part.source.data)
        elif b'"data:' in memoryview(part.image_url)[:64].tobytes():
            found.data_bytes += size_of(part.image_url)
    elif part.type in _DOCUMENTS:
        _weigh_document(part, found)
    elif part.type in _ELSEWHERE or is_any(part.file_data) or is_any(part.file_data_camel):
        found.open_ended = True
    if (inline := part.inline or part.inline_snake) is not None:
        _weigh_inline(inline, found)


def _weigh_document(part: Part, found: _Found) -> None:
    if part.source is not None and part.source.type in {"text", "content"}:
        return
    found.open_ended = True
    if part.source is not None and part.source.type == "base64":
        found.data_bytes += size_of(part.source.data)
    if part.file is not None:
        found.data_bytes += size_of(part.file.file_data)
    elif part.type == "input_file":
        found.data_bytes += size_of(part.file_data)


def _weigh_inline(inline: Inline, found: _Found) -> None:
    kind = inline.mime_type or inline.mime_type_snake
    if kind.startswith("image/"):
        found.images += 1
        found.data_bytes += size_of(inline.data)
    elif not kind.startswith(_BOUND_BY_BYTES):
        found.open_ended = True


def _uses(read: Body) -> int:
    """How often the provider runs a tool for this call, at the most."""
    if not read.tools and read.mcp_servers is ABSENT and read.web_search_options is ABSENT:
        return 0
    run = [tool for tool in read.tools or () if tool.type or read.contents is not None]
    run = [tool for tool in run if _runs_at_provider(tool)]
    if not (run or is_any(read.mcp_servers) or is_any(read.web_search_options)):
        return 0
    if read.max_tool_calls is not None and read.max_tool_calls > 0:
        return min(read.max_tool_calls, _MOST_USES)
    stated = [tool.max_uses if tool.max_uses and tool.max_uses > 0 else ASSUMED_USES for tool in run]
    return min(sum(stated) or ASSUMED_USES, _MOST_USES)


def _runs_at_provider(tool: Tool) -> bool:
    if tool.type:
        return tool.type not in _RUN_BY_CALLERS and not tool.type.startswith(_DATED_OF_CALLERS)
    return any(named is not ABSENT for named in _OF_GEMINI(tool))


def _lies_elsewhere(read: Body) -> bool:
    named = [raw for raw in _AT_PROVIDER(read) if raw is not ABSENT and is_any(raw)]
    # a stored prompt is an object; a text there is the prompt itself
    return bool(named) or (read.prompt is not ABSENT and memoryview(read.prompt)[:1].tobytes() == b"{")


def _hidden(thinking: Thinking) -> int | None:
    """How much a call may think without showing it; None: as much as it may answer."""
    if thinking.type == "disabled":
        return 0
    return thinking.budget_tokens if thinking.type == "enabled" and thinking.budget_tokens > 0 else None


_AT_PROVIDER: Final = attrgetter(
    "previous_response_id", "conversation", "container", "cached_content", "cached_content_snake"
)
_NOT_GEMINIS: Final = frozenset({"type", "max_uses", "model", "max_tokens", "caching", "cache_control"})
_OF_GEMINI: Final = attrgetter(*(name for name in Tool.__struct_fields__ if name not in _NOT_GEMINIS))
