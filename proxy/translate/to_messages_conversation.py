"""A conversation in OpenAI Chat's form as one in Anthropic's. Pure.

What the system and the developer say before anybody else is the system prompt; later it stays in its place, but for
models before Claude 4.6, which know no such messages: there it joins the system prompt. Consecutive messages of one
role become one, results of tools first, as Anthropic wants it. What the user's `name` says stands before the text.
A message of the assistant at the end is an answer that Anthropic continues (prefill).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.effort import is_old_claude
from proxy.translate.known_fields import FROM_CHAT
from proxy.translate.to_messages_blocks import Block, blocks_of, text_block, texts_of

_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
}


class Conversation(msgspec.Struct):
    """The messages, and the blocks of the system prompt."""

    system: list[Block]
    messages: list[dict[str, Any]]
    answers_calls: bool  # it ends with the results of tools


def conversation(messages: object, model: str) -> Conversation:
    """Return the conversation. Raises `Untranslatable`."""
    said = Conversation([], [], answers_calls=False)
    for message, place in cj.objects(messages, "messages"):
        role = cj.text(message.get("role"), f"{place}.role")
        if role not in _ROLES:
            raise Untranslatable(f"{place}.role", f"{role} has no counterpart in Anthropic Messages")
        FROM_CHAT["system" if role == "developer" else role].check(message, place)
        blocks = _blocks(message, place, role)
        if _ROLES[role] == "system" and (not said.messages or is_old_claude(model)):
            said.system += blocks
        elif blocks:
            _append(said.messages, _ROLES[role], blocks)
    if not said.messages:
        raise Untranslatable("messages", "must have a message of the user")
    said.answers_calls = any(block["type"] == "tool_result" for block in said.messages[-1]["content"])
    return said


def _append(messages: list[dict[str, Any]], role: str, blocks: list[Block]) -> None:
    if messages and messages[-1]["role"] == role:
        content: list[Block] = messages[-1]["content"]
        results = sum(block["type"] == "tool_result" for block in content)
        new = [block for block in blocks if block["type"] == "tool_result"]
        content[results:results] = new
        content += [block for block in blocks if block["type"] != "tool_result"]
    else:
        messages.append({"role": role, "content": blocks})


def _blocks(message: dict[str, Any], place: str, role: str) -> list[Block]:
    match role:
        case "user":
            return _user(message, place)
        case "assistant":
            return _assistant(message, place)
        case "tool":
            return [_result(message, place)]
        case _:
            return texts_of(message.get("content"), f"{place}.content")


def _user(message: dict[str, Any], place: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{place}.content")
    name = cj.text(message.get("name") or "", f"{place}.name")
    return [text_block(f"{name}:"), *blocks] if name else blocks


def _assistant(message: dict[str, Any], place: str) -> list[Block]:
    blocks = texts_of(message.get("content"), f"{place}.content")
    if refusal := cj.text(message.get("refusal") or "", f"{place}.refusal"):
        blocks.append(text_block(refusal))
    return blocks + [_call(call, at) for call, at in cj.objects(message.get("tool_calls"), f"{place}.tool_calls")]


def _call(call: dict[str, Any], place: str) -> Block:
    kind = call.get("type", "function")
    if kind != "function":
        raise Untranslatable(f"{place}.type", f"{kind} has no counterpart in Anthropic Messages")
    FROM_CHAT["tool_call"].check(call, place)
    at = f"{place}.function"
    function = cj.mapping(call.get("function"), at)
    FROM_CHAT["called"].check(function, at)
    return {
        "type": "tool_use",
        "id": _id(call.get("id"), f"{place}.id"),
        "name": cj.text(function.get("name"), f"{at}.name"),
        "input": _input(function.get("arguments"), f"{at}.arguments"),
    }


def _input(arguments: object, place: str) -> dict[str, Any]:
    text = cj.text(arguments, place)
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except cj.UNREADABLE as e:
        raise Untranslatable(place, "is no JSON, and Anthropic takes nothing else as a tool's input") from e
    return cj.mapping(value, place)


def _result(message: dict[str, Any], place: str) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"), f"{place}.tool_call_id")}
    content = message.get("content")
    if (
        blocks := [text_block(content)]
        if isinstance(content, str) and content
        else texts_of(content, f"{place}.content")
    ):
        result["content"] = content if isinstance(content, str) else blocks
    return result


def _id(value: object, place: str) -> str:
    """A call's id; characters that Anthropic does not take become `_`, in the call and its result alike."""
    return _NOT_IN_IDS.sub("_", cj.text(value, place)) or "_"
