"""What of a call's body changes its cost, in every protocol's spelling; everything else in it is skipped."""

from typing import Final

import msgspec
from msgspec import Raw, field

#: What is not there. The decoder gives this very object.
ABSENT: Final = Raw()


class Source(msgspec.Struct):
    """Where an image or a document of Anthropic's comes from."""

    type: str = ""
    data: Raw = ABSENT
    content: "str | Part | list[Part] | None" = None


class File(msgspec.Struct):
    """A file of OpenAI's."""

    file_data: Raw = ABSENT


class Inline(msgspec.Struct):
    """Data of Gemini's."""

    mime_type: str = field(name="mimeType", default="")
    mime_type_snake: str = field(name="mime_type", default="")
    data: Raw = ABSENT


class Part(msgspec.Struct):
    """A message, or a part of one. What a tool is given or answers as JSON is not looked into: it is text."""

    type: str = ""
    cache_control: Raw = ABSENT
    content: "str | Part | list[Part] | None" = None
    output: "str | Part | list[Part] | None" = None
    parts: "Part | list[Part] | None" = None
    source: Source | None = None
    image_url: Raw = ABSENT
    file: File | None = None
    file_data: Raw = ABSENT
    file_data_camel: Raw = field(name="fileData", default=ABSENT)
    inline: Inline | None = field(name="inlineData", default=None)
    inline_snake: Inline | None = field(name="inline_data", default=None)
    response: "Part | None" = field(name="functionResponse", default=None)
    response_snake: "Part | None" = field(name="function_response", default=None)


class Tool(msgspec.Struct):
    """A tool; the fields without a type are Gemini's, of which the name says what it is."""

    type: str | None = ""
    max_uses: int | None = None
    model: Raw = ABSENT  # that an advisor is
    max_tokens: int | None = None  # of each of its answers
    caching: Raw = ABSENT  # of what it reads
    cache_control: Raw = ABSENT
    google_search: Raw = field(name="googleSearch", default=ABSENT)
    google_search_snake: Raw = field(name="google_search", default=ABSENT)
    retrieval: Raw = field(name="googleSearchRetrieval", default=ABSENT)
    retrieval_snake: Raw = field(name="google_search_retrieval", default=ABSENT)
    url_context: Raw = field(name="urlContext", default=ABSENT)
    url_context_snake: Raw = field(name="url_context", default=ABSENT)
    code_execution: Raw = field(name="codeExecution", default=ABSENT)
    code_execution_snake: Raw = field(name="code_execution", default=ABSENT)
    maps: Raw = field(name="googleMaps", default=ABSENT)
    maps_snake: Raw = field(name="google_maps", default=ABSENT)
    file_search: Raw = field(name="fileSearch", default=ABSENT)
    file_search_snake: Raw = field(name="file_search", default=ABSENT)
    computer: Raw = field(name="computerUse", default=ABSENT)


class Thinking(msgspec.Struct):
    """How an Anthropic call may think."""

    type: str = ""
    budget_tokens: int = 0


class Body(msgspec.Struct):
    """A body of any of the protocols."""

    messages: list[Part] | None = None
    input: "str | list[Part | str | int | list[int]] | None" = None
    contents: Part | list[Part] | None = None
    system: str | list[Part] | None = None
    instruction: Part | str | None = field(name="systemInstruction", default=None)
    instruction_snake: Part | str | None = field(name="system_instruction", default=None)
    tools: list[Tool] | None = None
    thinking: Thinking | None = None
    cache_control: Raw = ABSENT
    fallbacks: Raw = ABSENT
    mcp_servers: Raw = ABSENT
    web_search_options: Raw = ABSENT
    max_tool_calls: int | None = None
    prediction: Raw = ABSENT
    best_of: int | None = None  # answers that are made, of which only some are shown
    # what lies at the provider
    previous_response_id: Raw = ABSENT
    conversation: Raw = ABSENT
    prompt: Raw = ABSENT
    container: Raw = ABSENT
    cached_content: Raw = field(name="cachedContent", default=ABSENT)
    cached_content_snake: Raw = field(name="cached_content", default=ABSENT)


_DECODER: Final = msgspec.json.Decoder(Body)
_LIST: Final = msgspec.json.Decoder(list[Raw])
_NOTHING: Final = frozenset({b"", b"null", b"[]", b"{}", b'""', b"false"})
_LONGEST_NOTHING: Final = 8


def read_body(body: bytes) -> Body | None:
    """Return what is in a JSON body; None where it is none, or a part of it is not what providers take."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def is_any(raw: Raw) -> bool:
    """Whether a value is there and says something."""
    if raw is ABSENT:
        return False
    size = memoryview(raw).nbytes
    return size > 0 and (size > _LONGEST_NOTHING or bytes(raw).strip() not in _NOTHING)


def size_of(raw: Raw) -> int:
    """How many bytes of the body a value takes."""
    return memoryview(raw).nbytes


def prompts_in(prompt: Raw) -> int:
    """Return how many prompts a `prompt` of OpenAI's older completions is: each of them has answers of its own."""
    if prompt is ABSENT or memoryview(prompt)[:1].tobytes() != b"[":
        return 1
    prompts = _LIST.decode(prompt)
    several = bool(prompts) and memoryview(prompts[0])[:1].tobytes() in {b'"', b"["}  # else it is one, of tokens
    return len(prompts) if several else 1
