"""Anthropic's message as a whole answer of OpenAI Chat. Pure; what a provider gets wrong is read as well as it can be.

stop_reason → finish_reason: end_turn, stop_sequence, pause_turn → stop; max_tokens, model_context_window_exceeded →
length; tool_use → tool_calls; refusal → content_filter. Thinking goes as `reasoning_content`, the name that most
clients know. Blocks of other kinds come only from tools that a Chat request cannot ask for, and are passed over.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.translate.failures import UNREADABLE, Failure, failure_of, openai_error
from proxy.translate.translation import Context
from proxy.usage import fields

_REASONS: Final[Mapping[str, str]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_TIERS: Final[Mapping[str, str]] = {"standard": "default", "priority": "priority"}
_CODES: Final = (msgspec.DecodeError, ValueError, RecursionError)
_DECODER: Final = msgspec.json.Decoder()


def chat_from_message(body: bytes, context: Context) -> bytes:
    """Return the completion; an error in OpenAI's form where the body is no message."""
    try:
        answer = fields.mapping(_DECODER.decode(body))
    except _CODES:
        answer = {}
    if not isinstance(answer.get("content"), list):
        return msgspec.json.encode(openai_error(failure_of(answer) or Failure(UNREADABLE), 502))
    choice = {
        "index": 0,
        "message": _message(answer),
        "logprobs": None,
        "finish_reason": finish_reason(fields.text(answer.get("stop_reason"))),
    }
    usage = fields.mapping(answer.get("usage"))
    head = chat_head(context, fields.text(answer.get("model")), "chat.completion")
    return msgspec.json.encode({**head, "choices": [choice], "usage": openai_usage(usage), **tier_of(usage)})


def chat_head(context: Context, model: str, kind: str) -> dict[str, Any]:
    """Return the members that an answer and all its chunks share."""
    return {"id": f"chatcmpl-{context.id}", "object": kind, "created": context.at, "model": model or context.asked}


def finish_reason(stop_reason: str) -> str:
    """Return OpenAI's name of a stop reason."""
    return _REASONS.get(stop_reason, "stop")


def tier_of(usage: Mapping[str, Any]) -> dict[str, str]:
    """Return the member that says how the call was served, where that is known."""
    tier = _TIERS.get(fields.text(usage.get("service_tier")))
    return {"service_tier": tier} if tier else {}


def openai_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return OpenAI's counts, whose prompt includes what the cache gave and took."""
    cached = fields.count(usage.get("cache_read_input_tokens")) or 0
    written = fields.count(usage.get("cache_creation_input_tokens")) or 0
    prompt = (fields.count(usage.get("input_tokens")) or 0) + cached + written
    output = fields.count(usage.get("output_tokens")) or 0
    thought = fields.count(fields.mapping(usage.get("output_tokens_details")).get("thinking_tokens")) or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def json_of(value: object) -> str:
    """Return a tool's input as the text of its arguments."""
    try:
        return msgspec.json.encode(fields.mapping(value)).decode()
    except RecursionError:
        return "{}"


def _message(answer: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [block for block in answer["content"] if isinstance(block, dict)]
    text, thought = _joined(blocks, "text"), _joined(blocks, "thinking")
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if thought:
        message["reasoning_content"] = thought
    if calls := [_call(block) for block in blocks if block.get("type") == "tool_use"]:
        message["tool_calls"] = calls
    if answer.get("stop_reason") == "refusal":
        message["refusal"] = refusal_of(answer)
    return message


def refusal_of(value: Mapping[str, Any]) -> str | None:
    """Return why the model refuses, if it tells."""
    return fields.text(fields.mapping(value.get("stop_details")).get("explanation"), fields.MAX_MESSAGE) or None


def _joined(blocks: list[dict[str, Any]], kind: str) -> str:
    found = (block.get(kind) for block in blocks if block.get("type") == kind)
    return "".join(text for text in found if isinstance(text, str))


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": fields.text(block.get("name")), "arguments": json_of(block.get("input"))}
    return {"id": fields.text(block.get("id")), "type": "function", "function": function}
