"""Whether a call may be made: which key it comes with, what that key may do, and whether its limits have room."""

from collections.abc import Mapping

import msgspec

from data.config import KeysConfig
from data.model import Endpoint, Protocol
from proxy.admission.keys import KeyRing, VirtualKey, presented_key
from proxy.admission.limits import Exceeded, seconds
from proxy.admission.quota_headers import quota_headers

_UNREAD = frozenset({Endpoint.MODELS, Endpoint.FILES, Endpoint.BATCHES, Endpoint.OTHER})


class Wanted(msgspec.Struct, frozen=True):
    """What a call asks for; `tokens` is what it is estimated at."""

    protocol: Protocol
    endpoint: Endpoint
    model: str
    tokens: int


class Refused(msgspec.Struct, frozen=True):
    """Why a call is not made, as its client is told."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = {}


class Admitted:
    """A call that may be made. `end` gives back what it holds, and may be called again."""

    __slots__ = ("_estimated", "_open", "key")

    def __init__(self, key: VirtualKey | None, estimated: int = 0) -> None:
        self.key = key
        self._estimated = estimated
        self._open = key is not None and key.is_limited

    def end(self, used_tokens: int, now_s: float) -> None:
        """The call has ended, whatever came of it, and has used so many tokens."""
        if self._open and self.key is not None:
            self._open = False
            self.key.limits.end(self._estimated, used_tokens, now_s)

    def headers(self, protocol: Protocol, now_s: float) -> dict[str, str]:
        """Return what the answer says of the key's limits: nothing without any."""
        if self.key is None or not self.key.is_limited:
            return {}
        return quota_headers(self.key.limits.quotas(now_s), protocol, now_s)


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


class Gate:
    """Admits calls. `now_s` is seconds since the epoch."""

    def __init__(self, ring: KeyRing, config: KeysConfig) -> None:
        self.ring = ring
        self.config = config

    def admit(
        self, wanted: Wanted, headers: Mapping[str, str], query: Mapping[str, str], now_s: float
    ) -> Admitted | Refused:
        """Return whether a call with these headers and query parameters may be made."""
        presented = presented_key(headers, query)
        if not presented:
            return _NEEDED if self.config.required else _ANYBODY
        key = self.ring.find(presented)
        if key is None:
            return _UNKNOWN if self.ring.known else _UNTOLD
        if (refused := _not_allowed(key, wanted, now_s)) is not None:
            return refused
        if not key.is_limited:
            return Admitted(key)
        exceeded = key.limits.take(wanted.tokens, now_s)
        return Admitted(key, wanted.tokens) if exceeded is None else _over(key, exceeded, wanted.protocol, now_s)


def _not_allowed(key: VirtualKey, wanted: Wanted, now_s: float) -> Refused | None:
    """Only who has the secret is told this much."""
    if not key.enabled:
        return Refused(401, "key_disabled", f"The virtual key {key.name!r} is disabled.")
    if key.ends_s is not None and now_s >= key.ends_s:
        return Refused(401, "key_expired", f"The virtual key {key.name!r}, or this secret of it, has expired.")
    if not key.allows_endpoint(wanted.endpoint):
        return Refused(403, "endpoint_not_allowed", f"The virtual key {key.name!r} is not for {wanted.endpoint} calls.")
    if wanted.endpoint not in _UNREAD and not key.allows_model(wanted.model):
        return Refused(403, "model_not_allowed", f"The virtual key {key.name!r} is not for the model {wanted.model!r}.")
    return None


def _over(key: VirtualKey, exceeded: Exceeded, protocol: Protocol, now_s: float) -> Refused:
    wait_s = seconds(exceeded.retry_after_s)
    milliseconds = 250 if exceeded.retry_after_s is None else max(round(exceeded.retry_after_s * 1000), 1)
    message = f"The virtual key {key.name!r} is at its limit of {exceeded.limit} {exceeded.what}; ask in {wait_s} s."
    headers = quota_headers(key.limits.quotas(now_s), protocol, now_s)
    headers |= {"retry-after": str(wait_s), "retry-after-ms": str(milliseconds)}
    return Refused(429, "key_limit", message, headers)
