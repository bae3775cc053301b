"""What the tests of translations share: calls, their streams, and what a client sees of a stream."""

import json
from collections.abc import Iterable
from typing import Any

from data.model import Endpoint, Protocol
from proxy.sse import SseParser
from proxy.translate import TRANSLATIONS, Context, Streamed, Translation

#: As a gateway names it that serves tools and reasoning together.
GPT = "openai/gpt-5.6"
HELLO = [{"role": "user", "content": "Hello"}]


def context(model: str = GPT, asked: str = "claude-opus-5-5") -> Context:
    return Context(model=model, asked=asked, estimated_input=7, id="r1", at=1_700_000_000)


def messages_call(model: str = GPT, **request: Any) -> Translation:
    """A call of a Messages client to an OpenAI-style provider."""
    body = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": HELLO, **request}
    return TRANSLATIONS[Endpoint.MESSAGES, Protocol.OPENAI](json.dumps(body).encode(), context(model))


def chat_call(model: str = "claude-opus-5-5", **request: Any) -> Translation:
    """A call of a Chat client to an Anthropic provider."""
    body = {"model": "gpt-5.2", "messages": HELLO, **request}
    made = TRANSLATIONS[Endpoint.CHAT_COMPLETIONS, Protocol.ANTHROPIC]
    return made(json.dumps(body).encode(), context(model, asked="gpt-5.2"))


def sent(call: Translation) -> dict[str, Any]:
    return json.loads(call.body)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **others: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice], **others}


def call_piece(index: int | None = 0, arguments: str = "", **named: str) -> dict[str, Any]:
    """A delta with a piece of a tool's call; `named`: its id and name."""
    function = {"arguments": arguments} | ({"name": named["name"]} if "name" in named else {})
    call: dict[str, Any] = {"function": function} | ({"index": index} if index is not None else {})
    return {"tool_calls": [call | ({"id": named["id"], "type": "function"} if "id" in named else {})]}


def usage_chunk(**usage: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26, **usage}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": [],
        "usage": counts,
    }


def chat_stream(*chunks: dict[str, Any], done: bool = True) -> bytes:
    events = [f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in chunks]
    return "".join(events + (["data: [DONE]\n\n"] if done else [])).encode()


def message_stream(*events: dict[str, Any]) -> bytes:
    lines = (f"event: {each['type']}\ndata: {json.dumps(each, ensure_ascii=False)}\n\n" for each in events)
    return "".join(lines).encode()


def message_start(**usage: int) -> dict[str, Any]:
    counts = {"input_tokens": 10, "output_tokens": 1, **usage}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": [], "usage": counts}
    return {"type": "message_start", "message": message}


def block(index: int, kind: str, *deltas: dict[str, Any], **start: Any) -> list[dict[str, Any]]:
    """A content block's events."""
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": kind, **start}},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_end(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 6, **usage}}, {"type": "message_stop"}]


def through(streamed: Streamed, *pieces: bytes) -> bytes:
    return b"".join([*map(streamed.feed, pieces), streamed.flush()])


def events_of(stream: bytes) -> list[Any]:
    """The JSON of each event; `[DONE]` as it is."""
    parser = SseParser()
    events = parser.feed(stream) + parser.flush()
    return ["[DONE]" if each.data == b"[DONE]" else json.loads(each.data) for each in events]


def transcript(stream: bytes) -> list[str]:
    """A Messages stream, one short line an event."""
    return [_line(event) for event in events_of(stream)]


def _line(event: dict[str, Any]) -> str:  # noqa: PLR0911
    match event:
        case {"type": "content_block_start", "index": index, "content_block": {"type": "tool_use"} as begun}:
            return f"{index} tool_use {begun['id']} {begun['name']} {json.dumps(begun['input'])}"
        case {"type": "content_block_start", "index": index, "content_block": begun}:
            return f"{index} {begun['type']}"
        case {"type": "content_block_delta", "index": index, "delta": {"type": kind} as delta}:
            return f"{index} + {delta[kind.removesuffix('_delta').replace('input_json', 'partial_json')]}"
        case {"type": "content_block_stop", "index": index}:
            return f"{index} stop"
        case {"type": "message_delta", "delta": {"stop_reason": reason}}:
            return f"end {reason}"
        case {"type": "error", "error": {"type": kind, "message": message}}:
            return f"error {kind}: {message}"
        case _:
            return str(event["type"])


def deltas(stream: bytes) -> list[Any]:
    """A Chat stream: each chunk's delta, its finish_reason, its counts, or its error."""
    return [_seen(event) for event in events_of(stream)]


def _seen(event: Any) -> Any:
    if event == "[DONE]" or "error" in event:
        return event
    if not event["choices"]:
        return {"usage": event["usage"]}
    choice = event["choices"][0]
    return choice["finish_reason"] or choice["delta"]


def same_at_every_cut(new: Iterable[Streamed], stream: bytes) -> bytes:
    """Feed the stream whole, byte by byte, and cut in two at every byte: the same must come out. Gives it."""
    fresh = iter(new)
    expected = through(next(fresh), stream)
    assert through(next(fresh), *(stream[i : i + 1] for i in range(len(stream)))) == expected
    for cut in range(1, len(stream)):
        assert through(next(fresh), stream[:cut], stream[cut:]) == expected, cut
    return expected
