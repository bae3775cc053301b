"""OpenAI Responses as OpenAI answers it."""

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

Item = dict[str, Any]


class OpenAIResponses:
    """POST /v1/responses."""

    endpoint = Endpoint.RESPONSES
    overloaded = 503
    stream_type = SSE

    def read(self, body: Body) -> Ask:
        """Read a Responses request. Raises BadAsk."""
        asked = body.get("input")
        if not asked:
            raise BadAsk("Missing required parameter: 'input'.")
        items = [asked] if isinstance(asked, str) else listed(body, "input")
        choice = body.get("tool_choice")
        tools = [each for each in listed(body, "tools") if each.get("type") == "function"]
        last = items[-1]
        tier = body.get("service_tier")
        return Ask(
            model=model_of(body),
            stream=body.get("stream") is True,
            segments=tuple(_segments(body, items)),
            max_tokens=positive(body, "max_output_tokens"),
            tools=tuple(ToolSpec(t["name"], t.get("parameters") or {}) for t in tools if "name" in t),
            must_call=choice == "required" or (isinstance(choice, dict) and choice.get("type") == "function"),
            answers_tool=isinstance(last, dict) and last.get("type") == "function_call_output",
            tier=tier if tier in {"flex", "priority"} else "default",
        )

    def whole(self, answer: Answer) -> bytes:
        """A Response."""
        return orjson.dumps(_response(answer, _final_status(answer), _items(answer)))

    def events(self, answer: Answer) -> list[Event]:
        """response.created, the items, response.completed (or incomplete) with the usage."""
        opening = _response(answer, "in_progress", [])
        told: list[tuple[Item, bool]] = [
            ({"type": f"response.{name}", "response": opening}, False) for name in ("created", "in_progress")
        ]
        items = _items(answer)
        for index, item in enumerate(items):
            told += [({"output_index": index} | data, paced) for data, paced in _TOLD[item["type"]](item, answer)]
        status = _final_status(answer)
        told.append(({"type": f"response.{status}", "response": _response(answer, status, items)}, False))
        return [
            Event(sse(data | {"sequence_number": number}, data["type"]), paced)
            for number, (data, paced) in enumerate(told)
        ]

    def error(self, status: int, _request_id: str, /, why: str = "") -> bytes:
        """An error body in OpenAI's shape."""
        return error_body(status, why)

    def trouble(self, trouble: Trouble, _request_id: str, /) -> tuple[int, bytes]:
        """What OpenAI says of such a request."""
        return 400, trouble_body(trouble)

    def error_event(self) -> bytes:
        """An error inside a stream."""
        data = {"type": "error", "code": "server_error", "message": "The server had an error.", "param": None}
        return sse(data | {"sequence_number": 0}, "error")

    def unknown_event(self) -> bytes:
        """An event of a type that does not exist yet."""
        return sse(
            {"type": "response.weather_report", "outlook": "sunny", "sequence_number": 0}, "response.weather_report"
        )

    def headers(self, request_id: str, ratelimit: RateLimit) -> dict[str, str]:
        """x-request-id and the rate limits."""
        return ratelimit_headers(request_id, ratelimit)


def _segments(body: Body, items: list[Any]) -> Iterator[Segment]:
    blocks = [*listed(body, "tools"), *([body["instructions"]] if body.get("instructions") else []), *items]
    for block in blocks:
        content = block.get("content") if isinstance(block, dict) else block
        raw = text_of(content if isinstance(content, str) else block)
        yield Segment(raw, words.count(raw) + 3)


def _final_status(answer: Answer) -> str:
    return "incomplete" if answer.stop is Stop.LENGTH else "completed"


def _response(answer: Answer, status: str, output: list[Item]) -> Item:
    done = status != "in_progress"
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": answer.ask.max_tokens,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": answer.tier if done else "auto",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(answer) if done else None,
    }


def _items(answer: Answer) -> list[Item]:
    found: list[Item] = []
    if answer.tokens.reasoning:
        found.append({"id": f"rs_{answer.id}", "type": "reasoning", "summary": []})
    if answer.tool:
        call = answer.tool
        found.append(
            {
                "id": f"fc_{answer.id}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{call.id}",
                "name": call.name,
                "arguments": as_json(call.arguments),
            }
        )
        return found
    status = _final_status(answer)
    content = [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}]
    found.append(
        {"id": f"msg_{answer.id}", "type": "message", "status": status, "role": "assistant", "content": content}
    )
    return found


_Told = Iterator[tuple[Item, bool]]


def _tell_reasoning(item: Item, _answer: Answer) -> _Told:
    yield {"type": "response.output_item.added", "item": item}, False
    yield {"type": "response.output_item.done", "item": item}, False


def _tell_call(item: Item, _answer: Answer) -> _Told:
    place = {"item_id": item["id"]}
    yield {"type": "response.output_item.added", "item": item | {"status": "in_progress", "arguments": ""}}, False
    for part in words.pieces(item["arguments"], 4):
        yield {"type": "response.function_call_arguments.delta", "delta": part} | place, True
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "response.function_call_arguments.done"} | done | place, False
    yield {"type": "response.output_item.done", "item": item}, False


def _tell_message(item: Item, answer: Answer) -> _Told:
    place = {"item_id": item["id"], "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.output_item.added", "item": item | {"status": "in_progress", "content": []}}, False
    yield {"type": "response.content_part.added", "part": part | {"text": ""}} | place, False
    for piece in answer.pieces():
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | place, True
    yield {"type": "response.output_text.done", "text": answer.text, "logprobs": []} | place, False
    yield {"type": "response.content_part.done", "part": part} | place, False
    yield {"type": "response.output_item.done", "item": item}, False


_TOLD = {"reasoning": _tell_reasoning, "function_call": _tell_call, "message": _tell_message}


def _usage(answer: Answer) -> Item:
    counts = answer.tokens
    written = counts.cache_write_5m + counts.cache_write_1h
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cache_read, "cache_write_tokens": written},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }
