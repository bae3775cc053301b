"""A request of OpenAI Chat as one of Anthropic Messages. Pure.

Sampling: temperatures above 1, the end of Anthropic's range, become 1. A temperature or `top_p` of 1 is what both
do unasked and is not sent, for newer Claude models take neither. Anthropic wants a length: without one, the most
that every model of its generation can write.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable
from proxy.translate import client_json as cj
from proxy.translate.effort import EFFORTS, thinking_for
from proxy.translate.known_fields import FROM_CHAT
from proxy.translate.to_messages_conversation import conversation
from proxy.translate.to_messages_tools import message_tool_choice, message_tools

#: Of a model whose name matches, the length that is asked for where the client names none.
_LENGTHS: Final = (
    (re.compile(r"(?:.*[/.])?claude-(?:instant|2|3-(?:haiku|opus|sonnet))"), 4_096),
    (re.compile(r"(?:.*[/.])?claude-3[-.]5"), 8_192),
)
_DEFAULT_LENGTH: Final = 32_000
#: Fields whose values are fine as long as they ask for nothing special.
_PLAIN: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
}
_TIERS: Final = {"auto": "auto", "default": "standard_only", "priority": "auto"}
_NO_COUNTERPART: Final = "has no counterpart in Anthropic Messages"


class MessagesRequest(msgspec.Struct, frozen=True):
    """The request for the provider, and what its answer's translation must know of it."""

    body: bytes
    stream: bool
    wants_usage: bool  # the client asked for the counts of the stream


def to_messages(body: bytes, model: str) -> MessagesRequest:
    """Return the request for `model`. Raises `Untranslatable`."""
    request = cj.read(body)
    FROM_CHAT["request"].check(request, "")
    _check_plain(request)
    stream = cj.flag(request.get("stream"), "stream")
    said = conversation(request.get("messages"), model)
    length = _length(request, model)
    messages: dict[str, Any] = {"model": model, "max_tokens": length, "messages": said.messages}
    if said.system:
        messages["system"] = said.system
    messages |= _sampling(request)
    if tools := message_tools(request.get("tools")):
        messages["tools"] = tools
    choice = message_tool_choice(request.get("tool_choice"), request.get("parallel_tool_calls"), has_tools=bool(tools))
    messages |= choice
    is_forced = choice.get("tool_choice", {}).get("type") in ("any", "tool")
    messages |= _thinking(request, model, length, may_think=not (is_forced or said.answers_calls))
    if form := _format(request):
        messages["output_config"] = messages.get("output_config", {}) | form
    messages |= _user(request) | _tier(request)
    if stream:
        messages["stream"] = True
    return MessagesRequest(cj.written(messages), stream, _wants_usage(request))


def _check_plain(request: Mapping[str, Any]) -> None:
    for name, plain in _PLAIN.items():
        value = request.get(name)
        if value is not None and (isinstance(value, bool) or value not in plain):
            raise Untranslatable(name, f"{msgspec.json.encode(value).decode()[:80]} {_NO_COUNTERPART}")


def _length(request: Mapping[str, Any], model: str) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if request.get(name) is not None:
            return cj.whole_number(request[name], name)
    return next((length for pattern, length in _LENGTHS if pattern.match(model)), _DEFAULT_LENGTH)


def _sampling(request: Mapping[str, Any]) -> dict[str, Any]:
    sampling: dict[str, Any] = {}
    for name in ("temperature", "top_p"):
        value = request.get(name)
        if value is not None and cj.number(value, name) < 1:
            sampling[name] = value
    if request.get("top_k") is not None:
        sampling["top_k"] = cj.whole_number(request["top_k"], "top_k")
    stop = request.get("stop")
    if stops := [stop] if isinstance(stop, str) else cj.texts(stop, "stop"):
        sampling["stop_sequences"] = stops
    return sampling


def _thinking(request: Mapping[str, Any], model: str, length: int, *, may_think: bool) -> dict[str, Any]:
    effort = cj.text(request.get("reasoning_effort") or "", "reasoning_effort")
    if not effort:
        return {}
    if effort not in EFFORTS:
        raise Untranslatable("reasoning_effort", f"{effort} {_NO_COUNTERPART}")
    return thinking_for(model, effort, length, may_think=may_think)


def _format(request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("response_format") is None:
        return {}
    wanted = cj.mapping(request["response_format"], "response_format")
    FROM_CHAT["response_format"].check(wanted, "response_format")
    kind = cj.text(wanted.get("type"), "response_format.type")
    if kind == "text":
        return {}
    if kind != "json_schema":
        raise Untranslatable("response_format.type", f"{kind} {_NO_COUNTERPART}; json_schema has one")
    named = cj.mapping(wanted.get("json_schema"), "response_format.json_schema")
    FROM_CHAT["json_schema"].check(named, "response_format.json_schema")
    schema = cj.mapping(named.get("schema"), "response_format.json_schema.schema")
    return {"format": {"type": "json_schema", "schema": schema}}


def _user(request: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("safety_identifier", "user"):
        if user := cj.text(request.get(name) or "", name):
            return {"metadata": {"user_id": user}}
    return {}


def _tier(request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("service_tier") is None:
        return {}
    tier = cj.text(request["service_tier"], "service_tier")
    if tier not in _TIERS:
        raise Untranslatable("service_tier", f"{tier} {_NO_COUNTERPART}")
    return {"service_tier": _TIERS[tier]}


def _wants_usage(request: Mapping[str, Any]) -> bool:
    options = cj.mapping(request.get("stream_options") or {}, "stream_options")
    FROM_CHAT["stream_options"].check(options, "stream_options")
    return cj.flag(options.get("include_usage"), "stream_options.include_usage")
