"""What in a body is not text: images count by their pixels and documents by their pages, not by their bytes. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

#: Tokens of one image at the most. Anthropic's largest is some 4,800, Gemini's some 4,400; OpenAI charges its small
#: models up to 48,169 for one (2,833 and 5,667 for each of eight tiles).
IMAGE_TOKENS: Final = 50_000
#: What a body has somewhere that holds anything but text.
_SIGNS: Final = (
    b'"image',
    b'image"',
    b'"document"',
    b'"file',
    b'_file"',
    b'"inlineData"',
    b'"inline_data"',
    b"_upload",
    b'_reference"',
)
#: A letter written as an escape hides a sign; only those who want that write one so.
_HIDDEN: Final = re.compile(rb"\\u00[4-7][0-9a-fA-F]")
#: Where a part of a message may have parts. What a tool was given or gave back as JSON is text, whatever it looks like.
_INNER: Final = ("content", "parts", "output", "messages", "input", "contents", "system", "message")


class Media(msgspec.Struct, frozen=True):
    """What is in a body: `data_bytes` of it are not text, but images worth `tokens` at the most.

    `open_ended`: something in it is as long as the model's window may be. `doubtful`: it may hide what it holds.
    """

    data_bytes: int = 0
    tokens: int = 0
    open_ended: bool = False
    doubtful: bool = False


_NONE: Final = Media()
_UNKNOWN: Final = Media(open_ended=True, doubtful=True)


def media_of(body: bytes) -> Media:
    """Return what a JSON body holds besides text."""
    hides = b"\\u00" in body and _HIDDEN.search(body) is not None
    if not hides and not any(sign in body for sign in _SIGNS):
        return _NONE
    try:
        value = msgspec.json.decode(body)
        found = [_measured(part) for part in _parts(value)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _UNKNOWN
    return Media(
        data_bytes=sum(media.data_bytes for media in found),
        tokens=sum(media.tokens for media in found),
        open_ended=any(media.open_ended for media in found),
        doubtful=hides,
    )


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of every message, at any depth that providers look at."""
    if isinstance(value, list):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, dict):
        yield value
        if value.get("type") in _CALLS:
            return
        for name in _INNER:
            if isinstance(inner := value.get(name), list | dict):
                yield from _parts(inner)
        for name in ("source", "functionResponse", "function_response"):
            if isinstance(inner := value.get(name), dict):
                yield from _parts({key: inner.get(key) for key in ("content", "parts")})


_CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call"})


def _measured(part: Mapping[str, Any]) -> Media:
    kind = part.get("type")
    if isinstance(kind, str) and (measure := _BY_TYPE.get(kind)) is not None:
        return measure(part)
    for name in ("inlineData", "inline_data"):
        if isinstance(data := part.get(name), dict):
            return _inline(data)
    if isinstance(part.get("fileData") or part.get("file_data"), dict):
        return Media(open_ended=True)
    return _NONE


def _image(part: Mapping[str, Any]) -> Media:
    source = part.get("source")
    data = source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else ""
    return Media(data_bytes=_size(data), tokens=IMAGE_TOKENS)


def _linked_image(part: Mapping[str, Any]) -> Media:
    link = part.get("image_url")
    url = link.get("url") if isinstance(link, dict) else link
    inline = isinstance(url, str) and url.startswith("data:")
    return Media(data_bytes=_size(url) if inline else 0, tokens=IMAGE_TOKENS)


def _document(part: Mapping[str, Any]) -> Media:
    source = part.get("source")
    kind = source.get("type") if isinstance(source, dict) else ""
    if kind in {"text", "content"}:
        return _NONE
    return Media(data_bytes=_size(source.get("data")) if isinstance(source, dict) else 0, open_ended=True)


def _file(part: Mapping[str, Any]) -> Media:
    inner = part.get("file")
    holder = inner if isinstance(inner, dict) else part
    return Media(data_bytes=_size(holder.get("file_data")), open_ended=True)


def _inline(data: Mapping[str, Any]) -> Media:
    kind = str(data.get("mimeType") or data.get("mime_type") or "")
    if kind.startswith("image/"):
        return Media(data_bytes=_size(data.get("data")), tokens=IMAGE_TOKENS)
    # a second of sound is 32 tokens and of film some 300: less than their bytes
    return _NONE if kind.startswith(("audio/", "video/", "text/")) else Media(open_ended=True)


def _elsewhere(part: Mapping[str, Any]) -> Media:
    del part
    return Media(open_ended=True)


def _size(value: object) -> int:
    # base64 is plain in JSON, but for slashes that some write with an escape: counted as less than they are
    return len(value) if isinstance(value, str) else 0


_BY_TYPE: Final[Mapping[str, Callable[[Mapping[str, Any]], Media]]] = {
    "image": _image,
    "image_url": _linked_image,
    "input_image": _linked_image,
    "document": _document,
    "file": _file,
    "input_file": _file,
    "container_upload": _elsewhere,
    "item_reference": _elsewhere,
}
