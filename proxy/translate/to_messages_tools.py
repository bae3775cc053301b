"""OpenAI's functions, and how the model may call them, in the terms of Anthropic Messages. Pure."""

from typing import Any, Final

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.known_fields import FROM_CHAT

_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}
_NO_COUNTERPART: Final = "has no counterpart in Anthropic Messages"


def message_tools(tools: object) -> list[dict[str, Any]]:
    """Return the functions as tools. Raises `Untranslatable` for tools that are none."""
    return [_tool(tool, place) for tool, place in cj.objects(tools, "tools")]


def _tool(tool: dict[str, Any], place: str) -> dict[str, Any]:
    kind = cj.text(tool.get("type"), f"{place}.type")
    if kind != "function":
        raise Untranslatable(f"{place}.type", f"{kind} {_NO_COUNTERPART}")
    FROM_CHAT["function_tool"].check(tool, place)
    at = f"{place}.function"
    function = cj.mapping(tool.get("function"), at)
    FROM_CHAT["function"].check(function, at)
    found: dict[str, Any] = {"name": cj.text(function.get("name"), f"{at}.name")}
    if description := cj.text(function.get("description") or "", f"{at}.description"):
        found["description"] = description
    schema = cj.mapping(function.get("parameters") or {}, f"{at}.parameters")
    found["input_schema"] = {"type": "object", **schema} if schema else {"type": "object", "properties": {}}
    if cj.flag(function.get("strict"), f"{at}.strict"):
        found["strict"] = True
    return found


def message_tool_choice(choice: object, parallel: object, *, has_tools: bool) -> dict[str, Any]:
    """Return the member that says how tools may be used; without tools there is none."""
    is_alone = parallel is not None and not cj.flag(parallel, "parallel_tool_calls")
    wanted = _wanted(choice)
    if not has_tools:
        if wanted.get("type") in ("any", "tool"):
            raise Untranslatable("tool_choice", "asks for a tool, but there are none")
        return {}
    if is_alone and wanted.get("type") != "none":
        wanted = {"type": "auto", **wanted, "disable_parallel_tool_use": True}
    return {"tool_choice": wanted} if wanted else {}


def _wanted(choice: object) -> dict[str, Any]:
    if choice is None:
        return {}
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise Untranslatable("tool_choice", f"{choice} {_NO_COUNTERPART}")
        return {"type": _CHOICES[choice]}
    named = cj.mapping(choice, "tool_choice")
    kind = cj.text(named.get("type"), "tool_choice.type")
    if kind != "function":
        raise Untranslatable("tool_choice.type", f"{kind} {_NO_COUNTERPART}")
    FROM_CHAT["tool_choice"].check(named, "tool_choice")
    function = cj.mapping(named.get("function"), "tool_choice.function")
    FROM_CHAT["chosen"].check(function, "tool_choice.function")
    return {"type": "tool", "name": cj.text(function.get("name"), "tool_choice.function.name")}
