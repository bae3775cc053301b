"""What OpenAI's two protocols share: how their counts become disjoint ones."""

from collections.abc import Mapping
from typing import Any

from data.model import Tokens
from proxy.usage import fields


def chat_tokens(usage: Mapping[str, Any]) -> Tokens:
    """Counts of a Chat Completions usage object."""
    return _tokens(
        usage.get("prompt_tokens"),
        fields.mapping(usage.get("prompt_tokens_details")),
        usage.get("completion_tokens"),
        fields.mapping(usage.get("completion_tokens_details")),
    )


def responses_tokens(usage: Mapping[str, Any]) -> Tokens:
    """Counts of a Responses usage object."""
    return _tokens(
        usage.get("input_tokens"),
        fields.mapping(usage.get("input_tokens_details")),
        usage.get("output_tokens"),
        fields.mapping(usage.get("output_tokens_details")),
    )


def _tokens(prompt: object, prompt_parts: Mapping[str, Any], answer: object, answer_parts: Mapping[str, Any]) -> Tokens:
    """The prompt includes what the cache gave and took; the answer includes reasoning and rejected predictions."""
    cached = fields.count(prompt_parts.get("cached_tokens")) or 0
    written = fields.count(prompt_parts.get("cache_write_tokens")) or 0
    output = fields.count(answer) or 0
    return Tokens(
        uncached_input=max((fields.count(prompt) or 0) - cached - written, 0),
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(fields.count(answer_parts.get("reasoning_tokens")) or 0, output),
    )
