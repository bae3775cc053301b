"""A whole answer of OpenAI Chat as Anthropic's message. Pure; what a provider gets wrong is read as well as it can be.

finish_reason → stop_reason: stop → end_turn (stop_sequence where the provider says which one), length → max_tokens,
tool_calls → tool_use, content_filter → refusal. An answer with calls is `tool_use` even if it says `stop`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from proxy.translate.failures import UNREADABLE, Failure, anthropic_error, failure_of
from proxy.translate.translation import Context
from proxy.usage import fields
from proxy.usage.estimate import estimate_tokens
from proxy.usage.openai import chat_tokens

_REASONS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
#: Some providers put what they must remember into the ids of calls.
MAX_ID: Final = 64 * 1024
_CODES: Final = (msgspec.DecodeError, ValueError, RecursionError)
_DECODER: Final = msgspec.json.Decoder()


class Ending(msgspec.Struct):
    """What is known of how an answer ended."""

    reason: str = ""  # OpenAI's finish_reason
    sequence: str = ""  # the stop sequence, where the provider tells it
    called: bool = False
    refused: bool = False

    def learn(self, choice: Mapping[str, Any], stop_sequences: Iterable[str]) -> None:
        """Read a choice; what it does not say stays."""
        self.reason = fields.text(choice.get("finish_reason")) or self.reason
        told = choice.get("stop_reason")  # vLLM's
        if isinstance(told, str) and told in stop_sequences:
            self.sequence = told

    def stop_reason(self) -> str:
        """Return Anthropic's name of it."""
        reason = _REASONS.get(self.reason, "end_turn")
        if reason == "tool_use" and not self.called:
            reason = "end_turn"
        if reason != "end_turn":
            return reason
        if self.called:
            return "tool_use"
        if self.refused:
            return "refusal"
        return "stop_sequence" if self.sequence else "end_turn"

    def delta(self) -> dict[str, str | None]:
        """Return the two members that say it."""
        reason = self.stop_reason()
        return {"stop_reason": reason, "stop_sequence": self.sequence if reason == "stop_sequence" else None}


def message_from_chat(body: bytes, context: Context, stop_sequences: tuple[str, ...], *, shows_thinking: bool) -> bytes:
    """Return the message; an error in Anthropic's form where the body is no answer."""
    try:
        answer = fields.mapping(_DECODER.decode(body))
    except _CODES:
        answer = {}
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return msgspec.json.encode(anthropic_error(failure_of(answer) or Failure(UNREADABLE), 502))
    message = fields.mapping(choices[0].get("message"))
    ending = Ending(called=bool(calls_of(message)), refused=bool(message.get("refusal")))
    ending.learn(choices[0], stop_sequences)
    blocks = _blocks(message, context.id, shows_thinking=shows_thinking)
    size = sum(len(str(block)) for block in blocks)
    whole = {
        **head(context, fields.text(answer.get("model"))),
        "content": blocks,
        **ending.delta(),
        "usage": anthropic_usage(counts_of(answer), context, size),
    }
    try:
        return msgspec.json.encode(whole)
    except RecursionError:
        return msgspec.json.encode(anthropic_error(Failure(UNREADABLE), 502))


def head(context: Context, model: str) -> dict[str, Any]:
    """Return the members that all of an answer's message share."""
    named = model or context.asked
    return {"id": f"msg_{context.id}", "type": "message", "role": "assistant", "model": named}


def counts_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of an answer or a chunk; Groq's stand in an object of their own."""
    return fields.mapping(answer.get("usage")) or fields.mapping(fields.mapping(answer.get("x_groq")).get("usage"))


def anthropic_usage(usage: Mapping[str, Any], context: Context, size: int) -> dict[str, Any]:
    """Return Anthropic's disjoint counts; estimates where there are none. `size`: characters of the answer."""
    if not usage:
        return {
            "input_tokens": context.estimated_input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": estimate_tokens(size),
        }
    tokens = chat_tokens(usage)
    counts: dict[str, Any] = {
        "input_tokens": tokens.uncached_input,
        "cache_creation_input_tokens": tokens.cache_write_5m,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }
    if tokens.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return counts


def thought_of(message: Mapping[str, Any]) -> str:
    """Return what a message or delta says of the model's thinking, by any of the names that providers give it."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(said := message.get(name), str) and said:
            return said
    content = message.get("content")
    thoughts = (part.get("thinking") for part in content if _is(part, "thinking")) if isinstance(content, list) else ()
    return "".join(_joined(thought) for thought in thoughts)


def said_by(message: Mapping[str, Any]) -> str:
    """Return a message's or delta's text; a refusal is text too."""
    return _joined(message.get("content")) + _joined(message.get("refusal"))


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the calls of tools; the older single call is one of them."""
    calls = message.get("tool_calls")
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    old = message.get("function_call")
    return found or ([{"function": old}] if isinstance(old, dict) else [])


def arguments_of(call: Mapping[str, Any]) -> str:
    """Return a call's arguments (or a piece of them) as text; some providers give an object."""
    arguments = fields.mapping(call.get("function")).get("arguments")
    if isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else ""
    except RecursionError:
        return ""


def input_of(arguments: str) -> dict[str, Any]:
    """Return a tool's input; text that is no JSON object as Anthropic shows such: under the name INVALID_JSON."""
    if not arguments.strip():
        return {}
    try:
        value = _DECODER.decode(arguments)
    except _CODES:
        value = None
    if value is None:
        return {} if arguments.strip() == "null" else {"INVALID_JSON": arguments}
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def _blocks(message: Mapping[str, Any], call_id: str, *, shows_thinking: bool) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if shows_thinking and (thought := thought_of(message)):
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    if (said := said_by(message)) and not said.isspace():
        blocks.append({"type": "text", "text": said})
    seen: set[str] = set()
    for i, call in enumerate(calls_of(message)):
        told = fields.text(call.get("id"), MAX_ID)
        tool_id = told if told and told not in seen else f"toolu_{call_id}_{i}"
        seen.add(tool_id)
        name = fields.text(fields.mapping(call.get("function")).get("name"))
        blocks.append({"type": "tool_use", "id": tool_id, "name": name, "input": input_of(arguments_of(call))})
    return blocks


def _joined(content: object) -> str:
    """The text of a string, or of a list's parts of text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if _is(part, "text") and isinstance(part.get("text"), str))


def _is(part: object, kind: str) -> bool:
    return isinstance(part, dict) and part.get("type") == kind
