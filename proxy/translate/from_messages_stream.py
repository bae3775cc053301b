"""A stream of Anthropic Messages as one of OpenAI Chat. Pure.

OpenAI's order: a chunk with the role, the pieces, one with the finish_reason, one with the counts if the client
asked for them, `[DONE]`. An error is an event of its own, and no `[DONE]` follows it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.translate.failures import UNREADABLE, Failure, failure_of, openai_error, status_of
from proxy.translate.from_messages import (
    chat_head,
    finish_reason,
    json_of,
    openai_usage,
    refusal_of,
    tier_of,
)
from proxy.translate.sse_translation import SseTranslation
from proxy.translate.sse_writing import DONE, json_text, openai_event
from proxy.translate.translation import Context
from proxy.usage import fields

_CODES: Final = (msgspec.DecodeError, ValueError, RecursionError)


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Event(msgspec.Struct, gc=False):
    """An event's quickly read fields."""

    type: str
    index: int = 0
    delta: _Delta | None = None


_EVENT_DECODER: Final = msgspec.json.Decoder(_Event)
_DECODER: Final = msgspec.json.Decoder()


class _Call(msgspec.Struct):
    number: int
    input: dict[str, Any]
    told: bool = False


class MessagesToChat(SseTranslation):
    """Translates one stream. `wants_usage`: the client asked for the counts."""

    def __init__(self, context: Context, *, wants_usage: bool) -> None:
        super().__init__()
        self._context = context
        self._wants_usage = wants_usage
        self._head: dict[str, Any] = {}
        self._begin = b""  # of every chunk, up to its delta
        self._calls: dict[int, _Call] = {}  # by their block's index
        self._usage: dict[str, Any] = {}
        self._reason = ""
        self._refusal: str | None = None
        self._done = False

    def _take(self, data: bytes, out: list[bytes]) -> None:
        if self._done or not data:
            return
        try:
            event = _EVENT_DECODER.decode(data)
        except _CODES:
            event = None
        if event is not None and event.type == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta, out)
        else:
            self._other(data, out)

    def _other(self, data: bytes, out: list[bytes]) -> None:
        try:
            value = _DECODER.decode(data)
        except _CODES:
            self._fail(Failure(UNREADABLE), out)
            return
        event = fields.mapping(value)
        match event.get("type"):
            case "message_start":
                self._start(fields.mapping(event.get("message")), out)
            case "content_block_start":
                self._block(event, out)
            case "content_block_stop":
                self._stop(event.get("index"), out)
            case "message_delta":
                self._ending(event)
            case "message_stop":
                self._end(out)
            case "content_block_delta":  # of a shape that is none
                self._fail(Failure(UNREADABLE), out)
            case _ if event.get("error"):
                self._fail(failure_of(event) or Failure(UNREADABLE), out)

    def _start(self, message: Mapping[str, Any], out: list[bytes]) -> None:
        usage = fields.mapping(message.get("usage"))
        self._usage = fields.merged(self._usage, usage)
        self._head = chat_head(self._context, fields.text(message.get("model")), "chat.completion.chunk")
        self._head |= tier_of(usage)
        if self._wants_usage:
            self._head["usage"] = None
        self._begin = b"data: " + msgspec.json.encode(self._head)[:-1] + b',"choices":[{"index":0,"delta":'
        self._send(b'{"role":"assistant","content":"","refusal":null}', out)

    def _block(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        block, index = fields.mapping(event.get("content_block")), event.get("index")
        kind = block.get("type")
        if kind == "tool_use" and type(index) is int:
            call = self._calls[index] = _Call(len(self._calls), fields.mapping(block.get("input")))
            function = {"name": fields.text(block.get("name")), "arguments": ""}
            told = {"index": call.number, "id": fields.text(block.get("id")), "type": "function", "function": function}
            self._send(msgspec.json.encode({"tool_calls": [told]}), out)
        elif kind in ("text", "thinking") and (begun := block.get(str(kind))) and isinstance(begun, str):
            self._say("content" if kind == "text" else "reasoning_content", begun, out)

    def _delta(self, index: int, delta: _Delta, out: list[bytes]) -> None:
        if delta.text:
            self._say("content", delta.text, out)
        elif delta.thinking:
            self._say("reasoning_content", delta.thinking, out)
        elif delta.partial_json and (call := self._calls.get(index)) is not None:
            call.told = True
            self._arguments(call.number, delta.partial_json, out)

    def _say(self, name: str, text: str, out: list[bytes]) -> None:
        self._send(b'{"%b":%b}' % (name.encode(), json_text(text)), out)

    def _arguments(self, number: int, piece: str, out: list[bytes]) -> None:
        delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}'
        self._send(delta % (number, json_text(piece)), out)

    def _stop(self, index: object, out: list[bytes]) -> None:
        """A call that no piece of input came for has what its start told: mostly nothing."""
        call = self._calls.get(index) if type(index) is int else None
        if call is not None and not call.told:
            call.told = True
            self._arguments(call.number, json_of(call.input), out)

    def _ending(self, event: Mapping[str, Any]) -> None:
        self._usage = fields.merged(self._usage, fields.mapping(event.get("usage")))
        delta = fields.mapping(event.get("delta"))
        self._reason = fields.text(delta.get("stop_reason")) or self._reason
        self._refusal = refusal_of(delta) or self._refusal

    def _has_reason(self) -> bool:
        return bool(self._reason)

    def _end(self, out: list[bytes]) -> None:
        if self._done:
            return
        if not self._begin or self._parser.dropped:
            self._fail(Failure(UNREADABLE), out)
            return
        self._done = True
        delta = b"{}" if self._refusal is None else b'{"refusal":%b}' % json_text(self._refusal)
        reason = json_text(finish_reason(self._reason or ("tool_use" if self._calls else "")))
        out.append(self._begin + delta + b',"logprobs":null,"finish_reason":%b}]}\n\n' % reason)
        if self._wants_usage:
            out.append(openai_event(self._head | {"choices": [], "usage": openai_usage(self._usage)}))
        out.append(DONE)

    def _send(self, delta: bytes, out: list[bytes]) -> None:
        if not self._begin:  # a provider that tells no start
            self._start({}, out)
        out.append(self._begin + delta + b',"logprobs":null,"finish_reason":null}]}\n\n')

    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        if self._done:
            return
        self._done = True
        out.append(openai_event(openai_error(failure, status_of(failure))))
