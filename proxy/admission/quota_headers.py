"""A key's limits as answers tell them, in the headers of the client's protocol. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from math import ceil
from time import gmtime, strftime

from multidict import istr

from data.model import Protocol
from proxy.admission.limits import Quota


def quota_headers(quotas: Iterable[Quota], protocol: Protocol, wall_s: float) -> dict[str, str]:
    """Return Anthropic's `anthropic-ratelimit-*` (resets as RFC 3339 times), else OpenAI's `x-ratelimit-*`.

    A reset is never told too early. `wall_s` is seconds since the epoch.
    """
    told: dict[str, str] = {}
    for quota in quotas:
        limit, remaining, reset = _names(protocol, quota.name)
        told[limit] = str(quota.limit)
        told[remaining] = str(quota.remaining)
        at = _instant(ceil(wall_s + quota.reset_s)) if protocol is Protocol.ANTHROPIC else _duration(quota.reset_s)
        told[reset] = at
    return told


@lru_cache(16)
def _names(protocol: Protocol, name: str) -> tuple[istr, istr, istr]:
    words = ("limit", "remaining", "reset")
    if protocol is Protocol.ANTHROPIC:
        limit, remaining, reset = (istr(f"anthropic-ratelimit-{name}-{word}") for word in words)
    else:
        limit, remaining, reset = (istr(f"x-ratelimit-{word}-{name}") for word in words)
    return limit, remaining, reset


@lru_cache(256)
def _instant(wall_s: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(wall_s))


def _duration(seconds: float) -> str:
    minutes, milliseconds = divmod(ceil(seconds * 1000), 60_000)
    rest = f"{milliseconds / 1000:g}s"
    return f"{minutes}m{rest}" if minutes else rest
