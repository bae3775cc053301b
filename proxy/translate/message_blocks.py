"""The content blocks of a Messages stream: one is open at a time, whatever order the pieces come in. Pure.

The first block of the queue is open, and its pieces go out as they come; those behind it wait. A text ends where
something else begins. A call ends where another begins and its input is whole, or where the provider reuses its
place; else at the end of the answer.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.translate.chat_chunk import Call
from proxy.translate.sse_writing import anthropic_event, json_text

#: How often a call's input is looked at for whether it is whole, when another one waits.
_MAX_LOOKS: Final = 64

_DELTAS: Final[Mapping[str, bytes]] = {
    "text": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_use": b'"input_json_delta","partial_json":',
}
_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class _Block:
    __slots__ = ("closed", "head", "id", "kind", "looks", "name", "number", "pieces", "said", "whole")

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        self.number = number  # of a call: which one it is
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []  # what has not gone out
        self.said: list[str] = []  # a call's input so far
        self.head: bytes = b""  # how its deltas begin, once it is open
        self.looks = 0
        self.whole = False  # nothing more comes
        self.closed = False

    def is_whole(self) -> bool:
        if self.whole or self.kind != "tool_use":
            return True
        self.looks += 1
        if self.looks > _MAX_LOOKS or not self.said:
            return False
        try:
            self.whole = isinstance(msgspec.json.decode("".join(self.said)), dict)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        return self.whole


class MessageBlocks:
    """Takes the pieces of an answer and writes the events of its blocks. `lost`: a piece came after its block's end."""

    def __init__(self, call_id: str) -> None:
        self.lost = False
        self.called = False
        self._call_id = call_id
        self._queue: list[_Block] = []
        self._opened = 0
        self._calls: list[_Block] = []
        self._by_index: dict[int, _Block] = {}
        self._ids: set[str] = set()

    def say(self, kind: str, text: str, out: list[bytes]) -> None:
        """Add to the text or the thinking."""
        queue = self._queue
        if len(queue) == 1 and queue[0].kind == kind and queue[0].head:
            out.append(queue[0].head + json_text(text) + b"}}\n\n")
            return
        block = queue[-1] if queue and queue[-1].kind == kind else self._begin(_Block(kind), out)
        self._add(block, text, out)

    def call(self, call: Call, out: list[bytes]) -> None:
        """Add to a call of a tool."""
        self.called = True
        block = self._called_by(call) or self._begin_call(call, out)
        block.id = block.id or call.id or ""
        name = call.function.name
        if name and not block.said and name != block.name:  # some give a name in pieces
            block.name = name if name.startswith(block.name) else block.name + name
        if arguments := call.function.arguments:
            block.said.append(arguments)
            self._add(block, arguments, out)

    def end(self, out: list[bytes]) -> None:
        """Close all that is open."""
        for block in self._queue:
            self._close(block, out)
        self._queue = []

    def _called_by(self, call: Call) -> _Block | None:
        """The call that a piece belongs to; None for a new one, even at the place of another."""
        if call.index is not None:
            known = self._by_index.get(call.index)
        elif call.id:
            known = next((block for block in reversed(self._calls) if block.id == call.id), None)
        else:
            known = self._calls[-1] if self._calls else None
        if known is None or not call.function.name:
            return known
        is_another = call.id != known.id if call.id and known.id else not (call.id or known.id) and bool(known.said)
        if is_another:
            known.whole = True
            return None
        return known

    def _begin_call(self, call: Call, out: list[bytes]) -> _Block:
        block = _Block("tool_use", len(self._calls))
        self._calls.append(block)
        if call.index is not None:
            self._by_index[call.index] = block
        return self._begin(block, out)

    def _begin(self, block: _Block, out: list[bytes]) -> _Block:
        self._queue.append(block)
        self._advance(out)
        return block

    def _add(self, block: _Block, text: str, out: list[bytes]) -> None:
        if block.closed:
            self.lost = self.lost or not text.isspace()
            return
        block.pieces.append(text)
        if block is self._queue[0]:
            self._pour(block, out)
            if len(self._queue) > 1 and text.endswith("}"):
                self._advance(out)

    def _advance(self, out: list[bytes]) -> None:
        while len(self._queue) > 1 and self._queue[0].is_whole():
            self._close(self._queue.pop(0), out)
            self._pour(self._queue[0], out)

    def _pour(self, block: _Block, out: list[bytes]) -> None:
        """Send on what has come of the block; one of nothing but white space is not begun."""
        if not block.pieces or (not block.head and block.kind == "text" and "".join(block.pieces).isspace()):
            return
        if not block.head:
            self._open(block, out)
        out.append(block.head + json_text("".join(block.pieces)) + b"}}\n\n")
        block.pieces.clear()

    def _open(self, block: _Block, out: list[bytes]) -> None:
        index = self._opened
        self._opened += 1
        content = _EMPTY.get(block.kind) or self._call_head(block)
        out.append(anthropic_event({"type": "content_block_start", "index": index, "content_block": content}))
        delta = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":' % index
        block.head = delta + _DELTAS[block.kind]

    def _call_head(self, block: _Block) -> dict[str, Any]:
        tool_id = block.id if block.id and block.id not in self._ids else f"toolu_{self._call_id}_{block.number}"
        self._ids.add(tool_id)
        return {"type": "tool_use", "id": tool_id, "name": block.name, "input": {}}

    def _close(self, block: _Block, out: list[bytes]) -> None:
        if block.kind == "tool_use" and not "".join(block.said).strip():
            block.pieces = ["{}"]
        self._pour(block, out)
        block.closed = True
        if block.head:
            index = int(block.head.split(b'"index":', 1)[1].split(b",", 1)[0])
            out.append(anthropic_event({"type": "content_block_stop", "index": index}))
