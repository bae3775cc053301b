"""Anthropic's tools, and how the model may use them, in the terms of OpenAI Chat. Pure."""

from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.known_fields import FROM_MESSAGES

_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


def chat_tools(tools: object) -> list[dict[str, Any]]:
    """Return the tools as functions. Raises `Untranslatable` for those that Anthropic runs or defines itself."""
    return [_tool(tool, place) for tool, place in cj.objects(tools, "tools")]


def _tool(tool: dict[str, Any], place: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        raise Untranslatable(f"{place}.type", f"{kind} has no counterpart in OpenAI Chat")
    FROM_MESSAGES["tool"].check(tool, place)
    callers = cj.texts(tool.get("allowed_callers"), f"{place}.allowed_callers")
    if callers and "direct" not in callers:
        raise Untranslatable(f"{place}.allowed_callers", "only the model itself calls tools in OpenAI Chat")
    function: dict[str, Any] = {"name": cj.text(tool.get("name"), f"{place}.name")}
    if description := _description(tool, place):
        function["description"] = description
    function["parameters"] = cj.mapping(tool.get("input_schema"), f"{place}.input_schema")
    if cj.flag(tool.get("strict"), f"{place}.strict"):
        function["strict"] = True
    return {"type": "function", "function": function}


def _description(tool: dict[str, Any], place: str) -> str:
    """What the tool does, and the examples of its input, which OpenAI has no other place for."""
    lines = [cj.text(tool.get("description") or "", f"{place}.description")]
    for example, at in cj.objects(tool.get("input_examples"), f"{place}.input_examples"):
        try:
            lines.append(f"Example of its input: {msgspec.json.encode(example).decode()}")
        except RecursionError as e:
            raise Untranslatable(at, "is nested too deeply") from e
    return "\n".join(line for line in lines if line)


def chat_tool_choice(choice: object, *, has_tools: bool) -> dict[str, Any]:
    """Return the members that say how tools may be used; OpenAI takes none of them without tools."""
    if choice is None:
        return {}
    wanted = cj.mapping(choice, "tool_choice")
    FROM_MESSAGES["tool_choice"].check(wanted, "tool_choice")
    kind = cj.text(wanted.get("type"), "tool_choice.type")
    if not has_tools:
        if kind in ("any", "tool"):
            raise Untranslatable("tool_choice", "asks for a tool, but there are none")
        return {}
    alone = {"parallel_tool_calls": False} if wanted.get("disable_parallel_tool_use") is True else {}
    if kind in _CHOICES:
        return {"tool_choice": _CHOICES[kind], **alone}
    if kind != "tool":
        raise Untranslatable("tool_choice.type", f"{kind} has no counterpart in OpenAI Chat")
    name = cj.text(wanted.get("name"), "tool_choice.name")
    return {"tool_choice": {"type": "function", "function": {"name": name}}, **alone}
