"""What the API's query parameters are: for its description alone, the handlers read them themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.metrics import DIMENSIONS, LIMIT_METRICS, METRICS
from data.periods import Grain
from engine.api.reading import LARGEST_PAGE

#: Stands for a filter on any dimension among a route's parameters.
ANY_FILTER = "filter.{dimension}"
_TEXT: Mapping[str, Any] = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, what it is for, and the JSON Schema of its value."""

    name: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: _TEXT)


def listed(name: str, text: str, *known: str) -> Parameter:
    """A parameter that may be repeated, or hold several values separated by commas."""
    items = {"type": "string", "enum": list(known)} if known else {"type": "string", "minLength": 1}
    return Parameter(name, text, {"type": "array", "items": items})


def number(name: str, text: str, most: int, least: int = 1) -> Parameter:
    """A whole number."""
    return Parameter(name, text, {"type": "integer", "minimum": least, "maximum": most})


def chosen(name: str, text: str, *known: str) -> Parameter:
    """One of a few words."""
    return Parameter(name, text, {"type": "string", "enum": list(known)})


_NAMES = [metric.name for metric in (*METRICS, *LIMIT_METRICS)]
#: What a parameter is that a route only names.
USUAL: Mapping[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            "from", "The start, ISO 8601 (UTC where it names no zone)", {"type": "string", "format": "date-time"}
        ),
        Parameter("to", "The end, which is left out; now without it", {"type": "string", "format": "date-time"}),
        Parameter(
            "range", "How long before the end it starts", {"type": "string", "pattern": "^([0-9]{1,3}[wdhms])+$"}
        ),
        Parameter("tz", "The IANA time zone that days and weeks follow"),
        Parameter("cursor", "`next` of the page before"),
        number("limit", "How many", LARGEST_PAGE),
        chosen("grain", "The width of the buckets; without it one that suits the range", *Grain),
        listed("metrics", "Which metrics", *_NAMES),
        chosen("order_by", "The metric whose largest values come first", *_NAMES),
        listed(
            "by",
            "The dimensions of the breakdown; tag:NAME for a tag",
            *(d.name for d in DIMENSIONS if d.name != "tag"),
        ),
        number("version", "The version that is meant; 409 when it has passed", 10**9 - 1),
    )
}


def described(query: tuple[str | Parameter, ...]) -> Iterator[Parameter]:
    """The parameters of a route, each with what it is."""
    for asked in query:
        if isinstance(asked, Parameter):
            yield asked
        elif asked == ANY_FILTER:
            yield from (
                listed(f"filter.{d.name}", f"Only these values of {d.label}") for d in DIMENSIONS if d.name != "tag"
            )
        else:
            yield USUAL.get(asked, Parameter(asked, ""))
