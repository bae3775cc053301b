"""A conversation in Anthropic's form as one in OpenAI Chat's. Pure.

Consecutive messages of one role are one turn, as they are for Anthropic. A turn of the user with results of tools
becomes one `tool` message a result, in their order, right behind the calls; then the rest of the turn.
A turn of the assistant becomes one message: its texts joined, then its calls. What it thought is left out, but for
models that want it back (as `reasoning_content`).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.known_fields import BILLING_NOTE, BLOCKS_LEFT_OUT, FROM_MESSAGES
from proxy.translate.to_chat_parts import merged_text, parts_of, text_of
from proxy.translate.to_chat_results import tool_messages

_ROLES: Final = frozenset({"user", "assistant", "system"})

#: A content block and its place in the request.
Block = tuple[dict[str, Any], str]


def chat_messages(request: Mapping[str, Any], *, with_thinking: bool) -> list[dict[str, Any]]:
    """Return the conversation, the system prompt first. Raises `Untranslatable`."""
    messages = _system(blocks_of(request.get("system"), "system")) if request.get("system") else []
    role = ""
    for role, blocks in _turns(request.get("messages")):
        if role == "assistant":
            messages += _assistant(blocks, with_thinking=with_thinking)
        elif role == "system":
            messages += _system(blocks)
        else:
            messages += _user(blocks)
    if role == "assistant":
        last = len(request["messages"]) - 1
        raise Untranslatable(f"messages.{last}", "OpenAI Chat cannot continue an answer that has begun (prefill)")
    if not role:
        raise Untranslatable("messages", "must have a message")
    return messages


def _turns(messages: object) -> list[tuple[str, list[Block]]]:
    turns: list[tuple[str, list[Block]]] = []
    found = [(*each, _role(*each)) for each in cj.objects(messages, "messages")]
    last = max((i for i, (_, _, role) in enumerate(found) if role == "user"), default=-1)
    for i, (message, place, role) in enumerate(found):
        if i < last and message.get("clear_at") == "next_user_message":
            continue  # said for an earlier turn of the user's only
        blocks = blocks_of(message.get("content"), f"{place}.content")
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    return turns


def _role(message: dict[str, Any], place: str) -> str:
    FROM_MESSAGES["message"].check(message, place)
    role = cj.text(message.get("role"), f"{place}.role")
    if role not in _ROLES:
        raise Untranslatable(f"{place}.role", f"{role} has no counterpart in OpenAI Chat")
    return role


def blocks_of(content: object, place: str) -> list[Block]:
    """Return the blocks of a content; a string is one block of text."""
    if isinstance(content, str):
        return [({"type": "text", "text": content}, place)]
    if not isinstance(content, list):
        raise Untranslatable(place, "must be a string or a list of blocks")
    return list(cj.objects(content, place))


def _system(blocks: list[Block]) -> list[dict[str, Any]]:
    texts = [text_of(block, place) for block, place in blocks]
    said = "\n\n".join(text for text in texts if text and not text.startswith(BILLING_NOTE))
    return [{"role": "system", "content": said}] if said else []


def _user(blocks: list[Block]) -> list[dict[str, Any]]:
    results = [each for each in blocks if each[0].get("type") == "tool_result"]
    said = [each for each in blocks if each[0].get("type") != "tool_result"]
    messages, shown = tool_messages(results)
    parts = shown + [part for block, place in said for part in parts_of(block, place)]
    if parts or not results:
        messages.append({"role": "user", "content": merged_text(parts)})
    return messages


def _assistant(blocks: list[Block], *, with_thinking: bool) -> list[dict[str, Any]]:
    texts, calls, thoughts = [], [], []
    for block, place in blocks:
        kind = cj.text(block.get("type"), f"{place}.type")
        if kind == "tool_use":
            calls.append(_call(block, place))
        elif kind == "text":
            texts.append(text_of(block, place))
        elif kind == "thinking":
            thoughts.append(cj.text(block.get("thinking"), f"{place}.thinking"))
        elif kind not in BLOCKS_LEFT_OUT:
            raise Untranslatable(f"{place}.type", f"{kind} has no counterpart in an assistant's turn of OpenAI Chat")
    said = "\n\n".join(text for text in texts if text)
    if not (said or calls):
        return []
    thought = {"reasoning_content": "".join(thoughts)} if with_thinking else {}
    return [{"role": "assistant", "content": said or None} | thought | ({"tool_calls": calls} if calls else {})]


def _call(block: dict[str, Any], place: str) -> dict[str, Any]:
    FROM_MESSAGES["tool_use"].check(block, place)
    try:
        arguments = msgspec.json.encode(cj.mapping(block.get("input"), f"{place}.input")).decode()
    except RecursionError as e:
        raise Untranslatable(f"{place}.input", "is nested too deeply") from e
    function = {"name": cj.text(block.get("name"), f"{place}.name"), "arguments": arguments}
    return {"id": cj.text(block.get("id"), f"{place}.id"), "type": "function", "function": function}
