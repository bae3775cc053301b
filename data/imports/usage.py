"""Anthropic's usage object as it stands in logs: the ledger's disjoint counts, and what was sampled beside the answer.

The rules are those of the proxy for a plain answer; tests hold the two together.

Where a model declined and another one took over at the provider (server-side fallback), the list of `iterations` ends
with a `fallback_message`, which names the one that answered (Anthropic's SDK, `BetaFallbackMessageIterationUsage`); the
`message` entries of that model are its earlier turns, those of others are what they had written before they declined.
Where Claude Code itself asks another model, that is a call with a message id of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import astuple, replace

from data.model import Tokens

#: No request has a billion tokens.
_LARGEST = 1_000_000_000
#: Samplings of one call that its top-level counts leave out.
_EXTRA = ("advisor_message", "compaction")
_MOST_EXTRA = 1000


@dataclass(frozen=True, slots=True)
class Extra:
    """Something sampled and billed within a call that is not in its counts; `model` is '' for the one asked."""

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


def answer_of(usage: Mapping[str, Any], model: str) -> tuple[str, Tokens]:
    """The model that answered a call for `model`, and its counts."""
    entries, main = _entries(usage), tokens_of(usage)
    if not (served := _served(entries, model)):
        return model, main
    own = _sum([tokens_of(each) for each in entries if _is_of_answer(each, served, model)])
    return served, replace(own, reasoning=min(main.reasoning, own.output), tool_units=main.tool_units)


def extras_of(usage: Mapping[str, Any], model: str = "") -> Iterator[Extra]:
    """What the `iterations` of a call for `model` tell beyond its answer.

    That is advice of another model, compaction of the context, and what models wrote that declined after that.
    """
    entries = _entries(usage)
    served = _served(entries, model)
    for number, each in enumerate(entries):
        tokens = tokens_of(each)
        begun = served and each.get("type") == "message" and tokens.output and not _is_of_answer(each, served, model)
        if begun or each.get("type") in _EXTRA:
            yield Extra(number, each["type"], _named(each, ""), tokens)


def parts_of(usage: Mapping[str, Any], model: str = "") -> list[Tokens]:
    """Everything that a usage object of a call for `model` bills: the answer's own counts first."""
    return [answer_of(usage, model)[1], *(extra.tokens for extra in extras_of(usage, model))]


def count(value: object) -> int | None:
    """`value` where it can be a count; None where not."""
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _entries(usage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    iterations = usage.get("iterations")
    return [_mapping(each) for each in iterations[:_MOST_EXTRA]] if isinstance(iterations, list) else []


def _served(entries: list[Mapping[str, Any]], asked: str) -> str:
    """The model that took over; '' where none did."""
    took_over = (each for each in reversed(entries) if each.get("type") == "fallback_message")
    return next((_named(each, asked) for each in took_over), "")


def _is_of_answer(entry: Mapping[str, Any], served: str, asked: str) -> bool:
    kind = entry.get("type")
    return kind == "fallback_message" or (kind == "message" and _named(entry, asked) == served)


def _named(entry: Mapping[str, Any], otherwise: str) -> str:
    model = entry.get("model")
    return model if isinstance(model, str) and model else otherwise


def _sum(counts: list[Tokens]) -> Tokens:
    return Tokens(*(sum(column) for column in zip(*map(astuple, counts), strict=True)))


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
