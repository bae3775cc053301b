"""The parts of an OpenAI Chat message as Anthropic's content blocks. Pure."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.known_fields import FROM_CHAT

Block = dict[str, Any]

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,", re.IGNORECASE)
_NO_COUNTERPART: Final = "has no counterpart in Anthropic Messages"
_PDF: Final = "application/pdf"


def text_block(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def blocks_of(content: object, place: str) -> list[Block]:
    """Return the blocks of a content, a string or parts; empty texts, which Anthropic refuses, are none."""
    return _read(content, place, _READERS)


def texts_of(content: object, place: str) -> list[Block]:
    """Return the blocks of a content that may be nothing but text."""
    return _read(content, place, _TEXTS)


def _read(content: object, place: str, readers: Mapping[str, Callable[[dict[str, Any], str], Block]]) -> list[Block]:
    if isinstance(content, str):
        return [text_block(content)] if content else []
    blocks = []
    for part, at in cj.objects(content, place):
        kind = cj.text(part.get("type"), f"{at}.type")
        if kind not in readers:
            raise Untranslatable(f"{at}.type", f"{kind} {_NO_COUNTERPART}{'' if readers is _READERS else ' here'}")
        FROM_CHAT[kind].check(part, at)
        blocks.append(readers[kind](part, at))
    return [block for block in blocks if block.get("text") != ""]


def _text(part: dict[str, Any], place: str) -> Block:
    return text_block(cj.text(part.get("text"), f"{place}.text"))


def _refusal(part: dict[str, Any], place: str) -> Block:
    return text_block(cj.text(part.get("refusal"), f"{place}.refusal"))


def _image(part: dict[str, Any], place: str) -> Block:
    at = f"{place}.image_url"
    image = cj.mapping(part.get("image_url"), at)
    FROM_CHAT["image"].check(image, at)
    url = cj.text(image.get("url"), f"{at}.url")
    if url[:5].lower() != "data:":
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data(url, f"{at}.url")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _file(part: dict[str, Any], place: str) -> Block:
    at = f"{place}.file"
    file = cj.mapping(part.get("file"), at)
    FROM_CHAT["file_data"].check(file, at)
    given = cj.text(file.get("file_data"), f"{at}.file_data")
    media_type, data = _data(given, f"{at}.file_data") if given[:5].lower() == "data:" else (_PDF, given)
    if media_type == _PDF:
        source = {"type": "base64", "media_type": _PDF, "data": data}
    elif media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(data, f"{at}.file_data")}
    else:
        raise Untranslatable(f"{at}.file_data", f"a file of {media_type} {_NO_COUNTERPART}")
    title = cj.text(file.get("filename") or "", f"{at}.filename")
    return {"type": "document", "source": source, **({"title": title} if title else {})}


def _data(url: str, place: str) -> tuple[str, str]:
    """Media type and base64 text of a data URL."""
    found = _DATA_URL.match(url)
    if found is None:
        raise Untranslatable(place, "must be a data URL in base64, such as data:image/png;base64,…")
    return (found[1] or "text/plain").lower(), url[found.end() :]


def _decoded(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as e:
        raise Untranslatable(place, "must be UTF-8 text in base64") from e


_TEXTS: Final[Mapping[str, Callable[[dict[str, Any], str], Block]]] = {"text": _text, "refusal": _refusal}
_READERS: Final[Mapping[str, Callable[[dict[str, Any], str], Block]]] = {
    "text": _text,
    "image_url": _image,
    "file": _file,
}
