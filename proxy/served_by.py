"""Who served a call: headers that the client's answer gets. Pure."""

from collections.abc import Iterable
from typing import Final

from data.model import Cause, RequestStart

NO_ROOM_HEADER: Final = "x-claude-proxy-no-room"


def served_by(start: RequestStart) -> dict[str, str]:
    """Return `x-claude-proxy-provider`, `-model`, after a failure `-attempt`, and `-cause` but for a first choice."""
    marks = {"x-claude-proxy-provider": start.provider}
    if model := start.model_sent or start.model_requested:
        marks["x-claude-proxy-model"] = _text(model)
    if start.attempt > 1:
        marks["x-claude-proxy-attempt"] = str(start.attempt)
    if start.cause is not Cause.FIRST:
        marks["x-claude-proxy-cause"] = start.cause
    return marks


def no_room_at(places: Iterable[RequestStart]) -> dict[str, str]:
    """Return `x-claude-proxy-no-room`: the places, `provider/model` each, whose budgets had no room for the call."""
    named = (f"{place.provider}/{place.model_sent or place.model_requested}" for place in places)
    return {NO_ROOM_HEADER: ", ".join(_text(name) for name in named)}


def _text(name: str) -> str:
    return name.encode("ascii", "replace").decode()
