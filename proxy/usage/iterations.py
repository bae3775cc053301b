"""Anthropic's `usage.iterations`: what one request cost beside its answer.

The counts beside the list are those of the answer's own model alone. A compaction of the context comes on top of
them, at the same price; an advisor's at the price of another model. Where a model declined and another one took
over, its share is billed only if it had begun to answer.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from data.model import Tokens
from proxy.usage import fields
from proxy.usage.usage import Share, added

_MOST: Final = 1000
Entry = Mapping[str, Any]


def shares(
    usage: Mapping[str, Any], model: str, main: Tokens, count: Callable[[Entry], Tokens]
) -> tuple[str, Tokens, tuple[Share, ...]]:
    """Return the model that answered, what it counted, and the shares of other models.

    `main` are the counts beside the list, of `model`; `count` reads an entry's.
    """
    listed = usage.get("iterations")
    entries = [fields.mapping(each) for each in listed[:_MOST]] if isinstance(listed, list) else []
    if not entries:
        return model, main, ()
    others: dict[str, Tokens] = {}
    served = next((_named(each, model) for each in reversed(entries) if _is(each, "fallback_message")), "")
    if served:
        main, others = _after_fallback(entries, served, model, main, count)
    for each in entries:
        if _is(each, "compaction"):
            main = added(main, count(each))
        elif _is(each, "advisor_message"):
            _give(others, _named(each, model), count(each))
    return served or model, main, tuple(Share(name, tokens) for name, tokens in others.items())


def _after_fallback(
    entries: Iterable[Entry], served: str, asked: str, main: Tokens, count: Callable[[Entry], Tokens]
) -> tuple[Tokens, dict[str, Tokens]]:
    """The counts of the model that took over, and those of the ones that had begun before it."""
    own, others = Tokens(), dict[str, Tokens]()
    for each in entries:
        tokens, name = count(each), _named(each, asked)
        if _is(each, "fallback_message") or (_is(each, "message") and name == served):
            own = added(own, tokens)
        elif _is(each, "message") and tokens.output:
            _give(others, name, tokens)
    reasoning = min(main.reasoning, own.output)
    return replace(own, reasoning=reasoning, tool_units=main.tool_units), others


def _is(entry: Entry, kind: str) -> bool:
    return entry.get("type") == kind


def _named(entry: Entry, otherwise: str) -> str:
    return fields.text(entry.get("model")) or otherwise


def _give(others: dict[str, Tokens], name: str, tokens: Tokens) -> None:
    others[name] = added(others.get(name, Tokens()), tokens)
