"""Every field of a request and what becomes of it: translated, left out (with the reason), or refused by name.

A field that is in none of the tables is refused too; a null or empty one asks for nothing and is never refused.
A test compares the tables with the request types of the two SDKs.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable

CHAT: Final = "OpenAI Chat"
MESSAGES: Final = "Anthropic Messages"

_NO_CHAT: Final = f"has no counterpart in {CHAT}"
_NO_MESSAGES: Final = f"has no counterpart in {MESSAGES}"
_CACHE: Final = "what is cached changes no answer; OpenAI-style providers cache by themselves"
_CITED: Final = "what an earlier answer quoted; its text stays"


class Fields(msgspec.Struct, frozen=True):
    """What becomes of one kind of object's fields."""

    target: str
    translated: frozenset[str]
    left_out: Mapping[str, str] = {}
    refused: Mapping[str, str] = {}

    def check(self, value: Mapping[str, Any], place: str) -> None:
        """Raise `Untranslatable` for the first field that can be neither translated nor left out."""
        for name, content in value.items():
            if name in self.translated or name in self.left_out or _asks_for_nothing(content):
                continue
            why = self.refused.get(name, f"has no known counterpart in {self.target}")
            raise Untranslatable(f"{place}.{name}" if place else name, why)


def _asks_for_nothing(content: object) -> bool:
    return content is None or content is False or content in ([], {})  # 0 is False by ==, and may be a wish


def _to_chat(*translated: str, left_out: Mapping[str, str] | None = None, refused: tuple[str, ...] = ()) -> Fields:
    reasons = dict.fromkeys(refused, _NO_CHAT)
    return Fields(CHAT, frozenset(translated), {"cache_control": _CACHE, **(left_out or {})}, reasons)


#: Anthropic Messages towards OpenAI Chat. Of `metadata`, whatever else a client puts in is left out: it is labels.
FROM_MESSAGES: Final[Mapping[str, Fields]] = {
    "request": _to_chat(
        *("model", "max_tokens", "messages", "system", "stop_sequences", "stream", "temperature", "top_p", "tools"),
        *("tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier", "speed"),
        left_out={
            "context_management": "what the provider may forget of a long conversation; all of it is sent",
            "compaction": "what the provider may sum up of a long conversation; all of it is sent",
            "diagnostics": "asks why a cache was missed",
            "betas": "switches of Anthropic's; a field that needs one is named here itself",
            "anthropic_beta": "the same, as clouds spell it",
            "anthropic_version": "the protocol's version, as clouds spell it",
            "billing_policy": "how Anthropic bills its own customers",
            "fallback_credit_token": "how Anthropic bills its own customers",
            "user_profile_id": "whom Anthropic attributes the request to",
            "workspace_id": "a header of Anthropic's, for its own credentials",
        },
        refused=("top_k", "container", "mcp_servers", "inference_geo", "fallbacks", "thread"),
    ),
    "message": _to_chat("role", "content", "clear_at", refused=("output_config",)),
    "metadata": _to_chat("user_id"),
    "output_config": _to_chat("effort", "format", refused=("task_budget",)),
    "format": _to_chat("type", "schema", "name"),
    "thinking": _to_chat(
        *("type", "budget_tokens", "display"),
        left_out={"block_binding": "how Anthropic checks the thinking that is sent back, of which nothing is sent"},
    ),
    "tool_choice": _to_chat("type", "name", "disable_parallel_tool_use"),
    "tool": _to_chat(
        *("type", "name", "description", "input_schema", "strict", "input_examples", "allowed_callers"),
        left_out={
            "eager_input_streaming": "how finely a call's arguments are streamed",
            "defer_loading": "all tools are sent at once, so none is loaded later",
        },
    ),
    "text": _to_chat("type", "text", left_out={"citations": _CITED}),
    "image": _to_chat("type", "source", refused=("transformations",)),
    "document": _to_chat("type", "source", "title", "context", "citations"),
    "search_result": _to_chat("type", "source", "title", "content", "citations"),
    "tool_use": _to_chat(
        "type", "id", "name", "input", left_out={"caller": "who made the call"}, refused=("toolset_name",)
    ),
    "tool_result": _to_chat("type", "tool_use_id", "content", "is_error", refused=("toolset_name",)),
    "tool_reference": _to_chat("type", "tool_name"),
    "base64": _to_chat("type", "media_type", "data"),
    "url": _to_chat("type", "url"),
    "plain": _to_chat("type", "media_type", "data"),
    "content": _to_chat("type", "content"),
}

