"""A request of Anthropic Messages as one of OpenAI Chat. Pure.

Sampling: Anthropic's temperatures (0 to 1) are in OpenAI's range and stay as they are.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.dialects import Dialect, dialect_of
from proxy.translate.effort import EFFORTS, effort_for
from proxy.translate.known_fields import FROM_MESSAGES
from proxy.translate.to_chat_messages import chat_messages
from proxy.translate.to_chat_tools import chat_tool_choice, chat_tools

#: OpenAI takes no longer names of users.
_MAX_USER: Final = 64
_THINKING: Final = frozenset({"enabled", "adaptive", "between_tools", "disabled"})
_TIERS: Final = {"auto": None, "standard_only": "default"}
#: A translated call's class of service by the speed that it asks for; None: what it is unasked.
SPEEDS: Final = {"standard": None, "fast": "priority"}


class ChatRequest(msgspec.Struct, frozen=True):
    """The request for the provider, and what its answer's translation must know of it."""

    body: bytes
    stream: bool
    shows_thinking: bool  # the client wants to read what the model thinks
    stop_sequences: tuple[str, ...]


def to_chat(body: bytes, model: str) -> ChatRequest:
    """Return the request for `model`. Raises `Untranslatable`."""
    request = cj.read(body)
    FROM_MESSAGES["request"].check(request, "")
    stream = cj.flag(request.get("stream"), "stream")
    stops = cj.texts(request.get("stop_sequences"), "stop_sequences")
    dialect = dialect_of(model)
    said = chat_messages(request, with_thinking=dialect.wants_thinking_back)
    chat: dict[str, Any] = {"model": model, "messages": said}
    chat |= _length(request, dialect)
    for name in ("temperature", "top_p"):
        if request.get(name) is not None:
            chat[name] = cj.number(request[name], name)
    if stops:
        chat["stop"] = stops
    if tools := chat_tools(request.get("tools")):
        chat["tools"] = tools
    chat |= chat_tool_choice(request.get("tool_choice"), has_tools=bool(tools))
    thinking = _thinking(request)
    chat |= _effort(request, thinking, model, has_tools=bool(tools))
    chat |= _format(request) | _user(request, dialect) | _tier(request)
    if stream:
        chat |= {"stream": True} | ({"stream_options": {"include_usage": True}} if dialect.asks_for_usage else {})
    return ChatRequest(cj.written(chat), stream, _is_shown(thinking), tuple(stops))


def _length(request: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    if request.get("max_tokens") is None:
        raise Untranslatable("max_tokens", "is required")
    length = cj.whole_number(request["max_tokens"], "max_tokens")
    if not length:
        raise Untranslatable("max_tokens", "0 asks for no answer, only to fill the cache, which OpenAI Chat cannot")
    return {dialect.length: length}


def _thinking(request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("thinking") is None:
        return {}
    thinking = cj.mapping(request["thinking"], "thinking")
    FROM_MESSAGES["thinking"].check(thinking, "thinking")
    if cj.text(thinking.get("type"), "thinking.type") not in _THINKING:
        raise Untranslatable("thinking.type", f"{thinking['type']} has no counterpart in OpenAI Chat")
    return thinking


def _is_shown(thinking: Mapping[str, Any]) -> bool:
    return thinking.get("type", "disabled") != "disabled" and thinking.get("display") != "omitted"


def _effort(request: Mapping[str, Any], thinking: Mapping[str, Any], model: str, *, has_tools: bool) -> dict[str, Any]:
    output = _output_config(request)
    effort = cj.text(output.get("effort") or "", "output_config.effort")
    if effort and effort not in EFFORTS:
        raise Untranslatable("output_config.effort", f"{effort} has no counterpart in OpenAI Chat")
    kind, budget = thinking.get("type", ""), 0
    if kind == "enabled":
        budget = cj.whole_number(thinking.get("budget_tokens"), "thinking.budget_tokens")
    found = effort_for(model, kind, budget, effort, has_tools=has_tools)
    return {"reasoning_effort": found} if found else {}


def _output_config(request: Mapping[str, Any]) -> dict[str, Any]:
    output = cj.mapping(request.get("output_config") or {}, "output_config")
    FROM_MESSAGES["output_config"].check(output, "output_config")
    return output


def _format(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted form; `output_format` is its older name."""
    place, wanted = "output_config.format", _output_config(request).get("format")
    if wanted is None:
        place, wanted = "output_format", request.get("output_format")
    if wanted is None:
        return {}
    form = cj.mapping(wanted, place)
    FROM_MESSAGES["format"].check(form, place)
    if form.get("type") != "json_schema":
        raise Untranslatable(f"{place}.type", f"{form.get('type')} has no counterpart in OpenAI Chat")
    schema = cj.mapping(form.get("schema"), f"{place}.schema")
    named = {"name": form.get("name") or "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _user(request: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The end user; a name that is too long for OpenAI goes as its SHA-256, which is as good an opaque name."""
    metadata = cj.mapping(request.get("metadata") or {}, "metadata")
    user = cj.text(metadata.get("user_id") or "", "metadata.user_id")
    if len(user) > _MAX_USER:
        user = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
    return {dialect.user: user} if user and dialect.user else {}


def _tier(request: Mapping[str, Any]) -> dict[str, Any]:
    """The class of service: OpenAI's fast one is called `priority`; `auto` is what both do unasked."""
    found = None
    for name, tiers in (("service_tier", _TIERS), ("speed", SPEEDS)):
        wanted = request.get(name)
        if wanted is None:
            continue
        if cj.text(wanted, name) not in tiers:
            raise Untranslatable(name, f"{wanted} has no counterpart in OpenAI Chat")
        found = tiers[wanted] or found
    return {"service_tier": found} if found else {}
