"""How long to wait before the next attempt: what the provider asks for, else a random time that grows."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from proxy.failure import Failure

#: The most that is waited before the first repeat, where the provider does not say.
FIRST_WAIT_S: Final = 0.5
_MAX_DOUBLINGS: Final = 30
_MAX_DATE: Final = 64
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?")


def wait_before(failure: Failure, repeats: int, chance: float, longest_s: float) -> float | None:
    """Return the seconds to wait, from the failure on, before the same credential is asked again.

    None where the provider asks for more than `longest_s`: then it is not waited for. Without a wish of the provider's
    it is "full jitter": at random (`chance`, in [0, 1)) up to a limit that doubles with each of `repeats` (from 0).
    """
    if failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= longest_s else None
    limit = FIRST_WAIT_S * 2.0 ** min(max(repeats, 0), _MAX_DOUBLINGS)
    return min(max(chance, 0.0), 1.0) * min(limit, longest_s)


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a provider asks to wait for, None where it does not say or what it says is none.

    `retry-after-ms` comes first, then `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3), seen from
    `now` in seconds since the epoch. What is past is 0.
    """
    milliseconds = seconds_of(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after", "")
    seconds = seconds_of(said)
    return _until(said, now) if seconds is None and said else seconds


def seconds_of(text: str) -> float | None:
    """Return a number written in decimal, at least 0; None for anything else."""
    text = text.strip()
    return max(float(text), 0.0) if _NUMBER.fullmatch(text) else None


def _until(date: str, now: float) -> float | None:
    if len(date) > _MAX_DATE:
        return None
    try:
        at = parsedate_to_datetime(date)
        # RFC 9110: an HTTP date is in GMT, whether it says so or not
        return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
