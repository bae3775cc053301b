"""Anthropic Messages as Anthropic answers it; the order of events is docs.anthropic.com's "Streaming messages"."""

from collections.abc import Iterator
from typing import Any

import orjson

from data.model import Endpoint
from proxy.simulated import words
from proxy.simulated.answer import Answer, Ask, Stop, ToolSpec, as_json
from proxy.simulated.cache import FIVE_MINUTES, ONE_HOUR, Segment
from proxy.simulated.dialect import SSE, BadAsk, Body, RateLimit, Trouble, listed, model_of, positive, sse, text_of
from proxy.simulated.exchange import Event

_STOPS = {Stop.END: "end_turn", Stop.TOOL: "tool_use", Stop.LENGTH: "max_tokens"}
_TTLS = {"5m": FIVE_MINUTES, "1h": ONE_HOUR}
_ROLES = frozenset({"user", "assistant", "system"})  # a system message may stand between the others
_IMAGE_TOKENS = 1_600
_SIGNATURE = "EqQBCkYIBxgCKkDsimulatedthinkingsignatureZm9yIGRlbW9zIGFuZCB0ZXN0cyBvbmx5"
_ERRORS = {
    400: ("invalid_request_error", "The request is not valid"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the API"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource"),
    404: ("not_found_error", "The requested resource could not be found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit"),
    504: ("timeout_error", "The request timed out"),
    529: ("overloaded_error", "Overloaded"),
}

_TROUBLES = {
    Trouble.CONTEXT_LENGTH: "prompt is too long: 210000 tokens > 200000 maximum",
    Trouble.CONTENT_POLICY: "Output blocked by content filtering policy",
}


class AnthropicMessages:
    """POST /v1/messages."""

    endpoint = Endpoint.MESSAGES
    overloaded = 529
    stream_type = SSE

    def read(self, body: Body) -> Ask:
        """Read a Messages request. Raises BadAsk."""
        messages = listed(body, "messages")
        if not messages:
            raise BadAsk("messages: at least one message is required")
        segments = tuple(_segments(body, messages))
        choice = body.get("tool_choice") or {}
        tools = listed(body, "tools")
        return Ask(
            model=model_of(body),
            stream=body.get("stream") is True,
            segments=segments,
            max_tokens=positive(body, "max_tokens"),
            thinking=(body.get("thinking") or {}).get("type") in {"enabled", "adaptive"},
            tools=tuple(ToolSpec(t["name"], t["input_schema"]) for t in tools if "input_schema" in t),
            must_call=choice.get("type") in {"any", "tool"},
            answers_tool=_is_tool_result(next((m for m in reversed(messages) if m["role"] != "system"), {})),
            tier="standard",
            explicit_cache=any(segment.ttl_s for segment in segments),
        )

    def whole(self, answer: Answer) -> bytes:
        """A Message."""
        return orjson.dumps(_message(answer, _blocks(answer), _STOPS[answer.stop], _usage(answer)))

    def events(self, answer: Answer) -> list[Event]:
        """message_start, the blocks, message_delta with the cumulative usage, message_stop."""
        opening = _usage(answer) | {"output_tokens": min(1, answer.tokens.output)}
        opening.pop("output_tokens_details", None)
        found = [_event({"type": "message_start", "message": _message(answer, [], None, opening)})]
        for index, block in enumerate(_blocks(answer)):
            found += _block_events(index, block, answer)
            if index == 0:
                found.insert(2, _event({"type": "ping"}))
        delta = {"stop_reason": _STOPS[answer.stop], "stop_sequence": None}
        found.append(_event({"type": "message_delta", "delta": delta, "usage": _cumulative(answer)}))
        found.append(_event({"type": "message_stop"}))
        return found

    def error(self, status: int, request_id: str, /, why: str = "") -> bytes:
        """An error body in Anthropic's shape."""
        kind, message = _ERRORS.get(status, ("api_error", "Internal server error"))
        return orjson.dumps(
            {"type": "error", "error": {"type": kind, "message": why or message}, "request_id": request_id or None}
        )

    def trouble(self, trouble: Trouble, request_id: str, /) -> tuple[int, bytes]:
        """What Anthropic says of such a request."""
        return 400, self.error(400, request_id, _TROUBLES[trouble])

    def error_event(self) -> bytes:
        """An overloaded_error inside a stream."""
        return sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")

    def unknown_event(self) -> bytes:
        """An event of a type that does not exist yet."""
        return sse({"type": "weather_report", "outlook": "sunny"}, "weather_report")

    def headers(self, request_id: str, ratelimit: RateLimit) -> dict[str, str]:
        """request-id and the rate limits; reset times in RFC 3339."""
        found = {"request-id": request_id, "anthropic-organization-id": "00000000-0000-4000-8000-000000000001"}
        used = {
            "requests": (4_000, ratelimit.requests),
            "input-tokens": (4_000_000, ratelimit.input_tokens),
            "output-tokens": (800_000, ratelimit.output_tokens),
            "tokens": (4_800_000, ratelimit.input_tokens + ratelimit.output_tokens),
        }
        for name, (limit, spent) in used.items():
            found[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            found[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, limit - spent))
            found[f"anthropic-ratelimit-{name}-reset"] = ratelimit.resets_at
        return found


