"""How long a provider wants to be left alone. Pure.

`retry-after-ms` comes first, then `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3), then Google's
`RetryInfo` in the error's details.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

_RETRY_INFO: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
_MAX_S: Final = 366 * 86_400.0


def retry_after_s(headers: Mapping[str, str], now_s: float, body: bytes = b"") -> float | None:
    """Return the seconds from `now_s` (since the epoch) on, or None where the provider does not say."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return min(milliseconds / 1000, _MAX_S)
    said = headers.get("retry-after", "")
    if said:
        seconds = _number(said)
        if seconds is None:
            seconds = _until(said, now_s)
        if seconds is not None:
            return min(seconds, _MAX_S)
    found = _RETRY_INFO.search(body)
    return float(found[1]) if found else None


def may_be_retried(headers: Mapping[str, str]) -> bool:
    """Whether the provider does not say that asking again is useless (`x-should-retry: false`)."""
    return headers.get("x-should-retry", "").lower() != "false"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None


def _until(text: str, now_s: float) -> float | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(at.timestamp() - now_s, 0.0)
