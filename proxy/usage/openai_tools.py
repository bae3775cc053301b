"""The provider's own tools in a Responses answer: they are billed by the call, beside the tokens."""

import re
from collections import Counter
from typing import Final

import msgspec

from proxy.usage import fields

#: Answers with images are long; their items are few.
_MAX_OUTPUT_BYTES: Final = 32 * 1024 * 1024
_BILLED: Final = re.compile(rb'"(?:web_search|file_search|code_interpreter|image_generation)_call"')
_SEARCH: Final = "web_search_call"
#: What has a price that no price list here knows, and what to call it.
_UNPRICED: Final = {
    "file_search_call": "file searches",
    "code_interpreter_call": "code interpreter calls",
    "image_generation_call": "generated images",
}


class Tools(msgspec.Struct, frozen=True):
    """How often the web was searched, and what else was called that costs money."""

    searches: int = 0
    note: str = ""


class _Action(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()


class _Item(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    action: _Action | None = None


class _Done(msgspec.Struct):
    item: _Item


_NONE: Final = Tools()
_ITEMS: Final = msgspec.json.Decoder(list[_Item])
_DONE: Final = msgspec.json.Decoder(_Done)


def tools_of(output: msgspec.Raw) -> Tools:
    """What the items of an answer's `output` cost beside their tokens."""
    if len(output) > _MAX_OUTPUT_BYTES or not _BILLED.search(output):
        return _NONE
    try:
        items = _ITEMS.decode(output)
    except fields.UNREADABLE:
        return _NONE
    kinds = Counter(kind for item in items if (kind := _billed(item)))
    unpriced = [f"{kinds[kind]} {name}" for kind, name in _UNPRICED.items() if kinds[kind]]
    return Tools(kinds[_SEARCH], f"{', '.join(unpriced)} not priced" if unpriced else "")


def searched(event: bytes) -> int:
    """How many searches a `response.output_item.done` event tells of."""
    if not _BILLED.search(event):
        return 0
    try:
        return int(_billed(_DONE.decode(event).item) == _SEARCH)
    except fields.UNREADABLE:
        return 0


def _billed(item: _Item) -> str:
    """The kind of a billed item; opening a page and looking for something in it are no searches."""
    kind = fields.text(fields.decode(item.type))
    if kind != _SEARCH:
        return kind
    action = fields.text(fields.decode(item.action.type)) if item.action else ""
    return kind if action in {"", "search"} else ""
