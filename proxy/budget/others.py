"""The models that a call of Anthropic's names besides the one that it asks: what they may read and write. Pure.

An advisor is a tool, and each use of it an answer of another model. A fallback takes over at the provider where the
model that was asked declines; what that one had written by then is charged as well.
"""

from typing import Final

import msgspec

from proxy.budget.body import ABSENT, Body, Tool, read_body

#: How often a tool that the provider runs is used where the call does not say.
ASSUMED_USES: Final = 10
_ADVISOR: Final = "advisor_"
_BAD: Final = (msgspec.MsgspecError, UnicodeError)


class Other(msgspec.Struct, frozen=True):
    """Another model: it may read all of the call, and answer as well; see `proxy.budget.demand.Demand`."""

    model: str
    output_tokens: int | None
    answers: int = 1
    speed: str = ""


class _Fallback(msgspec.Struct):
    """What it does not say is as the call says."""

    model: str = ""
    max_tokens: int | None = None
    speed: str | None = None


_TEXT: Final = msgspec.json.Decoder(str)
_FALLBACKS: Final = msgspec.json.Decoder(list[_Fallback])


def others_in(read: Body, output: int | None) -> tuple[Other, ...]:
    """Return the advisors and fallbacks of a call that asks for `output` tokens."""
    if read.fallbacks is ABSENT and not read.tools:
        return ()
    advisors = (_advisor(tool) for tool in read.tools or () if (tool.type or "").startswith(_ADVISOR))
    return (*_fallbacks(read, output), *(advisor for advisor in advisors if advisor.model))


def models_named(body: bytes) -> tuple[str, ...]:
    """Return the other models that a body names; one that is called `?` where it may name some and cannot be read."""
    if b"fallbacks" not in body and b"advisor_" not in body and b"\\u" not in body:
        return ()
    read = read_body(body)
    return ("?",) if read is None else tuple(other.model for other in others_in(read, None))


def _fallbacks(read: Body, output: int | None) -> list[Other]:
    """Nothing where the provider is to choose them itself."""
    try:
        named = _FALLBACKS.decode(read.fallbacks) if read.fallbacks is not ABSENT else []
    except _BAD:
        return []
    return [Other(each.model, each.max_tokens or output, speed=each.speed or "") for each in named if each.model]


def _advisor(tool: Tool) -> Other:
    uses = tool.max_uses if tool.max_uses and tool.max_uses > 0 else ASSUMED_USES
    return Other(_named(tool), tool.max_tokens * uses if tool.max_tokens else None, uses)


def _named(tool: Tool) -> str:
    try:
        return _TEXT.decode(tool.model) if tool.model is not ABSENT else ""
    except _BAD:
        return ""
