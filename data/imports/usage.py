"""Anthropic's usage object as it stands in logs: the ledger's disjoint counts, and what was sampled beside the answer.

The rules are those of the proxy for a plain answer; a test holds the two together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data.model import Tokens

#: No request has a billion tokens.
_LARGEST = 1_000_000_000
#: Samplings of one call that its top-level counts leave out.
_EXTRA = ("advisor_message", "compaction")
_MOST_EXTRA = 100


@dataclass(frozen=True, slots=True)
class Extra:
    """Something sampled and billed within a call that is not in its counts; `model` is '' for the call's own."""

    number: int
    kind: str
    model: str
    tokens: Tokens


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """The counts of a usage object; what is no count counts as 0."""
    output = count(usage.get("output_tokens")) or 0
    details = _mapping(usage.get("output_tokens_details"))
    minutes, hour = _cache_writes(usage)
    return Tokens(
        uncached_input=count(usage.get("input_tokens")) or 0,
        cache_read=count(usage.get("cache_read_input_tokens")) or 0,
        cache_write_5m=minutes,
        cache_write_1h=hour,
        output=output,
        reasoning=min(count(details.get("thinking_tokens")) or 0, output),
        # fetches are free: only searches are billed by the piece
        tool_units=count(_mapping(usage.get("server_tool_use")).get("web_search_requests")) or 0,
    )


def extras_of(usage: Mapping[str, Any]) -> Iterator[Extra]:
    """What a call's `iterations` tell beyond its own answer: advice of another model, compaction of the context."""
    iterations = usage.get("iterations")
    for number, each in enumerate(iterations[:_MOST_EXTRA] if isinstance(iterations, list) else ()):
        part = _mapping(each)
        if part.get("type") in _EXTRA:
            model = part.get("model")
            yield Extra(number, part["type"], model if isinstance(model, str) else "", tokens_of(part))


def parts_of(usage: Mapping[str, Any]) -> list[Tokens]:
    """Everything that a usage object bills: the call's own counts first."""
    return [tokens_of(usage), *(extra.tokens for extra in extras_of(usage))]


def count(value: object) -> int | None:
    """`value` where it can be a count; None where not."""
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _cache_writes(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Cache writes as (five minutes, one hour); what the split leaves open lives as the rest does, else 5 minutes."""
    split = _mapping(usage.get("cache_creation"))
    minutes = count(split.get("ephemeral_5m_input_tokens")) or 0
    hour = count(split.get("ephemeral_1h_input_tokens")) or 0
    total = count(usage.get("cache_creation_input_tokens"))
    if total is None:
        return minutes, hour
    if total >= minutes + hour:
        return (0, total) if hour and not minutes else (total - hour, hour)
    hour = min(hour, total)
    return total - hour, hour


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
