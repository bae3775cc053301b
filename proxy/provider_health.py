"""How a provider is, from its circuits, the last minute's failures, and how near its limits are. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from proxy.window import Slot

#: What the breaker says: by (provider, model, credential) the state of each circuit that is not simply well.
#: A state has `state` ("closed", "open", "half_open") and whatever else the breaker tells.
Circuits = Mapping[tuple[str, str, str], Mapping[str, Any]]
#: Of fewer calls nothing is concluded.
_FEWEST = 5
_BAD_SHARE = 0.5
_SHOWN = 50


class Standing(StrEnum):
    """A provider's health in a word."""

    OK = "ok"
    DEGRADED = "degraded"  # some calls fail, or will soon
    FAILING = "failing"  # calls of the last minute failed, all of them


def health_of(provider: str, minute: Slot, circuits: Circuits, near: list[str]) -> dict[str, Any]:
    """Return `{"status", "reasons", "error_share", "circuits", "limits_near"}`; shares are None without calls.

    A call that failed by what was asked, or by the caller's own key, is none of the provider's errors.
    """
    own = [(place, state) for place, state in circuits.items() if place[0] == provider]
    tripped = [(place, state) for place, state in own if state.get("state") != "closed"]
    share = minute.blamed / minute.requests if minute.requests else None
    reasons = [f"circuit {state.get('state')}: {_place(place)}" for place, state in tripped]
    if share is not None and share >= _BAD_SHARE and minute.requests >= _FEWEST:
        reasons.append(f"{minute.blamed} of {minute.requests} calls failed in the last minute")
    reasons += [f"limit near: {words}" for words in near]
    failing = share == 1.0 and (minute.requests >= _FEWEST or bool(tripped))
    status = Standing.FAILING if failing else Standing.DEGRADED if reasons else Standing.OK
    return {
        "status": status,
        "reasons": reasons[:_SHOWN],
        "error_share": None if share is None else round(share, 4),
        "circuits": [{"model": place[1], "credential": place[2], **state} for place, state in own[:_SHOWN]],
        "limits_near": near[:_SHOWN],
    }


def _place(place: tuple[str, str, str]) -> str:
    _, model, credential = place
    return f"{model or 'any model'} ({credential})" if credential else model or "any model"
