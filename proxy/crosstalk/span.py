"""The range that statistics are asked for: `from` and `to`, or `range` up to `to`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from proxy.api_body import BadBody
from proxy.api_route import Parameter

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_LENGTH: Final = "^[0-9]{1,3}[wdhms]$"
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

PARAMETERS: Final = (
    Parameter("from", "The start, ISO 8601 (UTC where it names no zone).", {"type": "string", "format": "date-time"}),
    Parameter("to", "The end, which is left out; now without it.", {"type": "string", "format": "date-time"}),
    Parameter(
        "range", "How long before the end it starts; all there is, without it.", {"type": "string", "pattern": _LENGTH}
    ),
)


def span(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Return start and end, aware UTC. Raises `BadBody`."""
    end = _moment(query["to"], "to") if "to" in query else now
    if "from" in query and "range" in query:
        raise BadBody(400, "from and range both say where it starts; say one of them.")
    if "from" in query:
        start = _moment(query["from"], "from")
    else:
        start = max(end - _length(query["range"]), _EARLIEST) if "range" in query else _EARLIEST
    if start >= end:
        raise BadBody(400, "The range must start before it ends.")
    return start, end


def _moment(text: str, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise BadBody(400, f"{name} must be a time like 2026-01-31T14:00:00Z, not {text[:100]!r}.") from error
    if not 1970 < at.year < 2200:
        raise BadBody(400, f"{name} must lie between the years 1971 and 2199.")
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _length(text: str) -> timedelta:
    if not re.fullmatch(_LENGTH.strip("^$"), text) or not text.isascii():
        raise BadBody(400, f"range must be a length like 7d or 12h, not {text[:100]!r}.")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
