"""Whether a call may be made: which key it comes with, what that key may do, and whether its limits have room."""

from collections.abc import Mapping
from math import ceil
from typing import Final, NamedTuple

import msgspec
from multidict import MultiMapping

from data.config import KeysConfig
from data.errors import LimitsUnknown
from data.model import Endpoint, Protocol
from proxy.admission.keys import KeyRing, VirtualKey, presented_key
from proxy.admission.limits import Exceeded, Ticket, seconds
from proxy.admission.quota_headers import quota_headers

#: Where nothing is asked of a model; elsewhere a call that does not tell its model might ask for any, as batches do.
_WITHOUT_MODEL: Final = frozenset({Endpoint.MODELS, Endpoint.FILES})
_ASKING: Final = frozenset({"GET", "HEAD", "DELETE"})


class Wanted(msgspec.Struct, frozen=True):
    """What a call asks for; `tokens` is what it is estimated at, 0 where it uses none.

    `others`: models that it names besides; they need be told only where the caller's key is for certain models.
    """

    protocol: Protocol
    endpoint: Endpoint
    model: str  # '' where it is not known
    tokens: int
    method: str = "POST"
    others: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True):
    """Why a call is not made, as its client is told."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = {}


class Admitted:
    """A call that may be made. `end` gives back what it holds, and may be called again."""

    __slots__ = ("_ticket", "key")

    def __init__(self, key: VirtualKey | None, ticket: Ticket | None = None) -> None:
        self.key = key
        self._ticket = ticket

    def end(self, used_tokens: int, now_s: float) -> None:
        """The call has ended, whatever came of it, and has used so many tokens."""
        if self._ticket is not None:
            self._ticket.end(used_tokens, now_s)

    def headers(self, protocol: Protocol, now_s: float, wall_s: float) -> dict[str, str]:
        """Return what the answer says of the key's limits: nothing without any."""
        if self.key is None or self._ticket is None:
            return {}
        return quota_headers(self.key.limits.quotas(now_s), protocol, wall_s)


_ANYBODY = Admitted(None)
_UNKNOWN = Refused(401, "invalid_key", "This virtual key is not known here.")
_NEEDED = Refused(
    401,
    "key_required",
    "This proxy serves calls with a virtual key alone: send one as x-api-key, as Authorization: Bearer, or as "
    "x-claude-proxy-key.",
)
_UNTOLD = Refused(
    503,
    "keys_unknown",
    "Which virtual keys there are is not known yet: the store does not answer. Ask again.",
    {"retry-after": "2"},
)
_UNSURE = Refused(
    503,
    "limits_unknown",
    "How much this virtual key has used at all proxies of this home cannot be told at the moment. Ask again.",
    {"retry-after": "1"},
)


class Caller(NamedTuple):
    """Whose call it is: None for somebody without a key. Good for as long as keys and rules are the same ones."""

    found: VirtualKey | Refused | None
    version: int  # of the keys
    config: KeysConfig


class Gate:
    """Admits calls. `now_s` is a clock that never goes back, `wall_s` is seconds since the epoch."""

    def __init__(self, ring: KeyRing, config: KeysConfig) -> None:
        self.ring = ring
        self.config = config

    def caller(self, headers: MultiMapping[str], query: MultiMapping[str]) -> Caller:
        """Return who calls with these headers and query parameters."""
        return Caller(self._who(headers, query), self.ring.version, self.config)

    def stranger(self, caller: Caller) -> Refused | None:
        """Return why a call is refused whatever it asks for: where keys are required, nobody else's body is read."""
        return caller.found if self.config.required and isinstance(caller.found, Refused) else None

    def is_known(self, caller: Caller) -> bool:
        """Whether the keys and rules are still those by which `caller` was found."""
        return caller.version == self.ring.version and caller.config is self.config

    def admit(self, wanted: Wanted, caller: Caller, *, now_s: float, wall_s: float) -> Admitted | Refused:
        """Return whether a caller, found by the present keys, may make a call."""
        key = caller.found
        if key is None:
            return _ANYBODY
        if isinstance(key, Refused):
            return key
        if (refused := _not_allowed(key, wanted, wall_s)) is not None:
            return refused
        return _within_limits(key, wanted, now_s, wall_s) if key.is_limited else Admitted(key)

    def _who(self, headers: MultiMapping[str], query: MultiMapping[str]) -> VirtualKey | Refused | None:
        """Whose call it is; None for somebody without a key, where none is required."""
        presented = presented_key(headers, query)
        if not presented:
            return _NEEDED if self.config.required else None
        key = self.ring.find(presented)
        if key is None:
            return _UNKNOWN if self.ring.known else _UNTOLD
        return key


def _not_allowed(key: VirtualKey, wanted: Wanted, wall_s: float) -> Refused | None:
    """Only who has the secret is told this much."""
    if not key.enabled:
        return Refused(401, "key_disabled", f"The virtual key {key.name!r} is disabled.")
    if key.ends_s is not None and wall_s >= key.ends_s:
        return Refused(401, "key_expired", f"The virtual key {key.name!r}, or this secret of it, has expired.")
    if not key.allows_endpoint(wanted.endpoint):
        return Refused(403, "endpoint_not_allowed", f"The virtual key {key.name!r} is not for {wanted.endpoint} calls.")
    if not key.allows_model(wanted.model) and (refused := _other_model(key, wanted)) is not None:
        return refused
    return next((_not_for(key, other) for other in wanted.others if not key.allows_model(other)), None)


def _not_for(key: VirtualKey, model: str) -> Refused:
    return Refused(403, "model_not_allowed", f"The virtual key {key.name!r} is not for the model {model!r}.")


def _other_model(key: VirtualKey, wanted: Wanted) -> Refused | None:
    if wanted.model:
        return _not_for(key, wanted.model)
    if wanted.endpoint in _WITHOUT_MODEL or wanted.method in _ASKING:
        return None
    message = (
        f"The virtual key {key.name!r} is for certain models alone, and this call does not tell which it asks for."
    )
    return Refused(403, "model_not_allowed", message)


def _within_limits(key: VirtualKey, wanted: Wanted, now_s: float, wall_s: float) -> Admitted | Refused:
    try:
        taken = key.limits.take(wanted.tokens, now_s)
    except LimitsUnknown:
        return _UNSURE
    if isinstance(taken, Exceeded):
        return _over(key, taken, quota_headers(key.limits.quotas(now_s), wanted.protocol, wall_s))
    return Admitted(key, taken)


def _over(key: VirtualKey, exceeded: Exceeded, told: Mapping[str, str]) -> Refused:
    wait_s = seconds(exceeded.retry_after_s)
    milliseconds = 250 if exceeded.retry_after_s is None else max(ceil(exceeded.retry_after_s * 1000), 1)
    message = f"The virtual key {key.name!r} is at its limit of {exceeded.limit} {exceeded.what}; ask in {wait_s} s."
    return Refused(429, "key_limit", message, {**told, "retry-after": str(wait_s), "retry-after-ms": str(milliseconds)})
