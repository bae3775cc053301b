"""Values as scenarios write them: `5`, `5x3`, `5+2x3`, `_`."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import PlainValidator

_VALUE = re.compile(
    r"(?P<first>-?\d+(?:\.\d+)?)(?:(?P<by>[+-]\d+(?:\.\d+)?)?x(?P<times>\d{1,6}))?|_(?:x(?P<gap>\d{1,6}))?"
)
_MOST_VALUES = 100_000


def _values(text: Any) -> tuple[float | None, ...]:
    values = tuple(value for token in str(text).split() for value in _repeated(token))
    if not 0 < len(values) <= _MOST_VALUES:
        raise ValueError(f"must be 1 to {_MOST_VALUES} values")
    return values


def _repeated(token: str) -> Iterator[float | None]:
    match = _VALUE.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is not a value; write 5, 5x3, 5+2x3 or _")
    if match["first"] is None:
        yield from [None] * int(match["gap"] or 1)
        return
    for n in range(int(match["times"] or 1)):
        yield float(match["first"]) + n * float(match["by"] or 0)


#: One value an evaluation; None: no requests.
Values = Annotated[tuple[float | None, ...], PlainValidator(_values)]
