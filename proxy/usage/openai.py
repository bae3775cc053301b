"""What OpenAI's protocols share: how their counts become disjoint ones."""

from collections.abc import Mapping
from typing import Any

from data.model import Tokens
from proxy.usage import fields


def chat_tokens(usage: Mapping[str, Any]) -> Tokens:
    """Counts of a Chat Completions usage object; those of an embedding have no answer."""
    prompt = fields.mapping(usage.get("prompt_tokens_details"))
    if "cached_tokens" not in prompt:
        # Moonshot and DeepSeek tell it beside the details
        prompt = {**prompt, "cached_tokens": usage.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))}
    answer = fields.mapping(usage.get("completion_tokens_details"))
    return _tokens(usage.get("prompt_tokens"), prompt, usage.get("completion_tokens"), answer, usage)


def responses_tokens(usage: Mapping[str, Any]) -> Tokens:
    """Counts of a Responses usage object."""
    prompt = fields.mapping(usage.get("input_tokens_details"))
    answer = fields.mapping(usage.get("output_tokens_details"))
    return _tokens(usage.get("input_tokens"), prompt, usage.get("output_tokens"), answer, usage)


def audio_note(usage: Mapping[str, Any]) -> str:
    """Say how many of the counted tokens are of sound, which has prices of its own; '' for none."""
    details = ("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details")
    heard = sum(fields.count(fields.mapping(usage.get(name)).get("audio_tokens")) or 0 for name in details)
    return f"{heard} audio tokens are priced as text" if heard else ""


def _tokens(
    prompt: object,
    prompt_parts: Mapping[str, Any],
    answer: object,
    answer_parts: Mapping[str, Any],
    usage: Mapping[str, Any],
) -> Tokens:
    """The prompt includes what the cache gave and took; the answer includes reasoning and rejected predictions."""
    cached = fields.count(prompt_parts.get("cached_tokens")) or 0
    written = fields.count(prompt_parts.get("cache_write_tokens")) or 0
    asked, output = fields.count(prompt) or 0, fields.count(answer) or 0
    reasoning = fields.count(answer_parts.get("reasoning_tokens")) or 0
    if reasoning and fields.count(usage.get("total_tokens")) == asked + output + reasoning:
        output += reasoning  # xAI tells it beside the answer, as its total says
    return Tokens(
        uncached_input=max(asked - cached - written, 0),
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
    )
