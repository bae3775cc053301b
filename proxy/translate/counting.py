"""Estimates how many tokens a Messages request is, for `count_tokens` where the provider cannot count. Pure.

Every text, name and schema is taken at 4 bytes a token, an image at 1,600 tokens, a page of a PDF at 2,000 (about
100 kB of it). English prose and code come out within about 20 % of Anthropic's own count; scripts beyond
Latin within about 40 %. The counts in answers are the provider's and exact.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.usage import fields
from proxy.usage.estimate import estimate_tokens

_IMAGE: Final = 1_600
_PAGE: Final = 2_000
_PAGE_BYTES: Final = 133_000  # in base64
#: What each message and each tool is besides its text, and what tools are introduced with.
_MESSAGE: Final = 4
_TOOL: Final = 20


def estimate_input_tokens(body: bytes) -> int:
    """Return the estimate, at least 1; a body that is no request is taken by its size."""
    try:
        request = cj.read(body)
    except Untranslatable:
        return max(estimate_tokens(len(body)), 1)
    messages, tools = request.get("messages"), request.get("tools")
    total = _content(request.get("system")) + _schema(request.get("output_config"))
    for message in messages if isinstance(messages, list) else ():
        total += _MESSAGE + _content(fields.mapping(message).get("content"))
    for tool in tools if isinstance(tools, list) else ():
        total += _TOOL + _schema(tool)
    return max(total, 1)


def _content(content: object) -> int:
    if isinstance(content, str):
        return _text(content)
    if not isinstance(content, list):
        return 0
    return sum(_block(fields.mapping(block)) for block in content)


def _block(block: dict[str, Any]) -> int:
    kind = block.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return reader(block) if reader else _schema(block)


def _document(block: dict[str, Any]) -> int:
    source = fields.mapping(block.get("source"))
    data = source.get("data")
    if source.get("type") == "base64" and isinstance(data, str):
        return _PAGE * -(-len(data) // _PAGE_BYTES)
    return _text(data) + _content(source.get("content"))


def _text(text: object) -> int:
    return estimate_tokens(len(text.encode("utf-8", "replace"))) if isinstance(text, str) else 0


def _schema(value: object) -> int:
    """What is sent to the model as JSON."""
    if not value:
        return 0
    try:
        return estimate_tokens(len(msgspec.json.encode(value)))
    except RecursionError:
        return 0


_READERS: Final[Mapping[str, Callable[[dict[str, Any]], int]]] = {
    "text": lambda block: _text(block.get("text")),
    "thinking": lambda block: _text(block.get("thinking")),
    "redacted_thinking": lambda _: 0,
    "image": lambda _: _IMAGE,
    "document": _document,
    "tool_use": lambda block: _text(block.get("name")) + _schema(block.get("input")),
    "tool_result": lambda block: _content(block.get("content")),
}
