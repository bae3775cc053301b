"""OpenAI Chat Completions as OpenAI answers it."""

from collections.abc import Iterator
from typing import Any

import orjson

from data.model import Endpoint
from proxy.simulated import words
from proxy.simulated.answer import Answer, Ask, Stop, ToolSpec, as_json
from proxy.simulated.cache import Segment
from proxy.simulated.dialect import SSE, BadAsk, Body, RateLimit, Trouble, listed, model_of, positive, sse, text_of
from proxy.simulated.exchange import Event
from proxy.simulated.openai_errors import error_body, ratelimit_headers, trouble_body

_STOPS = {Stop.END: "stop", Stop.TOOL: "tool_calls", Stop.LENGTH: "length"}
_FINGERPRINT = "fp_5ca1ab1e00"


class OpenAIChat:
    """POST /v1/chat/completions."""

    endpoint = Endpoint.CHAT_COMPLETIONS
    overloaded = 503
    stream_type = SSE

    def read(self, body: Body) -> Ask:
        """Read a Chat Completions request. Raises BadAsk."""
        messages = listed(body, "messages")
        if not messages:
            raise BadAsk("Missing required parameter: 'messages'.")
        choice = body.get("tool_choice")
        tools = [each.get("function", {}) for each in listed(body, "tools")]
        options = body.get("stream_options") or {}
        return Ask(
            model=model_of(body),
            stream=body.get("stream") is True,
            segments=tuple(_segments(body, messages)),
            max_tokens=positive(body, "max_completion_tokens", "max_tokens"),
            tools=tuple(ToolSpec(t["name"], t.get("parameters") or {}) for t in tools if "name" in t),
            must_call=choice == "required" or isinstance(choice, dict),
            answers_tool=messages[-1].get("role") == "tool",
            include_usage=options.get("include_usage") is True,
            tier=_tier(body),
        )

    def whole(self, answer: Answer) -> bytes:
        """A ChatCompletion."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.tool:
            message |= {"content": None, "tool_calls": [_call(answer)]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _STOPS[answer.stop]}
        return orjson.dumps(_frame(answer, "chat.completion") | {"choices": [choice], "usage": _usage(answer)})

    def events(self, answer: Answer) -> list[Event]:
        """Chunks, the usage chunk when it was asked for, [DONE]."""
        usage = {"usage": None} if answer.ask.include_usage else {}
        frame = _frame(answer, "chat.completion.chunk") | usage
        found = [_chunk(frame, {"role": "assistant", "content": None if answer.tool else "", "refusal": None})]
        deltas = _call_deltas(answer) if answer.tool else ({"content": piece} for piece in answer.pieces())
        found += [_chunk(frame, delta, paced=True) for delta in deltas]
        found.append(_chunk(frame, {}, stop=_STOPS[answer.stop]))
        if answer.ask.include_usage:
            found.append(Event(sse(frame | {"choices": [], "usage": _usage(answer)})))
        found.append(Event(b"data: [DONE]\n\n"))
        return found

    def error(self, status: int, _request_id: str, /, why: str = "") -> bytes:
        """An error body in OpenAI's shape."""
        return error_body(status, why)

    def trouble(self, trouble: Trouble, _request_id: str, /) -> tuple[int, bytes]:
        """What OpenAI says of such a request."""
        return 400, trouble_body(trouble)

    def error_event(self) -> bytes:
        """An error in the place of a chunk."""
        return b"data: " + error_body(500) + b"\n\n"

    def unknown_event(self) -> bytes:
        """An event of a type that does not exist yet."""
        return sse({"object": "chat.weather_report", "outlook": "sunny", "choices": []}, "weather_report")

    def headers(self, request_id: str, ratelimit: RateLimit) -> dict[str, str]:
        """x-request-id and the rate limits."""
        return ratelimit_headers(request_id, ratelimit)


def _tier(body: Body) -> str:
    asked = body.get("service_tier")
    return asked if asked in {"flex", "priority"} else "default"


def _segments(body: Body, messages: list[Any]) -> Iterator[Segment]:
    for tool in listed(body, "tools"):
        content = text_of(tool)
        yield Segment(content, words.count(content))
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadAsk("Missing required parameter: 'messages[0].role'.")
        said = message.get("content")
        content = said.encode("utf-8", "surrogatepass") if isinstance(said, str) else text_of(message)
        yield Segment(content, words.count(content) + 3)


def _frame(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id[:29]}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": answer.tier,
        "system_fingerprint": _FINGERPRINT,
    }


def _chunk(frame: dict[str, Any], delta: dict[str, Any], stop: str | None = None, *, paced: bool = False) -> Event:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
    return Event(sse(frame | {"choices": [choice]}), paced)


def _call(answer: Answer) -> dict[str, Any]:
    call = answer.tool
    if call is None:
        return {}
    function = {"name": call.name, "arguments": as_json(call.arguments)}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _call_deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    call = _call(answer)
    function = call["function"]
    yield {"tool_calls": [{"index": 0} | call | {"function": function | {"arguments": ""}}]}
    for part in words.pieces(function["arguments"], 4):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def _usage(answer: Answer) -> dict[str, Any]:
    """OpenAI's prompt_tokens include what the cache gave and took."""
    counts = answer.tokens
    written = counts.cache_write_5m + counts.cache_write_1h
    prompt: dict[str, int] = {"cached_tokens": counts.cache_read, "audio_tokens": 0}
    if written:
        prompt["cache_write_tokens"] = written
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