#: Whole blocks of a conversation that are left out towards OpenAI Chat, but for models that want thinking back.
BLOCKS_LEFT_OUT: Final[Mapping[str, str]] = {
    "thinking": "what an earlier answer thought is signed for Anthropic, and OpenAI Chat has no place for it",
    "redacted_thinking": "what an earlier answer thought, for Anthropic's eyes only",
}

#: A system text that begins so is left out: Claude Code's note to Anthropic's billing, which differs in every
#: request and would keep OpenAI-style providers from caching the prompt.
BILLING_NOTE: Final = "x-anthropic-billing-header:"

_BREAKPOINT: Final = {"prompt_cache_breakpoint": "what is cached changes no answer"}


def _to_messages(
    *translated: str, left_out: Mapping[str, str] | None = None, refused: Mapping[str, str] | None = None
) -> Fields:
    return Fields(MESSAGES, frozenset(translated), left_out or {}, refused or {})


#: OpenAI Chat towards Anthropic Messages.
FROM_CHAT: Final[Mapping[str, Fields]] = {
    "request": _to_messages(
        *(
            "model",
            "messages",
            "max_completion_tokens",
            "max_tokens",
            "stop",
            "stream",
            "stream_options",
            "temperature",
        ),
        *("top_p", "top_k", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format"),
        *("safety_identifier", "user", "service_tier"),
        *("n", "frequency_penalty", "presence_penalty", "modalities", "verbosity"),
        left_out={
            "store": "whether the provider keeps the answer for later",
            "metadata": "labels of stored answers",
            "prediction": "only makes the answer come faster",
            "prompt_cache_key": "what is cached changes no answer",
            "prompt_cache_options": "what is cached changes no answer",
            "prompt_cache_retention": "what is cached changes no answer",
        },
        refused={
            "audio": _NO_MESSAGES,
            "functions": f"{_NO_MESSAGES}: say it with `tools`",
            "function_call": f"{_NO_MESSAGES}: say it with `tool_choice`",
            "logit_bias": _NO_MESSAGES,
            "logprobs": _NO_MESSAGES,
            "top_logprobs": _NO_MESSAGES,
            "moderation": _NO_MESSAGES,
            "seed": _NO_MESSAGES,
            "web_search_options": _NO_MESSAGES,
        },
    ),
    "system": _to_messages("role", "content", left_out={"name": "who wrote instructions changes nothing about them"}),
    "user": _to_messages("role", "content", "name"),
    "assistant": _to_messages(
        *("role", "content", "refusal", "tool_calls"),
        left_out={
            "name": "Anthropic's assistant has none",
            "annotations": _CITED,
            "reasoning_content": "what an earlier answer thought; Anthropic takes it only with its signature",
            "reasoning": "what an earlier answer thought; Anthropic takes it only with its signature",
        },
        refused={"audio": _NO_MESSAGES, "function_call": f"{_NO_MESSAGES}: say it with `tool_calls`"},
    ),
    "tool": _to_messages("role", "content", "tool_call_id", left_out={"name": "the call's id names it"}),
    "text": _to_messages("type", "text", left_out=_BREAKPOINT),
    "refusal": _to_messages("type", "refusal"),
    "image_url": _to_messages("type", "image_url", left_out=_BREAKPOINT),
    "image": _to_messages("url", left_out={"detail": "Anthropic looks at every image closely"}),
    "file": _to_messages("type", "file", left_out=_BREAKPOINT),
    "file_data": _to_messages("file_data", "filename", refused={"file_id": f"{_NO_MESSAGES}: send the file itself"}),
    "tool_call": _to_messages("type", "id", "function", left_out={"index": "its place in the list says it"}),
    "called": _to_messages("name", "arguments"),
    "function_tool": _to_messages("type", "function"),
    "function": _to_messages("name", "description", "parameters", "strict"),
    "tool_choice": _to_messages("type", "function"),
    "chosen": _to_messages("name"),
    "response_format": _to_messages("type", "json_schema"),
    "json_schema": _to_messages(
        "schema",
        left_out={
            "name": "Anthropic's formats have no name",
            "description": "the schema has descriptions of its own",
            "strict": "Anthropic always keeps to the schema",
        },
    ),
    "stream_options": _to_messages("include_usage", left_out={"include_obfuscation": "padding of the stream"}),
}
