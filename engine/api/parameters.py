"""What the API's query parameters are: for its description alone, the handlers read them themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.metrics import DIMENSIONS, METRICS, Dimension
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


def flag(name: str, text: str) -> Parameter:
    """`true` or `false`."""
    return Parameter(name, text, {"type": "boolean"})


def breakdown(note: str = "", *own: Dimension) -> Parameter:
    """`by`, with the dimensions that only some metrics have, of which the note says so."""
    known = (each.name for each in (*DIMENSIONS, *own) if each.name != "tag")
    return listed("by", f"The dimensions of the breakdown; tag:NAME for a tag{note}", *known)


def filtered(dimension: Dimension) -> Parameter:
    """The filter on a dimension."""
    return listed(f"filter.{dimension.name}", f"Only these values of {dimension.label}")


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
        number("limit", "How many; 50 without it", LARGEST_PAGE),
        chosen("grain", "The width of the buckets; without it one that suits the range", *Grain),
        chosen("order_by", "The metric whose largest values come first", *(metric.name for metric in METRICS)),
        breakdown(),
        number("version", "The version that is meant; 409 when it has passed", 10**9 - 1),
    )
}


def described(query: tuple[str | Parameter, ...]) -> Iterator[Parameter]:
    """The parameters of a route, each with what it is."""
    for asked in query:
        if isinstance(asked, Parameter):
            yield asked
        elif asked == ANY_FILTER:
            yield from (filtered(dimension) for dimension in DIMENSIONS if dimension.name != "tag")
        else:
            yield USUAL.get(asked, Parameter(asked, ""))
