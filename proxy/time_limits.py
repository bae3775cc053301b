"""How long an attempt may take, part by part."""

import aiohttp
import msgspec


class TimeLimits(msgspec.Struct, frozen=True):
    """Seconds: for the connection, until the answer begins, between two of its bytes, and for all of it."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float
    client_timeout: aiohttp.ClientTimeout  # what aiohttp itself is told: the connection's limit alone


def time_limits(*, connect_s: float, first_byte_s: float, idle_s: float, total_s: float) -> TimeLimits:
    """Return the limits, with aiohttp's form of them."""
    return TimeLimits(connect_s, first_byte_s, idle_s, total_s, aiohttp.ClientTimeout(total=None, connect=connect_s))
