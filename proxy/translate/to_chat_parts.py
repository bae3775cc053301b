"""Anthropic's content blocks as parts of a message of OpenAI Chat. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.known_fields import FROM_MESSAGES

Part = dict[str, Any]


def parts_of(block: dict[str, Any], place: str) -> list[Part]:
    """Return the parts that say what one block says. Raises `Untranslatable`."""
    kind = cj.text(block.get("type"), f"{place}.type")
    reader = _READERS.get(kind)
    if reader is None:
        raise Untranslatable(f"{place}.type", f"{kind} has no counterpart in OpenAI Chat")
    FROM_MESSAGES[kind].check(block, place)
    return reader(block, place)


def text_of(block: dict[str, Any], place: str) -> str:
    """Return the text of a block that may be nothing else. Raises `Untranslatable`."""
    if block.get("type") != "text":
        raise Untranslatable(f"{place}.type", f"{block.get('type')} has no counterpart here in OpenAI Chat")
    FROM_MESSAGES["text"].check(block, place)
    return cj.text(block.get("text"), f"{place}.text")


def text_part(text: str) -> Part:
    """Return a part of text."""
    return {"type": "text", "text": text}


def merged_text(parts: list[Part]) -> str | list[Part]:
    """Return a message's content: parts of nothing but text as one string, which every provider takes."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _text(block: dict[str, Any], place: str) -> list[Part]:
    text = text_of(block, place)
    return [text_part(text)] if text else []


def _image(block: dict[str, Any], place: str) -> list[Part]:
    source, kind, at = _source(block, place)
    match kind:
        case "base64":
            url = _data_url(source, at)
        case "url":
            url = cj.text(source.get("url"), f"{at}.url")
        case _:
            raise _no_source(at, kind)
    return [{"type": "image_url", "image_url": {"url": url}}]


def _document(block: dict[str, Any], place: str) -> list[Part]:
    source, kind, at = _source(block, place)
    _without_citations(block, place)
    title = cj.text(block.get("title") or "", f"{place}.title")
    context = cj.text(block.get("context") or "", f"{place}.context")
    match kind:
        case "base64":
            file = {"filename": title or "document.pdf", "file_data": _data_url(source, at)}
            return ([text_part(context)] if context else []) + [{"type": "file", "file": file}]
        case "text":
            inside = [text_part(cj.text(source.get("data"), f"{at}.data"))]
        case "content":
            inside = _content(source.get("content"), f"{at}.content")
        case _:
            raise _no_source(at, kind)
    return [text_part(said) for said in (title, context) if said] + inside


def _content(content: object, place: str) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)]
    return [part for block, at in cj.objects(content, place) for part in parts_of(block, at)]


def _search_result(block: dict[str, Any], place: str) -> list[Part]:
    _without_citations(block, place)
    title, source = cj.text(block.get("title"), f"{place}.title"), cj.text(block.get("source"), f"{place}.source")
    return [text_part(f"{title} ({source})"), *_content(block.get("content"), f"{place}.content")]


def _tool_reference(block: dict[str, Any], place: str) -> list[Part]:
    """All tools are sent from the start: that one was found is still worth telling."""
    return [text_part(f"There is a tool {cj.text(block.get('tool_name'), f'{place}.tool_name')}.")]


def _without_citations(block: dict[str, Any], place: str) -> None:
    citations = cj.mapping(block.get("citations") or {}, f"{place}.citations")
    if citations.get("enabled"):
        raise Untranslatable(f"{place}.citations", "citing has no counterpart in OpenAI Chat")


def _source(block: dict[str, Any], place: str) -> tuple[dict[str, Any], str, str]:
    at = f"{place}.source"
    source = cj.mapping(block.get("source"), at)
    kind = cj.text(source.get("type"), f"{at}.type")
    fields = FROM_MESSAGES.get("plain" if kind == "text" else kind)
    if kind in _SOURCES and fields is not None:
        fields.check(source, at)
    return source, kind, at


def _data_url(source: Mapping[str, Any], place: str) -> str:
    media_type = cj.text(source.get("media_type"), f"{place}.media_type")
    return f"data:{media_type};base64,{cj.text(source.get('data'), f'{place}.data')}"


def _no_source(place: str, kind: str) -> Untranslatable:
    hint = "; send what it names instead" if kind in ("url", "file") else ""
    return Untranslatable(f"{place}.type", f"{kind} has no counterpart in OpenAI Chat{hint}")


_SOURCES: Final = frozenset({"base64", "url", "text", "content"})
_READERS: Final[Mapping[str, Callable[[dict[str, Any], str], list[Part]]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_reference": _tool_reference,
}
