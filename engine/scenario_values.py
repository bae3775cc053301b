"""Values as scenarios write them: `5`, `5x3`, `5+2x3`, `_`, `error`."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any

from pydantic import PlainValidator


class Failed(Enum):
    """Stands for a value where the measurement fails."""

    FAILED = "error"


Value = float | Failed | None
_VALUE = re.compile(
    r"(?P<first>-?\d+(?:\.\d+)?)(?:(?P<by>[+-]\d+(?:\.\d+)?)?x(?P<times>\d{1,6}))?"
    r"|(?P<hole>_|error)(?:x(?P<length>\d{1,6}))?"
)
_HOLES = {"_": None, "error": Failed.FAILED}
_MOST_VALUES = 100_000


def _values(text: Any) -> tuple[Value, ...]:
    values = tuple(value for token in str(text).split() for value in _repeated(token))
    if not 0 < len(values) <= _MOST_VALUES:
        raise ValueError(f"must be 1 to {_MOST_VALUES} values")
    return values


def _repeated(token: str) -> Iterator[Value]:
    match = _VALUE.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is not a value; write 5, 5x3, 5+2x3, _ or error")
    if match["hole"]:
        yield from [_HOLES[match["hole"]]] * int(match["length"] or 1)
        return
    for n in range(int(match["times"] or 1)):
        yield float(match["first"]) + n * float(match["by"] or 0)


#: One value an evaluation; None: no requests.
Values = Annotated[tuple[Value, ...], PlainValidator(_values)]
