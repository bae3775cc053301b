"""A measured value as templates have it: written as text with its unit, counted with as a number. Pure."""

import operator
from collections.abc import Callable
from typing import Any


class Quantity(str):
    """`$512.34` in a message, 512.34 in `{% if value > 500 %}`, `{{ value * 2 }}` and `{{ value | round }}`.

    `number` is None where there is no data: it is then neither above nor below anything.
    """

    __slots__ = ("number",)

    number: float | None

    def __new__(cls, text: str, number: float | None) -> "Quantity":
        """`text` as people read it, and the number that it is written for."""
        made = super().__new__(cls, text)
        made.number = number
        return made

    def __eq__(self, other: object) -> bool:
        """By number with a number, by text with a text."""
        if isinstance(other, int | float):
            return self.number == other
        return str(self) == str(other) if isinstance(other, str) else NotImplemented

    __hash__ = str.__hash__

    def __lt__(self, other: object) -> bool:
        """By number, also with another quantity; by text with a text."""
        return self._compared(other, operator.lt)

    def __le__(self, other: object) -> bool:
        """As `<`."""
        return self._compared(other, operator.le)

    def __gt__(self, other: object) -> bool:
        """As `<`."""
        return self._compared(other, operator.gt)

    def __ge__(self, other: object) -> bool:
        """As `<`."""
        return self._compared(other, operator.ge)

    def __neg__(self) -> float:
        """The number's negative; a TypeError where there is none."""
        if self.number is None:
            raise TypeError(f"{str(self)!r} is not a number")
        return -self.number

    def _compared(self, other: object, how: Callable[[Any, Any], Any]) -> bool:
        if isinstance(other, str) and not isinstance(other, Quantity):
            return bool(how(str(self), other))
        if not isinstance(other, Quantity | int | float):
            raise TypeError(f"a {type(other).__name__} cannot be compared with a number")
        theirs = number_of(other)
        return bool(self.number is not None and theirs is not None and how(self.number, theirs))


def number_of(value: object) -> object:
    """The number of a quantity (None: no data); any other value as it is."""
    return value.number if isinstance(value, Quantity) else value
