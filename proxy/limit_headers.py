"""What a provider's answer says of its limits, read from its headers. Pure.

Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, reset in RFC
3339; on subscriptions `anthropic-ratelimit-unified-{status,reset}` and for each window (5h, 7d …) its
`{utilization,status,reset}`, reset in seconds since the epoch. OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,
tokens}`, reset a duration such as `6m0s`, `1.2s` or `20ms`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: An answer with limits has one of these; they are looked for in every answer.
TELLING: Final = (
    "anthropic-ratelimit-unified-status",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-unified-5h-utilization",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
)
_UNIFIED: Final = "anthropic-ratelimit-unified-"
_WINDOW: Final = re.compile(rf"{_UNIFIED}((\d{{1,3}})([hd])[a-z0-9_]{{0,20}})-utilization")
_MAX_WINDOWS: Final = 8
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "d": 86_400.0}
_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|us|µs|ns|[dhms])")
_LARGEST: Final = 1e15
_STATUS: Final = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: how much is left, in requests or tokens, or (`length_s` is known) as a share of a window, 0 to 1.

    `limit` is None where the provider does not say; `reset_s` is when it is full again, seconds since the epoch.
    """

    name: str
    limit: float | None
    remaining: float
    reset_s: float | None
    length_s: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer told; `status` is a subscription's ("allowed", "allowed_warning", "rejected"), '' without one."""

    limits: tuple[Limit, ...]
    status: str = ""


def read_limits(headers: Mapping[str, str], now_s: float) -> Told:
    """Return what the headers of an answer tell that came at `now_s`; what is no limit is left out."""
    limits = (*_anthropic(headers), *_windows(headers), *_openai(headers, now_s))
    status = headers.get(f"{_UNIFIED}status", "")
    return Told(limits, status if _STATUS.fullmatch(status) else "")


def duration_s(text: str) -> float | None:
    """Return the seconds of a duration (`1h2m3.5s`, `20ms`, or a bare number of seconds), None for what is none."""
    parts = _PART.findall(text)
    if parts and "".join(map("".join, parts)) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _number(text)


def _anthropic(headers: Mapping[str, str]) -> Iterator[Limit]:
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        remaining = _number(headers.get(f"anthropic-ratelimit-{name}-remaining"))
        if remaining is not None:
            most = _number(headers.get(f"anthropic-ratelimit-{name}-limit"))
            reset = _instant_s(headers.get(f"anthropic-ratelimit-{name}-reset"))
            yield Limit(name.replace("-", "_"), most, remaining, reset)


def _windows(headers: Mapping[str, str]) -> Iterator[Limit]:
    found = [match for name in headers if (match := _WINDOW.fullmatch(name.lower()))]
    for match in found[:_MAX_WINDOWS]:
        used = _number(headers.get(match[0]))
        if used is not None:
            reset = _instant_s(headers.get(f"{_UNIFIED}{match[1]}-reset"))
            length_s = int(match[2]) * _SECONDS[match[3]]
            yield Limit(match[1], 1.0, max(1.0 - used, 0.0), reset, length_s)


def _openai(headers: Mapping[str, str], now_s: float) -> Iterator[Limit]:
    for name in ("requests", "tokens"):
        remaining = _number(headers.get(f"x-ratelimit-remaining-{name}"))
        if remaining is not None:
            most = _number(headers.get(f"x-ratelimit-limit-{name}"))
            after = duration_s(headers.get(f"x-ratelimit-reset-{name}", ""))
            yield Limit(name, most, remaining, None if after is None else now_s + after)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text and len(text) <= 32 else math.nan
    except ValueError:
        return None
    return number if 0 <= number <= _LARGEST else None


def _instant_s(text: str | None) -> float | None:
    if not text or (number := _number(text)) is not None:
        return number if text else None
    try:
        at = datetime.fromisoformat(text[:64])
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