def _segments(body: Body, messages: list[Any]) -> Iterator[Segment]:
    """Every block in the order that the cache sees it: tools, system, messages."""
    for tool in listed(body, "tools"):
        yield _segment(tool)
    system = body.get("system") or []
    for block in [system] if isinstance(system, str) else system:
        yield _segment(block)
    for message in messages:
        if not isinstance(message, dict) or "content" not in message or message.get("role") not in _ROLES:
            raise BadAsk("messages: each message needs a role of user, assistant or system, and content")
        content = message["content"]
        for block in [content] if isinstance(content, str) else content:
            yield _segment(block)


def _segment(block: Any) -> Segment:
    if isinstance(block, str):
        content = block.encode("utf-8", "surrogatepass")
        return Segment(content, words.count(content))
    content = text_of(block["text"]) if block.get("type") == "text" and "text" in block else text_of(block)
    mark = block.get("cache_control")
    ttl = _TTLS.get(mark.get("ttl") or "5m", FIVE_MINUTES) if isinstance(mark, dict) else None
    return Segment(content, _IMAGE_TOKENS if block.get("type") == "image" else words.count(content), ttl)


def _is_tool_result(message: Any) -> bool:
    content = message.get("content")
    return isinstance(content, list) and bool(content) and content[-1].get("type") == "tool_result"


def _message(answer: Answer, blocks: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_01{answer.id[:22]}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": _SIGNATURE})
    if answer.text or not answer.tool:
        blocks.append({"type": "text", "text": answer.text})
    if answer.tool:
        call = answer.tool
        blocks.append({"type": "tool_use", "id": f"toolu_01{call.id[:22]}", "name": call.name, "input": call.arguments})
    return blocks


def _block_events(index: int, block: dict[str, Any], answer: Answer) -> list[Event]:
    """The start, the deltas and the stop of one block."""
    empty, deltas = _STREAMED[block["type"]](block, answer)
    start = {"type": "content_block_start", "index": index, "content_block": empty}
    return [
        _event(start),
        *(_event({"type": "content_block_delta", "index": index, "delta": delta}, paced=True) for delta in deltas),
        _event({"type": "content_block_stop", "index": index}),
    ]


_Streamed = tuple[dict[str, Any], list[dict[str, Any]]]


def _stream_text(block: dict[str, Any], answer: Answer) -> _Streamed:
    return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in answer.pieces()]


def _stream_thinking(block: dict[str, Any], answer: Answer) -> _Streamed:
    parts = words.pieces(block["thinking"], max(1, answer.chunks // 3))
    deltas = [{"type": "thinking_delta", "thinking": part} for part in parts]
    return block | {"thinking": "", "signature": ""}, [
        *deltas,
        {"type": "signature_delta", "signature": block["signature"]},
    ]


def _stream_tool(block: dict[str, Any], _answer: Answer) -> _Streamed:
    parts = ["", *words.pieces(as_json(block["input"]), 4)]
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


_STREAMED = {"text": _stream_text, "thinking": _stream_thinking, "tool_use": _stream_tool}


def _usage(answer: Answer) -> dict[str, Any]:
    counts = answer.tokens
    usage: dict[str, Any] = {
        "input_tokens": counts.uncached_input,
        "cache_creation_input_tokens": counts.cache_write_5m + counts.cache_write_1h,
        "cache_read_input_tokens": counts.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        },
        "output_tokens": counts.output,
        "service_tier": answer.tier,
        "inference_geo": "global",
    }
    if counts.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
    return usage


def _cumulative(answer: Answer) -> dict[str, Any]:
    """What message_delta says: all counts so far, without the split of the cache writes."""
    names = {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}
    names |= {"output_tokens", "output_tokens_details"}
    return {name: value for name, value in _usage(answer).items() if name in names}


def _event(data: dict[str, Any], *, paced: bool = False) -> Event:
    return Event(sse(data, data["type"]), paced)
