"""One chunk of an OpenAI Chat stream, read quickly where it is right and patiently where it is not. Pure."""

from typing import Any, Final

import msgspec

from proxy.translate.from_chat import MAX_ID, arguments_of, calls_of, counts_of, said_by, thought_of
from proxy.usage import fields


class Function(msgspec.Struct, gc=False):
    """A piece of a call."""

    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct, gc=False):
    """A call's piece, and which call it belongs to."""

    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds to the message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: msgspec.Raw | None = None  # the older form


class Choice(msgspec.Struct, gc=False):
    """One of the answers."""

    delta: Delta | None = None
    message: msgspec.Raw | None = None  # a whole one, which some send at the end, and few instead of a delta
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    index: int = 0


class Chunk(msgspec.Struct, gc=False):
    """A chunk."""

    choices: list[Choice]
    model: str = ""
    usage: dict[str, Any] | None = None
    x_groq: dict[str, Any] | None = None
    error: msgspec.Raw | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """The counts that it tells."""
        return self.usage or fields.mapping((self.x_groq or {}).get("usage"))


_DECODER: Final = msgspec.json.Decoder(Chunk)
_ANY_DECODER: Final = msgspec.json.Decoder()


def read_chunk(data: bytes) -> Chunk | dict[str, Any] | None:
    """Return the chunk; the object that is none, such as an error; or None for what is no JSON object."""
    try:
        chunk = _DECODER.decode(data)
    except fields.UNREADABLE:
        return _patiently(data)
    return _patiently(data) if chunk.error or any(map(_is_odd, chunk.choices)) else chunk


def _is_odd(choice: Choice) -> bool:
    return choice.message is not None if choice.delta is None else choice.delta.function_call is not None


def _patiently(data: bytes) -> Chunk | dict[str, Any] | None:
    try:
        value = _ANY_DECODER.decode(data)
    except fields.UNREADABLE:
        return None
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    if value.get("error") or not (isinstance(choices, list) or counts_of(value)):
        return value
    found = [_choice(choice) for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return Chunk(found, fields.text(value.get("model")), counts_of(value))


def _choice(choice: dict[str, Any]) -> Choice:
    delta = fields.mapping(choice.get("delta")) or fields.mapping(choice.get("message"))
    stop, index = choice.get("stop_reason"), choice.get("index")
    return Choice(
        delta=Delta(
            content=said_by({"content": delta.get("content")}),
            reasoning_content=thought_of(delta),
            refusal=said_by({"content": delta.get("refusal")}),
            tool_calls=[_call(call) for call in calls_of(delta)],
        ),
        finish_reason=fields.text(choice.get("finish_reason")),
        stop_reason=stop if isinstance(stop, str) else None,
        index=index if type(index) is int else 0,
    )


def _call(call: dict[str, Any]) -> Call:
    index = call.get("index")
    name = fields.text(fields.mapping(call.get("function")).get("name"))
    told = fields.text(call.get("id"), MAX_ID)
    return Call(index if type(index) is int else None, told, Function(name, arguments_of(call)))
